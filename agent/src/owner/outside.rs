//! All that the owner needs from outside, in one place, so that a test can be the outside.

use std::{future, path::PathBuf, sync::Arc, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::Progress;
use crate::{
    clock::{self, Moment},
    config::Config,
    fetch::ClientError,
    lifecycle::{Replaced, Then},
    ports::Ports,
    ready::{Prober, Warmer},
    restart::{Identity, RestartError, Restarter, Transcript},
    state,
    traffic::{
        Reading,
        reader::Reader,
        sockets::{Doors, Left, Looks, Own, Sockets},
    },
};

/// How a restart has ended.
#[derive(Clone, Debug)]
pub struct Restarted {
    /// Done, or what went wrong.
    pub result: Result<(), String>,
    /// The end of what the restart has written.
    pub output: Option<String>,
}

/// What a probe has found that has not shown the server to be ready; for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unready {
    /// It is not.
    Not(String),
    /// It could not be asked, which says nothing about it.
    Unknown(String),
}

/// What is outside of the owner: clocks, the server, the kernel.
pub trait Outside: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;
    /// The same for people, in seconds since 1970.
    fn unix(&self) -> u64;
    /// A random delay before a withdrawn drain is tried again.
    fn jitter(&self) -> Duration;
    /// Looks at the server's sockets once.
    fn look(&self, looks: Looks) -> impl Future<Output = Result<Reading, String>> + Send;
    /// Looks whose connections are open.
    fn left(&self) -> impl Future<Output = Result<Left, String>> + Send;
    /// Reads the configured source `index` once.
    fn read(&self, index: usize) -> impl Future<Output = Result<Reading, String>> + Send;
    /// Returns when a connection to the server has ended of which no look has told yet; waits for ever where nobody
    /// can tell.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        future::pending()
    }
    /// Whether no process of this number runs on the host.
    fn is_gone(&self, _pid: i32) -> bool {
        false
    }
    /// Probes the server's readiness once.
    fn probe(&self) -> impl Future<Output = Result<(), Unready>> + Send;
    /// Which processes are the server.
    fn identity(&self) -> impl Future<Output = Result<Identity, String>> + Send;
    /// Makes the requests that warm the server up; gives those that went wrong, and why, for people.
    fn warm_up(&self) -> impl Future<Output = Vec<String>> + Send;
    /// Restarts the server, or whatever is to be done to it, and tells how far it has come.
    fn restart(&self, restart: state::Restart, progress: Progress) -> impl Future<Output = Restarted> + Send;
    /// What has become of a restart that an earlier agent has left. Fills in its command where that is found.
    fn left_behind(&self, restart: &mut state::Restart) -> impl Future<Output = Replaced> + Send;
    /// Waits for the end of a restart that an earlier agent has left and that is under way.
    fn await_left_behind(&self, restart: state::Restart) -> impl Future<Output = Restarted> + Send;
    /// Reads the configuration again; what it says of the outside holds from the new outside on.
    fn reload(&self) -> Result<(Config, Self), String>
    where
        Self: Sized;
}

/// The real outside.
#[derive(Clone)]
pub struct Real {
    file: Option<PathBuf>,
    ports: Ports,
    own: Own,
    sockets: Sockets,
    readers: Arc<[Reader]>,
    prober: Arc<Prober>,
    warmer: Arc<Warmer>,
    restarter: Restarter,
    transcript: Arc<Transcript>,
}

/// The shortest delay before a withdrawn drain is tried again: by then a balancer that checks once a second has seen
/// that the server is back.
const JITTER_LEAST_MS: u64 = 1_000;
/// The longest: servers that have announced in the same instant are far apart at the next try, and the usual limit of
/// the acknowledgement, a minute, leaves room for ten.
const JITTER_MOST_MS: u64 = 6_000;

impl Real {
    /// The outside that `config` describes; it was read from `file`. What an agent starts may listen on `ports`.
    pub fn new(config: &Config, file: Option<PathBuf>, ports: Ports) -> Result<Self, ClientError> {
        let transcript = Arc::new(Transcript::beside(&config.state));
        transcript.tend();
        Self::with(config, file, ports, Own::default(), transcript)
    }

    /// The agent's own connections.
    pub fn own(&self) -> Own {
        self.own.clone()
    }

    fn with(
        config: &Config,
        file: Option<PathBuf>,
        ports: Ports,
        own: Own,
        transcript: Arc<Transcript>,
    ) -> Result<Self, ClientError> {
        let doors = Doors::from(&config.server);
        let namespace = doors.namespace.clone();
        Ok(Self {
            file,
            ports,
            sockets: Sockets::new(doors.clone(), own.clone()),
            readers: config
                .traffic
                .iter()
                .map(|traffic| Reader::new(traffic, &namespace, &own))
                .collect::<Result<_, _>>()?,
            prober: Arc::new(Prober::new(&config.server.ready, namespace.clone(), own.clone())?),
            warmer: Arc::new(Warmer::new(&config.restart.warm_up, &config.server, namespace, own.clone())),
            restarter: Restarter::new(&config.restart, &config.runs, doors, &transcript),
            own,
            transcript,
        })
    }

