//! What is tried again, where, and how much of a request is kept for it.

use std::{num::NonZeroU32, time::Duration};

use drain_config::{Mistake, Table, Value};

use super::size::size;

/// How a backend's requests are tried again.
///
/// A request of which nothing was sent may always be tried again. One that a server may have executed is only where that
/// does no harm: its method is idempotent, or [`Retry::with_idempotency_key`] says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Further attempts after the first one failed.
    pub limit: u32,
    /// Which of them may go to another server than the cookie's.
    pub redispatch: Redispatch,
    /// The pause before the same server is tried again. Another one is tried at once.
    pub interval: Duration,
    /// What they follow.
    pub on: RetryOn,
    /// How much of one request is kept, so that it can be sent again.
    pub replay: Replay,
    /// Whether a request with `Idempotency-Key` counts as idempotent whatever its method.
    pub with_idempotency_key: bool,
    /// Whether a response to GET that breaks off is continued.
    pub resume: bool,
}

/// Which attempts may go to another server than the request's cookie names; HAProxy's `option redispatch`.
///
/// A request without a cookie goes elsewhere with its first further attempt, unless this is `Never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redispatch {
    /// None.
    Never,
    /// Each so-many-th.
    Every(NonZeroU32),
    /// The last (1), the one before the last (2), and so on.
    FromLast(NonZeroU32),
}

/// Bytes that are kept of requests, of one or of all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replay {
    /// In memory.
    pub memory: u64,
    /// In unnamed temporary files.
    pub disk: u64,
}

/// Why a server's attempt counts for nothing, in the words of HAProxy's `retry-on`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// `conn-failure`: nothing was sent.
    Connection,
    /// `empty-response`: the connection broke before the end of the response's head.
    Empty,
    /// `junk-response`: what came is no response.
    Junk,
    /// `response-timeout`: no head came within the server's timeout.
    Timeout,
    /// The response's status.
    Status(u16),
}

/// The failures after which another attempt is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryOn(u32);

impl RetryOn {
    /// No failure at all.
    pub const NONE: Self = Self(0);
    /// What needs no configuration: attempts that can't have harmed.
    pub const STANDARD: Self = Self::NONE.and(Failure::Connection).and(Failure::Empty);
    /// HAProxy's `all-retryable-errors`.
    const ALL: Self = Self::STANDARD
        .and(Failure::Junk)
        .and(Failure::Timeout)
        .and(Failure::Status(500))
        .and(Failure::Status(502))
        .and(Failure::Status(503))
        .and(Failure::Status(504));

    /// These and one more; a status that can't be named in `retry_on` adds nothing.
    #[must_use]
    pub const fn and(self, failure: Failure) -> Self {
        Self(self.0 | Self::bit(failure))
    }

    /// Whether another attempt follows this failure.
    pub const fn contains(self, failure: Failure) -> bool {
        self.0 & Self::bit(failure) != 0
    }

    /// Whether any of them may come after something was sent.
    pub const fn sends_again(self) -> bool {
        self.0 & !Self::bit(Failure::Connection) != 0
    }

    const fn bit(failure: Failure) -> u32 {
        match failure {
            Failure::Connection => 1,
            Failure::Empty => 1 << 1,
            Failure::Junk => 1 << 2,
            Failure::Timeout => 1 << 3,
            Failure::Status(status) => {
                let mut at = 0;
                while at < STATUSES.len() {
                    if STATUSES[at].1 == status {
                        return 1 << (4 + at);
                    }
                    at += 1;
                }
                0
            }
        }
    }
}

/// The statuses that HAProxy's `retry-on` takes.
const STATUSES: [(&str, u16); 10] = [
    ("401", 401),
    ("403", 403),
    ("404", 404),
    ("408", 408),
    ("425", 425),
    ("500", 500),
    ("501", 501),
    ("502", 502),
    ("503", 503),
    ("504", 504),
];

/// HAProxy's number.
const RETRIES: u32 = 3;

/// Each may last a second before the same server is tried again: no client waits longer.
const MOST_RETRIES: u32 = 100;

/// HAProxy's pause; never longer than an attempt to connect may last, unless it is configured.
const INTERVAL: Duration = Duration::from_secs(1);

/// What [`Retry::replay`] is unless configured: forms and most API calls in memory, uploads of a phone's pictures on
/// disk.
const REPLAY: Replay = Replay { memory: 64 << 10, disk: 64 << 20 };

