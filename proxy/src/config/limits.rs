//! `[limits]`: limits of the whole process.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use drain_config::{Table, Value};

use super::{Replay, size::size};

/// Limits of the whole process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Client connections that may be open at once.
    pub connections: NonZeroUsize,
    /// Bytes of a request's or a response's head, first line included.
    pub head_bytes: usize,
    /// Threads, each with its own listener; the number of cores unless set.
    pub threads: NonZeroUsize,
    /// How long what is under way may last after a soft stop or an upgrade; then it is cut off.
    pub finish: Duration,
    /// What is kept of all requests together, so that they can be sent again.
    pub replay: Replay,
}

/// Unless configured: as long as a large download over a slow line. An old process that waits costs little.
const FINISH: Duration = Duration::from_hours(1);

/// As many connections as a process can have without more file descriptors than distributions allow it at most
/// (two for each), and a bound for slips.
const MOST_CONNECTIONS: i64 = 500_000;

/// More than the cores of any machine.
const MOST_THREADS: i64 = 1024;

/// HAProxy's limit: its buffer of 16 KiB less the reserve of 1 KiB.
const HEAD_BYTES: usize = 15 * 1024;

/// Of a thousand requests that are kept in memory, and a hundred long ones on disk.
const REPLAY: Replay = Replay { memory: 64 << 20, disk: 1 << 30 };

/// A head must hold a request line and a cookie, and is kept in memory for each connection.
const HEAD_BOUNDS: RangeInclusive<u64> = 1024..=1024 * 1024;

impl Limits {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            connections: table
                .field("connections", CONNECTIONS, |value| count(value, MOST_CONNECTIONS))
                .into_inner(),
            head_bytes: table.field("head", HEAD_BYTES, head).into_inner(),
            finish: table.duration("finish", FINISH).copied(),
            threads: table.field("threads", cores, |value| count(value, MOST_THREADS)).into_inner(),
            replay: Replay::read(table, ["replay_memory", "replay_disk"], REPLAY),
        }
    }
}

/// DESIGN's number: with two file descriptors each, within a limit of 65,536.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(20_000).expect("20,000 is not 0");

/// A number of things, at least one.
pub(super) fn count(value: &Value<'_>, most: i64) -> Option<NonZeroUsize> {
    NonZeroUsize::new(usize::try_from(value.number(1, most)?).ok()?)
}

/// The size of a head.
fn head(value: &Value<'_>) -> Option<usize> {
    usize::try_from(size(value, HEAD_BOUNDS)?).ok()
}
