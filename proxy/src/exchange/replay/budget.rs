//! What all requests together may keep.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use thiserror::Error;

use crate::config;

/// What all requests of the process together may keep, of which each takes its share.
#[derive(Debug)]
pub struct Budget {
    memory: Pot,
    disk: Pot,
    /// Requests that were let go of.
    lost: AtomicU64,
    /// The process's limit, or the disk, has been complained of.
    complained: AtomicBool,
}

/// Why a request is kept no longer.
#[derive(Debug, Error)]
pub(super) enum Lost {
    /// Of this request.
    #[error("expected it to fit into the backend's `replay`, found it longer")]
    TooLong,
    /// Of the process.
    #[error(
        "expected room for it in `{0}` of `[limits]`, found it taken by other requests; raise that limit"
    )]
    Full(&'static str),
    /// No file, or no room in it.
    #[error("expected to keep it in a file in {}, found: {error}; make room there, or set TMPDIR", super::file::folder().display())]
    Disk {
        /// What the system said.
        error: std::io::Error,
    },
}

/// Bytes of one kind.
#[derive(Debug)]
struct Pot {
    /// Below zero where a newer configuration allows less than is held.
    left: AtomicI64,
    name: &'static str,
}

/// Bytes of a kind that a request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    kind: Kind,
    bytes: u64,
}

/// Where bytes are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Memory,
    Disk,
}

impl Budget {
    /// So much, and nothing of it taken.
    pub fn new(limits: config::Replay) -> Arc<Self> {
        let pot = |limit, name| Pot { left: AtomicI64::new(signed(limit)), name };
        Arc::new(Self {
            memory: pot(limits.memory, "replay_memory"),
            disk: pot(limits.disk, "replay_disk"),
            lost: AtomicU64::new(0),
            complained: AtomicBool::new(false),
        })
    }

    /// A newer configuration allows more, or less; who holds a share keeps it.
    pub fn resize(&self, before: config::Replay, now: config::Replay) {
        for (pot, before, now) in
            [(&self.memory, before.memory, now.memory), (&self.disk, before.disk, now.disk)]
        {
            pot.left.fetch_add(signed(now) - signed(before), Ordering::Relaxed);
        }
    }

    /// Requests that could have been sent again, but for a limit or the disk.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts a request that is kept no longer. What the operator can mend is said loudly, but once.
    pub(super) fn count_lost(&self, why: &Lost) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let is_news = !matches!(why, Lost::TooLong) && !self.complained.swap(true, Ordering::Relaxed);
        if is_news {
            tracing::warn!("a request can't be sent again: {why} (said once; further ones are counted)");
        } else {
            tracing::debug!(%why, "a request can't be sent again");
        }
    }

    const fn pot(&self, kind: Kind) -> &Pot {
        match kind {
            Kind::Memory => &self.memory,
            Kind::Disk => &self.disk,
        }
    }
}

impl Share {
    /// Nothing so far.
    pub(super) const fn empty(budget: Arc<Budget>, kind: Kind) -> Self {
        Self { budget, kind, bytes: 0 }
    }

    /// So many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Lost> {
        let pot = self.budget.pot(self.kind);
        let bytes = bytes as u64;
        let take = |left| Some(left - signed(bytes)).filter(|left| *left >= 0);
        let taken = pot.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|_| Lost::Full(pot.name))?;
        self.bytes += bytes;
        Ok(())
    }

    /// How many there are.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it, to be held by somebody else.
    pub(super) fn split(&mut self) -> Self {
        let bytes = std::mem::take(&mut self.bytes);
        Self { budget: self.budget.clone(), kind: self.kind, bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.pot(self.kind).left.fetch_add(signed(self.bytes), Ordering::Relaxed);
    }
}

/// Limits are far below what does not fit.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
impl Budget {
    /// Bytes that are left, in memory and on disk.
    pub(in crate::exchange) fn left(&self) -> config::Replay {
        let left = |pot: &Pot| pot.left.load(Ordering::Relaxed).try_into().unwrap_or(0);
        config::Replay { memory: left(&self.memory), disk: left(&self.disk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_limit_holds_for_what_comes() {
        let [small, large] = [10, 30].map(|memory| config::Replay { memory, disk: 0 });
        let budget = Budget::new(large);
        let mut share = Share::empty(budget.clone(), Kind::Memory);
        share.grow(25).unwrap();
        budget.resize(large, small);
        let mut other = Share::empty(budget.clone(), Kind::Memory);
        assert!(other.grow(1).is_err());
        drop(share);
        assert!(other.grow(11).is_err() && other.grow(10).is_ok());
        budget.resize(small, large);
        assert!(other.grow(20).is_ok() && other.grow(1).is_err());
    }
}
