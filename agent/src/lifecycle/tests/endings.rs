//! How a drain ends otherwise than by one restart: stop, commands, times, tries, and what follows a failure.

use super::*;

fn hard_then(then: Then) -> Request {
    Request::Hard(Options { then: Some(then), ..Options::default() })
}

fn soft_for(seconds: u64) -> Request {
    Request::Soft(Options { for_seconds: Some(seconds), ..Options::default() })
}

/// Acknowledged, quiet, and what is to follow has begun.
fn begun(world: &mut World, then: Then) {
    world.ask(hard_then(then)).unwrap();
    world.acknowledge();
    world.falls_quiet();
    world.pass(3);
    assert_eq!(world.stage(), Stage::Restarting);
}

fn with(change: impl FnOnce(&mut Rules)) -> World {
    let mut rules = rules();
    change(&mut rules);
    World::with(rules)
}

#[test]
fn a_server_that_is_stopped_stays_out_until_somebody_asks() {
    let mut world = World::up();
    begun(&mut world, Then::Stop);
    world.restart_ends(Ok(()));
    assert_eq!((world.stage(), world.phase()), (Stage::Hard, Some(Phase::Hard)));
    assert!(world.machine.reached());
    world.pass(5000);
    assert_eq!((world.stage(), world.restarts.len(), world.ended.len()), (Stage::Hard, 1, 0));
    assert_eq!(world.ask(Request::Up), Err(Refusal::Stopped), "nobody has started it yet");
    world.probe(true);
    world.probe(true);
    assert_eq!(world.phase(), Some(Phase::Hard), "nothing brings it back by itself");
    world.ask(Request::Up).unwrap();
    assert_eq!((world.phase(), world.ended.clone()), (Some(Phase::Up), vec![(1, Outcome::Done)]));
}

#[test]
fn what_has_gone_wrong_is_told_in_the_words_of_what_was_asked() {
    for (then, noun) in
        [(Then::Stop, "the stop has"), (Then::Run("upgrade".into()), "the command upgrade has")]
    {
        let mut world = World::up();
        begun(&mut world, then);
        world.pass(300);
        assert_eq!(world.stage(), Stage::Failed);
        let why = world.machine.course().why();
        assert!(why.starts_with(noun), "{why}");
    }
}

#[test]
fn another_time_for_a_hold_is_said_with_the_one_that_it_replaces() {
    let mut world = World::up();
    world.ask(soft_for(100)).unwrap();
    world.pass(10);
    let Said::Accepted { text, .. } = world.ask(soft_for(300)).unwrap() else { panic!("accepted") };
    assert_eq!(text, "drain 1 is changed: it is over in 300s, no longer in 90s");
    let Said::Accepted { text, .. } = world.ask(hard_then(Then::Stop)).unwrap() else { panic!("accepted") };
    assert!(text.starts_with("drain 1 becomes hard"), "{text}");
}

#[test]
fn the_longer_limit_for_others_that_may_go_is_not_shown_before_it_counts() {
    let mut world = World::up();
    world.ask(hard_then(Then::Restart)).unwrap();
    world.unconfirmed = true;
    world.acknowledge();
    let shown = |world: &World| world.machine.waits().unwrap().until;
    assert_eq!(shown(&world), at(world.now) + rules().hard.limit);
    let limit = rules().hard.limit.as_secs();
    world.pass(limit + 1);
    assert_eq!((world.stage(), shown(&world)), (Stage::Hard, at(world.now - 1) + rules().acknowledge.limit));
}

#[test]
fn how_long_a_restart_took_is_told_without_the_time_until_readiness() {
    let mut world = World::up();
    begun(&mut world, Then::Restart);
    world.restart_ends(Ok(()));
    world.pass(20);
    assert_eq!(world.drain().restart_took, Some(seconds(7)));
}

#[test]
fn a_restart_brings_a_stopped_server_back() {
    let mut world = World::up();
    begun(&mut world, Then::Stop);
    world.restart_ends(Ok(()));
    assert!(matches!(world.ask(hard_then(Then::Stop)).unwrap(), Said::Already { .. }), "it is stopped");
    world.ask(hard_restart()).unwrap();
    world.pass(31);
    assert_eq!((world.stage(), world.restarts.len()), (Stage::Restarting, 2));
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Up, vec![(1, Outcome::Done)]));
}

#[test]
fn a_server_that_can_not_be_stopped_fails_as_one_that_can_not_be_restarted() {
    let mut world = World::up();
    begun(&mut world, Then::Stop);
    world.restart_ends(Err("exit status 1"));
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Failed, vec![(1, Outcome::Failed)]));
}

#[test]
fn a_command_of_the_configuration_brings_the_server_back() {
    let mut world = World::up();
    begun(&mut world, Then::Run("upgrade".into()));
    world.pass(200);
    assert_eq!(world.stage(), Stage::Restarting, "it has a limit of its own");
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Up, vec![(1, Outcome::Done)]));
}

