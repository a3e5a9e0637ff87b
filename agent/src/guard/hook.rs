//! What the companion's hooks do, decided from what systemd and the agent say.

use std::time::Duration;

use super::UnitName;
use crate::{
    control::api::{Asked, Balancer, Status, Target},
    lifecycle::{Phase, Then},
};

/// What systemd says of the unit that is guarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitState {
    /// It runs (`active`, `reloading`); after a crash it does not, whatever follows.
    pub runs: bool,
    /// It is on its way from one to the other: it starts, stops, or waits to be started again after a crash.
    pub changes: bool,
    /// What systemd is about to do with it.
    pub job: Job,
}

/// What systemd is about to do with a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// Stop it, be it for a restart.
    Stop,
    /// Something else, such as a start that has taken a stop's place.
    Other,
    /// Nothing.
    None,
}

impl UnitState {
    /// Whether it runs, and is about to be stopped: only then is there anybody to send away.
    pub fn leaves(self) -> bool {
        self.runs && self.job == Job::Stop
    }

    /// Whether it does not run, but may do so soon.
    pub fn may_start(self) -> bool {
        !self.runs && (self.changes || self.job != Job::None)
    }
}

/// What the hook at a stop does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtStop {
    /// Drains, and waits for it.
    Drain,
    /// Asks for what is under way to become hard, or to go on, and waits for that.
    Join,
    /// Nothing, and why.
    Nothing(&'static str),
    /// Says that nobody was drained, and why.
    Undrained(&'static str),
}

/// What the hook at a stop does. Where systemd does not answer, nothing is known of the unit; then the hook itself shows
/// that it is to stop, and the readiness probe that it runs.
///
/// | the unit | the agent | |
/// |---|---|---|
/// | does not run | | nothing: a crash is not prolonged |
/// | runs, is not to stop | | nothing: only the companion was stopped |
/// | is to stop | does not answer | undrained |
/// | | restarting, warming | nothing: it is the agent itself who restarts it, and waits for that |
/// | | hard, held, stopped | nothing: nobody uses it |
/// | | hard, held, reached, quiet | the same |
/// | | failed | nothing: nobody is sent to it |
/// | | another drain is under way | join |
/// | | up, down | drain |
/// | is unknown | says that the server is ready | as if it is to stop |
/// | | says otherwise, and none of restarting to failed | undrained |
pub fn at_stop(unit: Option<UnitState>, status: Option<&Status>) -> AtStop {
    if unit.is_some_and(|unit| !unit.runs) {
        return AtStop::Nothing("the server does not run");
    }
    if unit.is_some_and(|unit| unit.job != Job::Stop) {
        return AtStop::Nothing("nothing is about to stop the server");
    }
    let Some(status) = status else {
        return AtStop::Undrained("no agent answers");
    };
    let may_run = unit.is_some() || status.readiness.ready == Some(true);
    match (status.phase, &status.asked) {
        (Phase::Restarting | Phase::Warming, _) => AtStop::Nothing("the agent itself restarts the server"),
        (Phase::Failed, _) => AtStop::Nothing("the server is out already: its last restart failed"),
        (_, Some(asked)) if is_out(status, asked) => AtStop::Nothing("the server is drained already"),
        _ if !may_run => {
            AtStop::Undrained("systemd does not tell how the server's unit is, and it is not ready")
        }
        (_, Some(_)) => AtStop::Join,
        (_, None) => AtStop::Drain,
    }
}

/// Whether nobody uses the server, by this drain. One that was reached by its limit is still used, and one that was quiet
/// may be used again.
pub fn is_out(status: &Status, asked: &Asked) -> bool {
    let is_quiet = status.traffic.quiet_seconds.is_some();
    status.phase == Phase::Hard && (asked.stopped || asked.reached && is_quiet)
}

/// Whether too few other servers would remain, in the eyes of a balancer that still asks.
pub fn too_few_remain(status: &Status) -> bool {
    too_few(status).next().is_some()
}

/// Whether too few would remain because there are no others, and none to wait for.
pub fn is_alone(status: &Status) -> bool {
    too_few_remain(status) && too_few(status).all(|balancer| balancer.alone)
}

fn too_few(status: &Status) -> impl Iterator<Item = &Balancer> {
    status.balancers.iter().filter(|balancer| !balancer.gone && balancer.too_few.is_some())
}

/// What the hook at a start does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtStart {
    /// Brings the server back as soon as it is ready.
    Return,
    /// Nothing: nothing keeps it out, or the agent knows itself what follows.
    Nothing,
    /// Nothing: somebody else holds it out.
    Held,
}

