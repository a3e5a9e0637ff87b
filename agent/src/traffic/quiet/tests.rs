//! Looks over time, and what they say.

use super::*;
use crate::traffic::{LastWord, Silence};

fn at(ms: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(100) + Duration::from_millis(ms))
}

fn silence(count: u32, ms: u64) -> Silence {
    Silence { count, shortest: Some(Duration::from_millis(ms)) }
}

fn looks(long_lived: LongLived, looks: &[(u64, Result<Reading, String>)]) -> Quiet {
    let mut quiet = Quiet::new(long_lived);
    for (ms, reading) in looks {
        quiet.look(at(*ms).into(), reading.clone(), None);
    }
    quiet
}

fn busy() -> Reading {
    Reading { busy: 1, ..Reading::default() }
}

const EMPTY: Reading = Reading::EMPTY;

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
    let gone = Reading { ended: Some(LastWord::Ago(Duration::from_millis(10))), ..EMPTY };
    let quiet = looks(LongLived::Wait, &[(0, Ok(EMPTY)), (100, Ok(gone)), (200, Ok(EMPTY))]);
    assert!(matches!(quiet.traffic(false), Traffic::Quiet { since, .. } if since == at(90)));
}

#[test]
fn what_a_slow_look_has_seen_may_have_happened_until_its_end() {
    let mut quiet = looks(LongLived::Quiet, &[(0, Ok(EMPTY)), (100, Ok(EMPTY))]);
    let gone = Reading { ended: Some(LastWord::UNKNOWN), ..EMPTY };
    quiet.look(During { began: at(200), ended: at(2200) }, Ok(gone), None);
    let is_late = |traffic| matches!(traffic, Traffic::Quiet { since, last, .. } if since == at(2200) && last == at(200));
    assert!(is_late(quiet.traffic(false)), "{quiet:?}");
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
    quiet.look(at(300).into(), Ok(EMPTY), None);
    quiet.look(at(400).into(), Ok(EMPTY), None);
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
    assert_eq!(quiet.due(Duration::from_secs(3), at(0), false), Some(at(1400)), "when no tick explains it");
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
    let quiet = looks(ignore, &[(0, Ok(stream(29_950))), (60, Ok(stream(30_010))), (90, Ok(stream(30_040)))]);
    assert!(matches!(quiet.traffic(false), Traffic::Quiet { .. }));
    assert!(quiet.ignored().is_some_and(|said| said.starts_with("2 open, silent for 30s")), "and says so");
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
    quiet.look(at(0).into(), Ok(EMPTY), Some("1 session".into()));
    assert_eq!(quiet.traffic(true), Traffic::Busy("1 session".into()));
}

#[test]
fn an_unreadable_source_is_told_rather_than_what_balancers_report() {
    let mut quiet = Quiet::new(LongLived::Quiet);
    quiet.look(at(0).into(), Err("denied".into()), Some("1 session".into()));
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
