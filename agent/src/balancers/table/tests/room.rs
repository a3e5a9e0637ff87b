//! Room for those who ask.

use super::*;

fn stranger(n: u32) -> [u8; 4] {
    let [_, _, hi, lo] = n.to_be_bytes();
    [11, hi, lo, 1]
}

/// A table that is full of those who still ask.
fn full() -> Table {
    let mut table = table(Rules { expect: vec![Expected::Node("lb1".into())], ..Rules::default() });
    for n in 0..BALANCERS as u32 {
        table.observe(&check(n.into(), stranger(n), Some(&format!("UP; node=n{n}; scur=0/0")), 0), n.into());
    }
    table
}

#[test]
fn strangers_never_push_out_those_that_ask() {
    let mut table = settled();
    for n in 0..1000_u32 {
        table.observe(&check(9_600, stranger(n), Some(&format!("UP; node=n{n}")), 0), 0);
    }
    assert_eq!(table.count(at(9_600)).1 as usize, BALANCERS);
    assert!(table.balancers().any(|balancer| balancer.key.source == IpAddr::from(LB1)));
    assert!(table.warnings(at(9_600))[0].contains("balancers.trust"), "{:?}", table.warnings(at(9_600)));
}

#[test]
fn one_source_can_not_fill_the_table() {
    let mut table = settled();
    for n in 0..1000 {
        table.observe(&check(9_600, LB2, Some(&format!("UP; node=n{n}")), 0), 0);
    }
    assert_eq!(table.count(at(9_600)).1 as usize, PER_SOURCE + 1);
    let warnings = table.warnings(at(9_600));
    assert!(warnings[0].starts_with("10.0.0.2 asks as more than the 64 balancers"), "{warnings:?}");
}

#[test]
fn as_long_as_one_asks_for_whom_there_is_no_room_nothing_is_acknowledged() {
    let mut table = settled();
    table.settled = true;
    table.announce(Some(Level::Hard), 1, at(9_600));
    table.observe(&check(10_000, LB1, Some("DOWN; node=lb1; name=b/s; scur=0/0"), 1), 0);
    assert_eq!(table.acknowledged(at(10_000)), Acknowledgement::Complete);
    assert!(table.sessions(at(10_000)).all_zero);
    for n in 0..=PER_SOURCE as u64 {
        table.observe(&check(10_000, LB2, Some(&format!("DOWN; node=n{n}; scur=0/0")), 1), 0);
    }
    let Acknowledgement::Pending { missing } = table.acknowledged(at(10_100)) else { panic!("acknowledged") };
    assert!(missing.starts_with("10.0.0.2 asks as more than"), "{missing}");
    assert!(!table.sessions(at(10_100)).all_zero, "what it has in flight is not known");
    assert_eq!(table.deadline(at(39_999)), Some(at(40_000)));
    assert_eq!(table.acknowledged(at(40_000)), Acknowledgement::Complete, "it does not ask any more");
    assert_eq!(table.turned_away(at(40_000)), None);
}

#[test]
fn one_that_asks_rarely_is_waited_for_by_its_own_interval() {
    let mut table = full();
    for minute in 0..3 {
        for n in 0..BALANCERS as u32 {
            table.observe(&check(minute * 60_000, stranger(n), Some(&format!("UP; node=n{n}")), 0), 0);
        }
        table.observe(&check(minute * 60_000 + 1, LB2, Some("UP; node=rare"), 0), 0);
    }
    assert!(table.turned_away(at(299_000)).is_some());
    assert!(table.turned_away(at(301_000)).is_none());
}

#[test]
fn one_that_is_expected_takes_the_place_of_the_stranger_who_came_last() {
    let mut table = full();
    assert!(table.observe(&check(300, LB1, Some("UP; node=lb1"), 0), 300));
    assert_eq!(table.absent().count(), 0);
    let is_there = |source: [u8; 4]| table.balancers().any(|one| one.key.source == IpAddr::from(source));
    assert!(!is_there(stranger(BALANCERS as u32 - 1)) && is_there(stranger(0)));
}
