//! Those that are expected.

use super::*;

const LB1_SAYS: &str = "UP; node=lb1; name=b/s; weight=10/30";

fn expecting(names: &[Expected]) -> Table {
    table(Rules { expect: names.to_vec(), ..Rules::default() })
}

fn lb2() -> Expected {
    Expected::Node("lb2".into())
}

fn unheard(table: &Table, at_ms: u64) -> Vec<String> {
    table.unheard(at(at_ms)).into_iter().flatten().map(|one| one.to_string()).collect()
}

#[test]
fn one_that_never_came_is_counted_and_named_from_the_first_moment_on() {
    let mut table = expecting(&[lb2(), Expected::Address(LB1.into())]);
    table.observe(&check(0, LB1, Some(LB1_SAYS), 0), 0);
    assert_eq!(table.absent().collect::<Vec<_>>(), ["lb2"]);
    assert_eq!(table.count(at(0)), (0, 2));
    assert_eq!(table.awaits(at(0)), None, "nothing is announced");
    table.announce(Some(Level::Soft), 1, at(100));
    table.observe(&check(500, LB1, Some("NOLB; node=lb1; name=b/s"), 1), 0);
    assert_eq!(table.count(at(500)), (1, 2));
    assert_eq!(table.awaits(at(500)).unwrap(), "lb2 is expected and has never asked");
}

#[test]
fn it_is_warned_of_once_it_has_had_the_time_to_ask() {
    let mut table = expecting(&[lb2()]);
    assert_eq!(unheard(&table, 29_999), [""; 0]);
    assert!(unheard(&table, 30_000)[0].starts_with("lb2 is expected (balancers.expect) and has never asked"));
    assert_eq!(table.warnings(at(30_000)), unheard(&table, 30_000));
    table.observe(&check(31_000, LB2, Some("UP; node=lb2"), 0), 0);
    assert_eq!(unheard(&table, 31_000), [""; 0]);
    assert!(unheard(&table, 61_000)[0].contains("does not ask any more"), "{:?}", unheard(&table, 61_000));
    table.missed(at(62_000));
    assert_eq!(table.unheard(at(63_000)), None, "an agent that was away can't tell");
}

#[test]
fn one_that_has_asked_once_is_not_said_to_have_never_asked_however_long_ago_that_was() {
    const HOUR: u64 = 3_600_000;
    let mut table = expecting(&[Expected::Address(LB1.into())]);
    table.observe(&check(0, LB1, Some("UP; node=old; name=b/s"), 0), 0);
    table.observe(&check(1000, LB1, Some("UP; node=new; name=b/s"), 0), 0);
    table.observe(&check(1000, LB2, Some("UP; node=lb2"), 0), 0);
    table.tidy(at(2 * HOUR));
    let nodes: Vec<_> = table.balancers().filter_map(|balancer| balancer.key.node.as_deref()).collect();
    assert_eq!(nodes, ["new"], "of each that is expected the last");
    assert_eq!(table.absent().count(), 0);
    table.announce(Some(Level::Soft), 1, at(2 * HOUR));
    assert_eq!(table.acknowledged(at(2 * HOUR)), Acknowledgement::Complete, "it is gone");
}
