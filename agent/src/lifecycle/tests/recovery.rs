//! What an agent does that finds the state of another: the table of `recovery.rs`.

use super::*;

fn revived(world: &World, same_boot: bool, replaced: Replaced) -> World {
    let text = serde_json::to_string(&world.machine.saved()).unwrap();
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let (machine, effects) = Machine::restored(rules(), saved, at(world.now), same_boot, replaced);
    let mut revived = World::of(machine);
    revived.now = world.now;
    revived.restarts.extend(effects.restart);
    revived
}

#[test]
fn what_is_under_way_goes_on_as_it_was() {
    for world in
        [World::up(), World::waiting(), World::asked(restart()), World::asked(hard()), World::failed()]
    {
        let revived = revived(&world, true, Replaced::Perhaps);
        assert_eq!(revived.machine.course(), world.machine.course());
        assert!(revived.restarts.is_empty());
    }
}

#[test]
fn limits_go_on_running() {
    let mut world = World::acknowledged(restart());
    world.pass(1000);
    let mut revived = revived(&world, true, Replaced::Perhaps);
    revived.pass(800);
    assert_eq!(revived.stage(), Stage::Hard);
}

#[test]
fn but_an_acknowledgement_has_its_whole_time_again() {
    for request in [restart(), hard()] {
        let mut world = World::asked(request);
        world.now += 600;
        let mut revived = revived(&world, true, Replaced::Perhaps);
        revived.probe(true);
        revived.pass(59);
        assert_ne!(revived.stage(), Stage::Up);
        revived.pass(1);
        assert_eq!(revived.stage(), Stage::Up);
    }
}

#[test]
fn a_restart_that_has_not_happened_is_done() {
    let revived = revived(&World::restarting(), true, Replaced::Not);
    assert_eq!((revived.stage(), revived.restarts.as_slice()), (Stage::Restarting, [1].as_slice()));
}

#[test]
fn a_restart_that_may_have_happened_is_not_repeated() {
    for (same_boot, replaced) in [(true, Replaced::Perhaps), (false, Replaced::Perhaps)] {
        let mut revived = revived(&World::restarting(), same_boot, replaced);
        assert_eq!(revived.stage(), Stage::Warming);
        revived.pass(60);
        assert_eq!(revived.stage(), Stage::Failed);
        assert!(revived.restarts.is_empty());
    }
}

#[test]
fn a_restart_that_is_under_way_is_waited_for() {
    let mut revived = revived(&World::restarting(), true, Replaced::UnderWay);
    revived.pass(10);
    assert_eq!((revived.stage(), revived.restarts.len()), (Stage::Restarting, 0));
    revived.restart_ends(Ok(()));
    assert_eq!(revived.stage(), Stage::Warming);
}

#[test]
fn an_agent_that_was_away_for_long_waits_for_the_report_all_the_same() {
    let mut world = World::restarting();
    world.now += 600;
    let mut revived = revived(&world, true, Replaced::UnderWay);
    revived.pass(119);
    assert_eq!(revived.stage(), Stage::Restarting);
    revived.restart_ends(Ok(()));
    assert_eq!(revived.stage(), Stage::Warming);
}

#[test]
fn warming_has_its_whole_time_again() {
    let mut world = World::warming();
    world.pass(50);
    let mut revived = revived(&world, true, Replaced::Perhaps);
    revived.pass(50);
    assert_eq!(revived.stage(), Stage::Warming);
    revived.probe(true);
    revived.probe(true);
    assert_eq!(revived.stage(), Stage::Up);
}

#[test]
fn the_hosts_restart_was_the_servers() {
    for world in [
        World::asked(restart()),
        World::asked(Request::Hard(Options { then: Some(Then::Restart), ..Options::default() })),
    ] {
        let revived = revived(&world, false, Replaced::Perhaps);
        assert_eq!((revived.stage(), revived.restarts.len()), (Stage::Warming, 0));
    }
}

#[test]
fn a_hold_outlives_the_host() {
    let world = World::acknowledged(hard());
    let mut revived = revived(&world, false, Replaced::Perhaps);
    revived.pass(1000);
    assert_eq!(revived.stage(), Stage::Hard);
}

#[test]
fn ids_are_not_given_twice() {
    let mut revived = revived(&World::failed(), true, Replaced::Perhaps);
    revived.ask(restart()).unwrap();
    assert_eq!(revived.drain().id, 2);
}

#[test]
fn what_is_unknown_holds_with_the_answer_of_soft() {
    let (machine, effects) = Machine::held(rules(), at(0), 1_700_000_000, "unreadable".into());
    assert_eq!(effects.warnings, ["unreadable"]);
    let mut world = World::of(machine);
    world.probe(true);
    world.enough = false;
    world.pass(5000);
    assert_eq!(world.phase(), Some(Phase::Soft));
    world.ask(Request::Up).unwrap();
    assert_eq!(world.phase(), Some(Phase::Up));
}
