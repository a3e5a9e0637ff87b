//! What quiet means: looks at the traffic over time.
//!
//! | a look finds | it |
//! |---|---|
//! | a source that can't be read | holds: unknown is never zero |
//! | a busy connection, or a session that a balancer reports | holds |
//! | a connection that may be busy | holds until it has been silent for longer than the kernel's clock explains, and then counts as answered |
//! | a connection that has ended since the last look | counts as activity at its last word |
//! | an answered connection | counts as activity at its last word |
//! | a connection of which the kernel never tells (a unix socket's) | holds |
//! | an open connection, with `long_lived = "wait"` | holds |
//! | an open connection that is not busy, with `long_lived = "ignore after 30s"` | holds until it has been silent for so long; one on which nothing was ever asked does not hold |
//!
//! A single look is a point in time and proves nothing; two in a row, both after the acknowledgement, do (the machine
//! asks for that). When something ended between two looks, nobody knows when: silence begins with the second.

use std::{collections::VecDeque, time::Duration};

use super::Reading;
use crate::{clock::Moment, config::LongLived, lifecycle::Traffic};

/// What the looks have shown so far.
#[derive(Clone, Debug)]
pub struct Quiet {
    long_lived: LongLived,
    /// When something may last have happened: nothing is known of what was before the first look, nor between a look
    /// that found something in flight and the next.
    active: Option<Moment>,
    /// The looks in a row that found nothing in flight: the newest that is [`APART`] older than the last, and all after
    /// it.
    clear: VecDeque<Moment>,
    /// The first of the looks in a row that found no listener and no connection.
    abandoned: Option<Moment>,
    /// What the last look found.
    last: Last,
    /// Open connections that may well be long-lived ones, and that are not waited for any more.
    ignored: u32,
}

#[derive(Clone, Debug)]
enum Last {
    None,
    Clear,
    /// Only connections hold that will do so no longer from this moment on, if nothing happens.
    Unsure(String, Moment),
    Busy(String),
    Unknown(String),
}

/// When a look was made. What it tells may be from its begin, and what it has seen may have happened until its end: each
/// counts where it lets less be quiet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct During {
    /// When it began.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
}

/// One that takes no time.
#[cfg(test)]
impl From<Moment> for During {
    fn from(at: Moment) -> Self {
        Self { began: at, ended: at }
    }
}

