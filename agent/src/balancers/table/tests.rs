mod expected;
mod namesakes;
mod room;

use super::{
    room::{BALANCERS, PER_SOURCE},
    *,
};
use crate::config::Expected;

fn at(ms: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(1000) + Duration::from_millis(ms))
}

fn check(at_ms: u64, source: [u8; 4], state: Option<&str>, generation: u64) -> Check {
    let status = if generation == 0 { 200 } else { 404 };
    Check {
        way: Way::Http,
        asks: None,
        at: at(at_ms),
        source: (source, 5).into(),
        state: state.map(ToOwned::to_owned),
        status,
        generation,
    }
}

const LB1: [u8; 4] = [10, 0, 0, 1];
const LB2: [u8; 4] = [10, 0, 0, 2];

fn table(rules: Rules) -> Table {
    Table::new(rules, 3, at(0))
}

/// A table that has known one balancer for long.
fn settled() -> Table {
    let mut table = table(Rules::default());
    for n in 0..20 {
        table.observe(&check(n * 500, LB1, Some("UP; node=lb1; name=b/s; weight=10/30; scur=0/0"), 0), 0);
    }
    table
}

#[test]
fn whoever_sends_the_header_is_a_balancer_at_once() {
    let mut table = table(Rules::default());
    assert!(table.observe(&check(0, LB1, Some("UP; node=lb1"), 0), 0));
    assert!(!table.observe(&check(500, LB1, Some("UP; node=lb1"), 0), 0));
    assert!(table.observe(&check(600, LB1, Some("UP; node=lb2"), 0), 0));
    assert_eq!(table.count(at(600)), (0, 2));
}

#[test]
fn without_header_it_takes_three_checks_at_even_intervals() {
    let mut table = table(Rules::default());
    assert!(!table.observe(&check(0, LB1, None, 0), 0));
    assert!(!table.observe(&check(700, LB1, None, 0), 0));
    assert!(!table.observe(&check(5000, LB1, None, 0), 0));
    assert!(!table.observe(&check(5500, LB1, None, 0), 0));
    assert!(table.observe(&check(6000, LB1, None, 0), 0));
}

#[test]
fn one_that_is_only_counted_is_named_in_the_drain() {
    let mut table = table(Rules::default());
    for n in 0..20 {
        table.observe(&check(n * 500, LB1, None, 0), 0);
    }
    table.announce(Some(Level::Soft), 1, at(9_600));
    assert!(table.warnings(at(9_600)).is_empty());
    for n in 20..25 {
        table.observe(&check(n * 500, LB1, None, 1), 0);
    }
    assert_eq!(table.acknowledged(at(12_000)), Acknowledgement::Complete);
    let warnings = table.warnings(at(12_000));
    assert!(warnings[0].contains("http-check send-state"), "{warnings:?}");
}

#[test]
fn a_visitor_counts_for_nothing() {
    let mut table = settled();
    table.observe(&check(9600, LB2, None, 0), 0);
    table.announce(Some(Level::Soft), 1, at(9700));
    table.observe(&check(10_000, LB1, Some("NOLB; node=lb1; name=b/s"), 1), 0);
    assert_eq!(table.acknowledged(at(10_000)), Acknowledgement::Complete);
}

#[test]
fn a_header_from_outside_the_trusted_networks_is_not_believed() {
    let mut table = table(Rules { trust: vec!["10.0.0.1/32".parse().unwrap()], ..Rules::default() });
    assert!(!table.observe(&check(0, LB2, Some("UP; node=lb1"), 0), 0));
    assert!(table.observe(&check(0, LB1, Some("UP; node=lb1"), 0), 0));
}

