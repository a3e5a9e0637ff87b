//! What is read of the sources of traffic, and when the configured ones are.

use std::{sync::Arc, time::Duration};

use super::{
    Outside, Owner,
    errands::Report,
    journal,
    schedule::{self, Look},
};
use crate::{
    clock::Moment,
    config::{AccessLog, Lines, Traffic},
    lifecycle::Stage,
    traffic::{Reading, quiet::During, sources::News},
};

/// The readings of the configured sources.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// Counts the sets of sources: each reload makes another one, and readings of an old one say nothing of it.
    set: u64,
    /// Of each source, as far as one has begun.
    each: Vec<Begun>,
}

/// The last reading of a source.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    at: Option<Moment>,
    under_way: bool,
}

/// The least time between two questions to a gauge, or to `journalctl`, however close quiet is.
const LEAST: Duration = Duration::from_millis(50);
/// The time between two questions to `journalctl` while a drain waits: each takes 10 to 50 ms of CPU.
const JOURNAL: Duration = Duration::from_secs(1);
/// The same while none does: at 50 ms it is a ten thousandth of a core.
const JOURNAL_IN_USE: Duration = Duration::from_mins(10);
/// Who asks for the status gets readings that are no older.
const FRESH: Duration = Duration::from_secs(1);

impl Readings {
    /// There are other sources.
    pub(super) fn begin_anew(&mut self) {
        self.set += 1;
        self.each.clear();
    }

    /// All are due at once; what is under way is still used.
    pub(super) fn due(&mut self) {
        for begun in &mut self.each {
            begun.at = None;
        }
    }

    /// Whether one is under way.
    pub(super) fn any(&self) -> bool {
        self.each.iter().any(|begun| begun.under_way)
    }

    fn of(&self, index: usize) -> Begun {
        self.each.get(index).copied().unwrap_or_default()
    }

    fn of_mut(&mut self, index: usize) -> &mut Begun {
        if self.each.len() <= index {
            self.each.resize(index + 1, Begun::default());
        }
        &mut self.each[index]
    }
}

impl<O: Outside> Owner<O> {
    /// Starts the readings that are due.
    pub(super) fn start_readings(&mut self, now: Moment) {
        for index in 0..self.config.traffic.len() {
            if self.next_reading(index, now).is_none_or(|next| next > now) {
                continue;
            }
            *self.readings.of_mut(index) = Begun { at: Some(now), under_way: true };
            let (outside, report, set) = (Arc::clone(&self.outside), self.report.clone(), self.readings.set);
            tokio::spawn(async move {
                let reading = outside.read(index).await;
                let at = During { began: now, ended: outside.now() };
                let _ = report.send(Report::Read { set, index, at, reading }).await;
            });
        }
    }

    /// When the configured source `index` is to be read; `None` while that has to wait for something else.
    pub(super) fn next_reading(&self, index: usize, now: Moment) -> Option<Moment> {
        let begun = self.readings.of(index);
        if begun.under_way {
            return None;
        }
        let traffic = self.config.traffic.get(index)?;
        // A gauge would count the agent's own requests, a probe or another gauge's.
        let is_gauge = matches!(traffic, Traffic::Gauge(_));
        if is_gauge && (self.errands.probing || self.counting() || self.is_probes_turn(begun.at, now)) {
            return None;
        }
        if self.errands.looking && self.is_looked_at(traffic) {
            return None;
        }
        let stage = self.core.machine.course().stage();
        if matches!(stage, Stage::Restarting | Stage::Warming) {
            // There may be nobody to ask, and nobody waits for it.
            return None;
        }
        let Some(last) = begun.at else { return Some(now) };
        if !self.curious.is_empty() && now.since(last) > FRESH {
            return Some(now);
        }
        let due = self.due(now);
        // A reading costs the server nothing that could be too much.
        let begun = Look { began: last, took: Duration::ZERO };
        let next = schedule::next_look(&self.core.machine, Some(begun), due, now);
        let interval = match traffic {
            Traffic::AccessLog(AccessLog { lines: Lines::File(_), .. }) => return Some(next),
            Traffic::AccessLog(_) if matches!(stage, Stage::Up | Stage::Failed) => JOURNAL_IN_USE,
            Traffic::AccessLog(_) => JOURNAL,
            Traffic::Gauge(gauge) => gauge.interval,
        };
        let regular = next.max(last + interval);
        Some(due.map_or(regular, |due| regular.min(due.max(last + LEAST))))
    }

    /// Whether a gauge is asked on one of the server's unix sockets, where the kernel does not tell whose a connection is.
    fn is_looked_at(&self, traffic: &Traffic) -> bool {
        let Traffic::Gauge(gauge) = traffic else { return false };
        gauge.unix.as_ref().is_some_and(|path| self.config.server.unix.contains(path))
    }

    /// Whether that is done at the moment.
    pub(super) fn asks_where_it_looks(&self) -> bool {
        let traffic = self.config.traffic.iter().enumerate();
        traffic
            .filter(|(_, traffic)| self.is_looked_at(traffic))
            .any(|(index, _)| self.readings.of(index).under_way)
    }

    /// Whether a reading is under way that counts all requests of the server.
    pub(super) fn counting(&self) -> bool {
        let gauges = self.config.traffic.iter().enumerate();
        gauges
            .filter(|(_, traffic)| matches!(traffic, Traffic::Gauge(_)))
            .any(|(index, _)| self.readings.of(index).under_way)
    }

    /// Takes what a reading of a configured source that began `at` has found.
    pub(super) async fn read_at(
        &mut self,
        set: u64,
        index: usize,
        at: During,
        reading: Result<Reading, String>,
    ) {
        if set != self.readings.set {
            return;
        }
        self.readings.of_mut(index).under_way = false;
        self.status_stale = true;
        let news = self.sources.read(index, at, reading);
        self.see().await;
        self.tell(news, self.outside.now());
    }

    /// Takes what a look has found that was made `at` this time.
    pub(super) async fn looked_at(&mut self, at: During, reading: Result<Reading, String>) {
        self.errands.looking = false;
        self.errands.look_took = self.outside.now().since(at.began);
        self.hear();
        let server = self.core.machine.server();
        let reading = reading.and_then(|reading| reading.of_server(server));
        let now = self.outside.now();
        let sessions = self.core.table.sessions(now);
        let soft = self.core.machine.course().stage() == Stage::Soft;
        if reading.as_ref().is_ok_and(|reading| reading.in_flight() + reading.idle() == 0) {
            Arc::make_mut(&mut self.core.table).nothing_open();
        }
        self.status_stale = true;
        let news = self.sources.look(at, reading.clone(), sessions, soft);
        self.account_for_look(at.began, &reading, now);
        self.see().await;
        self.tell(news, now);
        if !self.curious.is_empty() {
            self.publish_status(now);
            for looked in self.curious.drain(..) {
                // Who does not wait any more has the status as it was.
                let _ = looked.send(());
            }
        }
    }

    /// Whether the server was stopped by a drain, and is held out for that.
    pub(super) fn is_stopped(&self) -> bool {
        let drain = self.core.machine.course().drain();
        drain.is_some_and(|drain| drain.stopped)
    }

    /// Says at once that a source can't be read any more, or can be again.
    fn tell(&mut self, news: Option<News>, now: Moment) {
        let Some(news) = news else { return };
        journal::source(&news, self.core.machine.needed_quiet().is_some(), self.is_stopped());
        self.publish_status(now);
    }
}
