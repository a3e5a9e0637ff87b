//! The running proxy as a whole: what is started, and what signals change.
//!
//! | signal | what happens |
//! |---|---|
//! | HUP | the configuration is read again, and log files are opened anew |
//! | USR2 | the program is started anew and takes over, see [`crate::upgrade`] |
//! | USR1 | balancers above are told ([`Door`]), then a soft stop |
//! | TERM, INT | stop |

mod difference;
mod door;
mod farewell;
mod files;
mod kept;
mod notify;
mod pressure;
mod reload;
mod start;
mod state;

use std::future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_stream::StreamExt;

use crate::admin::edits::Edit;
use crate::admin::gate::Gate;
use crate::admin::log::Logs;
use crate::admin::service::Service;
use crate::check::Checks;
use crate::clock;
use crate::config::Config;
use crate::listen::Listeners;
use crate::upgrade::message::Report;
use crate::upgrade::{Event, Legacy, Predecessor, REPORT_EVERY, Relieved, Successor, joint, knowledge, news};
use crate::worker::{Generation, Share, Stop};

use self::door::Door;
use self::kept::Kept;
use self::pressure::Pressure;

pub use self::difference::Difference;
pub use self::start::StartError;

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
    gate: Arc<Gate>,
    /// There is no earlier process, or it has let go: no order that is taken here can be lost with this one.
    is_sure: bool,
    /// Changes of the configuration that operators have ordered.
    edits: mpsc::UnboundedReceiver<Edit>,
    admin: Service,
    listeners: Listeners,
    /// What an earlier process has offered, by its places, and this one does not listen at.
    left: Vec<usize>,
    generation: Arc<Generation>,
    /// None in a proxy that ends: the one that takes over makes them.
    checks: Option<Checks>,
    workers: Vec<mpsc::UnboundedSender<Share>>,
    stop: watch::Sender<Stop>,
    ended: mpsc::Receiver<()>,
    /// When what is under way is cut off; `None`: nothing has been stopped.
    deadline: Option<Instant>,
    /// An earlier process, which still finishes what it has.
    earlier: Option<Relieved>,
    /// The process that takes over.
    successor: Option<Successor>,
    /// Where it can be looked at.
    door: Door,
    pressure: Pressure,
    kept: Kept,
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
    /// The earlier one is to be told what has become of servers.
    NewsDue,
    /// Balancers above have been told for long enough what they are told.
    Told,
    /// The limits are to be looked at.
    LookDue,
    /// A change of the configuration was ordered.
    Edited(Edit),
}

impl Process {
    /// Obeys signals until all is done. `predecessor` is told that this process accepts.
    pub async fn run(mut self, mut signals: Signals, predecessor: Option<Predecessor>) {
        if let Some(predecessor) = predecessor {
            self.earlier = Some(predecessor.relieve(std::mem::take(&mut self.left)).await);
        }
        notify::ready();
        let mut report_due = interval(REPORT_EVERY);
        let mut look_due = interval(LOOK_EVERY);
        let mut news_due = interval(news::TELL_EVERY);
        for ticks in [&mut report_due, &mut look_due, &mut news_due] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut at_work = true;
        // An earlier process reports to this one, and the next one must hear of it.
        while at_work || (self.earlier.is_some() && *self.stop.borrow() < Stop::Now) {
            match self.next(&mut signals, [&mut report_due, &mut look_due, &mut news_due], at_work).await {
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
                Happening::NewsDue => self.tell(),
                Happening::Told if self.door.step() => {}
                Happening::Told => self.stop(Stop::Softly),
                Happening::Edited(edit) => self.edit(edit),
                Happening::LookDue => {
                    self.pressure.look(&self.generation);
                    if self.successor.is_none() && self.checks.is_some() {
                        self.kept.keep(&self.config.admin, self.admin.statistics());
                    }
                }
            }
        }
        self.keep_at_last();
        self.logs.close(LOG_CLOSE_LIMIT);
    }

