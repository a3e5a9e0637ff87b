//! Whoever looks: takes snapshots, and looks once a second at what only shows over time.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::rate::{Cleared, EVERY, Rate, Seen};
use super::{Info, Snapshot, collect, process};
use crate::backend::Server;
use crate::exchange::Pages;
use crate::served::{Counter, Served};
use crate::worker::Generation;

/// The statistics of the running proxy. Nothing here is locked on the way of a request.
#[derive(Debug)]
pub struct Statistics {
    generation: ArcSwap<Generation>,
    /// What stays as it is.
    pub(in crate::admin) facts: Facts,
    /// How often a kept file could not be written.
    unwritten: AtomicU64,
    /// What makes them for clients.
    pages: OnceLock<Arc<dyn Pages + Send + Sync>>,
    seen: Mutex<AllSeen>,
}

/// What stays as it is while the process runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it started.
    pub started: Instant,
    /// The same, by the wall clock.
    pub started_wall: SystemTime,
    /// This machine's name.
    pub node: String,
    /// Cores at work.
    pub threads: usize,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct AllSeen {
    /// Of each frontend, backend and server, by the place of what it has served.
    of: HashMap<usize, Seen>,
    pub(super) process: Process,
}

/// What has been seen of the whole process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) connections: Rate,
    pub(super) bytes_out: Rate,
    /// Processor time used, in microseconds.
    pub(super) busy: Rate,
}

impl AllSeen {
    /// Of what has served this.
    pub(super) fn of(&self, served: &Served) -> Seen {
        self.of.get(&place(served)).cloned().unwrap_or_default()
    }
}

/// Its address tells one from all others for as long as it is there.
fn place(served: &Served) -> usize {
    std::ptr::from_ref(served).addr()
}

impl Statistics {
    /// Those of a process that begins with this.
    pub fn new(generation: Arc<Generation>, facts: Facts) -> Arc<Self> {
        let (unwritten, seen) = (AtomicU64::new(0), Mutex::default());
        let (generation, pages) = (ArcSwap::new(generation), OnceLock::new());
        Arc::new(Self { generation, facts, unwritten, pages, seen })
    }

    /// From now on these make what clients see of them. Only the first call counts.
    pub(in crate::admin) fn show(&self, pages: Arc<dyn Pages + Send + Sync>) {
        self.generation().show(Arc::downgrade(self.pages.get_or_init(|| pages)));
    }

    /// The process works by this from now on.
    pub fn follow(&self, generation: Arc<Generation>) {
        if let Some(pages) = self.pages.get() {
            generation.show(Arc::downgrade(pages));
        }
        self.generation.store(generation);
    }

    /// What the process works by.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// How things are.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let generation = self.generation();
        let seen = self.lock();
        Snapshot {
            info: process::info(&generation, &seen, &self.facts, now),
            rows: collect::rows(&generation, &seen, &self.facts, now),
        }
    }

    /// The process alone, which takes no time however many servers there are.
    pub fn info(&self, now: Instant) -> Info {
        process::info(&self.generation(), &self.lock(), &self.facts, now)
    }

    /// A kept file could not be written.
    pub(crate) fn note_unwritten(&self) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was.
    pub(in crate::admin) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Looks once a second, for ever.
    pub async fn watch(&self) {
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.look(crate::clock::now());
        }
    }

    /// Looks at what only shows over time.
    pub fn look(&self, now: Instant) {
        let generation = self.generation();
        let mut seen = self.lock();
        let AllSeen { of, process } = &mut *seen;
        let mut there = HashSet::with_capacity(of.len());
        let (mut connections, mut bytes_out) = (0, 0);
        for frontend in generation.frontends() {
            let served = &frontend.open.served;
            there.insert(place(served));
            let seen = of.entry(place(served)).or_default();
            let totals = served.totals();
            seen.sessions.look(totals.of(Counter::Connections), now);
            seen.requests.look(totals.of(Counter::Requests), now);
            connections += totals.of(Counter::Connections);
            bytes_out += totals.of(Counter::BytesOut);
        }
        for backend in generation.backends() {
            let mut most = 0;
            for server in backend.servers() {
                there.insert(place(server.served()));
                let seen = of.entry(place(server.served())).or_default();
                seen.sessions.look(server.requests(), now);
                most += server.in_flight();
            }
            there.insert(place(backend.served()));
            let seen = of.entry(place(backend.served())).or_default();
            seen.sessions.look(backend.served().totals().of(Counter::Requests), now);
            seen.most = seen.most.max(most);
            let usable = backend.usable();
            seen.turn(usable.active + usable.backup == 0, now);
        }
        of.retain(|place, _| there.contains(place));
        process.connections.look(connections, now);
        process.bytes_out.look(bytes_out, now);
        process.busy.look(process::busy().as_micros() as u64, now);
    }

    /// Forgets what was highest; with `all`, counts everything anew.
    pub fn clear(&self, all: bool) {
        let generation = self.generation();
        let mut seen = self.lock();
        for frontend in generation.frontends() {
            frontend.open.most.forget();
            let seen = seen.of.entry(place(&frontend.open.served)).or_default();
            clear(seen, &frontend.open.served, 0, all);
        }
        for backend in generation.backends() {
            backend.most_queued().forget();
            clear(seen.of.entry(place(backend.served())).or_default(), backend.served(), 0, all);
            for server in backend.servers() {
                clear_server(server, all);
                let seen = seen.of.entry(place(server.served())).or_default();
                clear(seen, server.served(), server.requests(), all);
            }
        }
        let Process { connections, bytes_out, .. } = &mut seen.process;
        (connections.most, bytes_out.most) = (0, 0);
    }

    fn lock(&self) -> MutexGuard<'_, AllSeen> {
        // Nothing under the lock can leave it half changed.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clear_server(server: &Server, all: bool) {
    server.most_in_flight().forget();
    server.most_queued().forget();
    if all {
        server.clear_history();
    }
}

fn clear(seen: &mut Seen, served: &Served, sessions: u64, all: bool) {
    served.forget_most();
    (seen.sessions.most, seen.requests.most, seen.most) = (0, 0, 0);
    if all {
        let (totals, downs) = (served.totals(), seen.downs);
        seen.cleared = Some(Box::new(Cleared { totals, sessions, downs }));
    }
}

/// How long ago it was, at least nothing.
pub(super) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
