//! The machine under any sequence of events: it keeps the invariants, and stands where a naive shadow of it predicts.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{shadow::Shadow, *};

#[derive(Clone, Debug)]
enum Happens {
    Pass(u64),
    Acknowledged(bool),
    Enough(bool),
    Unconfirmed(bool),
    Quiet(bool),
    Abandoned(bool),
    Probe(bool),
    Ask(Request, bool),
    RestartEnds(bool),
    WarmedUp,
    OthersOut(bool),
    AgentDies,
}

/// With everything that may follow.
fn rules(on_failure: OnFailure) -> Rules {
    Rules { retries: 1, warm_up: Some(seconds(65)), on_failure, ..super::rules() }
}

fn happens() -> impl Strategy<Value = Happens> {
    let then = prop_oneof![
        3 => Just(None),
        3 => Just(Some(Then::Restart)),
        2 => Just(Some(Then::Hold)),
        1 => Just(Some(Then::Stop)),
        1 => Just(Some(Then::Run("upgrade".into()))),
    ];
    let lasts = prop::option::weighted(0.2, 1_u64..2000);
    let options = (then, any::<bool>(), lasts).prop_map(|(then, force, for_seconds)| Options {
        then,
        force,
        for_seconds,
        ..Options::default()
    });
    let request = prop_oneof![
        options.clone().prop_map(Request::Soft),
        options.prop_map(Request::Hard),
        Just(Request::Up),
        Just(Request::Return(None)),
    ];
    prop_oneof![
        5 => (1_u64..400).prop_map(Happens::Pass),
        3 => any::<bool>().prop_map(Happens::Acknowledged),
        1 => prop::bool::weighted(0.8).prop_map(Happens::Enough),
        1 => any::<bool>().prop_map(Happens::Unconfirmed),
        3 => any::<bool>().prop_map(Happens::Quiet),
        1 => any::<bool>().prop_map(Happens::Abandoned),
        5 => prop::bool::weighted(0.7).prop_map(Happens::Probe),
        3 => (request, any::<bool>()).prop_map(|(request, by_signal)| Happens::Ask(request, by_signal)),
        3 => prop::bool::weighted(0.8).prop_map(Happens::RestartEnds),
        2 => Just(Happens::WarmedUp),
        1 => prop::bool::weighted(0.2).prop_map(Happens::OthersOut),
        1 => Just(Happens::AgentDies),
    ]
}

/// What must hold, told from outside: it sees what the world sees, and knows nothing of the machine's inside.
#[derive(Default)]
struct Laws {
    /// How often each drain has restarted the server.
    restarts: HashMap<u64, u32>,
    /// The deepest answer of each drain since it was last announced out of up.
    deepest: HashMap<u64, Level>,
    /// An announcement was made, and neither readiness nor the drain's end has followed.
    out: bool,
    /// When the last announcement was made.
    announced: u64,
    /// The present hard announcement has been acknowledged, by balancers or by the limit.
    acknowledged: bool,
}

impl Laws {
    fn check(&mut self, world: &World, before: Stage, effects: &Effects, asked_back: bool) {
        self.acknowledged |=
            effects.acknowledged && world.machine.announcement().is_some_and(|a| a.level == Level::Hard);
        for transition in &effects.transitions {
            match transition.to {
                Stage::Restarting if transition.from == Stage::Restarting && effects.restart.is_none() => {
                    assert!(transition.why.contains("the next is in"), "{transition:?}");
                }
                Stage::Soft | Stage::Hard => self.announced(world, transition),
                Stage::Restarting => self.restarted(world, transition, effects),
                Stage::Up => {
                    let ready = transition.from == Stage::Warming && world.machine.server() == Verdict::Ready;
                    let ended = effects.ended.iter().any(|ended| Some(ended.id) == transition.drain);
                    assert!(
                        ready || ended || asked_back,
                        "up without a cause after {before:?}: {transition:?}"
                    );
                    let failed = matches!(transition.from, Stage::Restarting);
                    assert!(
                        !failed || world.phase() == Some(Phase::Down),
                        "up after a failure, without a probe"
                    );
                    self.out = false;
                }
                Stage::Waiting => {
                    assert!(!world.enough, "withdrawn although enough remain");
                    self.out = false;
                    self.deepest.clear();
                }
                Stage::Warming | Stage::Failed => {}
            }
        }
        assert!(!(self.out && world.phase() == Some(Phase::Up)), "an answer of up in the middle of a drain");
    }

