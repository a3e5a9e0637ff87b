//! A test for each edge of the diagram, and for what keeps the machine where it is.

use super::*;

#[test]
fn asked_soft_up_becomes_soft() {
    let mut world = World::up();
    assert_eq!(world.phase(), Some(Phase::Up));
    assert!(matches!(world.ask(restart()), Ok(Said::Accepted { drain: Some(1), .. })));
    assert_eq!(world.transitions, [(Stage::Up, Stage::Soft)]);
}

#[test]
fn asked_hard_up_becomes_hard() {
    let world = World::asked(hard());
    assert_eq!(world.transitions, [(Stage::Up, Stage::Hard)]);
}

#[test]
fn soft_becomes_hard_when_acknowledged_and_quiet() {
    let mut world = World::asked(restart());
    world.falls_quiet();
    world.pass(50);
    assert_eq!(world.stage(), Stage::Soft);
    world.acknowledge();
    world.pass(249);
    assert_eq!(world.stage(), Stage::Soft);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Hard);
    assert!(world.machine.announcement().unwrap().at == at(world.now));
}

#[test]
fn soft_becomes_hard_at_its_limit_which_runs_from_the_acknowledgement() {
    let mut world = World::asked(restart());
    world.pass(40);
    world.acknowledge();
    world.pass(1799);
    assert_eq!(world.stage(), Stage::Soft);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Hard);
}

#[test]
fn soft_becomes_hard_when_the_server_dies() {
    let mut world = World::asked(restart());
    world.dies();
    assert_eq!(world.stage(), Stage::Hard);
}

#[test]
fn what_is_asked_to_hold_in_soft_stays_there() {
    let mut world = World::acknowledged(soft());
    world.falls_quiet();
    world.pass(4000);
    assert_eq!(world.stage(), Stage::Soft);
    assert!(world.machine.reached());
    world.dies();
    assert_eq!((world.stage(), world.phase()), (Stage::Soft, Some(Phase::Down)));
}

#[test]
fn an_unacknowledged_drain_is_withdrawn_at_its_limit() {
    for request in [restart(), hard()] {
        let mut world = World::up();
        world.ask(request).unwrap();
        world.falls_quiet();
        world.pass(59);
        assert_ne!(world.stage(), Stage::Up);
        world.pass(1);
        assert_eq!(world.stage(), Stage::Up);
        assert_eq!(world.ended, [(1, Outcome::Withdrawn)]);
    }
}

#[test]
fn or_goes_on_where_that_is_configured() {
    let mut rules = rules();
    rules.acknowledge.at_limit = AtAcknowledgeLimit::Proceed;
    let mut world = World::with(rules);
    world.ask(restart()).unwrap();
    world.pass(60);
    assert_eq!(world.stage(), Stage::Soft);
    assert_eq!(world.warnings.len(), 1);
    world.pass(1800 + 60 + 30);
    assert_eq!(world.stage(), Stage::Restarting);
}

#[test]
fn hard_must_be_acknowledged_for_itself() {
    let mut world = World::acknowledged(restart());
    world.falls_quiet();
    world.pass(300);
    assert_eq!(world.stage(), Stage::Hard);
    world.pass(59);
    assert_eq!(world.stage(), Stage::Hard);
    world.acknowledge();
    assert_eq!(world.restarts, [1]);
}

#[test]
fn hard_restarts_when_acknowledged_and_quiet() {
    let mut world = World::acknowledged(hard_restart());
    world.falls_quiet();
    world.pass(2);
    assert!(world.restarts.is_empty());
    world.pass(1);
    assert_eq!((world.restarts.as_slice(), world.stage()), ([1].as_slice(), Stage::Restarting));
}

#[test]
fn a_balancer_that_comes_after_the_acknowledgement_holds_the_restart_until_the_limit() {
    for comes_round in [true, false] {
        let mut world = World::acknowledged(hard_restart());
        assert_eq!(world.machine.waits().map(|waiting| waiting.what), Some(Wait::Quiet));
        world.falls_quiet();
        world.acknowledged_for = None;
        world.pass(20);
        assert!(world.restarts.is_empty());
        assert_eq!(world.machine.waits().map(|waiting| waiting.what), Some(Wait::Acknowledgement));
        if comes_round {
            world.acknowledge();
        } else {
            world.pass(10);
            assert!(world.warnings[0].contains("lb1"), "{:?}", world.warnings);
        }
        assert_eq!(world.restarts, [1]);
    }
}

