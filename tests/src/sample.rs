//! What a process holds at a moment, and at most over a long time, as the kernel tells it.

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::clock;

/// Between two readings: shorter than any drain of the tests.
const READ_EVERY: Duration = Duration::from_millis(250);
/// At rest is the least that so many readings show: a check or a probe is always just open in some.
const READINGS_AT_REST: usize = 12;

/// What a process uses at one moment.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reading {
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Reading {
    /// Of this process, without its children.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
        let value = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Ok(Self {
            resident_kib: value("VmRSS:").context("the kernel tells no VmRSS")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).context("the process has ended")?.count()
                as u64,
            threads: value("Threads:").context("the kernel tells no Threads")?,
        })
    }

    fn with(self, other: Self, choose: fn(u64, u64) -> u64) -> Self {
        Self {
            resident_kib: choose(self.resident_kib, other.resident_kib),
            descriptors: choose(self.descriptors, other.descriptors),
            threads: choose(self.threads, other.threads),
        }
    }
}

/// The least of several readings.
pub fn at_rest(pid: u32) -> Result<Reading> {
    let mut least = Reading::of(pid)?;
    for _ in 1..READINGS_AT_REST {
        clock::pause(READ_EVERY);
        least = least.with(Reading::of(pid)?, u64::min);
    }
    Ok(least)
}

/// Reads again and again, in a thread of its own.
#[derive(Debug)]
pub struct Watch {
    most: Arc<Mutex<Reading>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Reads what the process of this id uses.
    pub fn over(pid: u32) -> Self {
        let most = Arc::new(Mutex::new(Reading::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (writes, ends) = (Arc::clone(&most), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // A process that has ended is missed elsewhere.
                let now = Reading::of(pid).unwrap_or_default();
                let mut most = writes.lock().unwrap_or_else(PoisonError::into_inner);
                *most = most.with(now, u64::max);
                drop(most);
                clock::pause(READ_EVERY);
            }
        });
        Self { most, over, thread }
    }

    /// The most of each so far.
    pub fn most(&self) -> Reading {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it, and gives the most of each.
    pub fn end(self) -> Reading {
        self.over.store(true, Ordering::Relaxed);
        let most = self.most();
        self.thread.join().expect("the thread that reads what a process uses");
        most
    }
}
