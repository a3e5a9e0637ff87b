//! What a request means in each stage: the table of `ask.rs`.

use super::*;

fn is_accepted(said: &Result<Said, Refusal>) -> bool {
    matches!(said, Ok(Said::Accepted { .. }))
}

fn is_already(said: &Result<Said, Refusal>) -> bool {
    matches!(said, Ok(Said::Already { .. }))
}

#[test]
fn a_second_soft_drain_is_a_no_op() {
    let mut world = World::asked(restart());
    world.pass(5);
    let before = world.machine.saved();
    let said = world.ask_as(soft(), signal());
    assert!(matches!(said, Ok(Said::Already { drain: Some(1), .. })));
    assert_eq!(world.machine.saved(), before);
}

#[test]
fn soft_asked_in_hard_never_goes_back() {
    let mut world = World::asked(hard_restart());
    assert!(is_already(&world.ask_as(soft(), signal())));
    assert_eq!(world.stage(), Stage::Hard);
}

#[test]
fn hard_asked_in_soft_goes_on() {
    let mut world = World::asked(restart());
    assert!(is_accepted(&world.ask_as(hard(), signal())));
    assert_eq!(world.stage(), Stage::Hard);
    assert_eq!(world.drain().id, 1);
}

#[test]
fn hard_asked_of_a_soft_hold_holds_in_hard() {
    let mut world = World::asked(soft());
    world.ask(hard()).unwrap();
    assert_eq!((world.stage(), world.drain().follow.clone()), (Stage::Hard, Follow::Hold));
}

#[test]
fn a_restart_asked_of_a_hold_makes_it_one_whose_limits_begin_then() {
    let mut world = World::acknowledged(hard());
    world.pass(500);
    assert!(is_accepted(&world.ask_as(soft(), signal())));
    world.pass(29);
    assert!(world.restarts.is_empty());
    world.pass(1);
    assert_eq!(world.restarts, [1]);
}

#[test]
fn a_soft_drain_that_is_to_hold_in_hard_goes_there() {
    let mut world = World::up();
    world.ask(Request::Soft(Options { then: Some(Then::Hold), ..Options::default() })).unwrap();
    world.acknowledge();
    world.falls_quiet();
    world.pass(300);
    world.acknowledge();
    world.pass(3);
    assert_eq!(world.stage(), Stage::Hard);
    assert!(world.machine.reached());
}

#[test]
fn up_cancels_wherever_it_still_can_be_cancelled() {
    let out = World::asked(restart());
    let hold = World::asked(hard());
    for mut world in [out, hold, World::waiting()] {
        assert!(is_accepted(&world.ask(Request::Up)));
        assert_eq!(
            (world.phase(), world.ended.as_slice()),
            (Some(Phase::Up), [(1, Outcome::Cancelled)].as_slice())
        );
    }
}

#[test]
fn up_is_so_already_in_up_and_warming_and_refused_while_restarting() {
    assert!(is_already(&World::up().ask(Request::Up)));
    assert!(is_already(&World::warming().ask(Request::Up)));
    assert_eq!(World::restarting().ask(Request::Up), Err(Refusal::Restarting));
}

#[test]
fn up_ends_failed_and_shows_the_server_as_it_is() {
    let mut world = World::failed();
    assert!(is_accepted(&world.ask(Request::Up)));
    assert_eq!(world.phase(), Some(Phase::Up));
    let mut world = World::warming();
    world.pass(60);
    world.ask(Request::Up).unwrap();
    assert_eq!(world.phase(), Some(Phase::Down));
}

#[test]
fn a_drain_asked_while_restarting_is_one_further_restart() {
    let mut world = World::restarting();
    assert!(matches!(world.ask_as(soft(), signal()), Ok(Said::Accepted { drain: Some(2), .. })));
    assert!(matches!(world.ask_as(hard(), signal()), Ok(Said::Already { drain: Some(2), .. })));
    world.restart_ends(Ok(()));
    assert_eq!((world.stage(), world.restarts.as_slice()), (Stage::Restarting, [1, 2].as_slice()));
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    assert_eq!(world.stage(), Stage::Up);
    assert_eq!(world.ended, [(1, Outcome::Done), (2, Outcome::Done)]);
}

#[test]
fn one_asked_while_warming_follows_when_the_server_is_ready_or_is_not() {
    for ready in [true, false] {
        let mut world = World::warming();
        world.ask_as(soft(), signal()).unwrap();
        world.probe(ready);
        world.probe(ready);
        world.pass(if ready { 0 } else { 60 });
        assert_eq!((world.stage(), world.restarts.as_slice()), (Stage::Restarting, [1, 2].as_slice()));
    }
}

#[test]
fn a_hold_asked_while_warming_follows_without_an_answer_of_up() {
    let mut world = World::warming();
    world.ask(hard()).unwrap();
    world.probe(true);
    world.probe(true);
    assert_eq!((world.stage(), world.drain().id), (Stage::Hard, 2));
}

