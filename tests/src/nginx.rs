//! A real nginx that answers everything and writes down what it was asked.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    PATIENCE,
    child::Child,
    client::Connection,
    place::{self, Place},
    port,
};

/// One nginx. When dropped it is stopped; the test fails if it had died or logged an error.
#[derive(Debug)]
pub struct Nginx {
    /// First, because it must have ended when the place goes.
    child: Option<Child>,
    place: Place,
    name: String,
    dir: PathBuf,
    address: SocketAddr,
    /// What its `server` block says.
    pages: String,
    /// What it speaks where it listens, beside plain HTTP/1: `ssl`, `http2`.
    speaks: String,
}

impl Nginx {
    /// An nginx of this name, which its answers carry in `X-Server`; not yet running.
    pub fn new(place: &Place, name: &str) -> Self {
        Self {
            place: place.clone(),
            name: name.to_owned(),
            dir: place.subdir(name),
            address: port::free(),
            pages: "return 200 \"$request_method $args\\n\";".to_owned(),
            speaks: String::new(),
            child: None,
        }
    }

    /// It serves the files of this folder instead.
    #[must_use]
    pub fn serving(mut self, folder: &Path) -> Self {
        self.pages = format!(
            "root {}; location = /health {{ return 200; }} location = / {{ return 200; }}",
            folder.display()
        );
        self
    }

    /// It tells at `/status` how many connections it has, and sends `/slow` at 1 KiB a second.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        let pages = self.dir.join("pages");
        fs::create_dir_all(&pages).expect("create the folder of pages");
        fs::write(pages.join("slow"), "x".repeat(3 * 1024)).expect("write the slow page");
        self.pages = format!(
            "root {}; location = /health {{ return 200; }} location = /status {{ stub_status; }} location = /slow {{ limit_rate 1k; }}",
            pages.display()
        );
        self
    }

    /// Its `server` block says this instead; `/health` must answer.
    #[must_use]
    pub fn saying(mut self, block: &str) -> Self {
        block.clone_into(&mut self.pages);
        self
    }

    /// It speaks these where it listens, in nginx's words: `ssl` (with the test certificate), `http2`. It is then known to
    /// have started when it takes connections.
    #[must_use]
    pub fn speaking(mut self, words: &str) -> Self {
        words.clone_into(&mut self.speaks);
        if words.contains("ssl") {
            let at = place::certificates();
            let key =
                format!("ssl_certificate {0}/server.pem; ssl_certificate_key {0}/server.key; ", at.display());
            self.pages.insert_str(0, &key);
        }
        self
    }

    /// Starts it and waits until it answers.
    #[must_use]
    pub fn start(mut self) -> Self {
        let config = self.dir.join("nginx.conf");
        fs::write(&config, self.config()).expect("write nginx.conf");
        let mut command = self.place.command("nginx");
        command.arg("-p").arg(&self.dir).arg("-c").arg(&config).args(["-e", "stderr"]);
        self.child = Some(Child::start(&self.place, &self.dir, "nginx", command, is_error));
        self.place.wait_for(&format!("{} to answer", self.name), PATIENCE, || {
            let connection = Connection::open(self.address);
            let got = if self.speaks.is_empty() {
                connection.and_then(|mut c| c.fetch("GET", "/health", &[], b"")).map(drop)
            } else {
                connection.map(drop)
            };
            got.map_err(|e| e.to_string())
        });
        self
    }

    /// Kills the master and its worker, as a crash of the whole server would.
    pub fn crash(&mut self) {
        self.child().crash_all();
    }

    /// Whom its answers name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("this nginx was started")
    }

    /// Its access log, a line per request: the request line in quotes, status, content length, coding.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }

    fn config(&self) -> String {
        let Self { name, address, dir, pages, speaks, .. } = self;
        let dir = dir.display();
        // One worker: what it logs is in the order in which it was asked.
        let user = if rustix::process::geteuid().is_root() { "user www-data;\n" } else { "" };
        format!(
            r#"{user}daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    log_format plain '"$request" $status $http_content_length $http_transfer_encoding';
    access_log {dir}/access.log plain;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_timeout 120s;
    keepalive_requests 1000000;
    server {{
        listen {address} {speaks};
        add_header X-Server {name} always;
        default_type text/plain;
        {pages}
    }}
}}
"#
        )
    }
}

/// Whether a line that nginx wrote reports an error or worse.
fn is_error(line: &str) -> bool {
    ["[error]", "[crit]", "[alert]", "[emerg]"].iter().any(|level| line.contains(level))
}
