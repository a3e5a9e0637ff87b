//! The generations of a backend: one for each configuration under which requests of it are still under way.
//!
//! Requests end under the configuration that they began with. What must hold over all of them (slots, connections, what
//! the checks say) is in the state that servers share; what each generation has for itself is who waits, and among whom
//! it chooses. So a change of a server is told to all generations, and a freed slot is offered to all of them, the
//! oldest first, because its waiters have waited longest.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::broadcast;

use super::{Backend, IdleOrder, tally::Tally};
use crate::{
    served::{Peak, Served},
    snapshot::Last,
};

/// What all generations of a backend know of each other.
#[derive(Debug)]
pub(super) struct Lineage {
    /// The newest last. Those of which nothing is under way are forgotten at the next reload.
    generations: Mutex<Vec<Weak<Backend>>>,
    /// There has been a reload, and something is under way from before it.
    is_several: AtomicBool,
    /// Requests that wait, in all generations.
    waiting: AtomicU32,
    /// Requests that hold a slot, of backends that count them.
    active: AtomicU32,
    /// Requests in flight in an earlier process, on all servers.
    elsewhere: AtomicU32,
    idle_orders: broadcast::Sender<IdleOrder>,
    pub(super) tally: Tally,
    pub(super) served: Served,
    /// What a server has sent last that was no response.
    pub(super) last_bad: Last,
    pub(super) most_queued: Peak,
}

/// Orders that a core may be behind by; beyond it the pool looks at all of its servers.
const ORDERS: usize = 256;

impl Default for Lineage {
    fn default() -> Self {
        Self {
            generations: Mutex::default(),
            is_several: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            active: AtomicU32::new(0),
            elsewhere: AtomicU32::new(0),
            idle_orders: broadcast::Sender::new(ORDERS),
            tally: Tally::default(),
            served: Served::default(),
            last_bad: Last::default(),
            most_queued: Peak::default(),
        }
    }
}

impl Lineage {
    /// What idle pools follow.
    pub(super) fn idle_orders(&self) -> broadcast::Receiver<IdleOrder> {
        self.idle_orders.subscribe()
    }

    /// Tells all idle pools.
    pub(super) fn order(&self, order: IdleOrder) {
        // Without a pool there is nothing to close.
        let _ = self.idle_orders.send(order);
    }

    /// Requests that hold slots, where somebody wants to know.
    pub(super) fn active(&self) -> &AtomicU32 {
        &self.active
    }

    /// Requests in flight in an earlier process.
    pub(super) fn elsewhere(&self) -> u32 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// So many are there now.
    pub(super) fn set_elsewhere(&self, count: u32) {
        self.elsewhere.store(count, Ordering::Relaxed);
    }

    /// Requests that wait, in all generations.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Requests in the backend, in flight and waiting.
    pub(super) fn load(&self) -> u32 {
        self.active.load(Ordering::Relaxed) + self.waiting.load(Ordering::Relaxed)
    }

    /// The next generation.
    pub(super) fn begin(&self, newest: &Arc<Backend>) {
        let mut generations = self.lock();
        generations.push(Arc::downgrade(newest));
        self.forget_ended(&mut generations);
    }

    /// Who else has something under way, the oldest first.
    pub(super) fn others(&self, than: &Backend) -> Vec<Arc<Backend>> {
        if !self.is_several.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut all = self.all();
        all.retain(|other| !std::ptr::eq(&raw const **other, than));
        all
    }

    /// All that have something under way, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Backend>> {
        let mut generations = self.lock();
        self.forget_ended(&mut generations);
        generations.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether requests of other generations than the one of which so many wait are waiting, too: they may have come
    /// before. Costs a load while there is one generation.
    pub(super) fn others_wait(&self, own: u32) -> bool {
        self.is_several.load(Ordering::SeqCst) && self.waiting.load(Ordering::SeqCst) > own
    }