    async fn next(
        &mut self,
        signals: &mut Signals,
        [report_due, look_due, news_due]: [&mut Interval; 3],
        at_work: bool,
    ) -> Happening {
        let is_leaving = *self.stop.borrow() == Stop::Leaving;
        let is_heard = self.earlier.is_some();
        tokio::select! {
            signal = signals.next() => Happening::Signal(signal),
            // Nothing is ever sent: it ends when the last worker drops its sender.
            _ = self.ended.recv(), if at_work => Happening::Ended,
            () = until(self.deadline) => Happening::Late,
            report = next_of(&mut self.earlier) => Happening::Reported(report),
            event = next_event(&mut self.successor) => Happening::Successor(event),
            _ = report_due.tick(), if is_leaving => Happening::ReportDue,
            _ = news_due.tick(), if is_heard => Happening::NewsDue,
            () = until(self.door.until()) => Happening::Told,
            _ = look_due.tick() => Happening::LookDue,
            Some(edit) = self.edits.recv() => Happening::Edited(edit),
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
        self.keep_at_last();
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
                // The other one is told of all orders up to here, and takes them itself when it is ready.
                self.gate.shut();
                let known = knowledge::of(self.generation.backends(), clock::now());
                let rooms = knowledge::rooms(&self.generation);
                let limits = joint::join(self.generation.backends());
                // It may have ended meanwhile, of which there is another event.
                let _ = sender.send(Legacy::new(&self.listeners, known, rooms, limits));
            }
            Some(Event::Ready(left)) => {
                tracing::info!("another process has taken over; requests in flight are finished");
                // From here on the other one asks, and reports both.
                self.checks = None;
                self.door.close();
                self.admin.close();
                self.leave(&left);
                self.stop(Stop::Leaving);
                self.report();
            }
            Some(Event::News(news)) => {
                news::follow(self.generation.backends(), &news);
                // Whoever was sent to a server until now is known to the other one before its next check.
                self.report();
            }
            Some(Event::Failed(error)) => {
                tracing::error!("SIGUSR2: {error}; this process goes on");
                self.successor = None;
                if self.is_sure {
                    self.gate.open();
                }
                self.part();
                if let Err(error) = self.admin.reopen() {
                    tracing::error!("{error}");
                }
            }
            None => {
                self.successor = None;
                // What it had open counts no more.
                self.part();
            }
        }
    }

    /// Closes those of its listeners at which the process that takes over does not listen: nobody else would accept who
    /// waits there.
    fn leave(&mut self, left: &[usize]) {
        if left.is_empty() {
            return;
        }
        self.listeners.leave(left);
        for (core, worker) in self.workers.iter().enumerate() {
            let listeners = self.listeners.of_core(core, self.cores);
            // A worker that has ended has said why.
            let _ = worker.send(Share { generation: self.generation.clone(), listeners });
        }
    }

    /// Tells the process that has taken over what this one still has.
    fn report(&mut self) {
        if let Some(successor) = &mut self.successor {
            let now = clock::now();
            successor.report(now, |since| knowledge::report(self.generation.backends(), since, now));
        }
    }

    /// Tells an earlier process what has become of servers.
    fn tell(&mut self) {
        if let Some(earlier) = &mut self.earlier {
            earlier.tell(self.generation.backends(), clock::now());
        }
    }

    /// Notes what an earlier process still has. From the first time on it is known to have let go.
    fn note(&mut self, report: Option<Report>) {
        self.is_sure = true;
        if self.successor.is_none() {
            self.gate.open();
        }
        if report.is_none() {
            tracing::info!("the earlier process has ended");
            self.earlier = None;
            self.part();
        }
        knowledge::note(self.generation.backends(), &report.unwrap_or_default(), clock::now());
    }

    /// Keeps limits on servers' connections by itself where no other process is there.
    fn part(&self) {
        if self.earlier.is_none() && self.successor.is_none() {
            joint::part(self.generation.backends());
        }
    }

    /// Ends the process that is to take over, if it has not yet: this one is told to end, and nothing shall go on.
    fn call_off(&self) {
        if let (Stop::No, Some(successor)) = (*self.stop.borrow(), &self.successor) {
            successor.cancel();
        }
    }

    /// Writes what is to be kept when this process is told to end, and not again: what is under way may last longer than
    /// whoever stops the service waits, and another process may write the same files meanwhile. One that has taken over
    /// knows better.
    fn keep_at_last(&mut self) {
        if self.checks.is_some() {
            self.kept.keep_at_last(&self.config.admin, self.admin.statistics());
        }
    }

    /// What has begun to end does not go back.
    fn stop(&mut self, order: Stop) {
        if order > Stop::Leaving {
            self.call_off();
            self.keep_at_last();
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
async fn next_of(earlier: &mut Option<Relieved>) -> Option<Report> {
    match earlier {
        Some(earlier) => earlier.report().await,
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
