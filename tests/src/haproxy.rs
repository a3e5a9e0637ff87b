//! A real HAProxy with the configuration that the agent is made for.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    PATIENCE,
    child::{Child, output},
    place::{Place, holds},
    port,
};

/// Columns of `show stat`.
mod column {
    pub(super) const BACKEND: usize = 0;
    pub(super) const SERVER: usize = 1;
    pub(super) const SESSIONS: usize = 4;
    pub(super) const STATUS: usize = 17;
    pub(super) const WEIGHT: usize = 18;
    pub(super) const CHECK_CODE: usize = 37;
}

/// One `server` line.
#[derive(Clone, Debug)]
pub struct Server {
    name: String,
    address: SocketAddr,
    check: Option<SocketAddr>,
    checked: bool,
    extra: String,
}

impl Server {
    /// A server whose checks go to its own port.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.to_owned(), address, check: None, checked: true, extra: String::new() }
    }

    /// Its checks go to an agent.
    #[must_use]
    pub fn checked_at(mut self, agent: SocketAddr) -> Self {
        self.check = Some(agent);
        self
    }

    /// Without health checks: what `with` adds decides alone.
    #[must_use]
    pub fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// More words for its line.
    #[must_use]
    pub fn with(mut self, words: &str) -> Self {
        words.clone_into(&mut self.extra);
        self
    }
}

/// The runtime socket of an HAProxy, or of a proxy of ours.
#[derive(Clone, Debug)]
pub struct Runtime {
    socket: PathBuf,
}

impl Runtime {
    /// Of whoever answers at this socket.
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.socket
    }

    /// Runs a command and gives its answer; empty where there is none.
    pub fn command(&self, command: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut socket) = UnixStream::connect(&self.socket) {
            let _ = socket.write_all(format!("{command}\n").as_bytes());
            let _ = socket.read_to_string(&mut answer);
        }
        answer
    }

    /// The status of each server.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        self.column(column::STATUS)
    }

    /// The status that each server's last check was answered with; empty where it was not answered.
    pub fn answers(&self) -> BTreeMap<String, String> {
        self.column(column::CHECK_CODE)
    }

    /// One column of `show stat`, for each server.
    fn column(&self, column: usize) -> BTreeMap<String, String> {
        self.command("show stat")
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                let of_ours = *cells.get(column::BACKEND)? == "shop";
                of_ours
                    .then_some(((*cells.get(column::SERVER)?).to_owned(), (*cells.get(column)?).to_owned()))
            })
            .collect()
    }
}

/// One HAProxy. When dropped it is stopped; the test fails if it had died.
#[derive(Debug)]
pub struct Haproxy {
    /// First, because it must have ended when the place goes.
    child: Option<Child>,
    /// Its processes from before each reload.
    former: Vec<Child>,
    place: Place,
    name: String,
    dir: PathBuf,
    address: SocketAddr,
    runtime: Runtime,
    servers: Vec<Server>,
    lines: String,
    check: String,
    /// The network namespace in which it runs, where that is not the test's.
    netns: Option<String>,
    /// What it calls itself.
    node: String,
}

impl Haproxy {
    /// An HAProxy of this name, which its checks carry as `node`; not yet running.
    pub fn new(place: &Place, name: &str) -> Self {
        Self {
            place: place.clone(),
            name: name.to_owned(),
            dir: place.subdir(name),
            address: port::free(),
            runtime: Runtime { socket: place.public().join(format!("{name}.stats")) },
            servers: Vec::new(),
            lines: "    http-check send-state\n    http-check disable-on-404\n".to_owned(),
            check: "inter 500 fastinter 100 fall 1 rise 2".to_owned(),
            child: None,
            former: Vec::new(),
            netns: None,
            node: name.to_owned(),
        }
    }

    /// It runs in the network namespace of this name.
    #[must_use]
    pub fn within(mut self, netns: &str) -> Self {
        self.netns = Some(netns.to_owned());
        self
    }

    /// What its checks carry as `node`, where that is not its name.
    #[must_use]
    pub fn calling_itself(mut self, node: &str) -> Self {
        node.clone_into(&mut self.node);
        self
    }