/// What the hook at a start does. A hold is the guard's own if `reason` is what it says.
///
/// | asked | phase | |
/// |---|---|---|
/// | the guard's hold | | return |
/// | somebody else's hold, also after a stop | | held: it was taken out on purpose |
/// | a drain that ends by itself | | nothing |
/// | nothing | failed | return: somebody has started it by hand, and its probe decides |
/// | nothing | other | nothing |
pub fn at_start(status: &Status, reason: &str) -> AtStart {
    let holds = |asked: &Asked| asked.stopped || matches!(asked.then, None | Some(Then::Hold));
    match &status.asked {
        Some(asked) if asked.reason.as_deref() == Some(reason) && holds(asked) => AtStart::Return,
        Some(asked) if holds(asked) => AtStart::Held,
        None if status.phase == Phase::Failed => AtStart::Return,
        Some(_) | None => AtStart::Nothing,
    }
}

/// What the guard's drain gives as its reason, by which it is told from others, too: it stands in the state file, and
/// so lives through a restart of the agent and of the host.
pub fn reason(unit: &UnitName) -> String {
    format!("{unit} is stopped or restarted")
}

/// So much is added for what systemd does not tell, such as a unit whose stop may last for ever.
const UNLIMITED: Duration = Duration::from_mins(10);

/// How long the guard's drain holds at most: until the unit has stopped and started, by their own limits. It is over by
/// itself then, should nobody be left to end it.
pub fn hold(limit: Duration, stop: Option<Duration>, start: Option<Duration>) -> Duration {
    limit + stop.unwrap_or(UNLIMITED) + start.unwrap_or(UNLIMITED)
}

/// In soft mode, the end of the limit that belongs to the hard phase: users who hold a cookie are moved to other
/// servers by it, and not by the stop.
const HARD_PHASE: Duration = Duration::from_secs(30);

/// How long a soft drain stays soft within `limit`.
pub fn soft_part(limit: Duration) -> Duration {
    limit.saturating_sub(HARD_PHASE.min(limit / 2))
}