#[test]
fn one_asked_to_hold_in_soft_holds_in_hard_when_the_restart_before_has_failed() {
    let mut world = World::restarting();
    world.ask(soft()).unwrap();
    world.restart_ends(Err("exit status 1"));
    assert_eq!((world.stage(), world.drain().follow.clone()), (Stage::Hard, Follow::Hold));
    world.falls_quiet();
    world.acknowledge();
    world.pass(3);
    assert!(world.machine.reached());
}

#[test]
fn up_takes_a_further_drain_back() {
    let mut world = World::restarting();
    world.ask_as(soft(), signal()).unwrap();
    assert!(is_accepted(&world.ask(Request::Up)));
    assert_eq!(world.ended, [(2, Outcome::Cancelled)]);
    world.restart_ends(Ok(()));
    assert_eq!(world.stage(), Stage::Warming);
}

#[test]
fn a_drain_asked_of_a_failed_server_is_hard_and_not_guarded() {
    let mut world = World::failed();
    world.enough = false;
    assert!(is_accepted(&world.ask_as(soft(), signal())));
    assert_eq!(world.stage(), Stage::Hard);
    world.acknowledge();
    world.pass(3);
    assert_eq!(world.restarts, [1, 2]);
}

/// Of whose server the drain is reached that somebody has asked for to run a command.
fn worked_on() -> World {
    let mut world = World::acknowledged(for_command(Level::Hard));
    world.falls_quiet();
    world.pass(3);
    assert!(world.machine.reached());
    world
}

fn for_command(level: Level) -> Request {
    let options = Options { then: Some(Then::Hold), command: Some("apt-get".into()), ..Options::default() };
    if level == Level::Soft { Request::Soft(options) } else { Request::Hard(options) }
}

#[test]
fn nobody_restarts_a_server_or_sends_users_to_it_while_somebody_works_on_it() {
    let mut world = worked_on();
    let runs = Refusal::CommandRuns { drain: 1, command: "apt-get".into() };
    assert_eq!(world.ask_as(hard(), signal()), Err(runs.clone()));
    assert_eq!(world.ask(restart()), Err(runs.clone()));
    assert_eq!(world.ask(Request::Up), Err(runs));
    let lasts = Options { for_seconds: Some(1), ..Options::default() };
    assert!(matches!(world.ask(Request::Hard(lasts)), Err(Refusal::EndsOtherwise(_))));
    assert!(is_already(&world.ask(hard())), "it is held");
    assert_eq!((world.stage(), world.restarts.len()), (Stage::Hard, 0));
}

#[test]
fn force_goes_before_a_command_and_so_does_whatever_is_asked_when_its_caller_has_gone() {
    assert!(is_accepted(&worked_on().ask(Request::UpByForce)));
    let by_force = Options { then: Some(Then::Restart), force: true, ..Options::default() };
    assert!(is_accepted(&worked_on().ask(Request::Soft(by_force))));
    for request in [Request::Up, restart()] {
        let mut world = worked_on();
        world.caller_gone = true;
        assert!(is_accepted(&world.ask(request)));
    }
}

#[test]
fn before_a_command_may_begin_its_drain_can_be_cancelled_or_made_a_restart() {
    for request in [Request::Up, restart()] {
        assert!(is_accepted(&World::acknowledged(for_command(Level::Hard)).ask(request)));
    }
}

#[test]
fn a_command_joins_nobodys_drain() {
    for mut world in [World::asked(hard()), World::asked(for_command(Level::Soft)), World::waiting()] {
        for level in [Level::Soft, Level::Hard] {
            assert_eq!(world.ask(for_command(level)), Err(Refusal::UnderWay(1)));
        }
    }
}

#[test]
fn return_leads_from_a_hold_through_warming() {
    let mut world = World::acknowledged(hard());
    assert!(is_accepted(&world.ask(Request::Return(None))));
    assert_eq!(world.stage(), Stage::Warming);
    world.probe(true);
    world.probe(true);
    assert_eq!((world.stage(), world.ended.as_slice()), (Stage::Up, [(1, Outcome::Done)].as_slice()));
}

#[test]
fn return_is_refused_where_the_agent_restarts_by_itself() {
    let mut world = World::asked(restart());
    assert_eq!(world.ask(Request::Return(None)), Err(Refusal::NotAHold(1)));
    assert_eq!(World::waiting().ask(Request::Return(None)), Err(Refusal::NotAHold(1)));
    assert_eq!(World::restarting().ask(Request::Return(None)), Err(Refusal::Restarting));
}

#[test]
fn return_is_so_already_in_up_and_warming_and_accepted_in_failed() {
    assert!(is_already(&World::up().ask(Request::Return(None))));
    assert!(is_already(&World::warming().ask(Request::Return(None))));
    let mut world = World::failed();
    assert!(is_accepted(&world.ask(Request::Return(None))));
    assert_eq!(world.stage(), Stage::Warming);
}
