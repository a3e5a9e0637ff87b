//! The agent's configuration: what is written in a file or given by flags, checked once, complete with its
//! defaults.
//!
//! Behind [`Config`] nothing asks again whether a value makes sense: each type holds only what is valid, and
//! every key that was left out has its default here.

mod agent_check;
mod balancers;
mod control;
mod drain;
mod metrics;
mod report;
mod restart;
mod server;
mod traffic;

pub use agent_check::{AgentCheck, Of, Span, Weight};
pub use balancers::{Balancers, Expected};
pub use control::{Control, Remote, SOCKETS, Tls, socket_of};
pub use drain::{Acknowledge, AtAcknowledgeLimit, AtHardLimit, Drain, Hard, LongLived, MinRemaining, Soft};
pub use metrics::Metrics;
pub use report::Report;
pub use restart::{By, How, OnFailure, Proof, Restart, Run, WarmUp};
pub use server::{Probe, Ready, Server, StatusSet};
pub use traffic::{AccessLog, Gauge, Lines, Pattern, Traffic};

use std::{
    fs,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use drain_config::{Document, Invalid, Mistake, Table, Value};

/// Where all agents' configurations belong, each under its server's name.
pub const DIRECTORY: &str = "/etc/drain-agent";

/// Everything that an agent is told about its work (DESIGN: "Configuration").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the balancers' health checks are answered. Empty: on the sockets that systemd hands over.
    pub listen: Vec<SocketAddr>,
    /// The file that holds a drain across the agent's own restart; an absolute path.
    pub state: PathBuf,
    /// The numbers that the health endpoint answers.
    pub answers: Answers,
    /// The web server that is guarded.
    pub server: Server,
    /// How it is restarted.
    pub restart: Restart,
    /// Other commands that a drain can end with.
    pub runs: Vec<Run>,
    /// How long each phase of a drain lasts, and when it may act.
    pub drain: Drain,
    /// Who asks for the server's health.
    pub balancers: Balancers,
    /// Sources of traffic beside the kernel's sockets and the balancers.
    pub traffic: Vec<Traffic>,
    /// Where `drainctl` reaches the agent.
    pub control: Control,
    /// HAProxy's agent protocol, on a port of its own; `None`: it is not spoken.
    pub agent_check: Option<AgentCheck>,
    /// Where the reports of drains go.
    pub report: Report,
    /// Where the numbers can be asked for.
    pub metrics: Metrics,
}

/// The numbers that the health endpoint answers. Up is always 200.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers {
    /// In a soft drain; 404 for HAProxy and drain-proxy.
    pub soft: u16,
    /// From a hard drain until the server is back; 500.
    pub hard: u16,
}

