//! A backend: servers that serve the same thing, and who of them takes which request.
//!
//! A request asks [`Backend::admit`] and gets a [`Slot`], a [`Ticket`] to wait with, or a refusal. Where a slot is
//! free and nobody waits, that takes no lock.
//!
//! Invariants:
//! - never more slots of a server are held than its `maxconn`;
//! - a freed slot goes to the oldest waiter that may take it, before anybody who comes later;
//! - nobody waits for a server that is down: pinned waiters move to the common queue and keep their age;
//! - nobody waits when there is neither a server to choose nor a first check under way.

mod announce;
#[cfg(test)]
pub(crate) mod fixture;
pub mod idle;
mod lineage;
pub mod persistence;
mod queue;
mod select;
pub mod server;
#[cfg(test)]
mod tests;
pub mod users;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::oneshot;

pub(crate) use persistence::captured_cookie;
pub use queue::Ticket;
pub use server::{Elsewhere, IdleOrder, OpenConnection, Operation, Server};

use lineage::Lineage;
use queue::{Answer, Queue, Reply};
use select::Selection;
use users::Users;

use crate::{admin::log::Notices, clock, config};

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// The server that its cookie names, by index; another one if that is down.
    Pinned(usize),
    /// The server that its cookie names, by index, although that is down (`persist`, `force_persist`); any, where that
    /// has no slot free.
    Forced(usize),
    /// Any server, by turns; not this one if there is another (it has just failed).
    Balanced {
        /// Index of the server to avoid.
        avoid: Option<usize>,
    },
}

/// What a request gets.
#[derive(Debug)]
pub enum Admission {
    /// It may go at once.
    Granted(Slot),
    /// It waits.
    Queued(Ticket),
    /// It can't be served.
    Refused(Refusal),
}

/// Why a request can't be served.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// Answered with 503, logged as `SC`.
    #[error("no server of the backend can take the request: all are down, draining or without weight")]
    NoServer,
}

/// Servers that serve the same thing, by one configuration.
#[derive(Debug)]
pub struct Backend {
    settings: config::Backend,
    servers: Vec<Arc<Server>>,
    selection: ArcSwap<Selection>,
    queue: Mutex<Queue>,
    /// Length of the common queue; changed under the lock, read without.
    balanced_waiting: AtomicU32,
    /// Who waits at all, as the lineage was told.
    all_waiting: AtomicU32,
    lineage: Arc<Lineage>,
    /// Who is told of changes.
    notices: ArcSwap<Notices>,
}

