//! Who waits, and who of them goes when a slot is freed or a server changes.
//!
//! No wake-up is lost: who begins to wait counts itself and then looks for a free slot; who gives back frees the slot
//! and then looks at the count. One of the two sees the other.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::queue::{Answer, Bond, Place, Queue, Reply, Waiter};
use super::{Admission, Backend, Operation, Refusal, Slot, Ticket, Wish};
use crate::config::Redispatch;

impl Backend {
    /// Has a request wait, unless it can go after all.
    pub(super) fn wait(self: &Arc<Self>, wish: Wish) -> Admission {
        let (reply, mut answer) = oneshot::channel();
        let mut answers = Vec::new();
        let is_behind;
        let (number, place, before) = {
            let mut queue = self.lock();
            // Servers may have changed since the caller looked.
            let (wish, place) = match self.place(&queue, wish) {
                Some(index) if self.is_full_up(&queue, index) => match wish {
                    // As in HAProxy a hash would lead to the same server again.
                    Wish::Pinned(_) | Wish::Again { .. }
                        if self.settings.retry.redispatch != Redispatch::Never =>
                    {
                        (Wish::ANY, None)
                    }
                    _ => return Admission::Refused(Refusal::QueueFull { index }),
                },
                place => (wish, place),
            };
            let bond = match wish {
                Wish::Balanced { key, avoid } => Bond::New { key, avoid },
                Wish::Again { key, .. } => Bond::New { key, avoid: None },
                Wish::Forced(_) => Bond::Forced,
                Wish::Pinned(_) => Bond::Cookie,
            };
            let (number, before) = queue.enter(place, Waiter { reply, bond });
            self.count_waiting(&mut queue);
            // From here on who gives a slot back sees this waiter; who gave one back before is seen by this. Where
            // others wait already, they have looked, and a limit that does not change was as high for them.
            is_behind = self.is_behind_others();
            if !is_behind && (before == 0 || self.limits_change) {
                self.let_go(&mut queue, place, &mut answers);
                self.count_waiting(&mut queue);
            }
            (number, place, before)
        };
        send(answers);
        if is_behind {
            // What is free goes to those who came before.
            self.offer_to_all();
        }
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
        let selection = self.selection_now(queue);
        if place.is_none() && selection.is_empty() && !selection.is_pending() {
            while let Some(waiter) = queue.pop(None) {
                answers.push((waiter.reply, Err(Refusal::NoServer)));
            }
            return;
        }
        while queue.waiting_at(place) > 0 {
            let take = |index: usize| self.servers[index].try_take(0);
            let taken = if let Some(index) = place {
                (self.serves_bound(index) && take(index)).then_some(index)
            } else {
                let is_free = |index: usize| self.is_free_elsewhere(index);
                let free = selection.take(&self.servers, None, is_free, take);
                // Else one waits for a connection that another process has.
                free.or_else(|| selection.take(&self.servers, None, |_| true, take))
            };
            let Some(index) = taken else { return };
            let waiter = queue.pop(place).expect("somebody waits there");
            answers.push(self.granted(index, waiter));
        }
    }

    /// Lets go whoever can of all that wait.
    pub(super) fn let_all_go(self: &Arc<Self>, queue: &mut Queue, answers: &mut Vec<(Reply, Answer)>) {
        for busy in queue.busy() {
            self.let_go(queue, Some(busy), answers);
        }
        self.let_go(queue, None, answers);
        self.count_waiting(queue);
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
        let balanced = self.selection_now(queue).contains(index);
        queue.next_for(index, self.serves_bound(index), balanced)
    }

    /// Lets go whoever can in all generations.
    pub(super) fn offer_to_all(&self) {
        for generation in self.lineage.all() {
            let mut answers = Vec::new();
            {
                generation.let_all_go(&mut generation.lock(), &mut answers);
            }
            send(answers);
        }
    }

    fn someone_waits(&self, index: usize) -> bool {
        self.balanced_waiting.load(Ordering::SeqCst) > 0 || !self.is_free_of_waiters(index)
    }

    pub(super) fn is_free_of_waiters(&self, index: usize) -> bool {
        !self.servers[index].is_waited_for()
    }

    /// Whether requests wait that began under another configuration.
    pub(super) fn is_behind_others(&self) -> bool {
        self.lineage.others_wait(self.all_waiting.load(Ordering::SeqCst))
    }

    pub(super) fn leave_queue(&self, leave: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        leave(&mut queue);
        self.count_waiting(&mut queue);
    }

    fn count_waiting(&self, queue: &mut Queue) {
        while let Some(index) = queue.changed.pop() {
            self.servers[index].count_waiting(queue.waiting_at(Some(index)) as u32);
        }
        self.balanced_waiting.store(queue.waiting_at(None) as u32, Ordering::SeqCst);
        let now = queue.waiting() as u32;
        self.lineage.count_waiting(self.all_waiting.swap(now, Ordering::SeqCst), now);
        // Of those who wait for one server, that server tells.
        self.lineage.most_queued.note(queue.waiting_at(None) as u32);
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
pub(super) fn send(answers: Vec<(Reply, Answer)>) {
    for (reply, answer) in answers {
        drop(reply.send(answer));
    }
}