/// Bounds for slips.
const MOST_MEMORY: u64 = 1 << 40;
const MOST_DISK: u64 = 1 << 50;

impl Retry {
    /// The keys of a backend whose attempts to connect last so long.
    pub(super) fn read(table: &Table<'_>, connect: Duration) -> Self {
        Self {
            limit: table.number("retries", RETRIES, 0, MOST_RETRIES).copied(),
            redispatch: table.field("redispatch", Redispatch::LAST, Redispatch::read).copied(),
            interval: table.duration("retry_interval", INTERVAL.min(connect)).copied(),
            on: table.field("retry_on", RetryOn::STANDARD, RetryOn::read).copied(),
            replay: table.section("replay", |table| Replay::read(table, ["memory", "disk"], REPLAY)),
            with_idempotency_key: table.flag("replay_with_idempotency_key", false).copied(),
            resume: table.flag("resume", true).copied(),
        }
    }
}

impl Redispatch {
    /// HAProxy's, where no number is given.
    const LAST: Self = Self::FromLast(NonZeroU32::MIN);

    /// `true`, `false`, or HAProxy's number.
    fn read(value: &Value<'_>) -> Option<Self> {
        if value.is_flag() {
            return Some(if value.flag()? { Self::LAST } else { Self::Never });
        }
        if !value.is_number() {
            return value.other_kind("`true`, `false`, or a number");
        }
        let most = i64::from(MOST_RETRIES);
        let number: i64 = value.number(-most, most)?;
        let count = u32::try_from(number.unsigned_abs()).ok().and_then(NonZeroU32::new);
        Some(match count {
            None => Self::Never,
            Some(count) if number > 0 => Self::Every(count),
            Some(count) => Self::FromLast(count),
        })
    }
}

impl Replay {
    /// Nothing is kept.
    pub const NOTHING: Self = Self { memory: 0, disk: 0 };

    /// The sizes under these two keys.
    pub(super) fn read(table: &Table<'_>, [memory, disk]: [&'static str; 2], standard: Self) -> Self {
        Self {
            memory: table.field(memory, standard.memory, |value| size(value, 0..=MOST_MEMORY)).copied(),
            disk: table.field(disk, standard.disk, |value| size(value, 0..=MOST_DISK)).copied(),
        }
    }
}

impl RetryOn {
    fn read(value: &Value<'_>) -> Option<Self> {
        let read = value.each_once(failures)?;
        if read.contains(&Self::NONE) && read.len() > 1 {
            let help = "leave out \"none\", or everything else";
            value.report(Mistake::new(value.place(), "`none` stands beside other failures", help));
            return None;
        }
        // Where nothing was sent there is no doubt: only "none" excludes it.
        let connection =
            if read.contains(&Self::NONE) { Self::NONE } else { Self::NONE.and(Failure::Connection) };
        Some(read.into_iter().fold(connection, |sum, one| Self(sum.0 | one.0)))
    }
}

/// The failures that a word stands for; a status may be written as a number.
fn failures(value: &Value<'_>) -> Option<RetryOn> {
    let words = [
        ("none", RetryOn::NONE),
        ("conn-failure", RetryOn::NONE.and(Failure::Connection)),
        ("empty-response", RetryOn::NONE.and(Failure::Empty)),
        ("junk-response", RetryOn::NONE.and(Failure::Junk)),
        ("response-timeout", RetryOn::NONE.and(Failure::Timeout)),
        ("all-retryable-errors", RetryOn::ALL),
    ];
    if value.is_number() {
        let status: u16 = value.number(100, 599)?;
        let known = STATUSES.iter().find(|(_, known)| *known == status);
        if known.is_none() {
            value.wrong("is no status that can be retried", format!("expected one of {}", named_statuses()));
        }
        return known.map(|(_, status)| RetryOn::NONE.and(Failure::Status(*status)));
    }
    if value.is_text() && value.string()? == "0rtt-rejected" {
        value.wrong("has no meaning here", "leave it out: no request is sent as early data of TLS");
        return None;
    }
    let statuses = STATUSES.map(|(text, status)| (text, RetryOn::NONE.and(Failure::Status(status))));
    value.choice(&[&words[..], &statuses[..]].concat())
}

fn named_statuses() -> String {
    STATUSES.map(|(text, _)| text).join(", ")
}
