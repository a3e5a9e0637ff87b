//! What a request asks of a backend, and what it gets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use thiserror::Error;

use super::queue::{Place, Queue};
use super::select::Selection;
use super::{Backend, Key, Slot, Ticket};
use crate::http1::RequestHead;

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// The server that its cookie names, by index; another one if that is down.
    Pinned(usize),
    /// The server that its cookie names, by index, although that is down (`persist`, `force_persist`): it waits there
    /// if need be.
    Forced(usize),
    /// The same server once more, by index, on which an attempt of a request has failed that belongs to nobody; another one
    /// if that takes no new users.
    Again {
        /// Its index.
        index: usize,
        /// What the request is hashed by, from [`Backend::key`].
        key: Option<Key>,
    },
    /// Any server, by the backend's algorithm; not this one if there is another (it has just failed).
    Balanced {
        /// Index of the server to avoid.
        avoid: Option<usize>,
        /// What it is hashed by, from [`Backend::key`].
        key: Option<Key>,
    },
}

impl Wish {
    /// Any server, in turn.
    pub const ANY: Self = Self::Balanced { avoid: None, key: None };

    /// The same, hashed by this.
    #[must_use]
    pub fn with_key(self, key: Option<Key>) -> Self {
        match self {
            Self::Pinned(_) | Self::Forced(_) | Self::Again { .. } => self,
            Self::Balanced { avoid, .. } => Self::Balanced { avoid, key },
        }
    }
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
    /// Answered with 503, logged as `SQ`.
    #[error("as many requests as `maxqueue` allows wait for the server that the request belongs to")]
    QueueFull {
        /// The server's index.
        index: usize,
    },
}

impl Backend {
    /// What this request is hashed by, where the algorithm hashes.
    pub fn key(&self, head: &RequestHead<'_, '_>, client: IpAddr) -> Option<Key> {
        // Of most backends nothing of a request is looked at.
        if !self.settings.balance.is_hash() {
            return None;
        }
        Key::of(&self.settings.balance, head, client)
    }

    /// A slot for a request, or a place to wait.
    pub fn admit(self: &Arc<Self>, wish: Wish) -> Admission {
        if let Some(index) = self.take_without_waiting(wish) {
            let is_forced = matches!(wish, Wish::Forced(_));
            return Admission::Granted(self.slot(index, is_forced));
        }
        self.wait(wish)
    }

    /// Whether a request that holds a slot of this server may still be sent there: its user has stayed welcome while
    /// it waited.
    pub fn still_takes(&self, index: usize, pinned: bool) -> bool {
        let pinned = pinned && self.servers[index].operation().keeps_pinned_users();
        pinned || {
            let selection = self.selection();
            selection.contains(index) && selection.still_has(&self.servers[index])
        }
    }

    /// What one server is chosen from. After a change the first request makes it anew, if it is not too dear for that.
    fn selection(&self) -> Guard<Arc<Selection>> {
        let selection = self.selection.load();
        if selection.lasts() { selection } else { self.selection_now(&self.lock()) }
    }

    /// The same with all changes so far; their writers have the lock.
    pub(super) fn selection_now(&self, queue: &Queue) -> Guard<Arc<Selection>> {
        let before = self.selection.load();
        if before.is_current() {
            return before;
        }
        let selection = Selection::new(&queue.census, &self.rules, queue.ring.clone(), Some(&before));
        self.selection.store(Arc::new(selection));
        self.selection.load()
    }

    /// The lock-free path: nobody waits and a slot is free.
    fn take_without_waiting(&self, wish: Wish) -> Option<usize> {
        if self.is_behind_others() {
            return None;
        }
        let take = |index: usize| self.is_free_of_waiters(index) && self.servers[index].try_take(1);
        match wish {
            Wish::Pinned(index) if self.servers[index].operation().keeps_pinned_users() => {
                (self.servers[index].operation().answers_now() && take(index)).then_some(index)
            }
            Wish::Pinned(_) => self.take_balanced(None, take),
            Wish::Forced(index) => take(index).then_some(index),
            Wish::Again { index, .. } if self.still_takes(index, false) => take(index).then_some(index),
            Wish::Again { key, .. } => self.take_new(None, key, take),
            Wish::Balanced { avoid, key } => self.take_new(avoid, key, take),
        }
    }

    fn take_new(
        &self,
        avoid: Option<usize>,
        key: Option<Key>,
        take: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if key.is_none() {
            return self.take_balanced(avoid, take);
        }
        let bound = self.selection().bound(key, avoid);
        bound.filter(|&index| take(index))
    }

    fn take_balanced(&self, avoid: Option<usize>, take: impl Fn(usize) -> bool) -> Option<usize> {
        if self.balanced_waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.selection().take(&self.servers, avoid, |index| self.is_free_elsewhere(index), take)
    }

    /// Nobody waits for a connection that another process has while somebody else is free.
    pub(super) fn is_free_elsewhere(&self, index: usize) -> bool {
        !self.servers[index].is_wanted_elsewhere()
    }

    /// For whom a request waits, as things are now. To be asked under the lock, so that it stays true.
    pub(super) fn place(&self, queue: &Queue, wish: Wish) -> Place {
        match wish {
            Wish::Pinned(index) => self.servers[index].operation().keeps_pinned_users().then_some(index),
            Wish::Forced(index) => Some(index),
            Wish::Again { index, .. } if self.selection_now(queue).contains(index) => Some(index),
            Wish::Again { key, .. } => self.selection_now(queue).bound(key, None),
            Wish::Balanced { avoid, key } => self.selection_now(queue).bound(key, avoid),
        }
    }
}