#[test]
fn those_that_are_ignored_are_answered_and_forgotten() {
    let mut table = table(Rules { ignore: vec!["10.0.0.0/24".parse().unwrap()], ..Rules::default() });
    assert!(!table.observe(&check(0, LB1, Some("UP; node=lb1"), 0), 0));
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_the_same() {
    let mut table = table(Rules { ignore: vec!["10.0.0.0/24".parse().unwrap()], ..Rules::default() });
    let mut one = check(0, LB1, Some("UP"), 0);
    one.source = ("::ffff:10.0.0.1".parse::<IpAddr>().unwrap(), 7).into();
    assert!(!table.observe(&one, 0));
}

#[test]
fn an_answer_from_before_the_announcement_acknowledges_nothing() {
    let mut table = settled();
    table.announce(Some(Level::Hard), 3, at(9600));
    for n in 0..50 {
        table.observe(&check(9600 + n * 500, LB1, Some("UP; node=lb1; name=b/s"), 2), 0);
    }
    assert!(matches!(table.acknowledged(at(34_200)), Acknowledgement::Pending { .. }));
}

#[test]
fn hard_must_be_acknowledged_again_after_soft() {
    let mut table = settled();
    table.announce(Some(Level::Soft), 1, at(9600));
    table.observe(&check(10_000, LB1, Some("NOLB; node=lb1; name=b/s"), 1), 0);
    assert_eq!(table.acknowledged(at(10_000)), Acknowledgement::Complete);
    table.announce(Some(Level::Hard), 2, at(10_100));
    assert!(matches!(table.acknowledged(at(10_100)), Acknowledgement::Pending { .. }));
    table.observe(&check(10_500, LB1, Some("NOLB; node=lb1; name=b/s"), 2), 0);
    assert!(matches!(table.acknowledged(at(10_500)), Acknowledgement::Pending { .. }));
    table.observe(&check(11_000, LB1, Some("DOWN; node=lb1; name=b/s"), 2), 0);
    assert_eq!(table.acknowledged(at(11_000)), Acknowledgement::Complete);
}

#[test]
fn an_empty_table_is_unknown_for_thirty_seconds() {
    let mut table = table(Rules::default());
    table.announce(Some(Level::Soft), 1, at(100_000));
    assert!(matches!(table.acknowledged(at(129_000)), Acknowledgement::Pending { .. }));
    assert_eq!(table.deadline(at(129_000)), Some(at(130_000)));
    assert_eq!(table.acknowledged(at(130_000)), Acknowledgement::Complete);
    // Hard does not wait for nobody once more.
    table.announce(Some(Level::Hard), 2, at(130_100));
    assert_eq!(table.acknowledged(at(130_100)), Acknowledgement::Complete);
}

#[test]
fn those_that_are_expected_must_come() {
    let expect = vec![Expected::Node("lb1".into()), Expected::Address(LB2.into())];
    let mut table = table(Rules { expect, ..Rules::default() });
    table.announce(Some(Level::Soft), 1, at(0));
    table.observe(&check(500, LB1, Some("NOLB; node=lb1"), 1), 0);
    assert!(matches!(table.acknowledged(at(90_000)), Acknowledgement::Pending { .. }));
    table.observe(&check(90_100, LB2, Some("NOLB; node=x"), 1), 0);
    assert_eq!(table.acknowledged(at(90_100)), Acknowledgement::Complete);
}

#[test]
fn an_agent_that_has_just_begun_waits_for_others_to_ask() {
    let mut table = table(Rules::default());
    table.announce(Some(Level::Soft), 1, at(0));
    for n in 0..10 {
        table.observe(&check(n * 500, LB1, Some("NOLB; node=lb1"), 1), 0);
    }
    assert!(matches!(table.acknowledged(at(4_900)), Acknowledgement::Pending { .. }));
    assert_eq!(table.acknowledged(at(5_000)), Acknowledgement::Complete);
}

#[test]
fn one_that_vanishes_is_not_waited_for_longer_than_its_patience() {
    let mut table = settled();
    table.announce(Some(Level::Hard), 1, at(9_600));
    assert_eq!(table.deadline(at(9_600)), Some(at(14_500)));
    assert!(matches!(table.acknowledged(at(14_400)), Acknowledgement::Pending { .. }));
    assert_eq!(table.acknowledged(at(14_500)), Acknowledgement::Complete);
}

#[test]
fn one_that_has_asked_once_is_waited_for_until_it_can_have_asked_again() {
    let mut table = table(Rules::default());
    table.observe(&check(3_000, LB1, Some("UP; node=lb1; name=b/s"), 0), 0);
    table.announce(Some(Level::Hard), 1, at(9_000));
    assert!(matches!(table.acknowledged(at(12_900)), Acknowledgement::Pending { .. }));
    assert_eq!(table.deadline(at(12_900)), Some(at(30_000)));
}

#[test]
fn silence_while_the_agent_was_away_is_not_the_balancers() {
    let mut before = settled();
    before.announce(Some(Level::Hard), 1, at(9_600));
    let saved = before.saved();
    let after = Table::new(Rules::default(), 3, at(60_000)).restored(saved, true, 1);
    assert!(matches!(after.acknowledged(at(60_000)), Acknowledgement::Pending { .. }));
    assert!(matches!(after.acknowledged(at(64_900)), Acknowledgement::Pending { .. }));
    assert_eq!(after.acknowledged(at(65_000)), Acknowledgement::Complete);
}

#[test]
fn silence_that_the_agent_may_have_caused_is_not_the_balancers() {
    let mut table = settled();
    table.announce(Some(Level::Hard), 1, at(9_600));
    table.missed(at(15_600));
    assert!(matches!(table.acknowledged(at(20_500)), Acknowledgement::Pending { .. }));
    assert_eq!(table.acknowledged(at(20_600)), Acknowledgement::Complete);
}

#[test]
fn what_was_acknowledged_stays_so_across_the_agents_restart() {
    let mut before = settled();
    before.announce(Some(Level::Soft), 9, at(9_600));
    before.observe(&check(10_000, LB1, Some("NOLB; node=lb1; name=b/s"), 9), 0);
    let json = serde_json::to_string(&before.saved()).unwrap();
    let saved: Saved = serde_json::from_str(&json).unwrap();
    let after = Table::new(Rules::default(), 3, at(20_000)).restored(saved, true, 1);
    assert_eq!(after.acknowledged(at(20_000)), Acknowledgement::Complete);
}

#[test]
fn sessions_are_summed_over_those_that_still_ask() {
    let mut table = settled();
    table.observe(&check(9_100, LB2, Some("UP; node=lb2; scur=1/4; users=7"), 0), 0);
    table.observe(&check(9_600, LB2, Some("UP; node=lb2; scur=2/4; users=7"), 0), 0);
    table.observe(&check(9_700, LB1, Some("UP; node=lb1; name=b/s; scur=1/4; users=1"), 0), 0);
    let sessions = table.sessions(at(9_800));
    assert_eq!((sessions.in_flight, sessions.users, sessions.all_zero), (Some(3), Some(8), false));
    assert_eq!(table.sessions(at(14_650)).in_flight, Some(1));
}

#[test]
fn zero_everywhere_needs_every_balancer_and_no_new_process() {
    let mut table = settled();
    table.announce(Some(Level::Hard), 1, at(9_600));
    table.observe(&check(10_000, LB1, Some("DOWN; node=lb1; name=b/s; scur=0/4"), 1), 0);
    assert!(table.sessions(at(10_000)).all_zero);
    table.observe(&check(10_100, LB2, Some("UP; node=lb2; scur=0/4"), 1), 0);
    assert!(!table.sessions(at(10_100)).all_zero);
    table.observe(&check(10_600, LB2, Some("DOWN; node=lb2; scur=0/4"), 1), 0);
    assert!(table.sessions(at(10_600)).all_zero);
    table.observe(&check(10_700, LB1, Some("UP 1/3; node=lb1; name=b/s; scur=0/4"), 1), 0);
    table.observe(&check(11_200, LB1, Some("DOWN; node=lb1; name=b/s; scur=0/4"), 1), 0);
    assert!(!table.sessions(at(11_200)).all_zero);
    table.nothing_open();
    assert!(table.sessions(at(11_200)).all_zero);
}

#[test]
fn the_guard_looks_at_every_balancer_that_still_asks() {
    let mut table = settled();
    assert_eq!(table.remaining(MinRemaining::Weight(20), at(9_600)), Remaining::Enough);
    table.observe(&check(9_600, LB2, Some("UP; node=lb2; weight=10/10"), 0), 0);
    assert!(matches!(table.remaining(MinRemaining::Weight(20), at(9_600)), Remaining::TooFew(_)));
}

fn spoken(at_ms: u64, source: [u8; 4], generation: u64) -> Check {
    Check { way: Way::AgentCheck, ..check(at_ms, source, None, generation) }
}

#[test]
fn one_that_only_speaks_the_agent_protocol_is_a_balancer_and_its_answers_count() {
    let mut table = table(Rules::default());
    for n in 0..3 {
        table.observe(&spoken(n * 1000, LB1, 0), 0);
    }
    assert_eq!(table.shown(MinRemaining::Weight(1), at(3000))[0].name.as_deref(), Some("agent-check"));
    table.announce(Some(Level::Soft), 1, at(3000));
    for n in 3..5 {
        table.observe(&spoken(n * 1000, LB1, 1), 0);
    }
    table.settled = true;
    assert!(matches!(table.acknowledged(at(4000)), Acknowledgement::Pending { .. }));
    table.observe(&spoken(5000, LB1, 1), 0);
    assert_eq!(table.acknowledged(at(5000)), Acknowledgement::Complete);
}

fn asking(at_ms: u64, asks: &str, generation: u64) -> Check {
    Check { asks: Some(asks.into()), ..check(at_ms, LB1, None, generation) }
}

#[test]
fn backends_behind_one_address_that_ask_for_different_things_are_told_apart() {
    let mut table = table(Rules::default());
    for n in 0..3 {
        table.observe(&asking(n * 1000, "GET /shop", 0), 0);
        table.observe(&asking(n * 1000 + 300, "GET /blog", 0), 0);
    }
    let names: Vec<_> =
        table.shown(MinRemaining::Weight(1), at(2300)).into_iter().filter_map(|one| one.name).collect();
    assert_eq!(names, ["GET /blog", "GET /shop"]);
    table.announce(Some(Level::Hard), 1, at(2500));
    table.settled = true;
    for n in 3..6 {
        table.observe(&asking(n * 1000, "GET /shop", 1), 0);
        // It was answered before the announcement, as far as the answers tell.
        table.observe(&asking(n * 1000 + 300, "GET /blog", 0), 0);
    }
    let missing = "missing: GET /blog (10.0.0.1)".to_owned();
    assert_eq!(table.acknowledged(at(5300)), Acknowledgement::Pending { missing });
    for n in 6..9 {
        table.observe(&asking(n * 1000 + 300, "GET /blog", 1), 0);
    }
    assert_eq!(table.acknowledged(at(8300)), Acknowledgement::Complete);
}

#[test]
fn beside_checks_with_a_header_the_agent_protocol_is_no_balancer_of_its_own() {
    let mut table = table(Rules::default());
    for n in 0..3 {
        table.observe(&spoken(n * 1000, LB1, 0), 0);
    }
    table.observe(&check(3000, LB1, Some("UP; name=shop/s1; node=lb; weight=1/2"), 0), 0);
    table.observe(&spoken(4000, LB1, 0), 0);
    let shown = table.shown(MinRemaining::Weight(1), at(4000));
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].name.as_deref(), Some("shop/s1"));
}

