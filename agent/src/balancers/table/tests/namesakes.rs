//! Two processes that ask by the same names.

use super::*;

/// What one of them says at this time; the answer is of the generation.
fn says(table: &mut Table, at_ms: u64, state: &str, generation: u64) {
    let header = format!("{state}; node=lb1; name=b/s; weight=1/2; scur=0/0");
    table.observe(&check(at_ms, LB1, Some(&header), generation), 0);
}

/// Two that ask every 500 ms, so far apart, until 10 s have passed.
fn two(apart: u64) -> Table {
    let mut table = table(Rules::default());
    for n in 0..20 {
        says(&mut table, n * 500, "UP", 0);
        says(&mut table, n * 500 + apart, "UP", 0);
    }
    table
}

fn is_pending(table: &Table, at_ms: u64) -> bool {
    matches!(table.acknowledged(at(at_ms)), Acknowledgement::Pending { .. })
}

#[test]
fn two_that_ask_in_turn_must_both_have_acted() {
    let mut table = two(200);
    table.announce(Some(Level::Hard), 1, at(9_900));
    says(&mut table, 10_000, "UP", 1);
    // It was taken out by one failure, and asks faster since; the other has not even heard of it.
    says(&mut table, 10_100, "DOWN", 1);
    assert!(is_pending(&table, 10_100));
    let why = table.shown(MinRemaining::Weight(0), at(10_100)).remove(0).why;
    assert_eq!(why, "says DOWN; others that call themselves the same may not have said so yet");
    says(&mut table, 10_200, "UP", 1);
    says(&mut table, 10_300, "DOWN", 1);
    assert!(!table.sessions(at(10_300)).all_zero);
    for n in 0..49 {
        says(&mut table, 10_300 + n * 100, "DOWN", 1);
    }
    assert!(is_pending(&table, 15_199));
    assert_eq!(table.deadline(at(15_199)), Some(at(15_200)));
    assert_eq!(table.acknowledged(at(15_200)), Acknowledgement::Complete);
    assert!(table.warnings(at(15_200)).concat().contains("a `node` of its own"));
}

#[test]
fn two_that_look_like_one_are_seen_when_the_second_says_otherwise() {
    let mut table = two(250);
    table.announce(Some(Level::Soft), 1, at(9_900));
    says(&mut table, 10_000, "UP", 1);
    says(&mut table, 10_250, "UP", 1);
    says(&mut table, 10_500, "NOLB", 1);
    for n in 0..18 {
        says(&mut table, 10_750 + n * 250, "NOLB", 1);
    }
    assert!(is_pending(&table, 15_249));
    assert_eq!(table.acknowledged(at(15_250)), Acknowledgement::Complete);

    // Hard knows of it from the start.
    table.announce(Some(Level::Hard), 2, at(15_300));
    says(&mut table, 15_500, "NOLB", 2);
    says(&mut table, 15_600, "DOWN", 2);
    assert!(is_pending(&table, 15_600));
    says(&mut table, 15_750, "NOLB", 2);
    says(&mut table, 15_850, "DOWN", 2);
    assert!(is_pending(&table, 20_749));
    assert_eq!(table.acknowledged(at(20_750)), Acknowledgement::Complete);
}

#[test]
fn what_a_drain_has_shown_holds_in_the_next_and_is_forgotten_after_one_that_has_not() {
    let mut table = two(250);
    table.announce(Some(Level::Hard), 1, at(9_900));
    says(&mut table, 10_000, "UP", 1);
    says(&mut table, 10_100, "DOWN", 1);
    assert!(!is_pending(&table, 10_100), "that there is another could not be seen");
    says(&mut table, 10_250, "UP", 1);
    assert!(is_pending(&table, 10_250));
    says(&mut table, 10_350, "DOWN", 1);
    table.announce(None, 2, at(20_000));
    let saved: Saved = serde_json::from_str(&serde_json::to_string(&table.saved()).unwrap()).unwrap();
    let mut table = Table::new(Rules::default(), 3, at(20_000)).restored(saved, true, 2);
    for (n, generation) in [(30_000, 3), (50_000, 5)] {
        table.announce(Some(Level::Hard), generation, at(n));
        says(&mut table, n + 100, "UP", generation);
        says(&mut table, n + 200, "DOWN", generation);
        assert_eq!(is_pending(&table, n + 200), n == 30_000);
        table.announce(None, generation + 1, at(n + 10_000));
    }
}

