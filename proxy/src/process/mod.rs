//! The running proxy as a whole: what is started, and what signals change.
//!
//! | signal | what happens |
//! |---|---|
//! | HUP | the configuration is read again, and log files are opened anew |
//! | USR2 | the program is started anew and takes over, see [`crate::upgrade`] |
//! | USR1 | balancers above are told ([`Door`]), then a soft stop |
//! | TERM, INT | stop |
//!
//! A reload is all or nothing: what may fail (the file, log targets, addresses) comes first and leaves everything as it
//! was; the rest can't fail.

mod difference;
mod door;
mod farewell;
mod files;
mod notify;
mod pressure;
mod state;

use std::future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_stream::StreamExt;

use crate::admin::http::PortError;
use crate::admin::log::{Logs, OpenError};
use crate::admin::service::{AdminError, Service};
use crate::admin::stats::{Facts, Statistics};
use crate::adopt;
use crate::check::Checks;
use crate::clock;
use crate::config::{Config, LoadError};
use crate::listen::{ListenError, Listeners};
use crate::upgrade::message::Report;
use crate::upgrade::{Event, Inheritance, Legacy, Predecessor, REPORT_EVERY, Successor, knowledge};
use crate::worker::{self, Generation, Share, Stop};

use self::door::Door;
use self::pressure::Pressure;

pub use self::difference::Difference;

/// How long a slow log target may hold up the end.
pub const LOG_CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How often limits are looked at: a crowd takes longer to come.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The running proxy.
#[derive(Debug)]
pub struct Process {
    files: Vec<PathBuf>,
    config: Config,
    /// Cores at work; another number takes a start or an upgrade.
    cores: usize,
    logs: Logs,
    admin: Service,
    listeners: Listeners,
    generation: Arc<Generation>,
    /// None in a proxy that ends: the one that takes over makes them.
    checks: Option<Checks>,
    workers: Vec<mpsc::UnboundedSender<Share>>,
    stop: watch::Sender<Stop>,
    ended: mpsc::Receiver<()>,
    /// When what is under way is cut off; `None`: nothing has been stopped.
    deadline: Option<Instant>,
    /// Of an earlier process, which still finishes what it has.
    reports: Option<mpsc::Receiver<Report>>,
    /// The process that takes over.
    successor: Option<Successor>,
    /// Where it can be looked at.
    door: Door,
    pressure: Pressure,
}