    fn announced(&mut self, world: &World, transition: &Transition) {
        self.announced = world.now;
        self.out = true;
        self.acknowledged = false;
        let level = if transition.to == Stage::Soft { Level::Soft } else { Level::Hard };
        let id = transition.drain.expect("an announcement has a drain");
        let deepest = self.deepest.entry(id).or_insert(level);
        assert!(level >= *deepest, "back from hard to soft");
        *deepest = level;
        // None is left where it has been withdrawn and given up in the same step.
        let stopped = world.machine.course().drain().is_some_and(|drain| drain.stopped);
        if transition.from == Stage::Restarting && stopped {
            // Acknowledged before it was stopped. What is asked of it from now on is another restart.
            self.acknowledged = true;
            self.restarts.remove(&id);
        }
    }

    fn restarted(&mut self, world: &World, transition: &Transition, effects: &Effects) {
        let id = transition.drain.expect("a restart has a drain");
        assert_eq!(effects.restart, Some(id));
        let count = self.restarts.entry(id).or_default();
        *count += 1;
        let tries = if world.drain().follow == Follow::Restart { 2 } else { 1 };
        assert!(*count <= tries, "a restart too many for one request");
        if matches!(transition.from, Stage::Restarting | Stage::Warming) {
            return;
        }
        let dead = world.machine.server() == Verdict::NotReady;
        assert!(dead || world.enough || world.machine.course().drain().is_some_and(|drain| drain.unguarded));
        let seen_for = |since: Option<u64>, seconds| {
            since.is_some_and(|since| world.now >= since.max(self.announced) + seconds)
        };
        let gone = world.quiet.is_some() && seen_for(world.abandoned, 1);
        let deserted = dead && (seen_for(world.quiet, 3) || gone);
        let acknowledged = self.acknowledged || effects.acknowledged;
        assert!(deserted || acknowledged, "a restart that nobody has acknowledged");
        let limit = transition.why.contains("limit");
        assert!(limit || world.quiet.is_some(), "a restart in the middle of traffic");
        let all_act = world.acknowledged || deserted;
        let unguarded = world.machine.course().drain().is_some_and(|drain| drain.unguarded);
        // Where too few remain, that is what is seen; who goes at the same time is not.
        let unconfirmed = world.unconfirmed && world.enough;
        let alone = !unconfirmed || unguarded || deserted;
        assert!(limit || alone, "a restart although another may go at the same time");
        assert!(limit || all_act, "a restart although somebody does not act on hard");
    }
}

/// The laws, and a prediction.
struct Both {
    laws: Laws,
    shadow: Shadow,
}

fn play(world: &mut World, both: &mut Both, event: Event) {
    let before = world.stage();
    let asked_back = matches!(event, Event::Asked { request: Request::Up, .. });
    let kept = world.machine.saved();
    let refused = both.shadow.take(world.now, &event, world);
    let what = format!("{event:?} in {before:?}");
    match world.machine.step(at(world.now), event) {
        Ok(effects) => {
            assert!(!refused, "should be refused: {what}");
            both.laws.check(world, before, &effects, asked_back);
        }
        Err(refusal) => {
            assert!(refused, "should not be refused, {refusal}: {what}");
            assert_eq!(world.machine.saved(), kept, "a refusal has changed something");
        }
    }
    let expected = (both.shadow.stage, both.shadow.server);
    assert_eq!((world.stage(), world.machine.server()), expected, "after {what}; {:?}", both.shadow);
}

