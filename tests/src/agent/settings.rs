//! What an agent of a test is told in its configuration.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
};

use super::Agent;
use crate::place;

/// What its configuration says; texts as they are written there.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Where the server listens, and in which namespace, as lines of `[server]`.
    doors: String,
    ready_url: Option<String>,
    ready_deadline: &'static str,
    pub(super) restart: Vec<String>,
    /// What stops the server, where something is to.
    pub(super) stop: Option<Vec<String>>,
    restart_timeout: &'static str,
    proof: &'static str,
    probe_interval: &'static str,
    acknowledge: (&'static str, &'static str),
    soft: (&'static str, &'static str),
    hard_quiet: Option<&'static str>,
    hard: (&'static str, &'static str),
    min_remaining: u32,
    /// More lines of `[restart]` and of `[drain]`.
    more_restart: String,
    more_drain: String,
    long_lived: &'static str,
    fall: u32,
    expect: Vec<String>,
    /// More of the configuration, at its end.
    more: String,
}

impl Settings {
    /// Short times, and limits that only what never comes meets, for a server that listens as these lines of `[server]` say.
    pub(super) fn of(doors: String) -> Self {
        Self {
            doors,
            ready_url: None,
            ready_deadline: "2m",
            restart: vec!["true".to_owned()],
            stop: None,
            restart_timeout: "2m",
            proof: "process",
            probe_interval: "200ms",
            acknowledge: ("2m", "abort"),
            soft: ("1s", "2m"),
            hard_quiet: None,
            hard: ("2m", "restart"),
            min_remaining: 1,
            more_restart: String::new(),
            more_drain: String::new(),
            long_lived: "quiet",
            fall: 3,
            expect: Vec::new(),
            more: String::new(),
        }
    }
}

impl Agent {
    /// The restart's command and arguments.
    #[must_use]
    pub fn restarting_by(mut self, command: Vec<String>) -> Self {
        self.settings.restart = command;
        self
    }

    /// The restart's command and arguments, as they were given.
    pub fn restart_words(&self) -> Vec<String> {
        self.settings.restart.clone()
    }

    /// What shows that the server is a new one: `process`, `workers`, `none`.
    #[must_use]
    pub fn proof(mut self, proof: &'static str) -> Self {
        self.settings.proof = proof;
        self
    }

    /// How often the server is asked whether it is ready.
    #[must_use]
    pub fn probe_interval(mut self, interval: &'static str) -> Self {
        self.settings.probe_interval = interval;
        self
    }

    /// What is asked whether the server is ready; nothing: a connection to its port.
    #[must_use]
    pub fn ready_at(mut self, url: Option<String>) -> Self {
        self.settings.ready_url = url;
        self
    }

    /// How long the server may take to be ready after its restart.
    #[must_use]
    pub fn ready_deadline(mut self, deadline: &'static str) -> Self {
        self.settings.ready_deadline = deadline;
        self
    }

    /// Its restart may take so long.
    #[must_use]
    pub fn restart_timeout(mut self, timeout: &'static str) -> Self {
        self.settings.restart_timeout = timeout;
        self
    }

    /// How long acknowledgement may take, and what follows: `abort` or `proceed`.
    #[must_use]
    pub fn acknowledge(mut self, limit: &'static str, at_limit: &'static str) -> Self {
        self.settings.acknowledge = (limit, at_limit);
        self
    }

    /// The soft drain's quiet and limit.
    #[must_use]
    pub fn soft(mut self, quiet: &'static str, limit: &'static str) -> Self {
        self.settings.soft = (quiet, limit);
        self
    }

    /// The hard drain's quiet, which is not set otherwise.
    #[must_use]
    pub fn hard_quiet(mut self, quiet: &'static str) -> Self {
        self.settings.hard_quiet = Some(quiet);
        self
    }

    /// The hard drain's limit, and what follows: `restart` or `abort`.
    #[must_use]
    pub fn hard_limit(mut self, limit: &'static str, at_limit: &'static str) -> Self {
        self.settings.hard = (limit, at_limit);
        self
    }

    /// The weight that must remain without this server.
    #[must_use]
    pub fn min_remaining(mut self, weight: u32) -> Self {
        self.settings.min_remaining = weight;
        self
    }

    /// One more line of `[restart]`.
    #[must_use]
    pub fn restart_line(mut self, line: &str) -> Self {
        self.settings.more_restart += &format!("{line}\n");
        self
    }

    /// One more line of `[drain]`.
    #[must_use]
    pub fn drain_line(mut self, line: &str) -> Self {
        self.settings.more_drain += &format!("{line}\n");
        self
    }

    /// What an open connection without a request in flight means.
    #[must_use]
    pub fn long_lived(mut self, meaning: &'static str) -> Self {
        self.settings.long_lived = meaning;
        self
    }