    /// Whether requests of different generations wait for the same slots. Costs two loads.
    pub(super) fn shares_slots(&self) -> bool {
        self.is_several.load(Ordering::SeqCst) && self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The number of waiters of one generation has changed.
    pub(super) fn count_waiting(&self, before: u32, now: u32) {
        // Fewer are a difference that wraps.
        self.waiting.fetch_add(now.wrapping_sub(before), Ordering::SeqCst);
    }

    fn forget_ended(&self, generations: &mut Vec<Weak<Backend>>) {
        generations.retain(|generation| generation.strong_count() > 0);
        self.is_several.store(generations.len() > 1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Backend>>> {
        // Nothing under the lock can leave it half changed.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{backend_of, checked, granted, limited, queued, server, settings};
    use super::super::server::Surroundings;
    use super::super::{Operation, Wish};
    use super::*;
    use crate::config;

    const ANY: Wish = Wish::ANY;

    fn by_name(backend: &Backend, name: &str) -> usize {
        backend.servers().iter().position(|server| server.name() == name).expect("a server of this name")
    }

    #[test]
    fn maxconn_holds_over_generations_and_the_oldest_waiter_goes_first() {
        let old = backend_of(settings(vec![limited("a", 1)]));
        let first = granted(old.admit(ANY));
        let mut second = queued(old.admit(ANY));
        let new = old.renewed(settings(vec![limited("a", 1)]));
        let mut third = queued(new.admit(Wish::Pinned(0)));
        drop(first);
        let slot = second.answer.try_recv().unwrap().unwrap();
        assert!(third.answer.try_recv().is_err());
        drop((slot, second));
        let slot = third.answer.try_recv().unwrap().unwrap();
        assert_eq!(new.servers()[0].in_flight(), 1);
        let mut fourth = queued(old.admit(ANY));
        drop(slot);
        drop(fourth.answer.try_recv().unwrap().unwrap());
        assert_eq!(new.servers()[0].in_flight(), 0);
        drop((old, fourth));
        assert!(granted(new.admit(ANY)).server().is(&new.servers()[0]));
        assert!(!new.lineage.shares_slots() && new.lineage.all().len() == 1);
    }

    #[test]
    fn who_comes_later_does_not_overtake_those_of_an_older_generation() {
        let old = backend_of(settings(vec![limited("a", 1)]));
        let first = granted(old.admit(ANY));
        let mut second = queued(old.admit(ANY));
        let new = old.renewed(settings(vec![limited("a", 1)]));
        // As between giving a slot back and offering it to those who wait.
        old.servers()[0].give_back();
        for wish in [ANY, Wish::Pinned(0)] {
            let mut late = queued(new.admit(wish));
            assert!(late.answer.try_recv().is_err());
        }
        drop(second.answer.try_recv().unwrap().unwrap());
        std::mem::forget(first);
        drop(second);
        drop(granted(new.admit(ANY)));
    }

    #[test]
    fn whoever_waits_counts_whatever_configuration_it_came_under() {
        let old = backend_of(settings(vec![limited("a", 1)]));
        let first = granted(old.admit(ANY));
        let waiting = [queued(old.admit(ANY)), queued(old.admit(Wish::Pinned(0)))];
        let new = old.renewed(settings(vec![limited("a", 1)]));
        let late = queued(new.admit(Wish::Pinned(0)));
        let counts = || (new.queued_in_all(), new.servers()[0].queued());
        assert_eq!(counts(), (3, 2));
        drop((waiting, late));
        assert_eq!(counts(), (0, 0));
        drop(first);
    }

    #[test]
    fn a_server_that_is_gone_finishes_what_it_has() {
        let old = backend_of(settings(vec![limited("a", 1), server("b")]));
        let held = granted(old.admit(Wish::Pinned(0)));
        let mut waiting = queued(old.admit(Wish::Pinned(0)));
        let new = old.renewed(settings(vec![server("b")]));
        assert_eq!(granted(new.admit(ANY)).server().name(), "b");
        // It comes back before its last request has ended, and counts that one.
        let newer = new.renewed(settings(vec![limited("a", 1), server("b")]));
        let a = &newer.servers()[by_name(&newer, "a")];
        assert_eq!((a.operation(), a.in_flight()), (Operation::Unchecked, 1));
        drop(held);
        let slot = waiting.answer.try_recv().unwrap().unwrap();
        assert_eq!((slot.server().name(), a.in_flight()), ("a", 1));
        drop(queued(newer.admit(Wish::Pinned(0))));
        drop(slot);
        granted(newer.admit(Wish::Pinned(0)));
    }

    #[test]
    fn what_the_checks_find_holds_for_all_generations() {
        let old = backend_of(settings(vec![checked("a"), checked("b")]));
        let mut waiting = queued(old.admit(ANY));
        let new = old.renewed(settings(vec![checked("b"), checked("a")]));
        new.set_operation(by_name(&new, "b"), Operation::Up, false);
        assert_eq!(waiting.answer.try_recv().unwrap().unwrap().server().name(), "b");
    }

    /// The next generation, of which no other one knows yet.
    fn in_the_making(old: &Arc<Backend>) -> Arc<Backend> {
        let around = Surroundings { lineage: old.lineage.clone(), fullconn: old.settings.fullconn };
        let renewed = old
            .servers
            .iter()
            .map(|server| Arc::new(server.renewed(server.index(), server.settings().clone(), &around)));
        Backend::apart(old.settings.clone(), renewed.collect(), old.lineage.clone())
    }

    #[test]
    fn a_weight_that_is_set_while_a_generation_is_made_holds_for_it() {
        let old = backend_of(settings(vec![server("a"), server("b")]));
        let new = in_the_making(&old);
        old.set_weight(0, 0).unwrap();
        new.join();
        assert_eq!(new.servers()[0].weight(), 0);
        for _ in 0..2 {
            assert_eq!(granted(new.admit(ANY)).server().name(), "b");
        }
        // Until the configuration says another one.
        let heavier = config::Server { weight: 9, ..server("a") };
        assert_eq!(new.renewed(settings(vec![heavier, server("b")])).servers()[0].weight(), 9);
    }

    #[test]
    fn what_the_checks_find_while_a_generation_is_made_holds_for_it() {
        let old = backend_of(settings(vec![checked("a"), checked("b")]));
        for index in 0..2 {
            old.set_operation(index, Operation::Up, false);
        }
        let new = in_the_making(&old);
        old.set_operation(0, Operation::Down, false);
        new.join();
        assert_eq!(new.usable().active, 1);
        for _ in 0..2 {
            assert_eq!(granted(new.admit(ANY)).server().name(), "b");
        }
    }
}