/// Whether what a configuration names on its host is looked up, such as groups and keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    /// It is to hold here and now.
    Here,
    /// The same, but for what belongs to the control socket and port: without them, an agent can still answer the
    /// balancers, and they tell themselves what they lack.
    Running,
    /// Only the text counts.
    Anywhere,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("can't read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Config {
    /// Reads the file at `path`. The server is called as the file is, without its ending, unless it says otherwise.
    /// The group that may drain and the files of the HTTPS port are looked up.
    ///
    /// # Errors
    /// It can't be read, or anything in it is wrong.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_for(path, Host::Here)
    }

    /// The same for an agent that begins or goes on with it, which must answer the balancers before anything else: what is
    /// wrong with the groups and with the files of the HTTPS port keeps nothing but them from having effect.
    ///
    /// # Errors
    /// It can't be read, or anything else in it is wrong.
    pub fn load_to_run(path: &Path) -> Result<Self, LoadError> {
        Self::load_for(path, Host::Running)
    }

    fn load_for(path: &Path, host: Host) -> Result<Self, LoadError> {
        let text = Document::text_of(path)
            .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let shown = path.display().to_string();
        Ok(Self::from_document(&Document::parse(&shown, &text)?, name, host)?)
    }

    /// Reads `text`, wherever it is to hold; `file` is what messages call it, `name` the server's name unless the text
    /// has one.
    ///
    /// # Errors
    /// Anything in it is wrong.
    pub fn parse(file: &str, text: &str, name: Option<&str>) -> Result<Self, Invalid> {
        Self::from_document(&Document::parse(file, text)?, name, Host::Anywhere)
    }

    /// The valid configurations in `directory`, each with its file; others are left out. Blocking.
    pub fn all_in(directory: &Path) -> impl Iterator<Item = (PathBuf, Self)> + use<> {
        let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).filter_map(|path| {
            // Who asks may not read the keys that it names.
            let text = fs::read_to_string(&path).ok()?;
            let config = Self::parse(&path.display().to_string(), &text, path.file_stem()?.to_str()).ok()?;
            Some((path, config))
        })
    }

    /// Everywhere it listens for those who need no token.
    pub fn listens(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listen.iter().chain(self.spoken()).copied().chain(self.metrics.listen)
    }

    /// The keys that take more than an agent needs itself: what its commands do is theirs, and another network namespace
    /// takes root. Without one of them an agent can be narrowed to its own work.
    pub fn unbounded(&self) -> Vec<String> {
        let command = matches!(self.restart.by, By::Command(_)).then(|| "restart.command".to_owned());
        let stop = self.restart.stop.as_ref().map(|_| "restart.stop".to_owned());
        let runs = self.runs.iter().map(|run| format!("run.{}.command", run.name));
        let netns = self.server.netns.as_ref().map(|_| "server.netns".to_owned());
        command.into_iter().chain(stop).chain(runs).chain(netns).collect()
    }

    /// Where it speaks HAProxy's agent protocol.
    pub fn spoken(&self) -> impl Iterator<Item = &SocketAddr> {
        self.agent_check.iter().flat_map(|agent_check| &agent_check.listen)
    }

    /// Reads a document, as [`Config::parse`] does.
    pub(crate) fn from_document(
        document: &Document<'_>,
        name: Option<&str>,
        host: Host,
    ) -> Result<Self, Invalid> {
        document.read(|root| Self::read(root, name.filter(|name| server::is_name(name)), host))
    }

    fn read(root: &Table<'_>, name: Option<&str>, host: Host) -> Option<Self> {
        // One that was given and is wrong has been reported.
        let listen = root.take("listen").map_or(Some(Vec::new()), |value| value.each_once(Value::address));
        let answers = root.section("answers", Answers::read);
        let mut own = listen.clone().unwrap_or_default();
        let agent_check = root.take("agent_check");
        let agent_check = agent_check.map(|value| value.section(|table| AgentCheck::read(table, &own)));
        // What is wrong there is reported; nothing is made of a configuration with a mistake.
        let agent_check = agent_check.and_then(|written| written?);
        own.extend(agent_check.iter().flat_map(|agent_check| &agent_check.listen));
        let server = root.section("server", |table| Server::read(table, name, &own));
        let restart = root.section("restart", Restart::read);
        let runs = root.named_sections("run", Run::read).into_iter().flatten().collect();
        let drain =
            root.section("drain", |table| Drain::read(table, restart.as_ref(), &root.names_in("run")));
        let balancers = root.section("balancers", Balancers::read);
        let traffic = Traffic::read(root);
        let metrics = root.section("metrics", |table| Metrics::read(table, &own));
        root.later("fleet", "guard the last servers by `drain.min_remaining`");
        let name = server.as_ref().map_or("", |server| &server.name);
        let state = format!("/var/lib/drain-agent/{name}.json").into();
        let state = root.field("state", state, Value::absolute_path).into_inner();
        let report = root.section("report", |table| Report::read(table, &state));
        own.extend(metrics.listen);
        let control = root.section("control", |table| Control::read(table, name, &own, host));
        Some(Self {
            listen: listen?,
            state,
            answers,
            server: server?,
            restart: restart?,
            runs,
            drain,
            balancers,
            traffic: traffic?,
            control,
            agent_check,
            report,
            metrics,
        })
    }
}

impl Answers {
    fn read(table: &Table<'_>) -> Self {
        let answer = |value: &Value<'_>| {
            let status = value.number(200, 599)?;
            if UP.contains(&status) {
                value.wrong(
                    "is an answer for up",
                    "expected a status of 400 or more: balancers take all of 200 to 399 for up, and nobody would \
                     learn of the drain",
                );
                return None;
            }
            Some(status)
        };
        let soft = table.field("soft", 404, answer);
        let hard = table.field("hard", 500, answer);
        if soft.as_inner() == hard.as_inner()
            && soft.is_sound()
            && hard.is_sound()
            && let Some(place) = hard.place().or(soft.place())
        {
            let title = "`answers.soft` and `answers.hard` are the same";
            let label =
                "expected another status: balancers would not learn of the step from one to the other";
            table.report(Mistake::new(place.clone(), title, label));
        }
        Self { soft: soft.into_inner(), hard: hard.into_inner() }
    }
}

/// What balancers take for up, as `HAProxy` does.
const UP: RangeInclusive<u16> = 200..=399;