    /// So many answers acknowledge, where a balancer has no header.
    #[must_use]
    pub fn fall(mut self, answers: u32) -> Self {
        self.settings.fall = answers;
        self
    }

    /// It is asked at this address.
    #[must_use]
    pub fn listening_at(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// A balancer that must have acknowledged, even if it has never asked.
    #[must_use]
    pub fn expecting(mut self, balancer: &str) -> Self {
        self.settings.expect.push(balancer.to_owned());
        self
    }

    /// Speaks HAProxy's agent protocol, too, at this address; `keys` are further keys of its table.
    #[must_use]
    pub fn speaking_at(mut self, address: SocketAddr, keys: &str) -> Self {
        self.settings.more += &format!("\n[agent_check]\nlisten = \"{address}\"\n{keys}\n");
        self
    }

    /// One more source of traffic, in the words of its configuration.
    #[must_use]
    pub fn watching(mut self, source: &str) -> Self {
        self.settings.more += &format!("\n[[traffic]]\n{source}\n");
        self
    }

    /// A command that a drain can end with, by this name.
    #[must_use]
    pub fn running(mut self, name: &str, command: &[String]) -> Self {
        self.settings.more += &format!("\n[run.{name}]\ncommand = {command:?}\n");
        self
    }

    /// It tells its numbers there.
    #[must_use]
    pub fn with_metrics(mut self, address: SocketAddr) -> Self {
        self.settings.more += &format!("\n[metrics]\nlisten = \"{address}\"\n");
        self
    }

    /// A line of `[control]`, the last table.
    #[must_use]
    pub fn control_line(mut self, line: &str) -> Self {
        self.settings.more.insert_str(0, &format!("{line}\n"));
        self
    }

    /// Takes orders over HTTPS, too, at this address from who has one of these tokens, with the test certificates.
    #[must_use]
    pub fn controlled_at(self, address: SocketAddr, tokens: &str) -> Self {
        let secret = |name: &str, bytes: &[u8]| {
            let path = self.dir.join(name);
            fs::write(&path, bytes).expect("write a file for TLS");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("make it a secret");
            path.display().to_string()
        };
        let read = |name: &str| fs::read(place::certificates().join(name)).expect("a test certificate");
        let (cert, key) =
            (secret("server.pem", &read("server.pem")), secret("server.key", &read("server.key")));
        let tokens = secret("tokens", tokens.as_bytes());
        secret("ca.pem", &read("ca.pem"));
        self.control_line(&format!(
            "listen = \"{address}\"\ntls = {{ cert = \"{cert}\", key = \"{key}\" }}\ntoken_file = \"{tokens}\""
        ))
    }

    /// All of it.
    pub(super) fn config(&self) -> String {
        let Self { name, listen, socket, settings, .. } = self;
        let Settings { doors, ready_deadline, restart, restart_timeout, min_remaining, expect, .. } =
            settings;
        let Settings { proof, probe_interval, long_lived, .. } = settings;
        let (acknowledge_limit, acknowledge_then) = settings.acknowledge;
        let (soft_quiet, soft_limit) = settings.soft;
        let (hard_limit, hard_then) = settings.hard;
        let hard_quiet = settings.hard_quiet.map(|q| format!("quiet = \"{q}\", ")).unwrap_or_default();
        let stop = settings.stop.as_ref().map(|stop| format!("stop = {stop:?}\n")).unwrap_or_default();
        let url = settings.ready_url.as_ref().map(|u| format!("url = \"{u}\", ")).unwrap_or_default();
        format!(
            r#"listen = "{listen}"
state = "{state}"

[server]
name = "{name}"
{doors}
ready = {{ {url}rise = 2, fall = 3, interval = "{probe_interval}", timeout = "5s", deadline = "{ready_deadline}" }}

[restart]
command = {restart:?}
timeout = "{restart_timeout}"
proof = "{proof}"
{stop}{more_restart}
[drain]
acknowledge = {{ limit = "{acknowledge_limit}", at_limit = "{acknowledge_then}" }}
soft = {{ quiet = "{soft_quiet}", limit = "{soft_limit}" }}
hard = {{ {hard_quiet}limit = "{hard_limit}", at_limit = "{hard_then}" }}
min_remaining = {min_remaining}
long_lived = "{long_lived}"
fall = {fall}
{more_drain}
[balancers]
expect = {expect:?}

[control]
socket = "{socket}"
{more}"#,
            more = settings.more,
            more_restart = settings.more_restart,
            more_drain = settings.more_drain,
            fall = settings.fall,
            state = self.state_file().display(),
            socket = socket.display(),
        )
    }
}
