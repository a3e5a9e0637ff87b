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
    pub fn look(&mut self, at: Moment, reading: Result<Reading, String>, held: Option<String>) {
        let is_abandoned = reading.as_ref().is_ok_and(|reading| reading.abandoned && reading.open() == 0);
        let spoke = reading.as_ref().ok().and_then(Reading::silent_for).map(|silent| at.before(silent));
        self.ignored = match (&reading, self.long_lived) {
            (Ok(reading), LongLived::IgnoreAfter(_)) => {
                let silent = [reading.unsure, reading.opaque, reading.answered];
                silent.iter().fold(0, |sum, silence| sum.saturating_add(silence.count))
            }
            _ => 0,
        };
        let found = match (reading, held) {
            (Err(why), _) => Last::Unknown(why),
            (Ok(reading), held) => match (self.judge(at, reading), held) {
                (Last::Clear | Last::Unsure(..), Some(held)) => Last::Busy(held),
                (judged, _) => judged,
            },
        };
        let watched = matches!(self.last, Last::Clear | Last::Unsure(..));
        self.active = match &found {
            Last::Clear | Last::Unsure(..) if watched => self.active.max(spoke),
            _ => Some(at),
        };
        let is_clear = matches!(found, Last::Clear);
        self.abandoned = (is_clear && is_abandoned).then(|| self.abandoned.unwrap_or(at));
        if is_clear {
            self.clear.push_back(at);
            while self.clear.len() > LOOKS
                || self.clear.get(1).is_some_and(|second| at.since(*second) >= APART)
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
mod tests {
    use super::*;
    use crate::traffic::Silence;

    fn at(ms: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(100) + Duration::from_millis(ms))
    }

    fn silence(count: u32, ms: u64) -> Silence {
        Silence { count, shortest: Some(Duration::from_millis(ms)) }
    }

    fn looks(long_lived: LongLived, looks: &[(u64, Result<Reading, String>)]) -> Quiet {
        let mut quiet = Quiet::new(long_lived);
        for (ms, reading) in looks {
            quiet.look(at(*ms), reading.clone(), None);
        }
        quiet
    }

    fn busy() -> Reading {
        Reading { busy: 1, ..Reading::default() }
    }

    const EMPTY: Reading = Reading {
        busy: 0,
        unsure: Silence { count: 0, shortest: None },
        opaque: Silence { count: 0, shortest: None },
        answered: Silence { count: 0, shortest: None },
        fresh: 0,
        ended: None,
        deserted: None,
        abandoned: false,
        requests: None,
    };

    #[test]
    fn nothing_is_known_before_two_looks() {
        assert!(matches!(looks(LongLived::Quiet, &[]).traffic(true), Traffic::Unknown(_)));
        assert!(matches!(looks(LongLived::Quiet, &[(0, Ok(EMPTY))]).traffic(true), Traffic::Unknown(_)));
    }

    #[test]
    fn silence_begins_with_the_first_look_at_the_earliest() {
        let old = Reading { answered: silence(3, 60_000), ..EMPTY };
        let quiet = looks(LongLived::Quiet, &[(0, Ok(old)), (100, Ok(old))]);
        let expected =
            Traffic::Quiet { since: at(0), previous: at(0), last: at(100), empty: None, abandoned: None };
        assert_eq!(quiet.traffic(true), expected);
    }

    #[test]
    fn an_answered_connection_counts_from_its_last_word() {
        let spoke = Reading { answered: silence(3, 40), ..EMPTY };
        let quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (100, Ok(spoke)), (200, Ok(EMPTY))]);
        assert!(matches!(quiet.traffic(false), Traffic::Quiet { since, .. } if since == at(60)));
        assert_eq!(quiet.due(Duration::from_secs(3), at(0), false), Some(at(3060)));
    }

    #[test]
    fn a_request_that_has_come_and_gone_between_two_looks_begins_silence_anew() {
        let gone = Reading { ended: Some(Duration::from_millis(10)), ..EMPTY };
        let quiet = looks(LongLived::Wait, &[(0, Ok(EMPTY)), (100, Ok(gone)), (200, Ok(EMPTY))]);
        assert!(matches!(quiet.traffic(false), Traffic::Quiet { since, .. } if since == at(90)));
    }

    #[test]
    fn a_busy_connection_holds_and_begins_silence_anew() {
        let quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (100, Ok(busy()))]);
        assert!(matches!(quiet.traffic(true), Traffic::Busy(_)));
        assert_eq!(quiet.due(Duration::ZERO, at(0), true), None);
        let quiet = looks(LongLived::Quiet, &[(0, Ok(busy())), (100, Ok(EMPTY)), (200, Ok(EMPTY))]);
        assert!(matches!(quiet.traffic(true), Traffic::Quiet { since, .. } if since == at(100)));
    }

    #[test]
    fn unknown_is_never_zero() {
        let quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (100, Ok(EMPTY)), (200, Err("denied".into()))]);
        assert_eq!(quiet.traffic(true), Traffic::Unknown("denied".into()));
        let mut quiet = quiet;
        quiet.look(at(300), Ok(EMPTY), None);
        quiet.look(at(400), Ok(EMPTY), None);
        assert!(matches!(quiet.traffic(true), Traffic::Quiet { since, .. } if since == at(300)));
    }

    #[test]
    fn what_may_be_busy_holds_until_no_tick_explains_it() {
        let one = |ms| Reading { unsure: silence(1, ms), ..EMPTY };
        let quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (1000, Ok(one(996)))]);
        assert!(matches!(quiet.traffic(true), Traffic::Busy(_)));
        let quiet = looks(LongLived::Quiet, &[(0, Ok(one(1000))), (100, Ok(one(1100)))]);
        assert!(matches!(quiet.traffic(true), Traffic::Quiet { .. }));
    }

    #[test]
    fn what_may_have_been_busy_counts_from_its_last_word_when_it_is_not() {
        let one = |ms| Reading { unsure: silence(1, ms), ..EMPTY };
        let quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (500, Ok(one(100)))]);
        assert_eq!(
            quiet.due(Duration::from_secs(3), at(0), false),
            Some(at(1400)),
            "when no tick explains it"
        );
        let quiet = looks(
            LongLived::Quiet,
            &[(0, Ok(EMPTY)), (500, Ok(one(100))), (1400, Ok(one(1000))), (1440, Ok(one(1040)))],
        );
        assert!(matches!(quiet.traffic(false), Traffic::Quiet { since, .. } if since == at(400)));
        assert_eq!(quiet.due(Duration::from_secs(3), at(0), false), Some(at(3400)));
    }

    #[test]
    fn a_look_is_due_when_quiet_can_be_seen_first() {
        let due = |looked: &[u64], needed, acknowledged, zero| {
            let found: Vec<_> = looked.iter().map(|ms| (*ms, Ok(EMPTY))).collect();
            looks(LongLived::Quiet, &found).due(Duration::from_millis(needed), at(acknowledged), zero)
        };
        assert_eq!(due(&[0, 40], 3000, 0, false), Some(at(3000)), "at the end of silence");
        assert_eq!(due(&[0, 40], 3000, 5000, false), Some(at(5000)), "not before the acknowledgement");
        assert_eq!(due(&[0, 4000], 3000, 3900, false), Some(at(3900)), "at once, for the second since then");
        assert_eq!(due(&[0, 40], 3000, 20, true), Some(at(240)), "200 ms after the first since then");
        assert_eq!(due(&[0, 40], 3000, 60, true), Some(at(60)), "at once, for the first since then");
    }

    #[test]
    fn a_server_is_abandoned_since_the_first_look_in_a_row_without_listener_and_connection() {
        let gone = Reading { abandoned: true, ..EMPTY };
        let since = |looks_at: &[(u64, Result<Reading, String>)]| match looks(LongLived::Quiet, looks_at)
            .traffic(false)
        {
            Traffic::Quiet { abandoned, .. } => abandoned,
            _ => None,
        };
        assert_eq!(since(&[(0, Ok(EMPTY)), (40, Ok(gone)), (80, Ok(gone)), (120, Ok(gone))]), Some(at(40)));
        assert_eq!(
            since(&[(0, Ok(gone)), (40, Ok(gone)), (80, Ok(EMPTY)), (120, Ok(EMPTY))]),
            None,
            "it listens"
        );
        let begins_anew = [(0, Ok(gone)), (40, Ok(EMPTY)), (80, Ok(gone)), (120, Ok(gone))];
        assert_eq!(since(&begins_anew), Some(at(80)), "between two listens");
        let unread = [(0, Ok(gone)), (40, Err("denied".into())), (80, Ok(gone)), (120, Ok(gone))];
        assert_eq!(since(&unread), Some(at(80)), "unknown is never nobody");
        let stream = Reading { answered: silence(1, 60_000), ..gone };
        assert_eq!(
            since(&[(0, Ok(stream)), (40, Ok(stream)), (80, Ok(stream))]),
            None,
            "somebody is still served"
        );
    }

    #[test]
    fn long_lived_connections_hold_where_that_is_asked() {
        let open = Reading { answered: silence(1, 60_000), ..EMPTY };
        let quiet = looks(LongLived::Wait, &[(0, Ok(open)), (100, Ok(open))]);
        assert!(matches!(quiet.traffic(true), Traffic::Busy(_)));
    }

    #[test]
    fn long_lived_connections_hold_until_they_have_been_silent_for_so_long_where_that_is_asked() {
        let ignore = LongLived::IgnoreAfter(Duration::from_secs(30));
        let stream = |ms| Reading { answered: silence(2, ms), ..EMPTY };
        let quiet = looks(ignore, &[(0, Ok(stream(10_000))), (100, Ok(stream(10_100)))]);
        assert_eq!(quiet.traffic(true), Traffic::Busy("2 open, not yet silent for 30s".into()));
        assert_eq!(quiet.due(Duration::from_secs(3), at(0), true), Some(at(20_000)), "then");
        assert_eq!(quiet.ignored(), None);
        let quiet =
            looks(ignore, &[(0, Ok(stream(29_950))), (60, Ok(stream(30_010))), (90, Ok(stream(30_040)))]);
        assert!(matches!(quiet.traffic(false), Traffic::Quiet { .. }));
        assert!(
            quiet.ignored().is_some_and(|said| said.starts_with("2 open, silent for 30s")),
            "and says so"
        );
        let spoke = looks(ignore, &[(0, Ok(stream(30_010))), (60, Ok(stream(30_070))), (90, Ok(stream(5)))]);
        assert!(matches!(spoke.traffic(true), Traffic::Busy(_)), "it speaks again");
        let asks = looks(ignore, &[(0, Ok(Reading { busy: 1, ..stream(30_010) })), (60, Ok(busy()))]);
        assert!(matches!(asks.traffic(true), Traffic::Busy(_)), "what is in flight is never ignored");
        let fresh = Reading { fresh: 3, ..EMPTY };
        let quiet = looks(ignore, &[(0, Ok(fresh)), (90, Ok(fresh))]);
        assert!(matches!(quiet.traffic(false), Traffic::Quiet { .. }), "nothing was asked, nothing is cut");
        assert_eq!(quiet.ignored(), None);
    }

    #[test]
    fn what_the_kernel_never_tells_holds_unless_silence_is_told_to_be_enough() {
        let one = |ms| Reading { opaque: silence(1, ms), ..EMPTY };
        for long_lived in [LongLived::Quiet, LongLived::Wait] {
            let quiet = looks(long_lived, &[(0, Ok(one(600_000))), (100, Ok(one(600_100)))]);
            assert!(matches!(quiet.traffic(true), Traffic::Busy(_)), "{long_lived:?}");
        }
        let ignore = LongLived::IgnoreAfter(Duration::from_secs(30));
        let quiet = looks(ignore, &[(0, Ok(one(29_000))), (100, Ok(one(29_100)))]);
        assert!(matches!(quiet.traffic(true), Traffic::Busy(_)));
        let quiet = looks(ignore, &[(0, Ok(one(30_000))), (100, Ok(one(30_100)))]);
        assert!(matches!(quiet.traffic(true), Traffic::Quiet { .. }));
    }

    #[test]
    fn what_balancers_report_holds() {
        let mut quiet = Quiet::new(LongLived::Quiet);
        quiet.look(at(0), Ok(EMPTY), Some("1 session".into()));
        assert_eq!(quiet.traffic(true), Traffic::Busy("1 session".into()));
    }

    #[test]
    fn an_unreadable_source_is_told_rather_than_what_balancers_report() {
        let mut quiet = Quiet::new(LongLived::Quiet);
        quiet.look(at(0), Err("denied".into()), Some("1 session".into()));
        assert_eq!(quiet.traffic(true), Traffic::Unknown("denied".into()));
    }

    #[test]
    fn where_balancers_report_zero_two_looks_200_ms_apart_suffice() {
        let empty = |looked: &[u64], zero| {
            let found: Vec<_> = looked.iter().map(|ms| (*ms, Ok(EMPTY))).collect();
            match looks(LongLived::Quiet, &found).traffic(zero) {
                Traffic::Quiet { empty, .. } => empty,
                _ => None,
            }
        };
        assert_eq!(empty(&[0, 100], true), None);
        assert_eq!(empty(&[0, 100, 200], true), Some(at(0)));
        assert_eq!(empty(&[0, 100, 200, 300], true), Some(at(100)));
        assert_eq!(empty(&[0, 100, 200], false), None);
    }
}
