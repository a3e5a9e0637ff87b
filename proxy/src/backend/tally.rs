//! What went wrong with servers and was made good, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one backend, over all cores and all its configurations.
#[derive(Debug, Default)]
pub struct Tally {
    /// Further attempts after one that failed.
    pub retries: Count,
    /// Those of them that went to another server (`wredis`).
    pub redispatches: Count,
    /// Requests that were sent again after a server had had some of them.
    pub replays: Count,
    /// Responses that broke off and were asked for from where they did.
    pub resumes: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
