//! What takes long: looks, probes and restarts, in tasks that report back.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    Outside, Owner, Progress, Restarted, Unready,
    hearing::STALL,
    schedule::{self, Look},
    task::{TABLE, VERDICT},
};
use crate::{
    clock::Moment,
    lifecycle::{Course, Event, Level, Stage, Verdict},
    restart::{Identity, Process},
    traffic::{Reading, quiet::During, sockets::Looks},
};

/// What is on its way.
#[derive(Debug)]
pub(super) struct Errands {
    /// A look is under way.
    pub(super) looking: bool,
    /// When the last look began.
    pub(super) looked: Option<Moment>,
    /// How long it took.
    pub(super) look_took: Duration,
    /// When a connection was heard to have ended since then.
    pub(super) heard_end: Option<Moment>,
    /// A probe is under way.
    pub(super) probing: bool,
    /// When the next probe is due.
    next_probe: Moment,
    /// The server's processes are being looked up.
    pub(super) identifying: bool,
    /// Not before this: they could not be told a moment ago.
    pub(super) next_identity: Moment,
}

impl Errands {
    /// Everything is due at once.
    pub(super) fn new(now: Moment) -> Self {
        Self {
            looking: false,
            looked: None,
            look_took: Duration::ZERO,
            heard_end: None,
            probing: false,
            next_probe: now,
            identifying: false,
            next_identity: now,
        }
    }
}

/// Reports that wait: each task has at most one or two.
pub(super) const REPORTS: usize = 16;
/// How old the list of the server's processes may be at the restart.
pub(super) const IDENTITY_AGE: Duration = Duration::from_secs(10);

/// After so long it is tried again to tell the server's processes: that goes through all open files of the host.
const IDENTITY_RETRY: Duration = Duration::from_secs(1);

/// Who asks for the status waits for readings that are under way; nobody has to be woken for that before they end.
const CURIOUS: Duration = Duration::from_secs(1);

/// What the owner's own tasks report.
pub(super) enum Report {
    Looked { at: During, reading: Result<Reading, String> },
    Read { set: u64, index: usize, at: During, reading: Result<Reading, String> },
    Probed { began: Moment, result: Result<(), Unready> },
    Identified { at: Moment, identity: Result<Identity, String> },
    Begun { drain: u64, process: Process },
    CommandEnded { drain: u64, written: oneshot::Sender<()> },
    Restarted { drain: u64, restarted: Restarted },
    WarmedUp { drain: u64, failed: Vec<String> },
}

impl<O: Outside> Owner<O> {
    /// Starts the looks and probes that are due.
    pub(super) fn start_tasks(&mut self) {
        let now = self.outside.now();
        // First: a look that somebody asks for waits for them.
        self.start_readings(now);
        if self.may_look() && self.next_look(now) <= now {
            self.errands.looking = true;
            self.errands.looked = Some(now);
            self.errands.heard_end = None;
            let (outside, report, looks) = (Arc::clone(&self.outside), self.report.clone(), self.looks());
            tokio::spawn(async move {
                let reading = outside.look(looks).await;
                let at = During { began: now, ended: outside.now() };
                let _ = report.send(Report::Looked { at, reading }).await;
            });
        }
        if self.may_probe() && self.errands.next_probe <= now {
            self.errands.probing = true;
            self.errands.next_probe = now + self.config.server.ready.interval;
            let (outside, report) = (Arc::clone(&self.outside), self.report.clone());
            tokio::spawn(async move {
                let result = outside.probe().await;
                let _ = report.send(Report::Probed { began: now, result }).await;
            });
        }
        if self.wants_identity(now) {
            self.errands.identifying = true;
            let (outside, report) = (Arc::clone(&self.outside), self.report.clone());
            tokio::spawn(async move {
                let identity = outside.identity().await;
                let _ = report.send(Report::Identified { at: now, identity }).await;
            });
        }
    }

    /// Whether the list of processes should be brought up to date: it takes longer than a restart may wait.
    fn wants_identity(&self, now: Moment) -> bool {
        let Course::Hard(out) = self.core.machine.course() else { return false };
        let fresh = self.identity.as_ref().is_some_and(|(at, _)| now.since(*at) < IDENTITY_AGE / 2);
        let may = !self.errands.identifying && now >= self.errands.next_identity;
        out.drain.follow.acts() && may && !fresh
    }

    /// Whether a look may begin: not while another one is under way, nor a question on a unix socket that it looks at.
    fn may_look(&self) -> bool {
        !self.errands.looking && !self.asks_where_it_looks()
    }

    /// Whether a probe goes before a reading that would count it and was made last at `read`: they take turns, so that
    /// a gauge that answers late or never does not keep a dead server from being seen, nor the other way round.
    pub(super) fn is_probes_turn(&self, read: Option<Moment>, now: Moment) -> bool {
        let probed = self.errands.next_probe.before(self.config.server.ready.interval);
        self.errands.next_probe <= now && read.is_some_and(|read| read >= probed)
    }

