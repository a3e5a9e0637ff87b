//! The programs that are compared: each a proxy for the same two web servers, pinned to the same processor.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use drain_tests::{Place, child::Child, port};

/// What a proxy under test is given to do beside passing requests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Duties {
    /// Nothing but the requests.
    Bare,
    /// Health checks, persistence cookie and an access log as well.
    Full,
}

/// One proxy that runs.
pub(crate) struct Peer {
    /// What its column is called.
    pub(crate) name: &'static str,
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
    child: Child,
}

/// A program's configuration and how it is started with it.
struct Recipe {
    name: &'static str,
    file: &'static str,
    text: String,
    command: fn(&Path) -> Vec<String>,
}

impl Peer {
    /// Starts drain-proxy, from the workspace's release build.
    pub(crate) fn drain_proxy(
        place: &Place,
        cpu: usize,
        servers: &[SocketAddr],
        duties: Duties,
    ) -> Result<Self> {
        let address = port::free();
        let log = place.dir().join("drain-proxy.access");
        let mut text =
            format!("[frontend.web]\nbind = [\"{address}\"]\nbackend = \"app\"\nforward_for = true\n");
        if duties == Duties::Full {
            text += &format!("log = {{ format = \"http\", target = \"{}\" }}\n", log.display());
        }
        text += "\n[backend.app]\n";
        if duties == Duties::Full {
            text += "cookie = { name = \"SERVERID\", mode = \"insert\", indirect = true }\n";
            text += "check = { uri = \"/100\", inter = \"2s\" }\n";
        }
        text += "timeout = { connect = \"5s\", server = \"60s\" }\n";
        for (n, server) in servers.iter().enumerate() {
            text += &format!(
                "\n[[backend.app.server]]\nname = \"s{n}\"\naddress = \"{server}\"\ncookie = \"s{n}\"\n"
            );
            if duties == Duties::Bare {
                text += "check = { disabled = true }\n";
            }
        }
        let command = |file: &Path| vec![release("drain-proxy"), "-f".into(), file.display().to_string()];
        Recipe { name: "drain-proxy", file: "drain-proxy.toml", text, command }.start(place, cpu, address)
    }

    /// Starts HAProxy.
    pub(crate) fn haproxy(place: &Place, cpu: usize, servers: &[SocketAddr], duties: Duties) -> Result<Self> {
        let address = port::free();
        let mut text = "global\n  maxconn 9000\n".to_owned();
        if duties == Duties::Full {
            text += "  log stdout format raw local0\n";
        }
        text += "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  \
                 option forwardfor\n  http-reuse always\n";
        if duties == Duties::Full {
            text += "  log global\n  option httplog\n";
        }
        text += &format!("listen app\n  bind {address}\n  balance roundrobin\n");
        let check = if duties == Duties::Full {
            text += "  cookie SERVERID insert indirect\n  option httpchk OPTIONS /100\n";
            " check inter 2s"
        } else {
            ""
        };
        for (n, server) in servers.iter().enumerate() {
            text += &format!("  server s{n} {server} cookie s{n}{check}\n");
        }
        let command =
            |file: &Path| vec!["haproxy".into(), "-db".into(), "-f".into(), file.display().to_string()];
        Recipe { name: "haproxy", file: "haproxy.cfg", text, command }.start(place, cpu, address)
    }

    /// Starts nginx as a proxy.
    pub(crate) fn nginx(place: &Place, cpu: usize, servers: &[SocketAddr], duties: Duties) -> Result<Self> {
        let address = port::free();
        let dir = place.subdir("nginx-proxy");
        let log = if duties == Duties::Full { "nginx-proxy/access.log" } else { "off" };
        let upstreams: String = servers.iter().map(|s| format!("    server {s};\n")).collect();
        let text = format!(
            "daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log;\nworker_rlimit_nofile 20000;\n\
             events {{ worker_connections 20000; }}\nhttp {{\n  access_log {log};\n  keepalive_requests 1000000000;\n  \
             proxy_temp_path {dir}/tmp; client_body_temp_path {dir}/body;\n  upstream app {{\n{upstreams}    \
             keepalive 256;\n    keepalive_requests 1000000000;\n  }}\n  server {{\n    listen {address} backlog=4096;\n    location / {{\n      \
             proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";\n      \
             proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n",
            dir = dir.display(),
        );
        Recipe { name: "nginx", file: "nginx-proxy.conf", text, command: nginx_command }
            .start(place, cpu, address)
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }
}

/// Starts a web server with answers of 100 B, 16 KiB and 1 MiB at `/100`, `/16k` and `/1m`.
pub(crate) fn web_server(place: &Place, cpu: usize, name: &'static str) -> Result<Peer> {
    let address = port::free();
    let dir = place.public().join(name);
    fs::create_dir_all(&dir).context("create the web server's directory")?;
    for (file, size) in [("100", 100), ("16k", 16 << 10), ("1m", 1 << 20)] {
        fs::write(dir.join(file), vec![b'x'; size]).context("write a page")?;
    }
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 20000; }}\nhttp {{\n  access_log off;\n  sendfile on;\n  open_file_cache max=16;\n  \
         keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  client_body_temp_path {dir}/body;\n  server {{ listen {address} backlog=4096; root {dir}; }}\n}}\n",
        dir = dir.display(),
    );
    let file = if name == "web1" { "web1.conf" } else { "web2.conf" };
    Recipe { name, file, text, command: nginx_command }.start(place, cpu, address)
}

impl Recipe {
    fn start(self, place: &Place, cpu: usize, address: SocketAddr) -> Result<Peer> {
        let file: PathBuf = place.dir().join(self.file);
        fs::write(&file, &self.text).with_context(|| format!("write {}", file.display()))?;
        let mut command: Command = place.command("taskset");
        command.args(["-c", &cpu.to_string()]).args((self.command)(&file));
        let child = Child::start(place, place.dir(), self.name, command, |_| false);
        place.wait_for(
            &format!("{} takes connections", self.name),
            std::time::Duration::from_secs(10),
            || std::net::TcpStream::connect(address).map_err(|e| e.to_string()),
        );
        Ok(Peer { name: self.name, address, child })
    }
}

fn nginx_command(file: &Path) -> Vec<String> {
    ["nginx", "-c"].map(str::to_owned).into_iter().chain([file.display().to_string()]).collect()
}

/// A program of the release build; `tests/bench` has built it.
fn release(name: &str) -> String {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or(Path::new(".")).join(name).display().to_string()
}
