//! A backend: servers that serve the same thing, and who of them takes which request.
//!
//! A request asks [`Backend::admit`] and gets a [`Slot`], a [`Ticket`] to wait with, or a refusal. Where a slot is
//! free and nobody waits, that takes no lock.
//!
//! Invariants:
//! - never more slots of a server are held than its `maxconn`;
//! - a freed slot goes to the oldest waiter that may take it, before anybody who comes later;
//! - nobody waits for a server that has left: who is bound to one that is down, by a cookie or a hash, or by a hash to
//!   one that drains, moves to where others go now, and keeps its age; but for those who are to go there although it is
//!   down (`persist`, `force_persist`);
//! - nobody waits when there is neither a server to choose nor a first check under way.

mod admission;
mod announce;
mod asked;
mod census;
mod change;
mod choose;
mod cycle;
#[cfg(test)]
pub(crate) mod fixture;
mod hash;
pub mod idle;
mod limit;
mod lineage;
pub mod observed;
mod operation;
pub mod persistence;
mod queue;
mod renewal;
mod ring;
mod select;
pub mod server;
mod sessions;
mod slot;
mod slowstart;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod users;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

pub use admission::{Admission, Refusal, Wish};
pub use asked::{Administration, Asked};
pub use census::Usable;
pub use change::{Moved, WeightRefused};
pub use hash::Key;
pub use operation::Operation;
pub(crate) use persistence::captured_cookie;
pub use queue::Ticket;
pub use server::{
    Checked, Elsewhere, Forced, History, IdleOrder, JointLimit, OpenConnection, Resumed, Server, Told,
};
pub use sessions::MARKED_DOWN;
pub use slot::Slot;

use census::{Census, Member};
use lineage::Lineage;
use queue::Queue;
use ring::Ring;
use select::{FULL_WEIGHT, Rules, Selection};
use server::Surroundings;
use tally::Tally;
use users::Users;

use crate::{
    admin::log::Notices,
    clock, config,
    served::{Peak, Served},
    snapshot::Last,
};

/// Beyond so many servers their requests are counted as they come, because adding the servers' own counters up for each
/// line of the access log would cost more.
const MANY_SERVERS: usize = 64;

/// Servers that serve the same thing, by one configuration.
#[derive(Debug)]
pub struct Backend {
    settings: config::Backend,
    servers: Vec<Arc<Server>>,
    rules: Rules,
    /// Some server's limit on requests changes with time or load.
    limits_change: bool,
    /// Slots that are held are counted in the lineage.
    counts_active: bool,
    selection: ArcSwap<Selection>,
    usable: ArcSwap<Usable>,
    queue: Mutex<Queue>,
    /// Length of the common queue; changed under the lock, read without.
    balanced_waiting: AtomicU32,
    /// Who waits at all, as the lineage was told.
    all_waiting: AtomicU32,
    lineage: Arc<Lineage>,
    /// Who is told of changes.
    notices: ArcSwap<Notices>,
    /// Somebody may end the sessions of its servers at any time.
    is_commanded: AtomicBool,
}

impl Backend {
    /// A backend as the configuration describes it.
    pub fn new(settings: config::Backend) -> Arc<Self> {
        Self::resumed(settings, |_, _| {})
    }

