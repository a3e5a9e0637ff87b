use super::*;
use crate::traffic::LastWord;

const LOG: usize = 0;
const GAUGE: usize = 1;

fn at(ms: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(100) + Duration::from_millis(ms))
}

fn sources() -> Sources {
    let configured = [("access_log /l".into(), Kind::Ends), ("gauge http://g".into(), Kind::InFlight)];
    Sources::new(LongLived::Quiet, configured)
}

/// All are read at once and find nothing.
fn clear(sources: &mut Sources, ms: u64) {
    sources.look(at(ms).into(), Ok(Reading::default()), Sessions::default(), true);
    sources.read(LOG, at(ms).into(), Ok(Reading::default()));
    sources.read(GAUGE, at(ms).into(), Ok(Reading::default()));
}

fn since(sources: &Sources) -> Moment {
    match sources.traffic(false) {
        Traffic::Quiet { since, .. } => since,
        other => panic!("expected quiet, found {other:?}"),
    }
}

fn busy(count: u32) -> Reading {
    Reading { busy: count, ..Reading::default() }
}

fn line() -> Reading {
    Reading { ended: Some(LastWord::Ago(Duration::ZERO)), requests: Some(1), ..Reading::default() }
}

#[test]
fn a_source_that_was_not_read_yet_is_unknown_whatever_the_others_say() {
    let mut sources = sources();
    for ms in [0, 100] {
        sources.look(at(ms).into(), Ok(Reading::default()), Sessions::default(), true);
        sources.read(LOG, at(ms).into(), Ok(Reading::default()));
    }
    let expected = Traffic::Unknown("gauge http://g: not looked yet".into());
    assert_eq!(sources.traffic(true), expected);
}

#[test]
fn all_together_are_quiet_since_the_last_of_them_became_so() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    assert_eq!(since(&sources), at(0));
    sources.read(LOG, at(200).into(), Ok(line()));
    assert_eq!(since(&sources), at(200), "a line is activity, but nothing in flight");
    sources.read(GAUGE, at(300).into(), Ok(busy(1)));
    clear(&mut sources, 400);
    clear(&mut sources, 500);
    assert_eq!(since(&sources), at(400), "nobody knows when the last request ended before it was not seen");
}

#[test]
fn the_one_that_was_read_longest_ago_decides_how_far_it_is_known() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    for ms in [200, 300, 400] {
        sources.look(at(ms).into(), Ok(Reading::default()), Sessions::default(), true);
    }
    let Traffic::Quiet { previous, last, .. } = sources.traffic(false) else { panic!("quiet") };
    assert_eq!((previous, last), (at(0), at(100)));
}

#[test]
fn a_source_that_can_not_be_read_holds_and_is_news_once() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    let lost = sources.read(GAUGE, at(200).into(), Err("refused".into()));
    assert_eq!(lost, Some(News::Lost { source: "gauge http://g".into(), why: "refused".into() }));
    assert_eq!(sources.read(GAUGE, at(300).into(), Err("refused".into())), None);
    assert_eq!(sources.traffic(true), Traffic::Unknown("gauge http://g: refused".into()));
    assert_eq!(sources.unknown(), ["gauge http://g: refused"]);
    let back = sources.read(GAUGE, at(400).into(), Ok(Reading::default()));
    assert_eq!(back, Some(News::Back { source: "gauge http://g".into() }));
    sources.read(GAUGE, at(500).into(), Ok(Reading::default()));
    assert_eq!(since(&sources), at(400), "unknown is never quiet");
}

#[test]
fn users_hold_soft_and_never_hard() {
    let mut sources = sources();
    let users = Sessions { users: Some(3), in_flight: Some(0), ..Sessions::default() };
    let mut says = |soft| {
        clear(&mut sources, 0);
        clear(&mut sources, 100);
        for ms in [200, 300] {
            sources.look(at(ms).into(), Ok(Reading::default()), users, soft);
        }
        sources.traffic(true)
    };
    assert_eq!(says(true), Traffic::Busy("balancers report 3 users".into()));
    assert!(matches!(says(false), Traffic::Quiet { .. }));
}

#[test]
fn a_busy_socket_holds_whatever_the_others_say() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    let none = Sessions { all_zero: true, in_flight: Some(0), ..Sessions::default() };
    sources.look(at(200).into(), Ok(busy(2)), none, false);
    assert_eq!(sources.traffic(true), Traffic::Busy("2 in flight".into()));
    assert_eq!(sources.due(Duration::ZERO, at(0), true), None);
}

#[test]
fn where_all_are_zero_two_readings_of_each_suffice() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    sources.look(at(300).into(), Ok(Reading::default()), Sessions::default(), false);
    let empty = |sources: &Sources| match sources.traffic(true) {
        Traffic::Quiet { empty, .. } => empty,
        _ => None,
    };
    assert_eq!(empty(&sources), None, "the others were read twice within 100 ms only");
    clear(&mut sources, 400);
    assert_eq!(empty(&sources), Some(at(100)));
}

#[test]
fn readings_are_due_when_the_last_of_them_can_be_quiet() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    sources.read(LOG, at(2000).into(), Ok(line()));
    assert_eq!(sources.due(Duration::from_secs(3), at(0), false), Some(at(5000)));
    clear(&mut sources, 4000);
    assert_eq!(
        sources.due(Duration::from_secs(3), at(0), false),
        Some(at(5000)),
        "the sockets alone wait no more"
    );
}

#[test]
fn each_shows_what_it_sees_and_what_it_says() {
    let mut sources = sources();
    let sessions = Sessions { in_flight: Some(1), idle: Some(4), users: None, all_zero: false };
    sources.look(at(0).into(), Ok(Reading { fresh: 2, ..busy(1) }), sessions, true);
    sources.read(LOG, at(1000).into(), Ok(line()));
    let shown = sources.shown(at(3000), true);
    let names: Vec<_> = shown.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["sockets", "balancers", "access_log /l", "gauge http://g"]);
    let [sockets, balancers, log, gauge] = shown.try_into().unwrap();
    assert_eq!((sockets.in_flight, sockets.idle, sockets.age_seconds), (Some(1), Some(2), Some(3.0)));
    assert_eq!(
        (balancers.in_flight, balancers.idle, balancers.why.as_str()),
        (Some(1), Some(4), "1 in flight")
    );
    assert_eq!((log.in_flight, log.requests, log.last_seconds), (None, Some(1), Some(2.0)));
    assert_eq!((gauge.in_flight, gauge.why.as_str()), (None, "not looked yet"));
}

#[test]
fn balancers_that_report_no_sessions_are_no_source() {
    let mut sources = sources();
    clear(&mut sources, 0);
    assert!(sources.shown(at(0), false).iter().all(|source| source.name != "balancers"));
}

#[test]
fn a_drain_begins_anew_but_remembers_the_last_user() {
    let mut sources = sources();
    sources.look(at(0).into(), Ok(busy(1)), Sessions::default(), false);
    sources.begin_anew();
    assert!(matches!(sources.traffic(false), Traffic::Unknown(_)));
    assert_eq!(sources.shown(at(1000), true)[0].last_seconds, Some(1.0));
}

#[test]
fn other_readers_of_the_same_sources_have_not_seen_what_came_between() {
    let mut sources = sources();
    clear(&mut sources, 0);
    clear(&mut sources, 100);
    sources.read_anew();
    assert!(matches!(sources.traffic(true), Traffic::Unknown(_)));
    clear(&mut sources, 200);
    clear(&mut sources, 300);
    assert_eq!(since(&sources), at(200));
}
