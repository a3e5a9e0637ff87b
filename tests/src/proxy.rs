//! Our proxy, as a process of its own.

use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, process::Command};

use rustix::process::Signal;

use crate::{
    PATIENCE,
    child::{self, Child, is_alive},
    client::Connection,
    haproxy::Runtime,
    netns::Netns,
    place::{self, Place},
    port,
};

/// What an old process says when another one is ready.
const TAKEN_OVER: &str = "another process has taken over";

/// One drain-proxy. When dropped it is stopped; the test fails if it had died or logged an error.
#[derive(Debug)]
pub struct Proxy {
    /// First, because it must have ended when the place goes.
    child: Option<Child>,
    place: Place,
    name: String,
    dir: PathBuf,
    address: SocketAddr,
    balance: String,
    servers: String,
    frontend: String,
    backend: String,
    check: String,
    cookie: String,
    admin: String,
    sections: String,
    /// The network namespace in which it runs, where that is not the test's.
    netns: Option<String>,
    environment: Vec<(String, String)>,
}

impl Proxy {
    /// A proxy of this name with the check times of the HAProxy in these tests; not yet running.
    pub fn new(place: &Place, name: &str) -> Self {
        Self {
            place: place.clone(),
            name: name.to_owned(),
            dir: place.subdir(name),
            address: port::free(),
            balance: "roundrobin".to_owned(),
            servers: String::new(),
            frontend: String::new(),
            backend: String::new(),
            check:
                r#"check = { soft_drain_on = 404, inter = "500ms", fastinter = "100ms", fall = 1, rise = 2 }"#
                    .to_owned(),
            cookie: String::new(),
            admin: String::new(),
            sections: String::new(),
            netns: None,
            environment: Vec::new(),
            child: None,
        }
    }

    /// One more server; its checks go to its own port unless an agent's is given.
    #[must_use]
    pub fn server(mut self, name: &str, address: SocketAddr, agent: Option<SocketAddr>) -> Self {
        let _ = writeln!(
            self.servers,
            "\n[[backend.shop.server]]\nname = \"{name}\"\naddress = \"{address}\"\ncookie = \"{name}\""
        );
        if let Some(agent) = agent {
            let _ = writeln!(self.servers, "check = {{ address = \"{agent}\" }}");
        }
        self
    }

    /// One more line in the table of the server that was named last.
    #[must_use]
    pub fn server_line(mut self, line: &str) -> Self {
        let _ = writeln!(self.servers, "{line}");
        self
    }

    /// Another algorithm than `roundrobin`.
    #[must_use]
    pub fn balance(mut self, algorithm: &str) -> Self {
        algorithm.clone_into(&mut self.balance);
        self
    }

    /// Another check than that of the HAProxy in these tests: the keys of its table.
    #[must_use]
    pub fn check(mut self, keys: &str) -> Self {
        self.check = format!("check = {{ {keys} }}");
        self
    }

    /// More keys for the cookie's table.
    #[must_use]
    pub fn cookie_keys(mut self, keys: &str) -> Self {
        self.cookie = format!(", {keys}");
        self
    }

    /// One more line in the frontend's table.
    #[must_use]
    pub fn frontend_line(mut self, line: &str) -> Self {
        let _ = writeln!(self.frontend, "{line}");
        self
    }

    /// One more line in the backend's table.
    #[must_use]
    pub fn backend_line(mut self, line: &str) -> Self {
        let _ = writeln!(self.backend, "{line}");
        self
    }

    /// It takes runtime commands; more lines for the table of its administration.
    #[must_use]
    pub fn commanded(mut self, lines: &str) -> Self {
        self.admin = format!("[admin]\nsocket = \"{}\"\n{lines}\n", self.runtime().path().display());
        self
    }

    /// One more section of the file, such as `[admin]`.
    #[must_use]
    pub fn section(mut self, text: &str) -> Self {
        let _ = writeln!(self.sections, "\n{text}");
        self
    }

    /// It runs in this network namespace, to which a cable leads; users come in at its end.
    #[must_use]
    pub fn within(mut self, netns: &Netns) -> Self {
        self.address.set_ip(netns.inner().into());
        self.netns = Some(netns.name().to_owned());
        self
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it lets users in.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.launch();
        self
    }

    /// The same, again after it has ended.
    pub fn launch(&mut self) {
        let config = self.config_file();
        fs::write(&config, self.config()).expect("write proxy.toml");
        let mut command = self.program();
        command.arg("-f").arg(&config).envs(self.environment.iter().cloned());
        self.child = Some(Child::start(&self.place, &self.dir, "proxy", command, is_error));
        self.place.wait_for(&format!("{} to serve a page", self.name), PATIENCE, || {
            let got = Connection::open(self.address).and_then(|mut c| c.fetch("GET", "/health", &[], b""));
            match got {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("status {}", answer.status)),
                Err(e) => Err(e.to_string()),
            }
        });
    }

    /// It, where it is to run.
    fn program(&self) -> Command {
        let program = place::built("drain-proxy");
        let Some(netns) = &self.netns else { return self.place.command(program) };
        let mut command = self.place.command("ip");
        command.args(["netns", "exec", netns]).arg(program);
        command
    }

    /// Its runtime commands.
    pub fn runtime(&self) -> Runtime {
        Runtime::at(self.place.public().join(format!("{}.admin", self.name)))
    }

    /// Where users come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its configuration, once it runs.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("proxy.toml")
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("this proxy was started")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.as_ref().expect("this proxy was started").signal(signal);
    }

    /// Has another process take over, and waits until it has.
    pub fn upgrade(&mut self) {
        self.child().may_end();
        let (pid, before) = self.newest();
        child::send(pid, Signal::USR2).expect("a proxy that runs");
        self.place.wait_for("another process to take over", PATIENCE, || match self.newest() {
            (_, upgrades) if upgrades > before => Ok(()),
            _ => Err("none has".to_owned()),
        });
    }

    /// Ends the process that works after upgrades; those before it end by themselves.
    pub fn end_newest(&self) {
        let (pid, _) = self.newest();
        child::send(pid, Signal::TERM).expect("a proxy that runs");
        self.place.wait_for("the last process to end", PATIENCE, || {
            if is_alive(pid) { Err("it lives".to_owned()) } else { Ok(()) }
        });
    }

    /// The process that works, and how often another has taken over.
    fn newest(&self) -> (u32, usize) {
        let first = self.child.as_ref().expect("this proxy was started");
        let (mut at_work, mut started, mut upgrades) = (first.pid(), None, 0);
        for line in first.log_text().lines() {
            if let Some((_, pid)) = line.rsplit_once(" is started as process ") {
                started = pid.parse().ok();
            } else if line.contains(TAKEN_OVER) {
                at_work = started.take().unwrap_or(at_work);
                upgrades += 1;
            }
        }
        (at_work, upgrades)
    }

    /// Its access log.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }

    fn config(&self) -> String {
        let Self {
            address, dir, balance, servers, frontend, backend, check, cookie, admin, sections, ..
        } = self;
        format!(
            r#"[frontend.web]
bind = ["{address}"]
backend = "shop"
log = {{ format = "http", target = "{log}" }}
{frontend}
[backend.shop]
balance = "{balance}"
cookie = {{ name = "SERVERID", mode = "insert", indirect = true{cookie} }}
{check}
retries = 10
redispatch = true
timeout.check = "60s"
{backend}{servers}
{admin}{sections}"#,
            log = dir.join("access.log").display(),
        )
    }
}

/// Whether a line of the proxy's log reports an error.
fn is_error(line: &str) -> bool {
    line.contains(" ERROR ") || line.contains("panicked at")
}
