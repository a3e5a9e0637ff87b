//! Our agent, as a process of its own beside a server.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use drain_agent::{
    control::api::{Drain, Outcome, Status},
    lifecycle::Phase,
};
use rustix::process::Signal;

use crate::{
    apache::{self, Apache},
    child::{Child, output},
    client::{Connection, Response},
    place::{self, Place, holds},
    port,
};

/// The agent answers checks at once; a loaded machine may need longer.
const START_WITHIN: Duration = Duration::from_secs(10);

/// One agent. When dropped it is stopped; the test fails if it had died or logged an error.
#[derive(Debug)]
pub struct Agent {
    /// First, because it must have ended when the place goes.
    child: Option<Child>,
    place: Place,
    name: String,
    dir: PathBuf,
    listen: SocketAddr,
    socket: PathBuf,
    settings: Settings,
}

/// What its configuration says; texts as they are written there.
#[derive(Clone, Debug)]
struct Settings {
    /// Where the server listens, and in which namespace, as lines of `[server]`.
    doors: String,
    ready_url: Option<String>,
    ready_deadline: &'static str,
    restart: Vec<String>,
    /// What stops the server, where something is to.
    stop: Option<Vec<String>>,
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

impl Agent {
    /// An agent beside this Apache, not yet running. Its times are short: a soft drain needs a second of
    /// quiet, a hard one what the balancers' headers show.
    pub fn beside(apache: &Apache) -> Self {
        let restart = vec![apache.restart_command().display().to_string()];
        let pid = apache.restart_command().with_file_name("httpd.pid");
        let stop = format!("kill $(cat {})", pid.display());
        let ready = format!("http://{}{}", apache.address(), apache::HEALTH);
        let mut agent =
            Self::guarding(apache.place(), &format!("agent-{}", apache.name()), apache.address().port())
                .restarting_by(restart)
                .ready_at(Some(ready));
        agent.settings.stop = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), stop]);
        agent
    }

    /// An agent for whatever listens on this port, which can't restart it and knows it by its port.
    pub fn guarding(place: &Place, name: &str, port: u16) -> Self {
        Self::guarding_doors(place, name, format!("ports = [{port}]"))
    }

    /// An agent for a server that listens as these lines of `[server]` say.
    pub fn guarding_doors(place: &Place, name: &str, doors: String) -> Self {
        Self {
            place: place.clone(),
            name: name.to_owned(),
            dir: place.subdir(name),
            listen: port::free(),
            socket: place.public().join(format!("{name}.sock")),
            settings: Settings {
                doors,
                ready_url: None,
                ready_deadline: "15s",
                restart: vec!["true".to_owned()],
                stop: None,
                restart_timeout: "30s",
                proof: "process",
                probe_interval: "200ms",
                acknowledge: ("15s", "abort"),
                soft: ("1s", "30s"),
                hard_quiet: None,
                hard: ("15s", "restart"),
                min_remaining: 1,
                more_restart: String::new(),
                more_drain: String::new(),
                long_lived: "quiet",
                fall: 3,
                expect: Vec::new(),
                more: String::new(),
            },
            child: None,
        }
    }

    /// The restart's command and arguments.
    #[must_use]
    pub fn restarting_by(mut self, command: Vec<String>) -> Self {
        self.settings.restart = command;
        self
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

    /// It tells its numbers there.
    #[must_use]
    pub fn with_metrics(mut self, address: SocketAddr) -> Self {
        self.settings.more += &format!("\n[metrics]\nlisten = \"{address}\"\n");
        self
    }

    /// Takes orders over HTTPS, too, at this address from who has one of these tokens, with the test certificates.
    #[must_use]
    pub fn controlled_at(mut self, address: SocketAddr, tokens: &str) -> Self {
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
        // Keys of `[control]`, the last table.
        let keys = format!(
            "listen = \"{address}\"\ntls = {{ cert = \"{cert}\", key = \"{key}\" }}\ntoken_file = \"{tokens}\"\n"
        );
        self.settings.more.insert_str(0, &keys);
        self
    }

    /// Starts it and waits until it answers checks and its control socket.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.start_again();
        self
    }

    /// Starts it again after a crash, with the state that it left.
    pub fn start_again(&mut self) {
        let config = self.dir.join("agent.toml");
        fs::write(&config, self.config()).expect("write the agent's configuration");
        let mut command = self.place.command(place::built("drain-agent"));
        command.arg("--config").arg(&config);
        self.child = Some(Child::start(&self.place, &self.dir, "agent", command, is_error));
        self.place.wait_for(&format!("{} to be there", self.name), START_WITHIN, || {
            self.try_status()?;
            self.check().map(drop)
        });
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("this agent was started")
    }

    /// Asks for a drain and a restart as people do: SIGUSR1 (soft), SIGUSR2 (hard).
    pub fn signal(&self, signal: Signal) {
        self.child.as_ref().expect("this agent was started").signal(signal);
    }

    /// Kills it, as a crash would, and starts it again.
    pub fn crash_and_start_again(&mut self) {
        self.child().crash();
        self.child = None;
        self.start_again();
    }

    /// Where it answers health checks.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Asks for the server's health as a person with curl would: a visitor, no balancer.
    pub fn check(&self) -> Result<Response, String> {
        let mut connection = Connection::open(self.listen).map_err(|e| e.to_string())?;
        connection.fetch("GET", "/", &[], b"").map_err(|e| e.to_string())
    }

    /// The status on its control socket.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|e| self.place.fail(&format!("{}: {e}", self.name)))
    }

    /// The status, or why there is none.
    pub fn try_status(&self) -> Result<Status, String> {
        let mut connection = Connection::open_unix(&self.socket).map_err(|e| e.to_string())?;
        let answer = connection.fetch("GET", "/v1/status", &["Connection: close"], b"");
        let answer = answer.map_err(|e| e.to_string())?;
        serde_json::from_slice(&answer.body)
            .map_err(|e| format!("{e} in {}", String::from_utf8_lossy(&answer.body)))
    }

    /// Where its server stands.
    #[track_caller]
    pub fn phase(&self) -> Phase {
        self.status().phase
    }

    /// Waits until its status is as wanted, and gives it.
    #[track_caller]
    pub fn wait_until(&self, what: &str, within: Duration, is: impl Fn(&Status) -> bool) -> Status {
        self.place.wait_for(&format!("{}: {what}", self.name), within, || {
            let status = self.try_status()?;
            if is(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
    }

    /// Waits until its server stands there.
    #[track_caller]
    pub fn wait_for_phase(&self, phase: Phase, within: Duration) -> Status {
        self.wait_until(&format!("{phase:?}"), within, |status| status.phase == phase)
    }

    /// Waits until so many balancers have been recognised.
    #[track_caller]
    pub fn wait_for_balancers(&self, count: usize, within: Duration) {
        self.wait_until(&format!("{count} balancers"), within, |s| s.balancers.len() == count);
    }

    /// The id of the last drain that has ended; 0 where none has.
    #[track_caller]
    pub fn last_ended(&self) -> u64 {
        self.status().drains.last().map_or(0, |drain| drain.id)
    }

    /// Waits until a drain with a higher id than `after` has ended and none is under way, and gives it.
    #[track_caller]
    pub fn wait_for_end(&self, after: u64, within: Duration) -> Drain {
        let ended = |s: &Status| s.drains.last().filter(|drain| drain.id > after).cloned();
        let status = self.wait_until("a drain's end", within, |s| s.asked.is_none() && ended(s).is_some());
        ended(&status).expect("what was waited for")
    }

    /// Waits for the end of a drain as [`wait_for_end`](Self::wait_for_end), which must be a success.
    #[track_caller]
    pub fn wait_for_success(&self, after: u64, within: Duration) {
        let drain = self.wait_for_end(after, within);
        self.place
            .check(drain.outcome == Outcome::Done, &format!("{} did not succeed: {drain:#?}", self.name));
    }

    /// Runs `drainctl` against it, to its end.
    pub fn ctl(&self, words: &[&str]) -> Output {
        output(self.ctl_command(words))
    }

    /// `drainctl` against it, not yet running.
    pub fn ctl_command(&self, words: &[&str]) -> Command {
        let mut command = self.place.command(place::built("drainctl"));
        command.arg("--socket").arg(&self.socket).args(words);
        command
    }

    /// Starts `drainctl` against it, which goes on in a thread until it ends.
    pub fn ctl_in_background(&self, words: &[&str]) -> thread::JoinHandle<Output> {
        let command = self.ctl_command(words);
        thread::spawn(move || output(command))
    }

    /// The file that holds its drain.
    pub fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn config(&self) -> String {
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
ready = {{ {url}rise = 2, fall = 3, interval = "{probe_interval}", timeout = "1s", deadline = "{ready_deadline}" }}

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

/// Whether a line of the agent's log reports an error. That a drain has failed is what its test looks at itself.
fn is_error(line: &str) -> bool {
    (line.contains(" ERROR ") && !line.contains("the drain has ended:")) || line.contains("panicked at")
}

/// Whether the agent's log has a line with this text: what people would look for.
pub fn logged(agent: &mut Agent, text: &str) -> Result<(), String> {
    let log = agent.child().log_text();
    holds(log.contains(text), || format!("no {text:?} in its log"))
}
