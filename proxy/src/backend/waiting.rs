//! Who waits, and who of them goes when a slot is freed or a server changes.
//!
//! No wake-up is lost: who begins to wait counts itself and then looks for a free slot; who gives back frees the slot
//! and then looks at the count. One of the two sees the other.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::queue::{Answer, Bond, Place, Queue, Reply, Waiter};
use super::select::Selection;
use crate::config::Redispatch;

use super::{Admission, Backend, Operation, Refusal, Server, Slot, Ticket, Wish, member, ring};

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
    /// Has a request wait, unless it can go after all.
    pub(super) fn wait(self: &Arc<Self>, wish: Wish) -> Admission {
        let (reply, mut answer) = oneshot::channel();
        let mut answers = Vec::new();
        let (number, place, before) = {
            let mut queue = self.lock();
            // Servers may have changed since the caller looked.
            let (wish, place) = match self.place(wish) {
                Some(index) if self.is_full_up(&queue, index) => match wish {
                    // As in HAProxy a hash would lead to the same server again.
                    Wish::Pinned(_) if self.settings.retry.redispatch != Redispatch::Never => {
                        (Wish::ANY, None)
                    }
                    _ => return Admission::Refused(Refusal::QueueFull),
                },
                place => (wish, place),
            };
            let bond = match wish {
                Wish::Balanced { key: Some(key), avoid } => Bond::Hash { key, avoid },
                Wish::Forced(_) => Bond::Forced,
                Wish::Pinned(_) | Wish::Balanced { key: None, .. } => Bond::Cookie,
            };
            let (number, before) = queue.enter(place, Waiter { reply, bond });
            self.count_waiting(&mut queue);
            // From here on who gives a slot back sees this waiter; who gave one back before is seen by this. Where
            // others wait already, they have looked, and a limit that does not change was as high for them.
            if before == 0 || self.limits_change {
                self.let_go(&mut queue, place, &mut answers);
                self.count_waiting(&mut queue);
            }
            (number, place, before)
        };
        send(answers);
        match answer.try_recv() {
            Ok(Ok(slot)) => Admission::Granted(slot),
            Ok(Err(refusal)) => Admission::Refused(refusal),
            Err(_) => Admission::Queued(Ticket {
                backend: self.clone(),
                number,
                place,
                before,
                answer,
                is_answered: false,
            }),
        }
    }

    /// Whether `maxqueue` lets nobody else wait for this server.
    fn is_full_up(&self, queue: &Queue, index: usize) -> bool {
        let most = self.servers[index].settings().maxqueue;
        most.is_some_and(|most| queue.waiting_at(Some(index)) >= most.get() as usize)
            && !self.servers[index].has_room()
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
            queue.members[index] = member(&self.servers[index], &self.rules);
            let before = self.selection.load_full();
            let ring_before = before.ring.as_ref().map(|ring| (ring, &*self.servers[index]));
            let ring = ring(&self.rules, &self.servers, ring_before);
            let selection = Selection::new(&queue.members, &self.rules, ring, Some(&before));
            let selection = Arc::new(selection);
            self.selection.store(selection.clone());
            if queue.waiting() > 0 {
                let place = |place, bond| self.place_now(&selection, place, bond);
                queue.resettle(place, |before| moved.requeued += usize::from(before == Some(index)));
                for busy in queue.busy() {
                    self.let_go(&mut queue, Some(busy), &mut answers);
                }
                self.let_go(&mut queue, None, &mut answers);
                self.count_waiting(&mut queue);
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
            (Some(index), Bond::Hash { .. }) if selection.contains(index) => place,
            (_, Bond::Hash { key, avoid }) => selection.bound(Some(key), avoid),
            (_, Bond::Forced) | (None, Bond::Cookie) => place,
        }
    }

    /// Whether those who are bound to a server can go there now: who is still bound to one that is down goes there
    /// all the same.
    fn serves_bound(&self, index: usize) -> bool {
        self.servers[index].operation() != Operation::Starting
    }

    fn granted(self: &Arc<Self>, index: usize, waiter: Waiter) -> (Reply, Answer) {
        (waiter.reply, Ok(self.slot(index, matches!(waiter.bond, Bond::Forced))))
    }

    /// Lets go whoever can of those who wait there; who waits for anybody is refused when there is nobody left who could
    /// ever come.
    fn let_go(self: &Arc<Self>, queue: &mut Queue, place: Place, answers: &mut Vec<(Reply, Answer)>) {
        let selection = self.selection.load();
        if place.is_none() && selection.is_empty() && !selection.is_pending() {
            while let Some(waiter) = queue.pop(None) {
                answers.push((waiter.reply, Err(Refusal::NoServer)));
            }
            return;
        }
        while queue.waiting_at(place) > 0 {
            let taken = match place {
                Some(index) => (self.serves_bound(index) && self.servers[index].try_take(0)).then_some(index),
                None => selection.take(&self.servers, None, |index| self.servers[index].try_take(0)),
            };
            let Some(index) = taken else { return };
            let waiter = queue.pop(place).expect("somebody waits there");
            answers.push(self.granted(index, waiter));
        }
    }

    /// Passes a slot on to the oldest waiter that may take it, or gives it back.
    pub(super) fn release(self: &Arc<Self>, index: usize) {
        let server = &self.servers[index];
        let mut answers = Vec::new();
        if self.lineage.shares_slots() {
            server.give_back();
        } else if !self.someone_waits(index) {
            server.give_back();
            if self.someone_waits(index) {
                let mut queue = self.lock();
                self.offer(&mut queue, index, &mut answers);
                self.count_waiting(&mut queue);
            }
        } else if server.has_changing_limit() {
            // There may be one slot less now.
            server.give_back();
            let mut queue = self.lock();
            self.offer(&mut queue, index, &mut answers);
            self.count_waiting(&mut queue);
        } else {
            let mut queue = self.lock();
            match self.next_for(&mut queue, index) {
                Some(waiter) => answers.push(self.granted(index, waiter)),
                None => server.give_back(),
            }
            self.count_waiting(&mut queue);
        }
        send(answers);
        if self.lineage.shares_slots() {
            self.offer_to_all();
        }
    }

    /// Gives free slots of a server to those who have waited longest.
    fn offer(self: &Arc<Self>, queue: &mut Queue, index: usize, answers: &mut Vec<(Reply, Answer)>) {
        let server = &self.servers[index];
        while server.try_take(0) {
            let Some(waiter) = self.next_for(queue, index) else { return server.give_back() };
            answers.push(self.granted(index, waiter));
        }
    }

    fn next_for(&self, queue: &mut Queue, index: usize) -> Option<Waiter> {
        let balanced = self.selection.load().contains(index);
        queue.next_for(index, self.serves_bound(index), balanced)
    }

    /// Lets go whoever can in all generations.
    fn offer_to_all(&self) {
        for generation in self.lineage.all() {
            let mut answers = Vec::new();
            {
                let mut queue = generation.lock();
                for busy in queue.busy() {
                    generation.let_go(&mut queue, Some(busy), &mut answers);
                }
                generation.let_go(&mut queue, None, &mut answers);
                generation.count_waiting(&mut queue);
            }
            send(answers);
        }
    }

    fn someone_waits(&self, index: usize) -> bool {
        self.balanced_waiting.load(Ordering::SeqCst) > 0 || !self.is_free_of_waiters(index)
    }

    pub(super) fn is_free_of_waiters(&self, index: usize) -> bool {
        self.servers[index].waiting().load(Ordering::SeqCst) == 0
    }

    pub(super) fn leave_queue(&self, leave: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        leave(&mut queue);
        self.count_waiting(&mut queue);
    }

    fn count_waiting(&self, queue: &mut Queue) {
        self.balanced_waiting.store(queue.waiting_at(None) as u32, Ordering::SeqCst);
        while let Some(index) = queue.changed.pop() {
            let waiting = queue.waiting_at(Some(index)) as u32;
            self.servers[index].waiting().store(waiting, Ordering::SeqCst);
            self.servers[index].most_queued().note(waiting);
        }
        let all = queue.waiting() as u32;
        self.lineage.most_queued.note(all);
        let before = self.all_waiting.swap(all, Ordering::SeqCst);
        self.lineage.count_waiting(before, all);
    }

    pub(super) fn slot(self: &Arc<Self>, index: usize, is_forced: bool) -> Slot {
        self.servers[index].count_request();
        if self.counts_active {
            self.lineage.active().fetch_add(1, Ordering::Relaxed);
        }
        Slot::new(self.clone(), index, is_forced)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can leave it half changed; a panic elsewhere must not stop every request.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Outside the lock: an answer that nobody takes drops its slot here, which goes on to the next waiter.
fn send(answers: Vec<(Reply, Answer)>) {
    for (reply, answer) in answers {
        drop(reply.send(answer));
    }
}