#[test]
fn one_that_counts_down_or_ignores_what_it_is_told_is_one() {
    let mut table = settled();
    table.announce(Some(Level::Hard), 1, at(9_600));
    for (n, state) in ["UP", "UP 2/3", "UP 1/3", "DOWN"].into_iter().enumerate() {
        says(&mut table, 10_000 + n as u64 * 100, state, 1);
    }
    assert_eq!(table.acknowledged(at(10_300)), Acknowledgement::Complete);

    let mut table = settled();
    table.announce(Some(Level::Soft), 1, at(9_600));
    for n in 0..7 {
        says(&mut table, 10_000 + n * 500, "UP", 1);
    }
    assert_eq!(table.acknowledged(at(13_000)), Acknowledgement::Complete, "unproven");
    let warnings = table.warnings(at(13_000)).concat();
    assert!(warnings.contains("does not act") && !warnings.contains("`node`"), "{warnings}");
    let mut hard = table.clone();
    hard.announce(Some(Level::Hard), 2, at(13_100));
    for (n, state) in ["UP", "UP 2/3", "UP 1/3", "DOWN"].into_iter().enumerate() {
        says(&mut hard, 13_500 + n as u64 * 500, state, 2);
    }
    assert_eq!(hard.acknowledged(at(15_000)), Acknowledgement::Complete, "at once");
    assert!(hard.warnings(at(15_000)).is_empty());
    table.announce(None, 2, at(14_000));
    table.announce(Some(Level::Soft), 3, at(15_000));
    says(&mut table, 15_000, "UP", 3);
    says(&mut table, 15_500, "NOLB", 3);
    assert_eq!(table.acknowledged(at(15_500)), Acknowledgement::Complete, "somebody's hand was on it");
}

#[test]
fn of_two_what_one_holds_is_not_hidden_by_the_other_that_holds_nothing() {
    let mut table = two(200);
    table.announce(Some(Level::Hard), 1, at(9_900));
    let mut says = |at_ms, holds: u32| {
        let header = format!("DOWN; node=lb1; name=b/s; weight=1/2; scur={holds}/9; users={holds}");
        table.observe(&check(at_ms, LB1, Some(&header), 1), 0);
        let sessions = table.sessions(at(at_ms));
        (sessions.in_flight, sessions.users)
    };
    assert_eq!(says(10_000, 0), (Some(0), Some(0)));
    assert_eq!(says(10_200, 3), (Some(3), Some(3)));
    for n in 1..=9 {
        assert_eq!(says(10_200 + n * 500, 0), (Some(3), Some(3)));
    }
    assert_eq!(says(15_200, 0), (Some(0), Some(0)), "it would have said so again");
}

#[test]
fn of_two_one_that_never_acts_is_waited_for_as_long_as_one_that_is_alone() {
    let mut table = two(200);
    table.announce(Some(Level::Soft), 1, at(9_900));
    for n in 0..7 {
        assert!(is_pending(&table, 10_000 + n * 500));
        says(&mut table, 10_000 + n * 500, "NOLB", 1);
        assert!(is_pending(&table, 10_000 + n * 500));
        says(&mut table, 10_200 + n * 500, "UP", 1);
    }
    for (at_ms, state) in [(13_200, "UP"), (13_500, "NOLB")] {
        says(&mut table, at_ms, state, 1);
        assert_eq!(table.acknowledged(at(at_ms)), Acknowledgement::Complete, "{state}");
        assert!(table.warnings(at(at_ms)).concat().contains("does not act on the answers"));
    }
}

#[test]
fn what_two_have_shown_outlives_the_agents_restart() {
    let before = two(200);
    let mut table = Table::new(Rules::default(), 3, at(20_000)).restored(before.saved(), true, 1);
    says(&mut table, 20_000, "UP", 0);
    says(&mut table, 20_200, "UP", 0);
    table.announce(Some(Level::Hard), 1, at(20_300));
    says(&mut table, 20_500, "UP", 1);
    says(&mut table, 20_600, "DOWN", 1);
    assert!(is_pending(&table, 20_600));
}

#[test]
fn the_other_has_its_time_from_when_the_agent_can_hear_it() {
    let mut table = two(200);
    table.announce(Some(Level::Hard), 1, at(9_900));
    says(&mut table, 10_000, "UP", 1);
    says(&mut table, 10_100, "DOWN", 1);
    table.missed(at(14_000));
    assert!(is_pending(&table, 18_999));
    assert_eq!(table.deadline(at(15_000)), Some(at(19_000)));
    assert_eq!(table.acknowledged(at(19_000)), Acknowledgement::Complete);
}