#[test]
fn drained_by_the_agent_protocol_its_own_weight_is_no_part_of_the_total() {
    let mut table = table(Rules::default());
    let header = |n, weight: &str, generation| {
        check(n, LB1, Some(&format!("UP; name=shop/s1; node=lb; weight={weight}")), generation)
    };
    table.observe(&header(0, "1/2", 0), 0);
    table.announce(Some(Level::Soft), 1, at(100));
    table.observe(&spoken(200, LB1, 1), 0);
    table.observe(&header(300, "1/1", 1), 0);
    assert_eq!(table.remaining(MinRemaining::Weight(1), at(300)), Remaining::Enough);
    table.announce(None, 2, at(400));
    table.observe(&spoken(500, LB1, 2), 0);
    table.observe(&header(600, "1/1", 2), 0);
    assert!(matches!(table.remaining(MinRemaining::Weight(1), at(600)), Remaining::TooFew(_)));
}

#[test]
fn a_balancer_that_is_long_gone_is_forgotten_but_not_in_a_drain() {
    let mut table = settled();
    table.announce(Some(Level::Soft), 1, at(9_600));
    table.tidy(at(9_000_000));
    assert_eq!(table.count(at(9_000_000)).1, 1);
    table.announce(None, 2, at(9_000_000));
    table.tidy(at(9_000_000));
    assert_eq!(table.count(at(9_000_000)).1, 0);
}
