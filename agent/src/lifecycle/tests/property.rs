//! The machine under any sequence of events: it keeps the invariants, and stands where a naive shadow of it predicts.

mod story;

use std::collections::HashMap;

use proptest::prelude::*;

use self::story::{Death, Happens, choice, happens, rules};
use super::{
    shadow::{Choice, Shadow},
    *,
};

/// What must hold, told from outside: it sees what the world sees, and knows nothing of the machine's inside.
#[derive(Default)]
struct Laws {
    /// How often each drain has restarted the server, as far as is known.
    restarts: HashMap<u64, u32>,
    /// How often that has failed.
    failures: HashMap<u64, u32>,
    /// The deepest answer of each drain since it was last announced out of up.
    deepest: HashMap<u64, Level>,
    /// An announcement was made, and neither readiness nor the drain's end has followed.
    out: bool,
    /// When the last announcement was made.
    announced: u64,
    /// The present hard announcement has been acknowledged, by balancers or by the limit.
    acknowledged: bool,
    /// Nobody needs to acknowledge when the limit for that is over.
    proceeds: bool,
}

impl Laws {
    fn check(&mut self, world: &World, before: Stage, effects: &Effects, asked_back: bool) {
        self.acknowledged |=
            effects.acknowledged && world.machine.announcement().is_some_and(|a| a.level == Level::Hard);
        self.acknowledged |= self.needs_nobody(world);
        if let Some(id) = effects.restart {
            self.ordered(id, world);
        }
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
            self.failures.remove(&id);
        }
    }

    /// The limit of the acknowledgement is over, and that suffices.
    fn needs_nobody(&self, world: &World) -> bool {
        self.proceeds && world.now >= self.announced + 60
    }

    /// One request, one restart, and another only for one that has failed.
    fn ordered(&mut self, id: u64, world: &World) {
        let count = self.restarts.entry(id).or_default();
        *count += 1;
        let tries = if world.drain().follow == Follow::Restart { 2 } else { 1 };
        let failures = self.failures.get(&id).copied().unwrap_or_default();
        assert!(*count <= tries.min(1 + failures), "a restart too many for one request");
    }

    fn restarted(&mut self, world: &World, transition: &Transition, effects: &Effects) {
        let id = transition.drain.expect("a restart has a drain");
        assert_eq!(effects.restart, Some(id));
        if matches!(transition.from, Stage::Restarting | Stage::Warming) {
            return;
        }
        let dead = world.machine.server() == Verdict::NotReady;
        assert!(dead || world.enough || world.machine.course().drain().is_some_and(|drain| drain.unguarded));
        let seen_for = |since: Option<u64>, seconds| {
            since.is_some_and(|since| world.now >= since.max(self.announced) + seconds)
        };
        let quiet = world.quiet.filter(|_| !world.unknown);
        let gone = quiet.is_some() && seen_for(world.abandoned, 1);
        let deserted = dead && (seen_for(quiet, 3) || gone);
        let acknowledged = self.acknowledged || effects.acknowledged;
        assert!(deserted || acknowledged, "a restart that nobody has acknowledged");
        let limit = transition.why.contains("limit");
        assert!(limit || quiet.is_some(), "a restart in the middle of traffic, or of what nobody knows");
        let all_act = world.acknowledged || deserted || self.needs_nobody(world);
        let unguarded = world.machine.course().drain().is_some_and(|drain| drain.unguarded);
        // Where too few remain, that is what is seen; who goes at the same time is not.
        let unconfirmed = world.unconfirmed && world.enough;
        let alone = !unconfirmed || unguarded || deserted;
        assert!(limit || alone, "a restart although another may go at the same time");
        assert!(limit || all_act, "a restart although somebody does not act on hard");
    }
}

/// Whether somebody may be running a command on the server, as the world sees it.
fn works_on(world: &World) -> bool {
    let holds = |drain: &Drain| drain.command.is_some() && !drain.stopped && !drain.follow.acts();
    world.stage() == Stage::Hard && world.machine.reached() && !world.caller_gone && holds(world.drain())
}

/// What may end that, or what is asked by force. (That a restart is given up of which nobody was told can't be.)
fn may_disturb(event: &Event) -> bool {
    match event {
        Event::Asked { request: Request::UpByForce | Request::Return(_), .. } | Event::GivenUp { .. } => true,
        Event::Asked { request: Request::Soft(options) | Request::Hard(options), .. } => options.force,
        _ => false,
    }
}

/// The laws, and a prediction.
struct Both {
    laws: Laws,
    shadow: Shadow,
}