/// What has happened to a running proxy.
#[derive(Debug)]
enum Happening {
    Signal(Option<i32>),
    /// The last worker has ended.
    Ended,
    /// The limit for what is under way has passed.
    Late,
    /// What an earlier process still has; `None`: it has ended.
    Reported(Option<Report>),
    /// The process that is to take over.
    Successor(Option<Event>),
    /// It is to be told what this one still has.
    ReportDue,
    /// Balancers above have been told for long enough what they are told.
    Told,
    /// The limits are to be looked at.
    LookDue,
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
    /// The admin port can't be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No thread for checks.
    #[error("can't start the checks")]
    Checks(#[source] io::Error),
    /// Nobody could command it.
    #[error(transparent)]
    Admin(#[from] AdminError),
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
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Process {
    /// Starts everything; `files` are where the configuration came from, and `inheritance` what another process had. Must
    /// be called on a runtime.
    pub fn start(files: Vec<PathBuf>, config: Config, inheritance: Inheritance) -> Result<Self, StartError> {
        files::raise_limit(&config);
        let cores = config.limits.threads.get();
        let logs = Logs::open(&config)?;
        let Inheritance { listeners, mut servers, rooms } = inheritance;
        if servers.is_empty() {
            servers = state::read(&config);
        }
        let takes_over = !listeners.bound().is_empty();
        let mut known = listeners.bound().to_vec();
        known.extend(adopt::adopted(&config, cores, &known)?);
        let listeners = Listeners::open(&config, cores, &Listeners::inherited(known))?;
        let generation = Generation::resumed(&config, &logs, knowledge::resuming(&servers, clock::now()));
        knowledge::reopen(&generation, &rooms);
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let checks = Checks::start(generation.backends(), node.clone()).map_err(StartError::Checks)?;
        let facts = Facts { started: clock::now(), started_wall: clock::wall(), node, threads: cores };
        let statistics = Statistics::new(generation.clone(), facts);
        let door = Door::open(&config.admin, takes_over, statistics.clone())?;
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
        // Last: from here on nobody commands another process by these sockets.
        let admin = Service::start(&config.admin, statistics)?;
        tracing::info!("drain-proxy {} is ready: {listeners}", env!("CARGO_PKG_VERSION"));
        let (deadline, reports, successor) = (None, None, None);
        Ok(Self {
            files,
            config,
            cores,
            logs,
            admin,
            listeners,
            generation,
            checks: Some(checks),
            workers,
            stop,
            ended,
            deadline,
            reports,
            successor,
            door,
            pressure: Pressure::default(),
        })
    }

    /// Obeys signals until all is done. `predecessor` is told that this process accepts.
    pub async fn run(mut self, mut signals: Signals, predecessor: Option<Predecessor>) {
        if let Some(predecessor) = predecessor {
            self.reports = Some(predecessor.relieve().await);
        }
        notify::ready();
        let mut report_due = interval(REPORT_EVERY);
        let mut look_due = interval(LOOK_EVERY);
        for ticks in [&mut report_due, &mut look_due] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut at_work = true;
        // An earlier process reports to this one, and the next one must hear of it.
        while at_work || (self.reports.is_some() && *self.stop.borrow() < Stop::Now) {
            match self.next(&mut signals, [&mut report_due, &mut look_due], at_work).await {
                Happening::Signal(signal) => self.obey(signal),
                Happening::Ended => at_work = false,
                Happening::Late => {
                    let limit = self.config.limits.finish;
                    tracing::warn!("what is still under way after {limit:?} (limits.finish) is cut off");
                    self.stop(Stop::Now);
                }
                Happening::Reported(report) => self.note(report),
                Happening::Successor(event) => self.hand_over(event),
                Happening::ReportDue => self.report(),
                Happening::Told if self.door.step() => {}
                Happening::Told => self.stop(Stop::Softly),
                Happening::LookDue => self.pressure.look(&self.generation),
            }
        }
        // Whoever has taken over knows better.
        if self.successor.is_none() {
            state::write(&self.config, self.admin.statistics());
        }
        self.logs.close(LOG_CLOSE_LIMIT);
    }

    async fn next(
        &mut self,
        signals: &mut Signals,
        [report_due, look_due]: [&mut Interval; 2],
        at_work: bool,
    ) -> Happening {
        let is_leaving = *self.stop.borrow() == Stop::Leaving;
        tokio::select! {
            signal = signals.next() => Happening::Signal(signal),
            // Nothing is ever sent: it ends when the last worker drops its sender.
            _ = self.ended.recv(), if at_work => Happening::Ended,
            () = until(self.deadline) => Happening::Late,
            report = next_of(&mut self.reports) => Happening::Reported(report),
            event = next_event(&mut self.successor) => Happening::Successor(event),
            _ = report_due.tick(), if is_leaving => Happening::ReportDue,
            () = until(self.door.until()) => Happening::Told,
            _ = look_due.tick() => Happening::LookDue,
        }
    }

    fn obey(&mut self, signal: Option<i32>) {
        match signal {
            Some(SIGHUP) => self.reload(),
            Some(SIGUSR2) => self.upgrade(),
            Some(SIGUSR1) => self.finish(),
            Some(_) | None => {
                tracing::info!("stopped");
                self.door.end();
                self.stop(Stop::Now);
            }
        }
    }

    /// Tells the balancers above where that is wanted, and ends when what is in flight is finished.
    fn finish(&mut self) {
        if self.is_ending() && *self.stop.borrow() != Stop::Leaving {
            tracing::info!("SIGUSR1: this process ends already");
            return;
        }
        notify::stopping();
        self.call_off();
        if *self.stop.borrow() == Stop::No && self.door.say_farewell(self.config.admin.leave) {
            let limits = self.config.admin.leave;
            tracing::info!("SIGUSR1: connections are accepted for another {:?}", limits.soft + limits.hard);
            return;
        }
        tracing::info!("SIGUSR1: nothing is accepted any more, requests in flight are finished");
        self.stop(Stop::Softly);
    }

    /// Whether it has been told to end.
    fn is_ending(&self) -> bool {
        *self.stop.borrow() != Stop::No || self.door.until().is_some()
    }

    /// Starts the program anew, to take over.
    fn upgrade(&mut self) {
        let refused = if self.is_ending() {
            "this process ends already"
        } else if self.successor.is_some() {
            "another process is starting already"
        } else if std::process::id() == 1 {
            "this is process 1, with which everything ends: run it under an init process (docker run --init)"
        } else {
            match Successor::start() {
                Ok(successor) => self.successor = Some(successor),
                Err(error) => tracing::error!("SIGUSR2: {error}; this process goes on"),
            }
            return;
        };
        tracing::error!("SIGUSR2 is not obeyed: {refused}");
    }

    fn hand_over(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Greeted(sender)) => {
                let known = knowledge::of(self.generation.backends(), clock::now());
                // It may have ended meanwhile, of which there is another event.
                let rooms = knowledge::rooms(&self.generation);
                let _ = sender.send(Legacy::new(&self.listeners, known, rooms));
            }
            Some(Event::Ready) => {
                tracing::info!("another process has taken over; requests in flight are finished");
                // From here on the other one asks, and reports both.
                self.checks = None;
                self.door.close();
                self.stop(Stop::Leaving);
                self.report();
            }
            Some(Event::Failed(error)) => {
                tracing::error!("SIGUSR2: {error}; this process goes on");
                self.successor = None;
                if let Err(error) = self.admin.reopen() {
                    tracing::error!("{error}");
                }
            }
            None => self.successor = None,
        }
    }

    /// Tells the process that has taken over what this one still has.
    fn report(&self) {
        if let Some(successor) = &self.successor {
            // With some overlap: a user whom it knows already is no other.
            let since = 10 * REPORT_EVERY;
            successor.report(|| knowledge::report(self.generation.backends(), since, clock::now()));
        }
    }

    /// Notes what an earlier process still has.
    fn note(&mut self, report: Option<Report>) {
        if report.is_none() {
            tracing::info!("the earlier process has ended");
            self.reports = None;
        }
        knowledge::note(self.generation.backends(), &report.unwrap_or_default(), clock::now());
    }

    /// Reads the configuration again and works by it from now on. A bad one is reported and changes nothing.
    fn reload(&mut self) {
        if self.successor.is_some() && *self.stop.borrow() == Stop::No {
            // It may have read the file before, or not yet.
            tracing::error!(
                "SIGHUP is not obeyed: another process is taking over; send it again when it has"
            );
            return;
        }
        if self.is_ending() {
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
        let (config, messages) = Config::load_all(&self.files)?;
        if !messages.sorted().is_empty() {
            tracing::warn!("{}", messages.render(std::process::id()));
        }
        let difference = Difference::between(&self.config, &config);
        if config == self.config {
            return Ok(difference);
        }
        let logs = Logs::open_beside(&config, &self.logs)?;
        let listeners = Listeners::open(&config, self.cores, &self.listeners)?;
        let door = self.door.change(&config.admin)?;
        self.admin.follow(&config.admin)?;
        // Nothing fails from here on.
        if config.limits.connections != self.config.limits.connections {
            files::raise_limit(&config);
        }
        if config.limits.threads.get() != self.cores {
            tracing::warn!(
                "limits.threads = {} takes an upgrade (SIGUSR2) or a restart; {} threads work on",
                config.limits.threads,
                self.cores
            );
        }
        self.generation = self.generation.renewed(&config, &logs);
        self.admin.statistics().follow(self.generation.clone());
        if let Some(checks) = &self.checks {
            checks.follow(self.generation.backends());
        }
        for (core, worker) in self.workers.iter().enumerate() {
            let listeners = listeners.of_core(core, self.cores);
            // A worker that has ended has said why.
            let _ = worker.send(Share { generation: self.generation.clone(), listeners });
        }
        self.logs.make_way_for(logs);
        self.listeners = listeners;
        self.door.take(door);
        self.config = config;
        Ok(difference)
    }

    /// Ends the process that is to take over, if it has not yet: this one is told to end, and nothing shall go on.
    fn call_off(&self) {
        if let (Stop::No, Some(successor)) = (*self.stop.borrow(), &self.successor) {
            successor.cancel();
        }
    }

    /// What has begun to end does not go back.
    fn stop(&mut self, order: Stop) {
        if order > Stop::Leaving {
            self.call_off();
        }
        self.listeners.close();
        let deadline = clock::now().checked_add(self.config.limits.finish);
        self.deadline = if order == Stop::Now { None } else { self.deadline.or(deadline) };
        self.stop.send_if_modified(|stop| {
            let is_more = order > *stop;
            if is_more {
                *stop = order;
            }
            is_more
        });
    }
}

/// Never, where there is no deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
    }
}

/// Never, where nobody reports.
async fn next_of(reports: &mut Option<mpsc::Receiver<Report>>) -> Option<Report> {
    match reports {
        Some(reports) => reports.recv().await,
        None => future::pending().await,
    }
}

/// Never, where nobody takes over.
async fn next_event(successor: &mut Option<Successor>) -> Option<Event> {
    match successor {
        Some(successor) => successor.next().await,
        None => future::pending().await,
    }
}

/// With its places, as `drain-proxy check` says it.
fn said(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(invalid) => invalid.render(false),
        LoadError::Unreadable { .. } | LoadError::Haproxy(_) => error.to_string(),
    }
}

fn with_source(error: &ListenError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}