#[test]
fn what_the_configuration_does_not_have_is_refused() {
    let mut world = with(|rules| rules.can_stop = false);
    assert_eq!(world.ask(hard_then(Then::Stop)).unwrap_err().name(), "no_stop_command");
    let refusal = world.ask(hard_then(Then::Run("reboot".into()))).unwrap_err();
    assert_eq!(refusal.name(), "no_such_run");
    assert!(refusal.to_string().contains("upgrade"), "{refusal}");
    assert_eq!(world.stage(), Stage::Up);
}

#[test]
fn a_signal_ends_as_the_configuration_says() {
    let mut world = with(|rules| rules.then = Then::Run("upgrade".into()));
    world.ask_as(soft(), signal()).unwrap();
    assert_eq!(world.drain().follow, Follow::Run("upgrade".into()));
}

#[test]
fn a_hold_is_over_when_its_time_is() {
    let mut world = World::up();
    world.ask(soft_for(100)).unwrap();
    world.acknowledge();
    let deadline = world.machine.deadline().unwrap();
    assert_eq!(deadline, at(world.now + 100));
    world.pass(99);
    assert_eq!(world.stage(), Stage::Soft);
    world.pass(1);
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Up, vec![(1, Outcome::Done)]));
}

#[test]
fn its_time_goes_on_without_the_agent_and_over_the_hosts_restart() {
    for same_boot in [true, false] {
        let mut world = World::up();
        world.ask(soft_for(100)).unwrap();
        world.acknowledge();
        let saved = world.machine.saved();
        let (machine, _) = Machine::restored(rules(), saved, at(200), same_boot, Replaced::Perhaps);
        let mut world = World { now: 200, ..World::of(machine) };
        assert_eq!(world.stage(), Stage::Soft);
        world.see();
        assert_eq!(world.stage(), Stage::Up);
    }
}

#[test]
fn a_time_is_changed_by_another_and_ends_with_a_restart() {
    let mut world = World::up();
    world.ask(soft_for(100)).unwrap();
    world.ask(soft_for(1000)).unwrap();
    world.acknowledge();
    world.pass(500);
    assert_eq!(world.stage(), Stage::Soft);
    world.ask(restart()).unwrap();
    assert_eq!(world.drain().until_unix, None);
    assert_eq!(world.ask(soft_for(10)).unwrap_err().name(), "ends_otherwise");
    let options = Options { then: Some(Then::Restart), for_seconds: Some(1), ..Options::default() };
    assert_eq!(World::up().ask(Request::Soft(options)).unwrap_err().name(), "ends_otherwise");
}

#[test]
fn a_restart_that_fails_is_tried_again_after_a_pause() {
    let mut world = with(|rules| rules.retries = 2);
    begun(&mut world, Then::Restart);
    for _ in 0..2 {
        world.restart_ends(Err("port taken"));
        let waits = world.machine.waits().unwrap();
        assert_eq!((waits.until, waits.then), (at(world.now + 5), "tries again"));
        let tried = world.restarts.len();
        world.pass(4);
        assert_eq!((world.stage(), world.restarts.len()), (Stage::Restarting, tried));
        world.pass(1);
        assert_eq!(world.restarts.len(), tried + 1);
    }
    assert!(world.warnings[0].contains("try 1 of 3"), "{:?}", world.warnings);
    world.restart_ends(Err("port taken"));
    assert_eq!((world.stage(), world.ended.clone()), (Stage::Failed, vec![(1, Outcome::Failed)]));
}

#[test]
fn one_that_does_not_report_its_end_is_not_tried_again() {
    let mut world = with(|rules| rules.retries = 2);
    begun(&mut world, Then::Restart);
    world.pass(120);
    assert_eq!((world.stage(), world.restarts.len()), (Stage::Failed, 1));
}

#[test]
fn between_two_tries_it_can_be_cancelled_and_in_one_it_can_not() {
    let mut world = with(|rules| rules.retries = 1);
    begun(&mut world, Then::Restart);
    assert_eq!(world.ask(Request::Up).unwrap_err().name(), "restarting");
    world.restart_ends(Err("port taken"));
    world.ask(Request::Up).unwrap();
    assert_eq!((world.stage(), world.phase()), (Stage::Up, Some(Phase::Down)), "what is left must be ready");
    assert_eq!(world.ended, [(1, Outcome::Cancelled)]);
    world.pass(100);
    assert_eq!(world.restarts.len(), 1);
}

#[test]
fn the_next_try_comes_although_the_agent_was_killed_before() {
    let mut world = with(|rules| rules.retries = 1);
    begun(&mut world, Then::Restart);
    world.restart_ends(Err("port taken"));
    let rules = Rules { retries: 1, ..rules() };
    let saved = world.machine.saved();
    let (machine, effects) = Machine::restored(rules, saved, at(world.now), true, Replaced::Perhaps);
    assert_eq!((machine.course().stage(), effects.restart), (Stage::Restarting, None));
    let mut next = World { now: world.now, ..World::of(machine) };
    next.pass(5);
    assert_eq!(next.restarts, [1]);
}

