//! The limit of hard: what is cut there, and what is not.

use super::*;

/// Hard, for a command that whoever asks runs himself.
fn run() -> Request {
    let options = Options { then: Some(Then::Hold), command: Some("apt-get".into()), ..Options::default() };
    Request::Hard(options)
}

/// Of whose server, which is in use, this was asked where the limit means `at_limit`, and all act on it.
fn acknowledged(request: Request, at_limit: AtHardLimit) -> World {
    let mut rules = rules();
    rules.hard.at_limit = at_limit;
    let mut world = World::with(rules);
    world.ask(request).unwrap();
    world.acknowledge();
    world
}

fn reached(world: &World) -> (bool, Option<&str>) {
    (world.machine.reached(), world.machine.limit_passed())
}

const PASSED: &str = "the limit of 30s has passed: 1 in flight";

#[test]
fn a_command_that_is_waited_for_may_begin_at_the_limit_and_what_it_cuts_is_told() {
    let mut world = acknowledged(run(), AtHardLimit::Restart);
    let waits = world.machine.waits().unwrap();
    assert_eq!((waits.until, waits.then), (at(30), "runs the command and cuts what is left"));
    assert_eq!(world.machine.deadline(), Some(at(30)));
    world.pass(29);
    assert_eq!((reached(&world), world.cuts), ((false, None), 0));
    world.pass(1);
    assert_eq!((reached(&world), world.cuts), ((true, Some(PASSED)), 1));
    assert!(world.warnings[0].contains("cuts what is left"), "{:?}", world.warnings);
    world.pass(100);
    assert_eq!((world.stage(), world.cuts, world.warnings.len()), (Stage::Hard, 1, 1));
}

#[test]
fn where_the_limit_aborts_no_command_may_begin() {
    let mut world = acknowledged(run(), AtHardLimit::Abort);
    assert_eq!(world.machine.waits().unwrap().then, "withdraws to up");
    world.pass(30);
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Up, vec![(1, Outcome::Withdrawn)]));
    assert_eq!((world.cuts, reached(&world)), (0, (false, None)));
}

#[test]
fn a_command_that_has_begun_is_not_interrupted_by_the_limit() {
    let mut world = acknowledged(run(), AtHardLimit::Abort);
    world.falls_quiet();
    world.pass(3);
    assert_eq!(reached(&world), (true, None));
    world.quiet = None;
    world.pass(100);
    assert_eq!((world.stage(), reached(&world)), (Stage::Hard, (true, None)));
}

#[test]
fn a_plain_hold_is_told_that_it_is_still_in_use_and_cuts_nothing() {
    let mut world = acknowledged(hard(), AtHardLimit::Restart);
    world.pass(30);
    assert_eq!((reached(&world), world.cuts), ((true, Some(PASSED)), 0));
    assert!(world.warnings[0].contains("still in use"), "{:?}", world.warnings);
}

#[test]
fn where_the_limit_aborts_a_plain_hold_goes_on_and_is_reached_when_it_is_quiet() {
    let mut world = acknowledged(hard(), AtHardLimit::Abort);
    world.pass(100);
    assert_eq!((world.stage(), reached(&world)), (Stage::Hard, (false, Some(PASSED))));
    assert_eq!((world.warnings.len(), world.machine.deadline()), (1, None));
    world.falls_quiet();
    world.pass(3);
    assert_eq!(reached(&world), (true, Some(PASSED)));
}

#[test]
fn a_hold_is_not_reached_while_a_balancer_does_not_act_on_it() {
    let mut world = acknowledged(run(), AtHardLimit::Restart);
    world.acknowledged_for = None;
    world.falls_quiet();
    world.pass(29);
    assert!(!world.machine.reached());
    world.pass(1);
    assert_eq!((reached(&world), world.cuts), ((true, Some("the limit of 30s has passed: lb1")), 0));
}

#[test]
fn a_drain_for_a_command_is_withdrawn_where_too_few_remain_until_it_may_begin() {
    let mut world = acknowledged(run(), AtHardLimit::Restart);
    world.enough = false;
    world.see();
    assert_eq!(world.stage(), Stage::Waiting);
    let mut world = acknowledged(run(), AtHardLimit::Restart);
    world.falls_quiet();
    world.pass(3);
    world.enough = false;
    world.pass(10);
    assert_eq!(world.stage(), Stage::Hard, "somebody works on it");
}

#[test]
fn a_command_that_has_begun_is_not_interrupted_by_the_hosts_restart() {
    for at_limit in [AtHardLimit::Restart, AtHardLimit::Abort] {
        let mut world = acknowledged(run(), at_limit);
        world.falls_quiet();
        world.pass(3);
        let (rules, saved) = (world.machine.rules.clone(), world.machine.saved());
        world.machine = Machine::restored(rules, saved, at(world.now), false, Replaced::Perhaps).0;
        (world.quiet, world.enough) = (None, false);
        world.pass(100);
        assert_eq!((world.stage(), reached(&world), world.cuts), (Stage::Hard, (true, None), 0));
    }
}

#[test]
fn a_restart_that_is_asked_of_a_hold_has_a_limit_of_its_own() {
    let mut world = acknowledged(hard(), AtHardLimit::Restart);
    world.pass(50);
    world.ask(restart()).unwrap();
    assert_eq!(reached(&world), (false, None));
    world.acknowledge();
    world.pass(29);
    assert_eq!(world.restarts.len(), 0);
    world.pass(1);
    assert_eq!((world.stage(), world.cuts), (Stage::Restarting, 1));
}

#[test]
fn the_time_that_a_hold_was_asked_for_goes_before_its_limit() {
    let options = Options { for_seconds: Some(10), ..Options::default() };
    let world = acknowledged(Request::Hard(options), AtHardLimit::Restart);
    let waits = world.machine.waits().unwrap();
    assert_eq!((waits.what, waits.until), (Wait::Time, at(10)));
}

#[test]
fn a_restart_after_silence_cuts_nothing() {
    let world = World::restarting();
    assert_eq!(world.cuts, 0);
}
