//! All that the owner needs from outside, in one place, so that a test can be the outside.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    clock::{self, Moment},
    config::Config,
    lifecycle::Replaced,
    ready::{ClientError, Prober},
    restart::{Identity, Process, RestartError, Restarter},
    state,
    traffic::{
        Reading,
        sockets::{Own, Sockets},
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

/// What is outside of the owner: clocks, the server, the kernel.
pub trait Outside: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;
    /// The same for people, in seconds since 1970.
    fn unix(&self) -> u64;
    /// A random delay before a withdrawn drain is tried again.
    fn jitter(&self) -> Duration;
    /// Looks at the server's sockets once.
    fn look(&self) -> impl Future<Output = Result<Reading, String>> + Send;
    /// Probes the server's readiness once.
    fn probe(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// Which processes are the server.
    fn identity(&self) -> impl Future<Output = Result<Identity, String>> + Send;
    /// Restarts the server; tells the restart's own process as soon as it is known.
    fn restart(
        &self,
        before: Identity,
        begun: oneshot::Sender<Process>,
    ) -> impl Future<Output = Restarted> + Send;
    /// What has become of a restart that an earlier agent has left.
    fn left_behind(&self, restart: &state::Restart) -> impl Future<Output = Replaced> + Send;
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
    own: Own,
    sockets: Sockets,
    prober: Arc<Prober>,
    restarter: Restarter,
}

/// The shortest delay before a withdrawn drain is tried again: by then a balancer that checks once a second has seen
/// that the server is back.
const JITTER_LEAST_MS: u64 = 1_000;
/// The longest: servers that have announced in the same instant are far apart at the next try, and the usual limit of
/// the acknowledgement, a minute, leaves room for ten.
const JITTER_MOST_MS: u64 = 6_000;

impl Real {
    /// The outside that `config` describes; it was read from `file`.
    pub fn new(config: &Config, file: Option<PathBuf>) -> Result<Self, ClientError> {
        let own = Own::default();
        Self::with(config, file, own)
    }

    fn with(config: &Config, file: Option<PathBuf>, own: Own) -> Result<Self, ClientError> {
        Ok(Self {
            file,
            sockets: Sockets::new(&config.server.ports, own.clone()),
            prober: Arc::new(Prober::new(&config.server.ready, own.clone())?),
            restarter: Restarter::new(&config.restart, &config.server.ports),
            own,
        })
    }

    async fn run_restart(
        &self,
        before: &Identity,
        begun: oneshot::Sender<Process>,
    ) -> Result<String, RestartError> {
        let running = self.restarter.begin().await?;
        // Nobody listens where the owner is about to stop.
        let _ = begun.send(running.process().clone());
        let done = self.restarter.end(running, before).await?;
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

    async fn look(&self) -> Result<Reading, String> {
        self.sockets.look().await.map_err(|error| format!("the socket table can't be read: {error}"))
    }

    async fn probe(&self) -> Result<(), String> {
        self.prober.probe().await.map_err(|error| error.to_string())
    }

    async fn identity(&self) -> Result<Identity, String> {
        self.restarter.identity().await.map_err(|error| error.to_string())
    }

    async fn restart(&self, before: Identity, begun: oneshot::Sender<Process>) -> Restarted {
        match self.run_restart(&before, begun).await {
            Ok(output) => Restarted { result: Ok(()), output: Some(output) },
            Err(error) => Restarted { result: Err(error.to_string()), output: None },
        }
    }

    async fn left_behind(&self, restart: &state::Restart) -> Replaced {
        if let Some(command) = &restart.command
            && command.is_running().await.unwrap_or(true)
        {
            return Replaced::UnderWay;
        }
        match self.restarter.has_not_happened(&restart.before).await {
            Ok(true) => Replaced::Not,
            Ok(false) | Err(_) => Replaced::Perhaps,
        }
    }

    async fn await_left_behind(&self, restart: state::Restart) -> Restarted {
        let Some(command) = &restart.command else { return Restarted { result: Ok(()), output: None } };
        let ended = self.restarter.end_orphan(command, restart.began, &restart.before).await;
        Restarted { result: ended.map_err(|error| error.to_string()), output: None }
    }

    fn reload(&self) -> Result<(Config, Self), String> {
        let file =
            self.file.as_ref().ok_or("the configuration came from flags; there is no file to read again")?;
        let config = Config::load(file).map_err(|error| error.to_string())?;
        let outside =
            Self::with(&config, self.file.clone(), self.own.clone()).map_err(|error| error.to_string())?;
        Ok((config, outside))
    }
}
