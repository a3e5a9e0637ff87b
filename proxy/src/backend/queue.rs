//! Requests that wait for a slot, oldest first.
//!
//! One line per server for requests that are bound to it, by a cookie or a hash, and one for those that any server may
//! take. A freed slot serves the older of the two heads that may take it. The lock around it is held for a few map
//! operations and never across an await; answers are sent after it is released, because an answer that nobody takes
//! gives its slot back.
//!
//! There is no limit of its own but a server's `maxqueue`: each waiter is one client connection, and those are limited
//! by `limits.connections`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::census::Census;
use super::hash::Key;
use super::ring::Ring;
use super::{Backend, Refusal, Slot};

/// Sent to a waiter once.
pub(super) type Answer = Result<Slot, Refusal>;
pub(super) type Reply = oneshot::Sender<Answer>;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) reply: Reply,
    pub(super) bond: Bond,
}

/// How long a request stays in the line of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bond {
    /// Until that is down.
    Cookie,
    /// Until new users go elsewhere: where a hash leads, if the request has a key.
    New { key: Option<Key>, avoid: Option<usize> },
    /// For good.
    Forced,
}

/// Where a request waits: for this server, or for any.
pub(super) type Place = Option<usize>;

/// Waiters by their number, which grows with time.
#[derive(Debug)]
pub(super) struct Queue {
    next_number: u64,
    balanced: BTreeMap<u64, Waiter>,
    /// By server index.
    bound: Vec<BTreeMap<u64, Waiter>>,
    places: HashMap<u64, Place>,
    /// Servers for which somebody waits.
    busy: BTreeSet<usize>,
    /// Servers whose lines have changed since they were counted.
    pub(super) changed: Vec<usize>,
    /// What the choice is made of.
    pub(super) census: Census,
    /// The ring, where the method needs one.
    pub(super) ring: Option<Arc<Ring>>,
}

impl Queue {
    pub(super) fn new(census: Census, ring: Option<Arc<Ring>>) -> Self {
        Self {
            next_number: 0,
            balanced: BTreeMap::new(),
            bound: census.members().iter().map(|_| BTreeMap::new()).collect(),
            places: HashMap::new(),
            busy: BTreeSet::new(),
            changed: Vec::new(),
            census,
            ring,
        }
    }

    /// Enters a waiter; gives its number, and how many are before it.
    pub(super) fn enter(&mut self, place: Place, waiter: Waiter) -> (u64, usize) {
        let number = self.next_number;
        self.next_number += 1;
        let before = self.waiting_at(place);
        self.put(number, place, waiter);
        (number, before)
    }

    /// How many wait there.
    pub(super) fn waiting_at(&self, place: Place) -> usize {
        place.map_or(&self.balanced, |index| &self.bound[index]).len()
    }

    /// Where this one waits, if it does.
    fn place_of(&self, number: u64) -> Place {
        self.places.get(&number).copied().flatten()
    }

    /// How many wait at all.
    pub(super) fn waiting(&self) -> usize {
        self.places.len()
    }

    /// Servers for which somebody waits.
    pub(super) fn busy(&self) -> Vec<usize> {
        self.busy.iter().copied().collect()
    }

    /// Takes out the oldest waiter of a line.
    pub(super) fn pop(&mut self, place: Place) -> Option<Waiter> {
        let line = place.map_or(&self.balanced, |index| &self.bound[index]);
        let number = *line.first_key_value()?.0;
        self.take(number)
    }

    /// Takes out the waiter to whom a slot of this server goes.
    pub(super) fn next_for(&mut self, index: usize, bound: bool, balanced: bool) -> Option<Waiter> {
        let head = |line: &BTreeMap<u64, Waiter>| line.first_key_value().map(|(&number, _)| number);
        let own = head(&self.bound[index]).filter(|_| bound);
        let any = head(&self.balanced).filter(|_| balanced);
        let oldest = [own, any].into_iter().flatten().min()?;
        self.take(oldest)
    }

    /// Moves waiters to where `place` says that they belong now, if anywhere else; they keep their age. Tells how many
    /// left the line of each server by calling `moved`.
    pub(super) fn resettle(&mut self, place: impl Fn(Place, Bond) -> Place, mut moved: impl FnMut(Place)) {
        let numbers: Vec<(u64, Place)> =
            self.places.iter().map(|(&number, &place)| (number, place)).collect();
        for (number, before) in numbers {
            let line = before.map_or(&self.balanced, |index| &self.bound[index]);
            let Some(waiter) = line.get(&number) else { continue };
            let now = place(before, waiter.bond);
            if now != before
                && let Some(waiter) = self.take(number)
            {
                self.put(number, now, waiter);
                moved(before);
            }
        }
    }

    /// Takes a waiter out who no longer waits, if it still does.
    fn take(&mut self, number: u64) -> Option<Waiter> {
        let place = self.places.remove(&number)?;
        let Some(index) = place else { return self.balanced.remove(&number) };
        let line = &mut self.bound[index];
        let waiter = line.remove(&number);
        if line.is_empty() {
            self.busy.remove(&index);
        }
        self.changed.push(index);
        waiter
    }

    fn put(&mut self, number: u64, place: Place, waiter: Waiter) {
        self.places.insert(number, place);
        let Some(index) = place else {
            self.balanced.insert(number, waiter);
            return;
        };
        self.bound[index].insert(number, waiter);
        self.busy.insert(index);
        self.changed.push(index);
    }
}

/// A place in a queue; becomes a slot, or a refusal when nobody is left who could take the request. Dropping it
/// leaves the queue, and gives back a slot that was granted in the same moment. The time limit is the caller's.
#[derive(Debug)]
pub struct Ticket {
    pub(super) backend: Arc<Backend>,
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) before: usize,
    pub(super) answer: oneshot::Receiver<Answer>,
    pub(super) is_answered: bool,
}

impl Ticket {
    /// How many stood before it in its queue when it came.
    pub fn before(&self) -> usize {
        self.before
    }

    /// The server for which it waits now; `None`: for any.
    pub fn server(&self) -> Option<usize> {
        self.backend.lock().place_of(self.number)
    }

    /// Whether it waits in the queue of one server (and not in that of the backend).
    pub fn is_pinned(&self) -> bool {
        self.place.is_some()
    }
}

impl Future for Ticket {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // The sender is dropped without an answer only with the backend, which this ticket holds.
        let answer = Pin::new(&mut self.answer).poll(context);
        self.is_answered = answer.is_ready();
        answer.map(|answer| answer.unwrap_or(Err(Refusal::NoServer)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // After an answer there is nothing to leave, and no lock to take for it.
        if !self.is_answered {
            self.backend.leave_queue(|queue| drop(queue.take(self.number)));
        }
    }
}