    /// The same, but `resume` tells each server what another process knew of it ([`Server::resume`]).
    pub fn resumed(settings: config::Backend, resume: impl Fn(&config::Backend, &Server)) -> Arc<Self> {
        let around = Surroundings { lineage: Arc::default(), fullconn: settings.fullconn };
        let servers: Vec<Arc<Server>> = settings
            .servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let users = Users::new(clock::now(), settings.users_window);
                let server = Server::new(index, server.clone(), users, &around);
                resume(&settings, &server);
                Arc::new(server)
            })
            .collect();
        let backend = Self::of(settings, servers, around.lineage);
        for server in &backend.servers {
            if let Some(start) = slowstart::resumed(&backend.lineage, server) {
                start.go_on();
            }
        }
        backend
    }

    fn of(settings: config::Backend, servers: Vec<Arc<Server>>, lineage: Arc<Lineage>) -> Arc<Self> {
        let backend = Self::apart(settings, servers, lineage);
        backend.join();
        backend
    }

    /// A generation that the others do not tell of changes so far.
    fn apart(settings: config::Backend, servers: Vec<Arc<Server>>, lineage: Arc<Lineage>) -> Arc<Self> {
        let rules = Rules::of(&settings);
        let members = servers.iter().map(|server| Member::of(server, rules.method));
        let census = Census::new(members.collect());
        let ring = ring(&rules, &servers, None);
        let selection = Selection::new(&census, &rules, ring.clone(), None);
        let follows_load = |server: &config::Server| server.minconn.is_some();
        let limits_change = |server: &config::Server| follows_load(server) || !server.slowstart.is_zero();
        let usable = census.usable(&rules);
        Arc::new(Self {
            queue: Mutex::new(Queue::new(census, ring)),
            selection: ArcSwap::from_pointee(selection),
            usable: ArcSwap::from_pointee(usable),
            rules,
            limits_change: settings.servers.iter().any(limits_change),
            counts_active: servers.len() > MANY_SERVERS || settings.servers.iter().any(follows_load),
            balanced_waiting: AtomicU32::new(0),
            all_waiting: AtomicU32::new(0),
            notices: ArcSwap::default(),
            is_commanded: AtomicBool::new(false),
            settings,
            servers,
            lineage,
        })
    }

    /// From now on it is told of changes, and it acts on those of which it was not told.
    fn join(self: &Arc<Self>) {
        self.lineage.begin(self);
        let is_other =
            |(server, member): &(&Arc<Server>, &Member)| Member::of(server, self.rules.method) != **member;
        let changed: Vec<usize> = {
            let queue = self.lock();
            let pairs = self.servers.iter().zip(queue.census.members());
            pairs.filter(is_other).map(|(server, _)| server.index()).collect()
        };
        for index in changed {
            self.act_on_change(index, || {});
        }
    }

    /// Whether its servers and their weights are those of the configuration for good (HAProxy's static algorithms).
    pub fn is_static(&self) -> bool {
        self.rules.method.is_static()
    }

    /// What the configuration says of it.
    pub fn settings(&self) -> &config::Backend {
        &self.settings
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What went wrong with its servers and was made good.
    pub fn tally(&self) -> &Tally {
        &self.lineage.tally
    }

    /// From now on somebody may end the sessions of its servers at any time; before anybody sees it.
    pub(crate) fn expect_commands(&self) {
        self.is_commanded.store(true, Ordering::Relaxed);
    }

    /// What it has served, by all its configurations.
    pub fn served(&self) -> &Served {
        &self.lineage.served
    }

    /// What a server of it has sent last that was no response.
    pub fn last_bad(&self) -> &Last {
        &self.lineage.last_bad
    }

    /// The most requests that have waited at once.
    pub fn most_queued(&self) -> &Peak {
        &self.lineage.most_queued
    }

    /// Its servers, in configuration order.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Requests that wait for any server, under this configuration.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> u32 {
        self.balanced_waiting.load(Ordering::Relaxed)
    }

    /// Requests that wait, for any server or for a certain one, under whatever configuration they began.
    pub fn queued_in_all(&self) -> u32 {
        self.lineage.waiting()
    }

    /// Requests in flight on all its servers.
    pub fn in_flight(&self) -> u32 {
        if self.counts_active {
            return self.lineage.active().load(Ordering::Relaxed);
        }
        self.servers.iter().map(|server| server.in_flight()).sum()
    }

    /// Requests in flight on all its servers in an earlier process.
    pub fn in_flight_elsewhere(&self) -> u32 {
        self.lineage.elsewhere()
    }

    /// Adds up what an earlier process has of its servers, and lets go who waited for that to end.
    pub(crate) fn count_elsewhere(&self) {
        let count = self.servers.iter().map(|server| server.elsewhere().in_flight).sum();
        self.lineage.set_elsewhere(count);
        if self.lineage.waiting() > 0 {
            self.offer_to_all();
        }
    }

    /// Servers that take new users at present: active ones and backups. A first check that is under way does not
    /// count against a server.
    pub fn usable(&self) -> Usable {
        **self.usable.load()
    }

    /// A server's weight as the state header says it: while it starts slowly, what it has reached, rounded up.
    pub fn effective_weight(&self, server: &Server) -> u32 {
        Member::of(server, self.rules.method).share.div_ceil(FULL_WEIGHT)
    }
}

/// The ring, where the method needs one: the one that there is, as long as it has points for all weights.
fn ring(rules: &Rules, servers: &[Arc<Server>], before: Option<(&Arc<Ring>, &Server)>) -> Option<Arc<Ring>> {
    if rules.method != select::Method::Ring {
        return None;
    }
    let full = |weight: u16| u32::from(weight) * FULL_WEIGHT;
    match before {
        Some((ring, server)) if ring.has_points_for(server.index(), full(server.weight())) => {
            Some(ring.clone())
        }
        _ => Some(Arc::new(Ring::new(servers.iter().map(|server| {
            let most = server.weight().max(server.settings().weight);
            (server.name(), full(most))
        })))),
    }
}