/// What a single look has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    /// It could not be made, or was not.
    Unknown(&'a str),
    /// Somebody uses the server.
    Busy(&'a str),
    /// Nobody, or nobody any more.
    Clear,
}

/// A connection may be busy as long as it has not been silent for so long: in 500 measured drains none was busy after
/// it, the kernel's clock ticking every 1 to 10 ms.
pub(super) const UNSURE_HOLDS: Duration = Duration::from_secs(1);

/// So far apart must two looks be that suffice where every balancer reports zero as well.
const APART: Duration = Duration::from_millis(200);

/// More looks than come within [`APART`] are not kept: the fastest rate is one in 20 ms.
const LOOKS: usize = 16;

impl Quiet {
    /// Nothing is known yet.
    pub fn new(long_lived: LongLived) -> Self {
        Self {
            long_lived,
            active: None,
            clear: VecDeque::new(),
            abandoned: None,
            last: Last::None,
            ignored: 0,
        }
    }

    /// Takes a look's result. `held` says what else stands against quiet: sessions or users that balancers report.
    pub fn look(&mut self, at: During, reading: Result<Reading, String>, held: Option<String>) {
        let is_abandoned = reading.as_ref().is_ok_and(|reading| reading.abandoned && reading.open() == 0);
        let spoke = reading.as_ref().ok().and_then(Reading::silent_for).map(|silent| at.ended.before(silent));
        self.ignored = match (&reading, self.long_lived) {
            (Ok(reading), LongLived::IgnoreAfter(_)) => {
                let silent = [reading.unsure, reading.opaque, reading.answered];
                silent.iter().fold(0, |sum, silence| sum.saturating_add(silence.count))
            }
            _ => 0,
        };
        let found = match (reading, held) {
            (Err(why), _) => Last::Unknown(why),
            (Ok(reading), held) => match (self.judge(at.ended, reading), held) {
                (Last::Clear | Last::Unsure(..), Some(held)) => Last::Busy(held),
                (judged, _) => judged,
            },
        };
        let watched = matches!(self.last, Last::Clear | Last::Unsure(..));
        self.active = match &found {
            Last::Clear | Last::Unsure(..) if watched => self.active.max(spoke),
            _ => Some(at.ended),
        };
        let is_clear = matches!(found, Last::Clear);
        self.abandoned = (is_clear && is_abandoned).then(|| self.abandoned.unwrap_or(at.ended));
        if is_clear {
            self.clear.push_back(at.began);
            while self.clear.len() > LOOKS
                || self.clear.get(1).is_some_and(|second| at.began.since(*second) >= APART)
            {
                self.clear.pop_front();
            }
        } else {
            self.clear.clear();
        }
        self.last = found;
    }

    /// What the looks say. `all_zero`: every balancer has reported that it has no session here.
    pub fn traffic(&self, all_zero: bool) -> Traffic {
        match &self.last {
            Last::None => Traffic::Unknown("not looked yet".into()),
            Last::Unknown(why) => Traffic::Unknown(why.clone()),
            Last::Busy(what) | Last::Unsure(what, _) => Traffic::Busy(what.clone()),
            Last::Clear => {
                let mut newest = self.clear.iter().rev().copied();
                let (Some(last), Some(previous), Some(since)) = (newest.next(), newest.next(), self.active)
                else {
                    return Traffic::Unknown("looked only once yet".into());
                };
                let apart = self.clear.front().copied().filter(|first| last.since(*first) >= APART);
                let empty = apart.filter(|_| all_zero);
                Traffic::Quiet { since, previous, last, empty, abandoned: self.abandoned }
            }
        }
    }

    /// What the last look has found by itself; of a single one as well, for people.
    pub fn found(&self) -> Found<'_> {
        match &self.last {
            Last::None => Found::Unknown("not looked yet"),
            Last::Unknown(why) => Found::Unknown(why),
            Last::Busy(what) | Last::Unsure(what, _) => Found::Busy(what),
            Last::Clear => Found::Clear,
        }
    }

    /// When the next look may find what is waited for: silence for `needed`, seen by two looks since `acknowledged`.
    /// A moment that has passed says: as soon as may be. `None` where only time can tell.
    pub fn due(&self, needed: Duration, acknowledged: Moment, all_zero: bool) -> Option<Moment> {
        let (last, active) = match (&self.last, self.clear.back(), self.active) {
            (Last::Unsure(_, until), ..) => return Some(*until),
            (Last::Clear, Some(last), Some(active)) => (*last, active),
            _ => return None,
        };
        let silent = active + needed;
        let empty = self.clear.iter().find(|look| **look >= acknowledged).map(|first| *first + APART);
        let enough = if all_zero { silent.min(empty.unwrap_or(acknowledged)) } else { silent };
        // Where this look would have been late enough, another one is lacking.
        Some(if last >= enough { acknowledged } else { enough.max(acknowledged) })
    }

    /// What is not waited for although it is open, for people: they decide what it means, by `drain.long_lived`.
    pub fn ignored(&self) -> Option<String> {
        match (&self.last, self.long_lived, self.ignored) {
            (Last::Clear, LongLived::IgnoreAfter(after), 1..) => Some(format!(
                "{} open, silent for {after:?} or longer: not waited for (drain.long_lived)",
                self.ignored
            )),
            _ => None,
        }
    }

    /// What a reading by itself would hold a drain by, for people.
    pub fn held_by(&self, at: Moment, reading: Reading) -> Option<String> {
        match self.judge(at, reading) {
            Last::Busy(what) | Last::Unsure(what, _) => Some(what),
            Last::None | Last::Clear | Last::Unknown(_) => None,
        }
    }

    /// What a reading says by itself.
    fn judge(&self, at: Moment, reading: Reading) -> Last {
        let Reading { busy, unsure, opaque, answered, .. } = reading;
        let open = reading.open();
        if busy > 0 {
            return Last::Busy(format!("{busy} in flight"));
        }
        match self.long_lived {
            LongLived::Wait if open > 0 => return Last::Busy(format!("{open} open")),
            LongLived::Quiet if opaque.count > 0 => {
                return Last::Busy(format!("{} open on a unix socket, perhaps in flight", opaque.count));
            }
            LongLived::IgnoreAfter(after) => {
                let silent =
                    [unsure.shortest, opaque.shortest, answered.shortest].into_iter().flatten().min();
                if let Some(left) = silent.and_then(|silent| left(after, silent)) {
                    return Last::Unsure(format!("{open} open, not yet silent for {after:?}"), at + left);
                }
            }
            LongLived::Quiet | LongLived::Wait => {}
        }
        match unsure.shortest.and_then(|silent| left(UNSURE_HOLDS, silent)) {
            Some(left) => Last::Unsure(format!("{} perhaps in flight", unsure.count), at + left),
            None => Last::Clear,
        }
    }
}

/// What a silence lacks of `needed`; `None` where it is long enough.
fn left(needed: Duration, silent: Duration) -> Option<Duration> {
    needed.checked_sub(silent).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