fn see(world: &mut World, both: &mut Both) {
    let view = world.view();
    play(world, both, Event::Seen(view));
}

/// Whether a drain is under way that is to end by itself.
fn must_end(world: &World) -> bool {
    let holds = |drain: &Drain| !drain.follow.acts() && drain.until_unix.is_none();
    match world.machine.course() {
        Course::Up | Course::Failed { .. } => false,
        Course::Waiting { .. } | Course::Restarting(_) | Course::Warming(_) => true,
        Course::Soft(out) | Course::Hard(out) => !holds(&out.drain),
    }
}

/// A withdrawn drain is tried again every 5 seconds for half an hour and a few minutes at most.
const ENDS_WITHIN: u32 = 600;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_whatever_happens(
        up_on_failure in any::<bool>(),
        story in prop::collection::vec(happens(), 1..60),
    ) {
        let rules = rules(if up_on_failure { OnFailure::Up } else { OnFailure::Stay });
        let mut world = World::with(rules.clone());
        let mut both = Both { laws: Laws::default(), shadow: Shadow::up(up_on_failure) };
        for event in story {
            see(&mut world, &mut both);
            match event {
                Happens::Pass(seconds) => world.now += seconds,
                Happens::Acknowledged(is) => world.acknowledged = is,
                Happens::Enough(are) => world.enough = are,
                Happens::Unconfirmed(is) => world.unconfirmed = is,
                Happens::Quiet(is) => world.quiet = is.then_some(world.now),
                Happens::Abandoned(is) => world.abandoned = is.then_some(world.now),
                Happens::Probe(passed) => {
                    let event = Event::Probed { began: at(world.now), passed };
                    play(&mut world, &mut both, event);
                }
                Happens::Ask(request, by_signal) => {
                    let origin = if by_signal { signal() } else { person() };
                    let unix = world.unix();
                    play(&mut world, &mut both, Event::Asked { request, origin, unix });
                }
                Happens::RestartEnds(done) => {
                    let result = if done { Ok(()) } else { Err("exit status 1".to_owned()) };
                    play(&mut world, &mut both, Event::RestartEnded { result, took: None });
                }
                Happens::WarmedUp => {
                    let drain = world.machine.course().drain().map_or(0, |drain| drain.id);
                    play(&mut world, &mut both, Event::WarmedUp { drain, failed: Vec::new() });
                }
                Happens::OthersOut(are) => world.others_out = are,
                Happens::AgentDies => {
                    let saved = world.machine.saved();
                    let verdict = world.machine.server() == Verdict::Ready;
                    let next = saved.course.next().map(|next| next.id);
                    let (machine, effects) =
                        Machine::restored(rules.clone(), saved, at(world.now), true, Replaced::Perhaps);
                    // Only what was asked to follow a stop may begin now.
                    prop_assert!(effects.restart.is_none() || effects.restart == next);
                    let before = world.stage();
                    world.machine = machine;
                    both.laws.check(&world, before, &effects, false);
                    both.shadow.dies(world.now);
                    let probed = Event::Probed { began: at(world.now), passed: verdict };
                    play(&mut world, &mut both, probed);
                }
            }
            see(&mut world, &mut both);
        }
        // However it stands now: if nobody helps and nobody asks, it ends, and every wait has a deadline.
        world.quiet = None;
        for _ in 0..ENDS_WITHIN {
            if !must_end(&world) {
                break;
            }
            let deadline = world.machine.deadline();
            prop_assert!(deadline.is_some(), "it waits for ever in {:?}", world.stage());
            let seconds = deadline.map_or(0, |deadline| deadline.since(at(0)).as_secs() + 1);
            world.now = world.now.max(seconds) + 1;
            see(&mut world, &mut both);
        }
        prop_assert!(!must_end(&world), "it has not ended: {:?}", world.machine.course());
    }
}