    /// Whether a probe may begin: not while another one is under way, nor a reading that would count it.
    fn may_probe(&self) -> bool {
        !self.errands.probing && !self.counting()
    }

    /// Whether looks follow each other now: in a drain, and after it until its users are back.
    fn looks(&self) -> Looks {
        let is_in_use = matches!(self.core.machine.course().stage(), Stage::Up | Stage::Failed);
        let seldom = is_in_use && self.history.recorder().awaits_users().is_none();
        if seldom { Looks::Seldom } else { Looks::InARow }
    }

    /// When the next look is due.
    fn next_look(&self, now: Moment) -> Moment {
        if !self.curious.is_empty() {
            // All that the status shows is read for who asks, the sockets last.
            return if self.readings.any() { now + CURIOUS } else { now };
        }
        let last = self.errands.looked.map(|began| Look { began, took: self.errands.look_took });
        let due = self.errands.heard_end.or_else(|| self.due(now));
        let regular = schedule::next_look(&self.core.machine, last, due, now);
        let users = last.filter(|_| self.looks_for_users()).map(schedule::look_for_users);
        users.map_or(regular, |users| users.min(regular))
    }

    /// For how long nothing is due.
    pub(super) fn wake(&self) -> Duration {
        let now = self.outside.now();
        let machine = &self.core.machine;
        let look = self.may_look().then(|| self.next_look(now));
        let probe = self.may_probe().then_some(self.errands.next_probe);
        let verdict = (machine.server() == Verdict::Unknown).then_some(self.started + VERDICT);
        let may_write = self.records.stale && !self.records.is_writing();
        let write = may_write.then_some(self.records.written_at + TABLE);
        let status = self.status_stale.then(|| self.status_due());
        let moments =
            [machine.deadline(), self.core.table.deadline(now), look, probe, verdict, write, status];
        let readings = (0..self.config.traffic.len()).filter_map(|index| self.next_reading(index, now));
        let next =
            moments.into_iter().flatten().chain(readings).min().map_or(IDENTITY_AGE, |next| next.since(now));
        // Rounded up, so that what is due is due then.
        next.min(STALL / 2) + Duration::from_millis(1)
    }

    pub(super) fn start_warm_up(&self, drain: u64) {
        let (outside, report) = (Arc::clone(&self.outside), self.report.clone());
        tokio::spawn(async move {
            let failed = outside.warm_up().await;
            let _ = report.send(Report::WarmedUp { drain, failed }).await;
        });
    }

    pub(super) fn start_restart(&mut self) {
        let Some(restart) = &self.core.restart else { return };
        let (drain, restart) = (restart.drain, restart.clone());
        let (outside, report) = (Arc::clone(&self.outside), self.report.clone());
        let progress = Progress::new(drain, report.clone());
        tokio::spawn(async move {
            let restarted = outside.restart(restart, progress).await;
            let _ = report.send(Report::Restarted { drain, restarted }).await;
        });
    }

    /// Takes what one of them has found.
    pub(super) async fn reported(&mut self, report: Report) {
        match report {
            Report::Looked { at, reading } => self.looked_at(at, reading).await,
            Report::Read { set, index, at, reading } => self.read_at(set, index, at, reading).await,
            Report::Probed { began, result } => self.probed(began, result).await,
            Report::Identified { at, identity } => {
                self.errands.identifying = false;
                if identity.is_err() {
                    self.errands.next_identity = self.outside.now() + IDENTITY_RETRY;
                }
                // One that was looked up before hard may be another server's, or still be so after the restart.
                let hard =
                    self.core.machine.announcement().filter(|announced| announced.level == Level::Hard);
                self.identity = identity
                    .ok()
                    .filter(|_| hard.is_some_and(|hard| at >= hard.at))
                    .map(|identity| (at, identity));
            }
            Report::Begun { drain, process } => {
                if let Some(restart) = self.core.restart.as_mut().filter(|restart| restart.drain == drain) {
                    restart.command = Some(process);
                    self.write().await;
                }
            }
            Report::WarmedUp { drain, failed } => {
                let _ = self.step(Event::WarmedUp { drain, failed }).await;
            }
            Report::CommandEnded { drain, written } => {
                if let Some(restart) = self.core.restart.as_mut().filter(|restart| restart.drain == drain) {
                    restart.has_ended = true;
                    self.write().await;
                }
                // A restart that was given up for lost may not wait any more.
                let _ = written.send(());
            }
            Report::Restarted { drain, restarted: Restarted { result, output } } => {
                // One that was given up for lost may still end, when another is under way.
                if let Some(restart) = self.core.restart.as_ref().filter(|restart| restart.drain == drain) {
                    let (now, began) = (self.outside.now(), restart.began);
                    self.counters.tried(&restart.then, result.is_ok());
                    self.history.recorder().tried(drain, began, now, &result, output.as_deref());
                    self.output = output;
                    let took = Some(now.since(began));
                    let _ = self.step(Event::RestartEnded { result, took }).await;
                }
            }
        }
    }
}
