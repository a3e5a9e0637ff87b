//! What the owner gives account of: the report of each drain.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking};
use tracing::warn;

use super::{Outside, Owner, journal};
use crate::{
    agent_check::Ledger,
    clock::Moment,
    config::Config,
    lifecycle::{Effects, Ended, Outcome, Ran, Stage},
    metrics::Failed,
    report::{Record, Reports, Sample},
    systemd::watchdog::Pulse,
    traffic::Reading,
};

impl<O: Outside> Owner<O> {
    /// The reports, for who wants to read them.
    pub fn reports(&self) -> Reports {
        self.history.clone()
    }

    /// The owner's pulse, for who must know whether it lives.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Who was told `drain` in the agent protocol, for who speaks it.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// The configuration that holds, for who only reads it.
    pub fn configuration(&self) -> watch::Receiver<Arc<Config>> {
        self.shown_config.subscribe()
    }

    /// Notes what a step has brought.
    pub(super) fn account_for(&mut self, effects: &Effects, now: Moment) {
        if effects.transitions.is_empty() && effects.ended.is_empty() && effects.said.is_none() {
            return;
        }
        let mut whole = Vec::new();
        {
            let mut recorder = self.history.recorder();
            self.follow(&mut recorder, now);
            for transition in &effects.transitions {
                recorder.step(now, transition);
            }
            for ended in &effects.ended {
                self.counters.ended(ended.outcome);
            }
            whole.extend(effects.ended.iter().flat_map(|ended| recorder.ended(now, ended)));
        }
        // What was written a moment ago does not tell of this yet.
        self.records.stale = true;
        for record in whole {
            self.file(record);
        }
        if effects.ended.iter().any(|ended| ended.outcome == Outcome::Done) {
            // The look for users counts from here.
            self.errands.looked = None;
        }
    }

    /// Has a report for each drain that is under way.
    pub(super) fn follow(&self, recorder: &mut crate::report::Recorder, now: Moment) {
        let course = self.core.machine.course();
        for drain in course.drain().into_iter().chain(course.next()) {
            let begun = drain.asked.min(now);
            recorder.follow(&self.asked(drain), &self.config.server.name, begun);
        }
    }

    /// Ends the reports of drains that an earlier agent has ended, and died before it could say so here.
    pub(super) fn account_for_ended(&mut self, now: Moment) {
        let drains = Arc::clone(&self.core.drains);
        for drain in drains.iter() {
            let (outcome, text) = (drain.outcome, drain.text.clone());
            let ended = Ended { id: drain.id, outcome, text, then: drain.then.clone(), restart_took: None };
            let whole = self.history.recorder().ended_before(now, &ended);
            for record in whole {
                self.file(record);
            }
        }
    }

    /// Notes where each balancer stands.
    pub(super) fn account_for_balancers(&self, now: Moment) {
        let (Some(drain), Some(level)) = (self.core.machine.course().drain(), self.core.table.announced())
        else {
            return;
        };
        let mut recorder = self.history.recorder();
        for (key, standing) in self.core.table.standings(now) {
            if recorder.stands(drain.id, now, level, key, standing) {
                self.counters.acknowledged(level, standing);
            }
        }
    }

    /// Notes what a look has found that began `at`.
    pub(super) fn account_for_look(&mut self, at: Moment, reading: &Result<Reading, String>, now: Moment) {
        if reading.is_err() {
            self.counters.failed(Failed::Look);
        }
        let mut recorder = self.history.recorder();
        if let Some(drain) = self.core.machine.course().drain() {
            let found = reading.as_ref().ok();
            let sample = Sample {
                at: 0.0,
                in_flight: self.in_flight(),
                idle: found.map(Reading::idle),
                users: self.core.table.sessions(now).users,
            };
            recorder.seen(drain.id, now, sample);
        }
        if let (Some(since), Ok(reading)) = (recorder.awaits_users(), reading) {
            let last = if reading.in_flight() > 0 { Some(Duration::ZERO) } else { reading.spoke() };
            if let Some(ago) = last.filter(|ago| *ago <= at.since(since)) {
                let back = recorder.used(since + (at.since(since).saturating_sub(ago)));
                drop(recorder);
                self.account_for_users(&back);
            }
        }
    }

    /// How many requests are in flight, as far as any source can tell. While the server is replaced the sockets alone do:
    /// the others are not read.
    pub(super) fn in_flight(&self) -> Option<u32> {
        if matches!(self.core.machine.course().stage(), Stage::Restarting | Stage::Warming) {
            let (_, looked) = self.sources.sockets()?;
            return looked.as_ref().ok().map(Reading::in_flight);
        }
        self.sources.in_flight()
    }

    /// Tells of the drains after which users have come back, and how long after them.
    fn account_for_users(&mut self, back: &[(u64, f64)]) {
        for &(id, after) in back {
            journal::users_back(id, Some(after));
            let drains = Arc::make_mut(&mut self.core.drains);
            if let Some(drain) = drains.iter_mut().find(|drain| drain.id == id) {
                drain.users_back_seconds = Some(after);
            }
            self.status_stale = true;
        }
    }

    /// Notes how the command has ended for which a drain has held.
    pub(super) fn account_for_run(&self, drain: u64, ran: &Ran, now: Moment) {
        let mut recorder = self.history.recorder();
        let command = recorder.records().find(|record| record.drain == drain);
        let command = command.and_then(|record| record.command.clone()).unwrap_or_default();
        journal::ran(drain, &command, ran);
        let result = ran.failure.clone().map_or(Ok(()), Err);
        let began = now.before(Duration::from_millis(ran.took_ms));
        recorder.tried(drain, began, now, &result, None);
    }

    /// Whether it is to be looked whether users are back.
    pub(super) fn looks_for_users(&self) -> bool {
        self.core.machine.course().stage() == Stage::Up && self.history.recorder().awaits_users().is_some()
    }

    /// Files the reports that have become whole.
    pub(super) fn file_whole(&mut self, now: Moment) {
        let whole = self.history.recorder().whole(now);
        for record in whole {
            if record.users_back_at.is_none() {
                journal::users_back(record.drain, None);
            }
            self.file(record);
        }
        while self.filing.try_join_next().is_some() {}
    }

    /// Adds a report to the history, off this thread.
    fn file(&mut self, record: Record) {
        let history = Arc::clone(self.history.file());
        let counters = self.counters.clone();
        self.records.stale = true;
        self.filing.spawn(async move {
            let path = history.path().to_owned();
            // An agent that died in a moment like this has written it, and not that it did.
            let append = move || if history.has(&record) { Ok(()) } else { history.append(&record) };
            let written = spawn_blocking(append).await;
            if let Ok(Err(error)) = written {
                counters.failed(Failed::Report);
                warn!(%error, "the report of the drain is lost: can't write {}", path.display());
            }
        });
    }
}