    async fn run_restart(
        &self,
        restart: &state::Restart,
        progress: Progress,
    ) -> Result<String, RestartError> {
        let running = self.restarter.begin(&restart.then, &restart.mark).await?;
        if let Some(process) = running.process() {
            progress.begun(process.clone()).await;
        }
        let done = self.restarter.ended(running).await?;
        progress.ended().await;
        let done = self.restarter.proved(&restart.then, done, &restart.before).await?;
        Ok(done.output.to_string())
    }
}

impl Outside for Real {
    fn now(&self) -> Moment {
        Moment::now()
    }

    fn unix(&self) -> u64 {
        clock::unix_now()
    }

    fn jitter(&self) -> Duration {
        Duration::from_millis(fastrand::u64(JITTER_LEAST_MS..JITTER_MOST_MS))
    }

    async fn look(&self, looks: Looks) -> Result<Reading, String> {
        self.sockets.look(looks).await.map_err(|error| error.to_string())
    }

    async fn left(&self) -> Result<Left, String> {
        self.sockets.left().await.map_err(|error| error.to_string())
    }

    async fn read(&self, index: usize) -> Result<Reading, String> {
        match self.readers.get(index) {
            Some(reader) => reader.read().await,
            None => Err("it is not configured any more".to_owned()),
        }
    }

    async fn ended(&self) {
        self.sockets.ended().await;
    }

    fn is_gone(&self, pid: i32) -> bool {
        let pid = Pid::from_raw(pid);
        pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    }

    async fn probe(&self) -> Result<(), Unready> {
        self.prober.probe().await.map_err(|error| {
            let kind = if error.is_unknown() { Unready::Unknown } else { Unready::Not };
            kind(error.to_string())
        })
    }

    async fn identity(&self) -> Result<Identity, String> {
        self.restarter.identity().await.map_err(|error| error.to_string())
    }

    async fn warm_up(&self) -> Vec<String> {
        self.warmer.warm_up().await
    }

    async fn restart(&self, restart: state::Restart, progress: Progress) -> Restarted {
        match self.run_restart(&restart, progress).await {
            Ok(output) => Restarted { result: Ok(()), output: Some(output) },
            Err(error) => {
                let output = error.output().map(ToString::to_string);
                Restarted { result: Err(error.to_string()), output }
            }
        }
    }

    /// | the command | its helpers | what it was to replace | |
    /// |---|---|---|---|
    /// | has ended well, as is written down | | | under way: the proof is missing |
    /// | runs, by its pid or by its mark | | | under way |
    /// | can't be looked at | | | under way |
    /// | does not run | run | is still there | under way |
    /// | does not run | don't run, or can't be looked at | is still there | not |
    /// | does not run | | is gone, or can't be looked at | perhaps |
    ///
    /// Of a unit systemd tells.
    ///
    /// A command that is no restart replaces nothing: where it does not run any more, and has not been seen to end, it
    /// has perhaps been run.
    async fn left_behind(&self, restart: &mut state::Restart) -> Replaced {
        if restart.has_ended {
            return Replaced::UnderWay;
        }
        if let Some(replaced) = self.restarter.unit_left_behind(&restart.then, &restart.before).await {
            return replaced;
        }
        let marked = restart.mark.carried().await.ok();
        if restart.command.is_none() {
            restart.command = marked.as_ref().and_then(|marked| marked.command.clone());
        }
        if let Some(command) = &restart.command
            && command.is_running().await.unwrap_or(true)
        {
            return Replaced::UnderWay;
        }
        if matches!(restart.then, Then::Run(_)) {
            return Replaced::Perhaps;
        }
        match self.restarter.has_not_happened(&restart.before).await {
            Ok(true) if marked.is_some_and(|marked| !marked.is_empty()) => Replaced::UnderWay,
            Ok(true) => Replaced::Not,
            Ok(false) | Err(_) => Replaced::Perhaps,
        }
    }

    async fn await_left_behind(&self, restart: state::Restart) -> Restarted {
        let command = restart.command.as_ref().filter(|_| !restart.has_ended);
        let ended = self.restarter.end_orphan(&restart.then, command, restart.began, &restart.before).await;
        let output = match &ended {
            Ok(output) => Some(output),
            Err(error) => error.output(),
        };
        let output = output.map(ToString::to_string);
        Restarted { result: ended.map(drop).map_err(|error| error.to_string()), output }
    }

    fn reload(&self) -> Result<(Config, Self), String> {
        let file =
            self.file.as_ref().ok_or("the configuration came from flags; there is no file to read again")?;
        let config = Config::load_to_run(file).map_err(|error| error.to_string())?;
        self.ports.fit(&config).map_err(|error| error.to_string())?;
        let (ports, own, transcript) = (self.ports.clone(), self.own.clone(), Arc::clone(&self.transcript));
        let outside = Self::with(&config, self.file.clone(), ports, own, transcript);
        Ok((config, outside.map_err(|error| error.to_string())?))
    }
}

#[cfg(test)]
mod tests;