#[test]
fn hard_restarts_at_once_where_every_balancer_has_reported_zero() {
    let mut world = World::asked(hard_restart());
    world.falls_quiet();
    world.empty = true;
    world.pass(1);
    assert!(world.restarts.is_empty());
    world.acknowledge();
    assert_eq!(world.restarts, [1]);
}

#[test]
fn soft_needs_its_whole_silence_even_so() {
    let mut world = World::asked(restart());
    world.falls_quiet();
    world.empty = true;
    world.acknowledge();
    world.pass(299);
    assert_eq!(world.stage(), Stage::Soft);
}

#[test]
fn looks_from_before_the_acknowledgement_do_not_count() {
    let mut world = World::asked(hard_restart());
    world.pass(10);
    world.acknowledge();
    let stale = Traffic::Quiet {
        since: at(0),
        previous: at(world.now - 1),
        last: at(world.now),
        empty: Some(at(world.now - 1)),
        abandoned: None,
    };
    let view = View { traffic: stale, ..world.view() };
    world.step(Event::Seen(view)).unwrap();
    assert!(world.restarts.is_empty());
}

#[test]
fn unknown_traffic_holds_until_the_limit() {
    let mut world = World::acknowledged(hard_restart());
    for _ in 0..30 {
        assert!(world.restarts.is_empty());
        world.now += 1;
        let view = View { traffic: Traffic::Unknown("denied".into()), ..world.view() };
        world.step(Event::Seen(view)).unwrap();
    }
    assert_eq!(world.restarts, [1]);
    assert!(world.warnings[0].contains("denied"), "{:?}", world.warnings);
}

#[test]
fn hard_restarts_at_its_limit_and_says_what_it_cuts() {
    let mut world = World::acknowledged(hard_restart());
    world.pass(29);
    assert!(world.restarts.is_empty());
    world.pass(1);
    assert_eq!(world.restarts, [1]);
    assert!(world.warnings[0].contains("in flight"), "{:?}", world.warnings);
}

#[test]
fn or_is_withdrawn_where_that_is_configured() {
    let mut rules = rules();
    rules.hard.at_limit = AtHardLimit::Abort;
    let mut world = World::with(rules);
    world.ask_as(hard(), signal()).unwrap();
    world.acknowledge();
    world.pass(30);
    assert_eq!((world.stage(), world.ended.as_slice()), (Stage::Up, [(1, Outcome::Withdrawn)].as_slice()));
}

#[test]
fn a_hold_in_hard_lasts() {
    let mut world = World::acknowledged(hard());
    assert!(!world.machine.reached());
    world.falls_quiet();
    world.pass(5000);
    assert_eq!(world.stage(), Stage::Hard);
    assert!(world.machine.reached());
}

#[test]
fn a_dead_server_is_restarted_after_a_short_silence() {
    let mut world = World::up();
    world.dies();
    assert_eq!(world.phase(), Some(Phase::Down));
    world.enough = false;
    world.falls_quiet();
    world.pass(100);
    world.ask(restart()).unwrap();
    world.pass(2);
    assert!(world.restarts.is_empty(), "old looks and old silence prove nothing");
    world.pass(1);
    assert_eq!(world.restarts, [1]);
    let edges = [(Stage::Up, Stage::Soft), (Stage::Soft, Stage::Hard), (Stage::Hard, Stage::Restarting)];
    assert_eq!(world.transitions, edges);
}

#[test]
fn a_dead_server_that_listens_no_more_is_restarted_without_that_silence() {
    let mut rules = rules();
    rules.hard.quiet = seconds(30);
    let mut world = World::with(rules);
    world.dies();
    world.falls_quiet();
    world.abandoned = Some(0);
    world.pass(100);
    world.ask(restart()).unwrap();
    world.see();
    assert!(world.restarts.is_empty(), "old looks prove nothing");
    world.pass(1);
    assert_eq!(world.restarts, [1]);
}