/// Whether a drain is still in its soft phase, as far as the agent says.
pub fn is_soft(status: &Status) -> bool {
    status.asked.as_ref().is_some_and(|asked| asked.what == Target::Soft) && status.phase == Phase::Soft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        control::api::{Acknowledged, Agent, Origin, Readiness, Traffic},
    };

    const STOPS: UnitState = UnitState { runs: true, changes: false, job: Job::Stop };

    fn up() -> Status {
        Status {
            server: "shop".to_owned(),
            phase: Phase::Up,
            answer: 200,
            reason: "ready".to_owned(),
            since_unix: 0,
            generation: 0,
            asked: None,
            limit: None,
            acknowledged: Acknowledged::default(),
            balancers: Vec::new(),
            absent: Vec::new(),
            traffic: Traffic::default(),
            readiness: Readiness::default(),
            drains: Vec::new(),
            warnings: Vec::new(),
            agent: Agent { pid: 1, version: "0".to_owned(), uptime_seconds: 1.0 },
            taken: Moment::default(),
        }
    }

    fn asked(phase: Phase, then: Option<Then>, reached: bool, reason: &str) -> Status {
        let asked = Asked {
            drain: 1,
            what: Target::Hard,
            then,
            origin: Origin::Agent,
            reason: Some(reason.to_owned()),
            since_unix: 0,
            until_unix: None,
            reached,
            limit_passed: None,
            again: false,
            stopped: false,
            command: None,
        };
        Status { phase, asked: Some(asked), ..up() }
    }

    #[test]
    fn only_a_server_that_runs_and_is_to_stop_is_drained() {
        assert_eq!(at_stop(Some(STOPS), Some(&up())), AtStop::Drain);
        assert_eq!(at_stop(Some(STOPS), Some(&Status { phase: Phase::Down, ..up() })), AtStop::Drain);
        for unit in [
            UnitState { runs: false, ..STOPS },
            UnitState { job: Job::None, ..STOPS },
            UnitState { job: Job::Other, ..STOPS },
        ] {
            assert!(matches!(at_stop(Some(unit), Some(&up())), AtStop::Nothing(_)), "{unit:?}");
            assert!(matches!(at_stop(Some(unit), None), AtStop::Nothing(_)), "{unit:?}");
        }
    }

    #[test]
    fn without_systemds_word_a_server_that_is_ready_is_drained() {
        let mut ready = up();
        ready.readiness.ready = Some(true);
        assert_eq!(at_stop(None, Some(&ready)), AtStop::Drain);
        for (unready, ready) in [(Phase::Up, None), (Phase::Down, Some(false))] {
            let status =
                Status { phase: unready, readiness: Readiness { ready, ..Readiness::default() }, ..up() };
            assert!(matches!(at_stop(None, Some(&status)), AtStop::Undrained(_)), "{ready:?}");
        }
        let restarting = Status { phase: Phase::Restarting, ..up() };
        assert!(matches!(at_stop(None, Some(&restarting)), AtStop::Nothing(_)));
        assert!(matches!(at_stop(None, None), AtStop::Undrained(_)));
    }

    #[test]
    fn a_server_that_lies_and_is_not_about_to_start_is_told_from_one_that_is() {
        let lies = UnitState { runs: false, changes: false, job: Job::None };
        assert!(!lies.may_start());
        assert!(UnitState { changes: true, ..lies }.may_start());
        assert!(UnitState { job: Job::Other, ..lies }.may_start());
        assert!(!UnitState { runs: true, ..lies }.may_start(), "it has started");
    }

    #[test]
    fn only_a_server_that_no_balancer_knows_beside_others_is_alone() {
        let seen = |known: &[(bool, Option<&str>, bool)]| {
            let balancer = |&(gone, too_few, alone): &(bool, Option<&str>, bool)| Balancer {
                source: "10.0.0.1".parse().unwrap(),
                node: None,
                name: None,
                since_unix: 0,
                interval_seconds: None,
                last_seconds: 0.0,
                answer: 200,
                view: None,
                weight: None,
                scur: None,
                users: None,
                acknowledged: false,
                why: String::new(),
                gone,
                remaining: Some(0),
                too_few: too_few.map(str::to_owned),
                alone,
            };
            let status = Status { balancers: known.iter().map(balancer).collect(), ..up() };
            (too_few_remain(&status), is_alone(&status))
        };
        let why = Some("0 left, not 1");
        assert_eq!(seen(&[]), (false, false));
        assert_eq!(seen(&[(false, why, true)]), (true, true));
        assert_eq!(seen(&[(false, why, false)]), (true, false), "others are out");
        assert_eq!(seen(&[(false, why, true), (false, why, false)]), (true, false));
        assert_eq!(seen(&[(false, why, true), (false, None, false)]), (true, true));
        assert_eq!(seen(&[(true, why, false)]), (false, false), "it does not ask any more");
    }

    #[test]
    fn without_an_agent_nobody_is_drained_and_that_is_told() {
        assert!(matches!(at_stop(Some(STOPS), None), AtStop::Undrained(_)));
    }

    #[test]
    fn the_agents_own_restart_waits_for_nothing() {
        for phase in [Phase::Restarting, Phase::Warming] {
            let status = asked(phase, Some(Then::Restart), false, "release");
            assert!(matches!(at_stop(Some(STOPS), Some(&status)), AtStop::Nothing(_)), "{phase}");
        }
    }

    #[test]
    fn a_server_that_is_out_already_waits_for_nothing() {
        let mut held = asked(Phase::Hard, Some(Then::Hold), true, "by hand");
        held.traffic.quiet_seconds = Some(3.0);
        assert!(matches!(at_stop(Some(STOPS), Some(&held)), AtStop::Nothing(_)));
        assert!(matches!(
            at_stop(Some(STOPS), Some(&Status { phase: Phase::Failed, ..up() })),
            AtStop::Nothing(_)
        ));
    }

    #[test]
    fn a_drain_that_is_under_way_is_joined() {
        for status in [
            asked(Phase::Hard, Some(Then::Hold), false, "by hand"),
            asked(Phase::Soft, None, true, "by hand"),
            asked(Phase::Soft, Some(Then::Restart), false, "release"),
            // Reached by its limit: somebody uses it.
            asked(Phase::Hard, Some(Then::Hold), true, "by hand"),
        ] {
            assert_eq!(at_stop(Some(STOPS), Some(&status)), AtStop::Join);
        }
    }

    #[test]
    fn only_the_guards_own_drain_ends_with_the_start() {
        let unit: UnitName = "apache2".parse().unwrap();
        let ours = reason(&unit);
        let at = |status: &Status| at_start(status, &ours);
        assert_eq!(at(&asked(Phase::Hard, Some(Then::Hold), true, &ours)), AtStart::Return);
        assert_eq!(at(&asked(Phase::Hard, Some(Then::Hold), true, "by hand")), AtStart::Held);
        assert_eq!(at(&asked(Phase::Soft, None, true, "by hand")), AtStart::Held);
        assert_eq!(at(&asked(Phase::Restarting, Some(Then::Restart), false, &ours)), AtStart::Nothing);
        let mut stopped = asked(Phase::Hard, Some(Then::Stop), true, "by hand");
        assert_eq!(at(&stopped), AtStart::Nothing, "not yet");
        stopped.asked.as_mut().unwrap().stopped = true;
        assert_eq!(at(&stopped), AtStart::Held);
        assert_eq!(at(&up()), AtStart::Nothing);
        assert_eq!(at(&Status { phase: Phase::Failed, ..up() }), AtStart::Return);
    }

    #[test]
    fn the_hold_lasts_until_the_unit_has_stopped_and_started() {
        let seconds = Duration::from_secs;
        assert_eq!(hold(seconds(60), Some(seconds(90)), Some(seconds(30))), seconds(180));
        assert_eq!(hold(seconds(60), None, Some(seconds(90))), seconds(750));
    }

    #[test]
    fn a_soft_drain_leaves_time_for_the_hard_one() {
        let seconds = Duration::from_secs;
        assert_eq!(soft_part(seconds(600)), seconds(570));
        assert_eq!(soft_part(seconds(20)), seconds(10));
    }
}
