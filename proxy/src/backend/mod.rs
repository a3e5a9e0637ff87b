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

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use thiserror::Error;

pub use admission::{Admission, Refusal, Wish};
pub use asked::{Administration, Asked};
pub use hash::Key;
pub use operation::Operation;
pub(crate) use persistence::captured_cookie;
pub use queue::Ticket;
pub use select::Usable;
pub use server::{Checked, Elsewhere, Forced, History, IdleOrder, OpenConnection, Resumed, Server};
pub use slot::Slot;
pub use waiting::Moved;

use lineage::Lineage;
use queue::Queue;
use ring::Ring;
use select::{FULL_WEIGHT, Member, Rules, Selection};
use server::Surroundings;
use tally::Tally;
use users::Users;

use crate::served::{Peak, Served};
use crate::{admin::log::Notices, clock, config};

/// Beyond so many servers their requests are counted as they come, because adding the servers' own counters up for each
/// line of the access log would cost more.
const MANY_SERVERS: usize = 64;

/// Why a weight can't be set.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum WeightRefused {
    /// It is out of range.
    #[error("expected a weight from 0 to {most}, found {0}", most = config::Server::MAX_WEIGHT)]
    TooLarge(u16),
    /// `static-rr` and map-based hashes have the weights of the configuration.
    #[error("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.")]
    Static,
}

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

    /// The same backend by a newer configuration. Servers that keep name and address keep all that is known of them;
    /// those that are gone are unknown to requests that begin from now on. Requests that are under way end under the
    /// configuration that they began with, which may leave them no other server than one that is gone.
    pub fn renewed(self: &Arc<Self>, settings: config::Backend) -> Arc<Self> {
        // What is gone may come back while it still has requests: the newest of a name stands last.
        let generations = self.lineage.all();
        let of_all = generations.iter().chain([self]).flat_map(|generation| &generation.servers);
        let known: HashMap<_, _> = of_all.map(|server| (server.key(), server)).collect();
        let around = Surroundings { lineage: self.lineage.clone(), fullconn: settings.fullconn };
        let server = |(index, server): (usize, &config::Server)| {
            let known = known.get(&(&*server.name, server.address));
            Arc::new(known.map_or_else(
                || {
                    let users = Users::new(clock::now(), settings.users_window);
                    Server::new(index, server.clone(), users, &around)
                },
                |known| known.renewed(index, server.clone(), &around),
            ))
        };
        let servers = settings.servers.iter().enumerate().map(server).collect();
        let renewed = Self::of(settings, servers, self.lineage.clone());
        let before: HashMap<_, _> = self.servers.iter().map(|server| (server.key(), server)).collect();
        let stays: HashSet<_> = renewed.servers.iter().map(|server| server.key()).collect();
        let leaves = self.servers.iter().filter(|server| !stays.contains(&server.key()));
        let leaves: HashMap<_, _> = leaves.map(|server| (server.name(), server)).collect();
        for server in &renewed.servers {
            let operation = match (before.get(&server.key()), server.settings().check.is_some()) {
                (None, true) => Operation::Starting,
                (_, false) => Operation::Unchecked,
                // It has served without a check; nobody waits for its first one.
                (Some(_), true) if server.checks() == Operation::Unchecked => Operation::Up,
                (Some(_), true) => server.checks(),
            };
            server.users().set_window(renewed.settings.users_window);
            if operation != server.checks() {
                renewed.set_operation(server.index(), operation, false);
            }
            if !before.contains_key(&server.key()) && server.asked() != Asked::default() {
                renewed.set_asked(server.index(), Asked::default());
            }
            // An operator's order is for a name, wherever its server moves.
            let ordered = leaves.get(server.name()).map_or(Administration::Ready, |old| old.ordered());
            if !before.contains_key(&server.key()) && server.ordered() != ordered {
                renewed.set_ordered(server.index(), ordered);
            }
            if !before.contains_key(&server.key()) && server.maxconn_asked().is_some() {
                renewed.set_maxconn(server.index(), None);
            }
        }
        self.check_no_more(|server| !stays.contains(&server.key()));
        renewed
    }

    /// It is in no newer configuration. Requests that are under way go on.
    pub fn retire(self: &Arc<Self>) {
        self.check_no_more(|_| true);
    }

    /// There will be no first check of those that have had none: nobody waits for it any more.
    fn check_no_more(self: &Arc<Self>, is_gone: impl Fn(&Server) -> bool) {
        let starting = |server: &&Arc<Server>| server.checks() == Operation::Starting && is_gone(server);
        for server in self.servers.iter().filter(starting) {
            self.set_operation(server.index(), Operation::Up, false);
        }
    }

    fn of(settings: config::Backend, servers: Vec<Arc<Server>>, lineage: Arc<Lineage>) -> Arc<Self> {
        let rules = Rules::of(&settings);
        let members: Vec<Member> = servers.iter().map(|server| member(server, &rules)).collect();
        let ring = ring(&rules, &servers, None);
        let selection = Selection::new(&members, &rules, ring, None);
        let follows_load = |server: &config::Server| server.minconn.is_some();
        let limits_change = |server: &config::Server| follows_load(server) || !server.slowstart.is_zero();
        let backend = Arc::new(Self {
            queue: Mutex::new(Queue::new(members)),
            selection: ArcSwap::from_pointee(selection),
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
        });
        backend.lineage.begin(&backend);
        backend
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

    /// The most requests that have waited at once.
    pub fn most_queued(&self) -> &Peak {
        &self.lineage.most_queued
    }

    /// Its servers, in configuration order.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Requests that wait for any server.
    pub fn queued(&self) -> u32 {
        self.balanced_waiting.load(Ordering::Relaxed)
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

    /// Adds up what an earlier process has of its servers.
    pub(crate) fn count_elsewhere(&self) {
        let count = self.servers.iter().map(|server| server.elsewhere().in_flight).sum();
        self.lineage.set_elsewhere(count);
    }

    /// Servers that take new users at present: active ones and backups. A first check that is under way does not
    /// count against a server.
    pub fn usable(&self) -> Usable {
        self.selection.load().usable()
    }

    /// A server's weight as the state header says it: while it starts slowly, what it has reached, rounded up.
    pub fn effective_weight(&self, server: &Server) -> u32 {
        member(server, &self.rules).share.div_ceil(FULL_WEIGHT)
    }

    /// Says what the checks found of a server. From the moment this returns, nobody new is sent where they must not
    /// go; waiters that lost their server have been moved, and those that can go now have been let go.
    pub fn set_operation(self: &Arc<Self>, index: usize, operation: Operation, draining: bool) -> Moved {
        self.change_standing(index, |server| server.set_operation(operation, draining))
    }

    /// Says what an operator orders for a server, in the same way. All but maintenance takes back what its agent has
    /// asked, until that asks again.
    pub fn set_ordered(self: &Arc<Self>, index: usize, ordered: Administration) -> Moved {
        self.change_standing(index, |server| server.set_ordered(ordered))
    }

    /// Says what a server's agent asks for it beside that, in the same way.
    pub fn set_asked(self: &Arc<Self>, index: usize, asked: Asked) -> Moved {
        self.change_standing(index, |server| server.set_asked(asked))
    }

    /// Changes how many requests a server may have at once, 0 being any number; `None`: as the configuration says. Who
    /// waits is let go where that helps.
    pub fn set_maxconn(self: &Arc<Self>, index: usize, most: Option<u32>) -> Moved {
        let server = &self.servers[index];
        let moved = self.act_on_change(index, || server.set_maxconn(most));
        self.tell_others(server);
        moved
    }

    /// Nobody asks anything for this server any more.
    pub(crate) fn forget_agent(self: &Arc<Self>, index: usize) {
        self.set_asked(index, Asked::default());
        self.set_maxconn(index, None);
        let configured = self.servers[index].settings().weight;
        self.set_weight(index, configured).expect("every algorithm takes the configuration's own weight");
    }

    /// Makes a change that gives back what the server was before.
    fn change_standing(self: &Arc<Self>, index: usize, change: impl FnOnce(&Server) -> Operation) -> Moved {
        let server = &self.servers[index];
        let mut start = None;
        let mut before = server.operation();
        let moved = self.act_on_change(index, || {
            before = change(server);
            let now = server.operation();
            let comes_back = matches!(before, Operation::Soft | Operation::Down);
            if now.takes_new_users() && comes_back {
                start = slowstart::begin(&self.lineage, server);
            } else if !now.takes_new_users() {
                server.warmth().end();
            }
        });
        self.tell_others(server);
        self.end_sessions(server, before);
        if let Some(start) = start {
            start.go_on();
        }
        moved
    }

    /// Changes a server's weight until the configuration says another one. Who waits is let go where that helps.
    ///
    /// # Errors
    /// It is out of range, or the algorithm knows only the configuration's weight and none.
    pub fn set_weight(self: &Arc<Self>, index: usize, weight: u16) -> Result<Moved, WeightRefused> {
        let server = &self.servers[index];
        if weight > config::Server::MAX_WEIGHT {
            return Err(WeightRefused::TooLarge(weight));
        }
        if self.rules.method.is_static() && weight != 0 && weight != server.settings().weight {
            return Err(WeightRefused::Static);
        }
        let moved = self.act_on_change(index, || server.set_weight(weight));
        for other in self.lineage.others(self) {
            if let Some(known) = other.servers.iter().find(|known| known.is(server)) {
                other.act_on_change(known.index(), || known.set_weight(weight));
            }
        }
        Ok(moved)
    }

    fn tell_others(&self, server: &Server) {
        for other in self.lineage.others(self) {
            other.act_on(server);
        }
    }
}

/// What the choice must know of a server.
fn member(server: &Server, rules: &Rules) -> Member {
    let sixteenths = if rules.method.is_static() { FULL_WEIGHT } else { server.warmth().sixteenths() };
    Member {
        operation: server.operation(),
        backup: server.settings().backup,
        share: u32::from(server.weight()) * sixteenths,
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