#[test]
fn but_not_one_that_is_only_between_two_listens() {
    let mut world = World::up();
    world.dies();
    world.falls_quiet();
    world.ask(restart()).unwrap();
    world.now += 1;
    world.abandoned = Some(world.now);
    world.see();
    assert!(world.restarts.is_empty());
}

#[test]
fn nor_one_that_answers_its_probe_and_only_seems_to_listen_no_more() {
    let mut world = World::asked(hard_restart());
    world.falls_quiet();
    world.abandoned = Some(world.now);
    world.pass(59);
    assert!(world.restarts.is_empty());
}

#[test]
fn a_dead_server_that_listens_is_not_restarted_while_it_still_works_on_something() {
    let mut world = World::up();
    world.dies();
    world.ask(restart()).unwrap();
    world.pass(20);
    assert_eq!(world.stage(), Stage::Hard);
    world.falls_quiet();
    world.pass(2);
    assert!(world.restarts.is_empty());
    world.pass(1);
    assert_eq!(world.restarts, [1]);
}

#[test]
fn nor_while_it_is_only_assumed_to_be_dead() {
    let mut world = World::of(Machine::new(rules()));
    world.step(Event::NoVerdict { last: Verdict::NotReady }).unwrap();
    world.falls_quiet();
    world.ask_as(hard(), signal()).unwrap();
    world.pass(59);
    assert!(world.restarts.is_empty());
}

#[test]
fn a_restart_leads_through_warming_to_up() {
    let mut world = World::warming();
    assert_eq!(world.phase(), Some(Phase::Warming));
    world.probe(true);
    assert_eq!(world.phase(), Some(Phase::Warming));
    world.probe(true);
    assert_eq!((world.phase(), world.ended.as_slice()), (Some(Phase::Up), [(1, Outcome::Done)].as_slice()));
}

#[test]
fn a_probe_that_began_before_the_new_process_proves_nothing() {
    let mut world = World::restarting();
    let before = world.now;
    world.pass(1);
    world.restart_ends(Ok(()));
    for _ in 0..5 {
        world.step(Event::Probed { began: at(before), passed: true }).unwrap();
    }
    assert_eq!(world.stage(), Stage::Warming);
}

#[test]
fn a_restart_that_fails_stays_out_until_asked() {
    let mut world = World::failed();
    assert_eq!(
        (world.phase(), world.ended.as_slice()),
        (Some(Phase::Failed), [(1, Outcome::Failed)].as_slice())
    );
    for _ in 0..10 {
        world.probe(true);
    }
    world.pass(5000);
    assert_eq!(world.phase(), Some(Phase::Failed));
}

#[test]
fn a_restart_that_never_ends_has_failed() {
    let mut world = World::restarting();
    world.pass(119);
    assert_eq!(world.stage(), Stage::Restarting);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Failed);
}

#[test]
fn a_server_that_does_not_become_ready_has_failed() {
    let mut world = World::warming();
    world.probe(true);
    world.probe(false);
    world.pass(59);
    assert_eq!(world.stage(), Stage::Warming);
    world.pass(1);
    assert_eq!((world.stage(), world.ended.as_slice()), (Stage::Failed, [(1, Outcome::Failed)].as_slice()));
}

#[test]
fn a_failing_probe_puts_an_unasked_server_down_and_up_again() {
    let mut world = World::up();
    world.probe(false);
    world.probe(false);
    assert_eq!(world.phase(), Some(Phase::Up));
    world.probe(false);
    assert_eq!(world.phase(), Some(Phase::Down));
    world.probe(true);
    assert_eq!(world.phase(), Some(Phase::Down));
    world.probe(true);
    assert_eq!(world.phase(), Some(Phase::Up));
}

#[test]
fn a_drain_that_can_not_be_carried_on_is_given_up() {
    let mut world = World::asked(restart());
    world.step(Event::GivenUp { why: "the disk is full".into() }).unwrap();
    assert_eq!((world.stage(), world.ended.as_slice()), (Stage::Up, [(1, Outcome::Withdrawn)].as_slice()));
}
