//! What is noted of the drains that are under way, and of those whose users have yet to come back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cut, LeftOpen, Record, Sample, open::Open};
use crate::{
    balancers::{Key, Standing},
    clock::Moment,
    control::api::Asked,
    lifecycle::{Ended, Level, Transition},
};

/// For how long after its end a drain's record waits for the users: balancers give a server that is back new users
/// within seconds, but at night none may come.
const USERS_BACK: Duration = Duration::from_mins(1);

/// How many records may be open: one that waits for users, one under way, one that is to follow, and one more.
pub(super) const OPEN: usize = 4;

/// Notes what happens.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    open: Vec<Open>,
}

/// What of a recorder outlives the agent's process.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Saved(Vec<Open>);

impl Recorder {
    /// Goes on where an earlier agent has ended.
    pub fn resume(&mut self, saved: Saved, same_boot: bool, now: Moment, unix: u64) {
        self.open = saved.0;
        for open in &mut self.open {
            if open.record.outcome.is_none() {
                open.record.agent_restarts += 1;
            }
            if !same_boot {
                open.before = unix.saturating_sub(open.record.asked_unix) as f64;
                open.begun = now;
                open.over = open.over.map(|_| now);
            }
        }
    }

    /// What must be written down.
    pub fn saved(&self) -> Saved {
        Saved(self.open.clone())
    }