    /// One more server.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// One more line in the `listen` section.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        let _ = writeln!(self.lines, "    {line}");
        self
    }

    /// Without `http-check send-state`: nothing tells the agent what this balancer thinks.
    #[must_use]
    pub fn without_send_state(mut self) -> Self {
        self.lines = self.lines.replace("    http-check send-state\n", "");
        self
    }

    /// Idle connections to servers are shared by all clients, and kept.
    #[must_use]
    pub fn reusing_always(self) -> Self {
        self.line("http-reuse always")
    }

    /// Other check times than `inter 500 fastinter 100 fall 1 rise 2`.
    #[must_use]
    pub fn check(mut self, words: &str) -> Self {
        words.clone_into(&mut self.check);
        self
    }

    /// Starts it and waits until it has checked its servers and all are up.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.launch();
        let names: Vec<String> = self.servers.iter().map(|s| s.name.clone()).collect();
        for name in names {
            self.wait_for_status(&name, "UP", PATIENCE);
        }
        self
    }

    /// Starts it, and only waits until it listens.
    #[must_use]
    pub fn start_unchecked(mut self) -> Self {
        self.launch();
        self
    }

    /// Starts it again after a crash.
    pub fn start_again(&mut self) {
        self.launch();
    }

    /// Starts it anew as a reload does: the old process takes and checks nothing more, and ends with its last connection.
    pub fn reload(&mut self) {
        let mut old = self.child.take().expect("this HAProxy was started");
        old.may_end();
        let mut command = self.program();
        command.arg("-db").arg("-f").arg(self.config_file()).arg("-sf").arg(old.pid().to_string());
        self.former.push(old);
        let log = format!("haproxy-{}", self.former.len());
        let new = Child::start(&self.place, &self.dir, &log, command, is_error);
        let pid = format!("Pid: {}\n", new.pid());
        self.child = Some(new);
        self.place.wait_for(&format!("{} to be reloaded", self.name), PATIENCE, || {
            let saw = self.runtime.command("show info");
            holds(saw.contains(&pid), || saw)
        });
    }

    /// Where users come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("this HAProxy was started")
    }

    /// The state of a server as `show stat` names it: `UP`, `NOLB`, `DOWN`, `MAINT`, `DRAIN`, or one of these
    /// with its counter.
    pub fn status(&self, server: &str) -> String {
        self.stat(server, column::STATUS).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The weight that a server has now, as `show stat` has it.
    pub fn weight(&self, server: &str) -> Option<u32> {
        self.stat(server, column::WEIGHT)?.parse().ok()
    }

    /// How many sessions a server has now.
    pub fn sessions(&self, server: &str) -> Option<u32> {
        self.stat(server, column::SESSIONS)?.parse().ok()
    }

    /// Waits until a server has this state.
    #[track_caller]
    pub fn wait_for_status(&self, server: &str, status: &str, within: Duration) {
        self.place.wait_for(&format!("{} to hold {server} for {status}", self.name), within, || {
            let saw = self.status(server);
            holds(saw == status, || saw)
        });
    }

    /// Its runtime socket.
    pub fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn stat(&self, server: &str, column: usize) -> Option<String> {
        self.runtime.column(column).remove(server)
    }

    /// Its configuration.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("haproxy.cfg")
    }

    fn launch(&mut self) {
        let config = self.config_file();
        fs::write(&config, self.config()).expect("write haproxy.cfg");
        self.judge(&config);
        let mut command = self.program();
        command.arg("-db").arg("-f").arg(&config);
        self.child = Some(Child::start(&self.place, &self.dir, "haproxy", command, is_error));
        self.place.wait_for(&format!("{} to answer on its socket", self.name), PATIENCE, || {
            let saw = self.runtime.command("show info");
            holds(saw.contains("Pid:"), || saw)
        });
    }

    /// HAProxy, where it is to run.
    fn program(&self) -> Command {
        let Some(netns) = &self.netns else { return self.place.command("haproxy") };
        let mut command = self.place.command("ip");
        command.args(["netns", "exec", netns, "haproxy"]);
        command
    }

    /// A configuration that HAProxy refuses or warns of is a fault of the test.
    fn judge(&self, config: &Path) {
        let mut command = self.place.command("haproxy");
        command.arg("-c").arg("-f").arg(config);
        let out = output(command);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        self.place
            .check(out.status.success() && !said.contains("[WARNING]"), &format!("haproxy.cfg: {said}"));
    }

    /// Its checks have time: with `fall 1` an answer that a busy machine holds back would take a server out.
    fn config(&self) -> String {
        let Self { node, address, runtime, lines, check, .. } = self;
        let mut text = format!(
            "global
    log stdout format raw local0
    node {node}
    maxconn 4000
    stats socket {stats} mode 600 level admin

defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout check 60s
    timeout client 10m
    timeout server 10m

listen shop
    bind {address}
    balance roundrobin
    cookie SERVERID insert indirect
    option redispatch
    retries 10
    option httpchk
{lines}",
            stats = runtime.socket.display()
        );
        for server in &self.servers {
            let Server { name, address, extra, .. } = server;
            if !server.checked {
                let _ = writeln!(text, "    server {name} {address} cookie {name} {extra}");
                continue;
            }
            let to = server.check.map(|a| format!(" addr {} port {}", a.ip(), a.port())).unwrap_or_default();
            let _ = writeln!(text, "    server {name} {address} cookie {name} check{to} {check} {extra}");
        }
        text
    }
}

/// Whether a line that HAProxy wrote at its start or end reports a fault. What it logs of requests and of
/// servers that go and come has another form.
fn is_error(line: &str) -> bool {
    line.starts_with("[ALERT]") || line.starts_with("[EMERG]") || line.contains("segfault")
}
