//! Changes of a server: what it is to its users, its weight, its limit. All generations of its backend act on each.

use std::sync::Arc;

use thiserror::Error;

use super::census::Member;
use super::queue::{Bond, Place};
use super::select::Selection;
use super::waiting::send;
use super::{Administration, Asked, Backend, Operation, Server, ring, slowstart};
use crate::config;

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

/// What a change of a server did to those who waited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moved {
    /// Moved from this server's queue to another one, or to the common one.
    pub requeued: usize,
    /// Still waiting for this server.
    pub remaining: usize,
    /// Still waiting in the backend.
    pub total: usize,
}

impl Backend {
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
        self.tell_others(server);
        Ok(moved)
    }

    fn tell_others(&self, server: &Server) {
        for other in self.lineage.others(self) {
            other.act_on(server);
        }
    }

    /// Has this generation act on a change of a server that is one of its own.
    pub(super) fn act_on(self: &Arc<Self>, server: &Server) {
        // Mostly it has the same place in all generations.
        let same = self.servers.get(server.index()).filter(|known| known.is(server));
        let known = same.or_else(|| self.servers.iter().find(|known| known.is(server)));
        if let Some(known) = known {
            self.act_on_change(known.index(), || {});
        }
    }

    /// Makes a change of a server. From the moment this returns, nobody new is sent where they must not go; waiters that
    /// lost their server have been moved, and those that can go now have been let go.
    pub(super) fn act_on_change(self: &Arc<Self>, index: usize, change: impl FnOnce()) -> Moved {
        let mut answers = Vec::new();
        let mut moved = Moved::default();
        {
            let mut queue = self.lock();
            change();
            let server = &self.servers[index];
            queue.census.change(index, Member::of(server, self.rules.method));
            let before = queue.ring.take();
            queue.ring = ring(&self.rules, &self.servers, before.as_ref().map(|ring| (ring, &**server)));
            self.usable.store(Arc::new(queue.census.usable(&self.rules)));
            self.selection.load().outdate(queue.census.tier(&self.rules));
            if queue.waiting() > 0 {
                let selection = self.selection_now(&queue);
                let place = |place, bond| self.place_now(&selection, place, bond);
                queue.resettle(place, |before| moved.requeued += usize::from(before == Some(index)));
                self.let_all_go(&mut queue, &mut answers);
            }
            moved.remaining = queue.waiting_at(Some(index));
            moved.total = queue.waiting();
        }
        send(answers);
        moved
    }

    /// Where a waiter belongs.
    fn place_now(&self, selection: &Selection, place: Place, bond: Bond) -> Place {
        match (place, bond) {
            (Some(index), Bond::Cookie) => {
                self.servers[index].operation().keeps_pinned_users().then_some(index)
            }
            (Some(index), Bond::New { .. }) if selection.contains(index) => place,
            (_, Bond::New { key, avoid }) => selection.bound(key, avoid),
            (_, Bond::Forced) | (None, Bond::Cookie) => place,
        }
    }
}