    /// What is not whole, in the order in which it was asked.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.open.iter().map(|open| &open.record)
    }

    /// A drain is under way, or is to follow; or it was asked for more.
    pub fn follow(&mut self, asked: &Asked, server: &str, now: Moment) {
        if let Some(open) = self.find(asked.drain) {
            open.joined(asked);
            return;
        }
        if self.open.len() == OPEN {
            // The machine has one under way and one to follow; others only wait for users.
            self.open.remove(0);
        }
        self.open.push(Open::new(asked, server, now));
    }

    /// A step along the life cycle.
    pub fn step(&mut self, now: Moment, transition: &Transition) {
        if let Some(open) = transition.drain.and_then(|id| self.find(id)) {
            open.step(now, transition);
        }
    }

    /// A balancer stands so to what is announced. Says whether it had not acknowledged before.
    pub fn stands(&mut self, drain: u64, now: Moment, level: Level, key: &Key, how: Standing) -> bool {
        how != Standing::Pending && self.find(drain).is_some_and(|open| open.stands(now, level, key, how))
    }

    /// A look has found this; `drain` is under way.
    pub fn seen(&mut self, drain: u64, now: Moment, found: Sample) {
        if let Some(open) = self.find(drain) {
            open.seen(now, found);
        }
    }

    /// This was in flight when its limit had passed and its restart began.
    pub fn cut(&mut self, drain: u64, now: Moment, cut: Cut) {
        if let Some(open) = self.find(drain) {
            open.record.cut = Some(Cut { at: open.at(now), ..cut });
        }
    }

    /// These connections were not waited for.
    pub fn left_open(&mut self, drain: u64, left: Option<LeftOpen>) {
        if let Some(open) = self.find(drain) {
            open.record.left_open = left;
        }
    }

    /// A try to restart the server has ended.
    pub fn tried(
        &mut self,
        drain: u64,
        began: Moment,
        now: Moment,
        result: &Result<(), String>,
        output: Option<&str>,
    ) {
        if let Some(open) = self.find(drain) {
            open.tried(began, now, result, output);
        }
    }

    /// A drain has ended. Gives its record, where nothing more is to be waited for; behind those of earlier ones, which
    /// wait for their users no longer: the history tells of drains in the order in which they were asked.
    pub fn ended(&mut self, now: Moment, ended: &Ended) -> Vec<Record> {
        let Some(index) = self.open.iter().position(|open| open.record.drain == ended.id) else {
            return Vec::new();
        };
        if self.open[index].ended(now, ended) {
            return Vec::new();
        }
        let last = self.open.remove(index);
        let earlier = self.open.extract_if(..index, |open| open.over.is_some());
        earlier.chain([last]).map(|open| open.record).collect()
    }

    /// The same of one of which an earlier agent has written down that it has ended, and then died before its record said
    /// so.
    pub fn ended_before(&mut self, now: Moment, ended: &Ended) -> Vec<Record> {
        if self.find(ended.id).is_some_and(|open| open.record.outcome.is_none()) {
            return self.ended(now, ended);
        }
        Vec::new()
    }

    /// Since when somebody waits for the users to come back.
    pub fn awaits_users(&self) -> Option<Moment> {
        self.open.iter().filter_map(|open| open.over).min()
    }

    /// Somebody has used the server `at` that moment. Gives the drains that have waited for that, and for how long, in
    /// seconds.
    pub fn used(&mut self, at: Moment) -> Vec<(u64, f64)> {
        let mut back = Vec::new();
        for open in &mut self.open {
            let Some(over) = open.over.filter(|over| at >= *over) else { continue };
            if open.record.users_back_at.is_none() {
                open.record.users_back_at = Some(open.at(at));
                back.push((open.record.drain, at.since(over).as_secs_f64()));
            }
        }
        back
    }

    /// Gives those for which nothing more is to be waited.
    pub fn whole(&mut self, now: Moment) -> Vec<Record> {
        let is_whole = |open: &mut Open| {
            let over = open.over.is_some_and(|over| now >= over + USERS_BACK);
            over || open.record.users_back_at.is_some()
        };
        self.open.extract_if(.., is_whole).map(|open| open.record).collect()
    }

    fn find(&mut self, drain: u64) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.record.drain == drain)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::open::{ACKNOWLEDGEMENTS, STEPS},
        *,
    };
    use crate::{
        control::api::{Origin, Target, Then},
        lifecycle::{Outcome, Stage},
    };

    fn at(seconds: f64) -> Moment {
        Moment::from_boot(Duration::from_secs_f64(1000.0 + seconds))
    }

    fn asked(drain: u64) -> Asked {
        Asked {
            drain,
            what: Target::Soft,
            then: Some(Then::Restart),
            origin: Origin::Control { pid: Some(7), uid: 0, gid: 0 },
            reason: Some("new release".into()),
            since_unix: 5000,
            until_unix: None,
            reached: false,
            limit_passed: None,
            again: false,
            stopped: false,
            command: None,
        }
    }

    fn key(node: &str) -> Key {
        Key { source: [10, 0, 0, 1].into(), node: Some(node.into()), name: None }
    }

    fn step(from: Stage, to: Stage) -> Transition {
        Transition { from, to, why: format!("because of {to}"), drain: Some(1) }
    }

    fn found(in_flight: u32) -> Sample {
        Sample { at: 0.0, in_flight: Some(in_flight), idle: Some(2), users: None }
    }

    fn ended(outcome: Outcome) -> Ended {
        Ended { id: 1, outcome, text: "the server is back".into(), then: None, restart_took: None }
    }

    fn soft() -> Recorder {
        let mut recorder = Recorder::default();
        recorder.follow(&asked(1), "shop", at(0.0));
        recorder.step(at(0.0), &step(Stage::Up, Stage::Soft));
        recorder.stands(1, at(0.5), Level::Soft, &key("lb1"), Standing::Pending);
        recorder.stands(1, at(1.0), Level::Soft, &key("lb1"), Standing::Proven);
        recorder.seen(1, at(1.2), found(3));
        recorder
    }

    fn back() -> Recorder {
        let mut recorder = soft();
        recorder.step(at(5.0), &step(Stage::Soft, Stage::Hard));
        recorder.stands(1, at(6.0), Level::Hard, &key("lb1"), Standing::Answered);
        recorder.step(at(7.0), &step(Stage::Hard, Stage::Restarting));
        recorder.tried(1, at(7.0), at(8.5), &Ok(()), Some("said"));
        recorder.step(at(8.5), &step(Stage::Restarting, Stage::Warming));
        recorder.step(at(9.0), &step(Stage::Warming, Stage::Up));
        assert_eq!(recorder.ended(at(9.0), &ended(Outcome::Done)), [], "users are to come");
        recorder
    }

    /// A whole one.
    pub(in crate::report) fn record(id: u64) -> Record {
        let mut recorder = back();
        recorder.used(at(10.0));
        Record { drain: id, ..recorder.whole(at(10.0)).remove(0) }
    }

    #[test]
    fn a_record_tells_the_whole_drain() {
        let record = record(1);
        assert_eq!((record.asked_unix, record.reason.as_deref()), (5000, Some("new release")));
        assert_eq!((record.outcome, record.ended_at), (Some(Outcome::Done), Some(9.0)));
        assert_eq!((record.ready_at, record.users_back_at), (Some(9.0), Some(10.0)));
        let stages: Vec<Stage> = record.steps.iter().map(|step| step.to).collect();
        assert_eq!(stages, [Stage::Soft, Stage::Hard, Stage::Restarting, Stage::Warming, Stage::Up]);
        assert_eq!(record.entered(Stage::Hard), Some(5.0));
        let acknowledged: Vec<_> =
            record.acknowledgements.iter().map(|one| (one.at, one.level, one.how)).collect();
        assert_eq!(
            acknowledged,
            [(1.0, Level::Soft, Standing::Proven), (6.0, Level::Hard, Standing::Answered)]
        );
        assert_eq!(record.traffic, [Sample { at: 1.2, ..found(3) }]);
        assert_eq!((record.restarts[0].at, record.restarts[0].seconds), (7.0, 1.5));
    }

    #[test]
    fn a_record_goes_on_over_the_agents_crash() {
        let saved = serde_json::to_string(&soft().saved()).unwrap();
        let mut next = Recorder::default();
        next.resume(serde_json::from_str(&saved).unwrap(), true, at(30.0), 5030);
        next.follow(&asked(1), "shop", at(30.0));
        next.step(at(31.0), &step(Stage::Soft, Stage::Hard));
        let record = next.records().next().unwrap();
        assert_eq!((next.records().count(), record.agent_restarts), (1, 1));
        assert_eq!(record.entered(Stage::Hard), Some(31.0));
        assert_eq!(record.acknowledgements.len(), 1);
    }

    #[test]
    fn over_the_hosts_restart_the_wall_clock_tells() {
        let mut next = Recorder::default();
        let early = Moment::from_boot(Duration::from_secs(3));
        next.resume(soft().saved(), false, early, 5100);
        next.step(early + Duration::from_secs(2), &step(Stage::Soft, Stage::Hard));
        assert_eq!(next.records().next().unwrap().entered(Stage::Hard), Some(102.0));
    }

    #[test]
    fn one_that_is_cancelled_is_whole_at_once() {
        let record = soft().ended(at(3.0), &ended(Outcome::Cancelled)).remove(0);
        assert_eq!((record.outcome, record.ended_at), (Some(Outcome::Cancelled), Some(3.0)));
    }

    #[test]
    fn one_that_waits_for_its_users_is_told_before_a_later_one_that_has_failed() {
        let mut recorder = back();
        recorder.follow(&asked(2), "shop", at(11.0));
        let failed = Ended { id: 2, ..ended(Outcome::Failed) };
        let ids: Vec<u64> = recorder.ended(at(12.0), &failed).iter().map(|record| record.drain).collect();
        assert_eq!((ids, recorder.records().count()), (vec![1, 2], 0));
    }

    #[test]
    fn the_users_return_is_told_once_with_its_time() {
        let mut recorder = back();
        assert_eq!(recorder.used(at(8.0)), [], "before its end");
        let back: Vec<(u64, f64)> = recorder.used(at(10.5));
        assert!(matches!(back[..], [(1, after)] if (after - 1.5).abs() < 0.001), "{back:?}");
        assert_eq!(recorder.used(at(11.0)), []);
    }

    #[test]
    fn users_are_waited_for_only_so_long() {
        let mut recorder = back();
        recorder.used(at(8.9));
        assert!(recorder.whole(at(68.0)).is_empty(), "that was before its end");
        assert_eq!(recorder.awaits_users(), Some(at(9.0)));
        assert_eq!(recorder.whole(at(69.0))[0].users_back_at, None);
        assert_eq!(recorder.awaits_users(), None);
    }

    #[test]
    fn what_was_guessed_may_be_proved() {
        let mut recorder = soft();
        recorder.stands(1, at(2.0), Level::Hard, &key("lb2"), Standing::Unproven);
        recorder.stands(1, at(3.0), Level::Hard, &key("lb2"), Standing::Proven);
        recorder.stands(1, at(4.0), Level::Hard, &key("lb2"), Standing::Gone);
        let last = recorder.records().next().unwrap().acknowledgements.last().cloned().unwrap();
        assert_eq!((last.at, last.how), (2.0, Standing::Proven));
    }

    #[test]
    fn a_request_that_joins_changes_what_is_told() {
        let mut recorder = soft();
        recorder.follow(&Asked { what: Target::Hard, ..asked(1) }, "shop", at(2.0));
        assert_eq!(recorder.records().next().unwrap().what, Target::Hard);
        assert_eq!(recorder.records().count(), 1);
    }

    #[test]
    fn everything_in_a_record_is_bounded() {
        let mut recorder = soft();
        for n in 0..1000 {
            recorder.step(at(f64::from(n)), &step(Stage::Soft, Stage::Waiting));
            recorder.stands(1, at(0.0), Level::Soft, &key(&n.to_string()), Standing::Gone);
            recorder.tried(1, at(0.0), at(1.0), &Err("é".repeat(5000)), Some(&"é".repeat(5000)));
            recorder.follow(&asked(u64::from(n as u32) + 2), "shop", at(1.0));
        }
        assert!(recorder.records().count() <= OPEN);
        let mut recorder = soft();
        for n in 0..1000 {
            recorder.step(at(f64::from(n)), &step(Stage::Soft, Stage::Waiting));
            recorder.stands(1, at(0.0), Level::Soft, &key(&n.to_string()), Standing::Gone);
            recorder.tried(1, at(0.0), at(1.0), &Err("é".repeat(5000)), Some(&"é".repeat(5000)));
        }
        let record = recorder.records().next().unwrap();
        assert_eq!((record.steps.len(), record.acknowledgements.len()), (STEPS, ACKNOWLEDGEMENTS));
        assert!(serde_json::to_string(record).unwrap().len() < 200_000);
    }
}
