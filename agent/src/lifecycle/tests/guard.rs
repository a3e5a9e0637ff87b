//! The guard: too few others, before a drain, after its announcement and directly before the restart.

use super::*;

#[test]
fn too_few_others_refuse_a_drain_before_it_is_announced() {
    let mut world = World::up();
    world.enough = false;
    assert!(matches!(world.ask(restart()), Err(Refusal::TooFewRemain(_))));
    assert_eq!(world.stage(), Stage::Up);
    let options = Options { then: Some(Then::Restart), ..Options::default() };
    assert!(world.ask(Request::Soft(forced(options))).is_ok());
    world.see();
    assert_eq!(world.stage(), Stage::Soft);
}

#[test]
fn too_few_others_after_the_announcement_withdraw_it_for_now() {
    let mut world = World::waiting();
    assert_eq!((world.stage(), world.phase()), (Stage::Waiting, Some(Phase::Up)));
    world.pass(4);
    world.enough = true;
    assert_eq!(world.stage(), Stage::Waiting);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Soft);
    assert!(world.ended.is_empty());
}

#[test]
fn a_withdrawn_drain_is_given_up_at_the_limit_of_its_acknowledgement() {
    let mut world = World::waiting();
    world.pass(59);
    assert_eq!(world.stage(), Stage::Waiting);
    world.pass(1);
    assert_eq!((world.stage(), world.ended.as_slice()), (Stage::Up, [(1, Outcome::Withdrawn)].as_slice()));
}

#[test]
fn a_drain_that_was_acknowledged_once_is_tried_again_however_long_soft_has_lasted() {
    let mut world = World::acknowledged(restart());
    world.falls_quiet();
    world.pass(300);
    assert_eq!(world.stage(), Stage::Hard);
    world.enough = false;
    world.pass(200);
    assert_eq!((world.stage(), world.ended.len()), (Stage::Waiting, 0));
    world.enough = true;
    world.pass(5);
    assert_eq!(world.stage(), Stage::Soft);
}

#[test]
fn the_guard_is_looked_at_directly_before_the_restart() {
    let mut world = World::acknowledged(hard_restart());
    world.falls_quiet();
    world.pass(2);
    world.enough = false;
    world.pass(1);
    assert!(world.restarts.is_empty());
    assert_eq!(world.stage(), Stage::Waiting);
}

#[test]
fn no_restart_begins_before_others_that_go_at_the_same_time_would_be_seen() {
    for forced in [false, true] {
        let mut world = World::up();
        world.unconfirmed = true;
        world.ask_as(Request::Hard(Options { force: forced, ..Options::default() }), signal()).unwrap();
        world.acknowledge();
        world.falls_quiet();
        world.pass(10);
        assert_eq!(world.restarts.len(), usize::from(forced));
        world.unconfirmed = false;
        world.pass(1);
        assert_eq!(world.restarts, [1]);
    }
}

#[test]
fn the_limit_of_hard_waits_for_others_that_go_at_the_same_time_but_not_for_ever() {
    let mut world = World::acknowledged(hard_restart());
    world.unconfirmed = true;
    world.pass(89);
    assert!(world.restarts.is_empty());
    let mut confirmed = World { machine: world.machine.clone(), now: world.now, ..World::up() };
    confirmed.pass(1);
    assert_eq!(confirmed.restarts, [1], "seen, and the limit has passed long ago");
    world.pass(1);
    assert_eq!(world.restarts, [1]);
}

#[test]
fn a_hold_that_is_acknowledged_is_not_withdrawn() {
    let mut world = World::acknowledged(hard());
    world.enough = false;
    world.pass(100);
    assert_eq!(world.stage(), Stage::Hard);
}

#[test]
fn a_dead_server_waits_for_nobody_else_where_too_few_remain_anyway() {
    let mut world = World::up();
    for _ in 0..3 {
        world.probe(false);
    }
    world.falls_quiet();
    (world.enough, world.unconfirmed, world.acknowledged) = (false, true, true);
    world.ask_as(Request::Hard(Options::default()), signal()).unwrap();
    world.pass(10);
    assert_eq!(world.restarts, [1]);
}
