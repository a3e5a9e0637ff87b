//! Requests that wait for a slot, oldest first.
//!
//! One queue per server for pinned requests, one for those that any server may take. A freed slot serves the older
//! of the two heads that may take it. The lock around it is held for a few map operations and never across an
//! await; answers are sent after it is released, because an answer that nobody takes gives its slot back.
//!
//! There is no limit of its own: each waiter is one client connection, and those are limited by
//! `limits.connections`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::{Backend, Refusal, Slot};

/// Sent to a waiter once.
pub(super) type Answer = Result<Slot, Refusal>;
pub(super) type Reply = oneshot::Sender<Answer>;

/// Waiters by their number, which grows with time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    next_number: u64,
    pub(super) balanced: BTreeMap<u64, Reply>,
    /// By server index.
    pub(super) pinned: Vec<BTreeMap<u64, Reply>>,
}

impl Queue {
    pub(super) fn new(servers: usize) -> Self {
        Self { pinned: (0..servers).map(|_| BTreeMap::new()).collect(), ..Self::default() }
    }

    /// Enters a waiter; gives its number, and how many are before it.
    pub(super) fn enter(&mut self, pinned_to: Option<usize>, reply: Reply) -> (u64, usize) {
        let number = self.next_number;
        self.next_number += 1;
        let line = match pinned_to {
            Some(index) => &mut self.pinned[index],
            None => &mut self.balanced,
        };
        let before = line.len();
        line.insert(number, reply);
        (number, before)
    }

    /// Takes out the waiter to whom a slot of this server goes.
    pub(super) fn next_for(&mut self, index: usize, pinned: bool, balanced: bool) -> Option<Reply> {
        let line = &mut self.pinned[index];
        let pinned_head = line.first_key_value().map(|(&number, _)| number).filter(|_| pinned);
        let balanced_head = self.balanced.first_key_value().map(|(&number, _)| number).filter(|_| balanced);
        match (pinned_head, balanced_head) {
            (Some(own), Some(any)) if own > any => self.balanced.remove(&any),
            (Some(own), _) => line.remove(&own),
            (None, Some(any)) => self.balanced.remove(&any),
            (None, None) => None,
        }
    }

    /// Takes a waiter out who no longer waits. It may have moved to the other line meanwhile.
    fn leave(&mut self, number: u64, pinned_to: Option<usize>) {
        if let Some(index) = pinned_to {
            self.pinned[index].remove(&number);
        }
        self.balanced.remove(&number);
    }
}

/// A place in a queue; becomes a slot, or a refusal when nobody is left who could take the request. Dropping it
/// leaves the queue, and gives back a slot that was granted in the same moment. The time limit is the caller's.
#[derive(Debug)]
pub struct Ticket {
    pub(super) backend: Arc<Backend>,
    pub(super) number: u64,
    pub(super) pinned_to: Option<usize>,
    pub(super) before: usize,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Ticket {
    /// How many stood before it in its queue when it came.
    pub fn before(&self) -> usize {
        self.before
    }

    /// Whether it waits in the queue of one server (and not in that of the backend).
    pub fn is_pinned(&self) -> bool {
        self.pinned_to.is_some()
    }
}

impl Future for Ticket {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // The sender is dropped without an answer only with the backend, which this ticket holds.
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or(Err(Refusal::NoServer)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.backend.leave_queue(|queue| queue.leave(self.number, self.pinned_to));
    }
}