impl Backend {
    /// A backend as the configuration describes it.
    pub fn new(settings: config::Backend) -> Arc<Self> {
        let servers: Vec<Arc<Server>> = settings
            .servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let users = Users::new(clock::now(), settings.users_window);
                Arc::new(Server::new(index, server.clone(), users))
            })
            .collect();
        Self::of(settings, servers, Arc::default())
    }

    /// The same backend by a newer configuration. Servers that keep name and address keep all that is known of them;
    /// those that are gone take nobody any more, but finish what they have. Requests that are under way end under the
    /// configuration that they began with.
    pub fn renewed(self: &Arc<Self>, settings: config::Backend) -> Arc<Self> {
        // What is gone may come back while it still has requests: the newest of a name stands last.
        let generations = self.lineage.all();
        let of_all = generations.iter().chain([self]).flat_map(|generation| &generation.servers);
        let known: HashMap<_, _> = of_all.map(|server| (server.key(), server)).collect();
        let server = |(index, server): (usize, &config::Server)| {
            let known = known.get(&(&*server.name, server.address));
            Arc::new(known.map_or_else(
                || Server::new(index, server.clone(), Users::new(clock::now(), settings.users_window)),
                |known| known.renewed(index, server.clone()),
            ))
        };
        let servers = settings.servers.iter().enumerate().map(server).collect();
        let renewed = Self::of(settings, servers, self.lineage.clone());
        let before: HashMap<_, _> = self.servers.iter().map(|server| (server.key(), server)).collect();
        for server in &renewed.servers {
            let operation = match (before.get(&server.key()), server.settings().check.is_some()) {
                (None, true) => Operation::Starting,
                (_, false) => Operation::Unchecked,
                // It has served without a check; nobody waits for its first one.
                (Some(_), true) if server.operation() == Operation::Unchecked => Operation::Up,
                (Some(_), true) => continue,
            };
            renewed.set_operation(server.index(), operation, false);
        }
        let stays: HashSet<_> = renewed.servers.iter().map(|server| server.key()).collect();
        for gone in self.servers.iter().filter(|server| !stays.contains(&server.key())) {
            self.set_operation(gone.index(), Operation::Down, true);
        }
        renewed
    }

    fn of(settings: config::Backend, servers: Vec<Arc<Server>>, lineage: Arc<Lineage>) -> Arc<Self> {
        let selection = Selection::new(&servers, settings.when_all_drain);
        let backend = Arc::new(Self {
            queue: Mutex::new(Queue::new(servers.len())),
            selection: ArcSwap::from_pointee(selection),
            balanced_waiting: AtomicU32::new(0),
            all_waiting: AtomicU32::new(0),
            notices: ArcSwap::default(),
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
        self.servers.iter().map(|server| server.in_flight()).sum()
    }

    /// Servers that take new users at present: active ones and backups. A first check that is under way does not
    /// count against a server.
    pub fn usable(&self) -> Usable {
        let usable = |backup: bool| {
            let of_kind = self.servers.iter().filter(move |server| server.settings().backup == backup);
            of_kind.filter(|server| {
                let operation = server.operation();
                let takes_new_users = operation.takes_new_users() || operation == Operation::Starting;
                takes_new_users && server.settings().weight > 0
            })
        };
        let weights = usable(false).map(|server| u32::from(server.settings().weight));
        let first_backup = usable(true).next().map_or(0, |server| u32::from(server.settings().weight));
        let (active, backup) = (usable(false).count(), usable(true).count());
        Usable { active, backup, weight: if active > 0 { weights.sum() } else { first_backup } }
    }

    /// A slot for a request, or a place to wait.
    pub fn admit(self: &Arc<Self>, wish: Wish) -> Admission {
        let pinned_to = match wish {
            Wish::Pinned(index) if self.servers[index].operation().keeps_pinned_users() => Some(index),
            _ => None,
        };
        let avoid = match wish {
            Wish::Balanced { avoid } => avoid,
            Wish::Pinned(_) | Wish::Forced(_) => None,
        };
        if let Wish::Forced(index) = wish
            && self.servers[index].try_take()
        {
            let mut slot = self.slot(index);
            slot.is_forced = true;
            return Admission::Granted(slot);
        }
        if let Some(index) = self.take_without_waiting(pinned_to, avoid) {
            return Admission::Granted(self.slot(index));
        }
        self.wait(pinned_to)
    }

    /// Says what the checks found of a server. From the moment this returns, nobody new is sent where they must not
    /// go; waiters that lost their server have been moved, and those that can go now have been let go.
    pub fn set_operation(self: &Arc<Self>, index: usize, operation: Operation, draining: bool) -> Moved {
        let server = &self.servers[index];
        let moved = self.act_on_change(index, || {
            server.set_operation(operation, draining);
        });
        for other in self.lineage.others(self) {
            if let Some(known) = other.servers.iter().find(|known| known.is(server)) {
                other.act_on_change(known.index(), || {});
            }
        }
        moved
    }

    fn act_on_change(self: &Arc<Self>, index: usize, change: impl FnOnce()) -> Moved {
        let mut answers = Vec::new();
        let mut moved = Moved::default();
        {
            let mut queue = self.lock();
            change();
            self.selection.store(Arc::new(Selection::new(&self.servers, self.settings.when_all_drain)));
            if !self.servers[index].operation().keeps_pinned_users() {
                let mut expelled = std::mem::take(&mut queue.pinned[index]);
                moved.requeued = expelled.len();
                queue.balanced.append(&mut expelled);
            }
            self.let_go(&mut queue, &mut answers);
            self.count_waiting(&queue);
            moved.remaining = queue.pinned[index].len();
            moved.total = queue.balanced.len() + queue.pinned.iter().map(BTreeMap::len).sum::<usize>();
        }
        send(answers);
        moved
    }

    /// Whether a request that holds a slot of this server may still be sent there: its user has stayed welcome while
    /// it waited.
    pub fn still_takes(&self, index: usize, pinned: bool) -> bool {
        let pinned = pinned && self.servers[index].operation().keeps_pinned_users();
        pinned || self.selection.load().contains(index)
    }

    /// The lock-free path: nobody waits and a slot is free.
    fn take_without_waiting(&self, pinned_to: Option<usize>, avoid: Option<usize>) -> Option<usize> {
        if let Some(index) = pinned_to {
            return (self.is_free_of_waiters(index) && self.take_pinned(index)).then_some(index);
        }
        if self.balanced_waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.selection
            .load()
            .take_next(avoid, |index| self.is_free_of_waiters(index) && self.servers[index].try_take())
    }

    fn is_free_of_waiters(&self, index: usize) -> bool {
        self.servers[index].waiting().load(Ordering::SeqCst) == 0
    }

    fn take_pinned(&self, index: usize) -> bool {
        let server = &self.servers[index];
        server.operation().answers_now() && server.try_take()
    }

    fn wait(self: &Arc<Self>, pinned_to: Option<usize>) -> Admission {
        let (reply, mut answer) = oneshot::channel();
        let mut answers = Vec::new();
        let (number, before) = {
            let mut queue = self.lock();
            // The server may have gone down since the caller looked.
            let pinned_to = pinned_to.filter(|&index| self.servers[index].operation().keeps_pinned_users());
            let entered = queue.enter(pinned_to, reply);
            self.count_waiting(&queue);
            // From here on who gives a slot back sees this waiter; who gave one back before is seen by this.
            self.let_go(&mut queue, &mut answers);
            self.count_waiting(&queue);
            entered
        };
        send(answers);
        match answer.try_recv() {
            Ok(Ok(slot)) => Admission::Granted(slot),
            Ok(Err(refusal)) => Admission::Refused(refusal),
            Err(_) => Admission::Queued(Ticket { backend: self.clone(), number, pinned_to, before, answer }),
        }
    }

    /// Lets go whoever can: each line as far as slots are free; the common one is refused when there is nobody left
    /// who could ever serve it.
    fn let_go(self: &Arc<Self>, queue: &mut Queue, answers: &mut Vec<(Reply, Answer)>) {
        let selection = self.selection.load();
        for (index, line) in queue.pinned.iter_mut().enumerate() {
            while !line.is_empty() && self.take_pinned(index) {
                let (_, reply) = line.pop_first().expect("the line is not empty");
                answers.push((reply, Ok(self.slot(index))));
            }
        }
        if selection.is_empty() && !selection.is_pending() {
            let refused = std::mem::take(&mut queue.balanced).into_values();
            answers.extend(refused.map(|reply| (reply, Err(Refusal::NoServer))));
            return;
        }
        while !queue.balanced.is_empty() {
            let Some(index) = selection.take_next(None, |index| self.servers[index].try_take()) else {
                return;
            };
            let (_, reply) = queue.balanced.pop_first().expect("the line is not empty");
            answers.push((reply, Ok(self.slot(index))));
        }
    }

    /// Passes a slot on to the oldest waiter that may take it, or gives it back.
    ///
    /// No wake-up is lost: who begins to wait counts itself and then looks for a free slot; who gives back frees the
    /// slot and then looks at the count. One of the two sees the other.
    fn release(self: &Arc<Self>, index: usize) {
        let server = &self.servers[index];
        let mut answers = Vec::new();
        if self.lineage.shares_slots() {
            server.give_back();
        } else if self.someone_waits(index) {
            let mut queue = self.lock();
            let pinned = server.operation().answers_now();
            let balanced = self.selection.load().contains(index);
            match queue.next_for(index, pinned, balanced) {
                Some(reply) => answers.push((reply, Ok(self.slot(index)))),
                None => server.give_back(),
            }
            self.count_waiting(&queue);
        } else {
            server.give_back();
            if self.someone_waits(index) {
                let mut queue = self.lock();
                self.let_go(&mut queue, &mut answers);
                self.count_waiting(&queue);
            }
        }
        send(answers);
        if self.lineage.shares_slots() {
            self.offer_to_all();
        }
    }

    /// Lets go whoever can in all generations.
    fn offer_to_all(&self) {
        for generation in self.lineage.all() {
            let mut answers = Vec::new();
            {
                let mut queue = generation.lock();
                generation.let_go(&mut queue, &mut answers);
                generation.count_waiting(&queue);
            }
            send(answers);
        }
    }

    fn someone_waits(&self, index: usize) -> bool {
        self.balanced_waiting.load(Ordering::SeqCst) > 0 || !self.is_free_of_waiters(index)
    }

    fn leave_queue(&self, leave: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        leave(&mut queue);
        self.count_waiting(&queue);
    }

    fn count_waiting(&self, queue: &Queue) {
        self.balanced_waiting.store(queue.balanced.len() as u32, Ordering::SeqCst);
        for (server, line) in self.servers.iter().zip(&queue.pinned) {
            server.waiting().store(line.len() as u32, Ordering::SeqCst);
        }
        let all = queue.balanced.len() + queue.pinned.iter().map(BTreeMap::len).sum::<usize>();
        let before = self.all_waiting.swap(all as u32, Ordering::SeqCst);
        self.lineage.count_waiting(before, all as u32);
    }

    fn slot(self: &Arc<Self>, index: usize) -> Slot {
        self.servers[index].count_request();
        Slot { backend: self.clone(), index, is_forced: false }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can leave it half changed; a panic elsewhere must not stop every request.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Servers that take new users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usable {
    /// Those that are no backups.
    pub active: usize,
    /// Backups.
    pub backup: usize,
    /// The weights of those among whom new users are shared out.
    pub weight: u32,
}

/// What a change of a server did to those who waited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moved {
    /// Moved from this server's queue to the common one.
    pub requeued: usize,
    /// Still waiting for this server.
    pub remaining: usize,
    /// Still waiting in the backend.
    pub total: usize,
}

/// The right to send one request to one server; counted as in flight until it is dropped.
#[derive(Debug)]
pub struct Slot {
    backend: Arc<Backend>,
    index: usize,
    /// The request goes there whatever becomes of the server.
    is_forced: bool,
}

impl Slot {
    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.backend.servers[self.index]
    }

    /// Whether the request may still be sent to the server: its user, who is `pinned` to it or not, has stayed welcome.
    pub fn stays(&self, pinned: bool) -> bool {
        self.is_forced || self.backend.still_takes(self.index, pinned)
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.backend.release(self.index);
    }
}

/// Outside the lock: an answer that nobody takes drops its slot here, which goes on to the next waiter.
fn send(answers: Vec<(Reply, Answer)>) {
    for (reply, answer) in answers {
        drop(reply.send(answer));
    }
}