fn play(world: &mut World, both: &mut Both, event: Event) {
    let before = world.stage();
    let asked_back = matches!(event, Event::Asked { request: Request::Up | Request::UpByForce, .. });
    let undisturbed = works_on(world) && !may_disturb(&event);
    let kept = world.machine.saved();
    let refused = both.shadow.take(world.now, &event, world);
    let what = format!("{event:?} in {before:?}");
    let failed = match (&event, world.machine.course()) {
        (Event::RestartEnded { result: Err(_), .. }, Course::Restarting(back)) => Some(back.drain.id),
        _ => None,
    };
    match world.machine.step(world.at(world.now), event) {
        Ok(effects) => {
            assert!(!refused, "should be refused: {what}");
            if let Some(id) = failed {
                *both.laws.failures.entry(id).or_default() += 1;
            }
            both.laws.check(world, before, &effects, asked_back);
            let is_kept = world.stage() == Stage::Hard && effects.restart.is_none();
            assert!(!undisturbed || is_kept, "somebody's command was disturbed by {what}");
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

/// The agent ends and another goes on.
fn die(world: &mut World, both: &mut Both, death: Death) {
    let saved = world.machine.saved();
    let (before, current) = (world.stage(), saved.course.drain().map(|drain| drain.id));
    let next = saved.course.next().map(|next| next.id);
    let (same_boot, replaced) = match death {
        Death::Alone(replaced) => (true, replaced),
        Death::WithHost => (false, Replaced::Perhaps),
    };
    let is_lost = same_boot && replaced == Replaced::Not && saved.course.is_replacing();
    if !same_boot {
        world.booted = world.now;
    }
    let rules = rules(both.shadow.choice);
    let (machine, effects) = Machine::restored(rules, saved, world.at(world.now), same_boot, replaced);
    world.machine = machine;
    if is_lost {
        // What was ordered has not happened.
        assert_eq!(effects.restart, current, "it is ordered again");
        if let Some(count) = current.and_then(|id| both.laws.restarts.get_mut(&id)) {
            *count -= 1;
        }
    } else {
        // Only what was asked to follow a stop may begin now.
        assert!(effects.restart.is_none() || effects.restart == next, "{:?}", effects.restart);
    }
    both.laws.check(world, before, &effects, false);
    if same_boot {
        both.shadow.dies(world.now, replaced);
    } else {
        both.shadow.boots(world.now);
        // A server that was to be stopped is held, and nobody is there who would have to know.
        // What is asked of it from now on is another restart.
        if let Some(id) = current.filter(|_| effects.transitions.iter().any(|t| t.to == Stage::Hard)) {
            both.laws.acknowledged = true;
            both.laws.restarts.remove(&id);
            both.laws.failures.remove(&id);
        }
    }
    assert_eq!(world.stage(), both.shadow.stage, "after {death:?} in {before:?}; {:?}", both.shadow);
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
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_whatever_happens(
        choice in choice(),
        story in prop::collection::vec(happens(), 1..60),
    ) {
        let mut world = World::with(rules(choice));
        let laws = Laws { proceeds: choice.proceeds, ..Laws::default() };
        let mut both = Both { laws, shadow: Shadow::up(choice) };
        for event in story {
            see(&mut world, &mut both);
            match event {
                Happens::Pass(seconds) => world.now += seconds,
                Happens::Acknowledged(is) => world.acknowledged = is,
                Happens::Enough(are) => world.enough = are,
                Happens::Unconfirmed(is) => world.unconfirmed = is,
                Happens::Quiet(is) => world.quiet = is.then_some(world.now),
                Happens::Unknown(is) => world.unknown = is,
                Happens::Empty(is) => world.empty = is,
                Happens::Abandoned(is) => world.abandoned = is.then_some(world.now),
                Happens::Probe(passed) => {
                    let event = Event::Probed { began: world.at(world.now), passed };
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
                Happens::CallerGone(has) => world.caller_gone = has,
                Happens::OthersOut(are) => world.others_out = are,
                Happens::GivenUp => play(&mut world, &mut both, Event::GivenUp { why: "no more".into() }),
                Happens::Reloaded(choice) => {
                    (both.shadow.choice, both.laws.proceeds) = (choice, choice.proceeds);
                    play(&mut world, &mut both, Event::Reloaded(rules(choice)));
                }
                Happens::AgentDies(deaths) => {
                    let passed = world.machine.server() == Verdict::Ready;
                    for death in deaths {
                        die(&mut world, &mut both, death);
                    }
                    let probed = Event::Probed { began: world.at(world.now), passed };
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
            let begun = world.at(world.booted);
            let seconds = deadline.map_or(0, |deadline| world.booted + deadline.since(begun).as_secs() + 1);
            world.now = world.now.max(seconds) + 1;
            see(&mut world, &mut both);
        }
        prop_assert!(!must_end(&world), "it has not ended: {:?}", world.machine.course());
    }
}
