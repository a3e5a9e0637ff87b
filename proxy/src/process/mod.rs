//! The running proxy as a whole: what is started, and what signals change.
//!
//! | signal | what happens |
//! |---|---|
//! | HUP | the configuration is read again, and log files are opened anew |
//! | USR1 | soft stop |
//! | TERM, INT | stop |
//!
//! A reload is all or nothing: what may fail (the file, log targets, addresses) comes first and leaves everything as it
//! was; the rest can't fail.

mod difference;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;

use crate::admin::log::{Logs, OpenError};
use crate::check::Checks;
use crate::config::{Config, LoadError};
use crate::listen::{ListenError, Listeners};
use crate::worker::{self, Generation, Share, Stop};

pub use self::difference::Difference;

/// How long a slow log target may hold up the end.
pub const LOG_CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// File descriptors beside connections: listeners, logs, checks, runtimes.
const OTHER_FILES: u64 = 256;

/// The running proxy.
#[derive(Debug)]
pub struct Process {
    file: PathBuf,
    config: Config,
    /// Cores at work; another number takes a start or an upgrade.
    cores: usize,
    logs: Logs,
    listeners: Listeners,
    generation: Arc<Generation>,
    checks: Checks,
    workers: Vec<mpsc::UnboundedSender<Share>>,
    stop: watch::Sender<Stop>,
    ended: mpsc::Receiver<()>,
}

/// Why there is no running proxy.
#[derive(Debug, Error)]
pub enum StartError {
    /// A log can't be written.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No thread for checks.
    #[error("can't start the checks")]
    Checks(#[source] io::Error),
    /// A core can't work.
    #[error("core {core} can't work, so drain-proxy does not start")]
    Worker {
        /// Which.
        core: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a configuration that was read again does not hold.
#[derive(Debug, Error)]
enum ReloadError {
    #[error("{}", said(.0))]
    Load(#[from] LoadError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("{}", with_source(.0))]
    Listen(#[from] ListenError),
}

impl Process {
    /// Starts everything; `file` is where the configuration came from. Must be called on a runtime.
    pub fn start(file: PathBuf, config: Config) -> Result<Self, StartError> {
        raise_file_limit(&config);
        let cores = config.limits.threads.get();
        let logs = Logs::open(&config)?;
        let listeners = Listeners::open(&config, cores, &Listeners::default())?;
        let generation = Generation::new(&config, &logs);
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let checks = Checks::start(generation.backends(), node).map_err(StartError::Checks)?;
        let stop = watch::Sender::new(Stop::No);
        let (running, ended) = mpsc::channel(1);
        let mut workers = Vec::with_capacity(cores);
        for core in 0..cores {
            let share = Share { generation: generation.clone(), listeners: listeners.of_core(core, cores) };
            let (sender, shares) = mpsc::unbounded_channel();
            worker::spawn(core, share, shares, stop.subscribe(), running.clone())
                .map_err(|source| StartError::Worker { core, source })?;
            workers.push(sender);
        }
        tracing::info!("drain-proxy {} is ready: {listeners}", env!("CARGO_PKG_VERSION"));
        Ok(Self { file, config, cores, logs, listeners, generation, checks, workers, stop, ended })
    }

    /// Obeys signals until all workers have ended.
    pub async fn run(mut self, mut signals: Signals) {
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                // Nothing is ever sent: it ends when the last worker drops its sender.
                _ = self.ended.recv() => break,
            };
            match signal {
                Some(SIGHUP) => self.reload(),
                Some(SIGUSR1) => {
                    tracing::info!("SIGUSR1: nothing is accepted any more, requests in flight are finished");
                    self.stop(Stop::Softly);
                }
                Some(_) | None => {
                    tracing::info!("stopped");
                    self.stop(Stop::Now);
                }
            }
        }
        self.logs.close(LOG_CLOSE_LIMIT);
    }

    /// Reads the configuration again and works by it from now on. A bad one is reported and changes nothing.
    fn reload(&mut self) {
        if *self.stop.borrow() != Stop::No {
            tracing::info!(
                "SIGHUP: log files are opened anew; the configuration is not read by a proxy that ends"
            );
            return self.logs.reopen();
        }
        match self.try_reload() {
            Ok(difference) => tracing::info!("SIGHUP: {difference}; log files are opened anew"),
            Err(error) => {
                tracing::error!(
                    "SIGHUP: nothing is changed, because the new configuration can't be used: {error}"
                );
            }
        }
        self.logs.reopen();
    }

    fn try_reload(&mut self) -> Result<Difference, ReloadError> {
        let config = Config::load(&self.file)?;
        let difference = Difference::between(&self.config, &config);
        if config == self.config {
            return Ok(difference);
        }
        let logs = Logs::open_beside(&config, &self.logs)?;
        let listeners = Listeners::open(&config, self.cores, &self.listeners)?;
        // Nothing fails from here on.
        if config.limits.connections != self.config.limits.connections {
            raise_file_limit(&config);
        }
        if config.limits.threads.get() != self.cores {
            tracing::warn!(
                "limits.threads = {} takes an upgrade (SIGUSR2) or a restart; {} threads work on",
                config.limits.threads,
                self.cores
            );
        }
        self.generation = self.generation.renewed(&config, &logs);
        self.checks.follow(self.generation.backends());
        for (core, worker) in self.workers.iter().enumerate() {
            let listeners = listeners.of_core(core, self.cores);
            // A worker that has ended has said why.
            let _ = worker.send(Share { generation: self.generation.clone(), listeners });
        }
        self.logs.make_way_for(logs);
        self.listeners = listeners;
        self.config = config;
        Ok(difference)
    }

    /// What has begun to end does not go back.
    fn stop(&mut self, order: Stop) {
        self.listeners.close();
        self.stop.send_if_modified(|stop| {
            let is_more = order > *stop;
            if is_more {
                *stop = order;
            }
            is_more
        });
    }
}

/// With its places, as `drain-proxy check` says it.
fn said(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(invalid) => invalid.render(false),
        LoadError::Unreadable { .. } => error.to_string(),
    }
}

fn with_source(error: &ListenError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

/// Raises the soft limit of open files to the hard one, and says so if that is too low.
fn raise_file_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it was, which is looked at next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = config.limits.connections.get() as u64;
    if files < 2 * connections + OTHER_FILES {
        tracing::warn!(
            "{files} open files are allowed, but limits.connections = {connections} may need {}: raise LimitNOFILE= \
             of the unit (ulimit -n), or lower limits.connections",
            2 * connections + OTHER_FILES
        );
    }
}
