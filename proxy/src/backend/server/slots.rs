//! The requests that a server has at once, over all cores: its limit, and who takes a slot under it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{AS_CONFIGURED, Server};
use crate::backend::limit::Limits;

impl Server {
    /// The `maxconn` that is asked for it at run time, 0 being none; `None`: nobody asks.
    pub fn maxconn_asked(&self) -> Option<u32> {
        Some(self.state.maxconn.load(Ordering::Relaxed)).filter(|&most| most != AS_CONFIGURED)
    }

    pub(in crate::backend) fn set_maxconn(&self, most: Option<u32>) {
        let most = most.map_or(AS_CONFIGURED, |most| most.min(AS_CONFIGURED - 1));
        self.state.maxconn.store(most, Ordering::SeqCst);
        // Who waits for a connection looks again.
        self.state.closed.notify_waiters();
    }

    /// How many requests it may have at once, by its configuration or by what is asked for it.
    pub(super) fn limits(&self) -> Limits {
        match self.maxconn_asked() {
            None => self.limits,
            Some(most) => self.limits.with_maxconn(NonZeroU32::new(most)),
        }
    }

    /// Takes a slot if one is free. `newcomers` are requests that nothing counts yet.
    pub(in crate::backend) fn try_take(&self, newcomers: u32) -> bool {
        let is_taken = add_within(&self.state.counters.in_flight, self.limit(newcomers));
        if is_taken {
            // On the cache line that was just written.
            self.most_in_flight().note(self.in_flight());
        }
        is_taken
    }

    /// Whether a newcomer would get a slot now, as far as anybody can tell without taking it.
    pub(in crate::backend) fn has_room(&self) -> bool {
        self.limit(1).is_none_or(|limit| self.in_flight() < limit) && self.queued() == 0
    }

    /// What `leastconn` goes by (HAProxy's `fwlc_queue_by_weight`): an idle server counts nothing, whatever its weight.
    pub(in crate::backend) fn load(&self) -> u32 {
        let requests = self.in_flight() + self.queued();
        if requests == 0 { 0 } else { requests + 1 }
    }

    /// Whether its limit on requests in flight changes with time or load, or has fallen below what is in flight.
    pub(in crate::backend) fn has_changing_limit(&self) -> bool {
        let limits = self.limits();
        limits.maxconn.is_some()
            && (limits.follow_load()
                || !self.state.warmth.is_full()
                || self.limit(0).is_some_and(|limit| self.in_flight() > limit))
    }

    pub(super) fn limit(&self, newcomers: u32) -> Option<u32> {
        let limits = self.limits();
        limits.maxconn?;
        let load = if limits.follow_load() { self.lineage.load() + newcomers } else { 0 };
        let limit = limits.at(load, self.state.warmth.percent())?;
        // What another process has in flight takes of it. One may always wait for the connection itself.
        Some(limit.saturating_sub(self.elsewhere().in_flight).max(1))
    }

    pub(in crate::backend) fn count_request(&self) {
        self.state.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::backend) fn give_back(&self) {
        self.state.counters.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether requests of this configuration wait for it.
    pub(in crate::backend) fn is_waited_for(&self) -> bool {
        self.bound_waiting.load(Ordering::SeqCst) > 0
    }

    /// So many requests of this configuration wait for it now.
    pub(in crate::backend) fn count_waiting(&self, waiting: u32) {
        let before = self.bound_waiting.swap(waiting, Ordering::SeqCst);
        // Fewer are a difference that wraps.
        self.state.queued.fetch_add(waiting.wrapping_sub(before), Ordering::Relaxed);
        self.most_queued().note(self.queued());
    }
}

/// Adds one where the result stays within the limit, if there is one.
pub(super) fn add_within(counter: &AtomicU32, limit: Option<u32>) -> bool {
    let Some(limit) = limit else {
        // Cores that add at the same time don't make each other try again.
        counter.fetch_add(1, Ordering::SeqCst);
        return true;
    };
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| (count < limit).then(|| count + 1))
        .is_ok()
}