#[test]
fn where_configured_a_server_goes_up_after_a_failure_as_soon_as_it_is_ready() {
    let mut world = with(|rules| rules.on_failure = OnFailure::Up);
    begun(&mut world, Then::Restart);
    world.restart_ends(Err("exit status 1"));
    assert_eq!((world.stage(), world.phase()), (Stage::Up, Some(Phase::Down)));
    assert_eq!(world.ended, [(1, Outcome::Failed)]);
    world.probe(true);
    world.probe(true);
    assert_eq!(world.phase(), Some(Phase::Up));
}

#[test]
fn a_server_is_warmed_up_once_before_it_goes_up() {
    let mut world = with(|rules| rules.warm_up = Some(seconds(65)));
    begun(&mut world, Then::Restart);
    world.restart_ends(Ok(()));
    world.probe(true);
    assert!(world.warm_ups.is_empty(), "not ready yet");
    world.probe(true);
    assert_eq!((world.warm_ups.clone(), world.stage()), (vec![1], Stage::Warming));
    world.pass(30);
    world.step(Event::WarmedUp { drain: 7, failed: Vec::new() }).unwrap();
    assert_eq!(world.stage(), Stage::Warming, "that was another's");
    world.step(Event::WarmedUp { drain: 1, failed: vec!["/: 500".into()] }).unwrap();
    assert_eq!((world.stage(), world.warm_ups.len()), (Stage::Up, 1));
    assert!(world.warnings.iter().any(|warning| warning.contains("/: 500")), "{:?}", world.warnings);
}

#[test]
fn a_warm_up_that_hangs_holds_only_so_long() {
    let mut world = with(|rules| rules.warm_up = Some(seconds(65)));
    begun(&mut world, Then::Restart);
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    world.pass(64);
    assert_eq!(world.stage(), Stage::Warming);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Up);
}

#[test]
fn a_server_that_goes_while_it_is_warmed_up_must_become_ready_again() {
    let mut world = with(|rules| rules.warm_up = Some(seconds(65)));
    begun(&mut world, Then::Restart);
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    world.pass(10);
    world.dies();
    world.step(Event::WarmedUp { drain: 1, failed: Vec::new() }).unwrap();
    assert_eq!(world.stage(), Stage::Warming);
    world.pass(59);
    assert_eq!(world.stage(), Stage::Warming);
    world.pass(1);
    assert_eq!(world.stage(), Stage::Failed);
}

#[test]
fn while_another_server_of_the_host_is_out_a_drain_takes_force_and_says_so() {
    let mut world = World::up();
    world.others_out = true;
    let refusal = world.ask(restart()).unwrap_err();
    assert_eq!(refusal.name(), "others_out");
    assert!(refusal.to_string().contains("blog is out"), "{refusal}");
    let options = Options { reason: Some("now".into()), ..Options::default() };
    world.ask(Request::Soft(forced(options))).unwrap();
    let warning = &world.warnings[0];
    assert!(warning.contains("uid 0") && warning.contains("now") && warning.contains("blog"), "{warning}");
}

#[test]
fn after_the_hosts_restart_one_that_was_to_be_stopped_is_held_and_one_that_was_to_run_is_back() {
    for (then, stage) in [(Then::Stop, Stage::Hard), (Then::Run("upgrade".into()), Stage::Warming)] {
        let mut world = World::up();
        begun(&mut world, then);
        let saved = world.machine.saved();
        let (machine, effects) = Machine::restored(rules(), saved, at(0), false, Replaced::Perhaps);
        assert_eq!((machine.course().stage(), effects.restart), (stage, None));
    }
}

#[test]
fn a_stop_in_which_the_agent_is_killed_is_one_that_is_done() {
    let mut world = World::up();
    begun(&mut world, Then::Stop);
    let saved = world.machine.saved();
    let (machine, _) = Machine::restored(rules(), saved, at(world.now), true, Replaced::Perhaps);
    assert_eq!(machine.course().stage(), Stage::Hard);
    assert!(machine.reached());
}

#[test]
fn a_server_that_goes_while_it_is_warmed_up_is_waited_for_and_not_the_warm_up() {
    let mut world = with(|rules| rules.warm_up = Some(seconds(10)));
    begun(&mut world, Then::Restart);
    world.restart_ends(Ok(()));
    world.probe(true);
    world.probe(true);
    let began = world.now;
    world.dies();
    world.pass(20);
    assert_eq!(world.stage(), Stage::Warming);
    assert_eq!(world.machine.deadline(), Some(at(began + 60)), "nothing is due before");
}

#[test]
fn what_was_to_follow_a_stop_ends_with_the_hosts_restart_and_is_said() {
    let mut world = World::up();
    begun(&mut world, Then::Stop);
    world.ask(hard_restart()).unwrap();
    let saved = world.machine.saved();
    let (machine, effects) = Machine::restored(rules(), saved, at(0), false, Replaced::Perhaps);
    assert_eq!(machine.course().stage(), Stage::Hard);
    let ended: Vec<_> = effects.ended.iter().map(|ended| (ended.id, ended.outcome)).collect();
    assert_eq!(ended, [(2, Outcome::Withdrawn)]);
}
