//! The limit of hard: what follows where the traffic has not become zero in time.

use super::{Course, Drain, Effects, Follow, Machine, Outcome, Traffic};
use crate::{clock::Moment, config::AtHardLimit};

/// What follows when a hard drain has not become quiet in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AtLimit {
    /// What is to follow zero, which cuts what is left.
    Cut,
    /// Back to up.
    Abort,
    /// It counts as reached, and whoever waits for that is told.
    Reach,
    /// It goes on waiting.
    Wait,
}

impl Machine {
    /// What follows when `drain` has not become quiet in time.
    ///
    /// | `at_limit` | restarts, stops, runs | holds for a command that somebody else runs | holds |
    /// |---|---|---|---|
    /// | restart | that begins, and cuts | counts as reached, which cuts | counts as reached |
    /// | abort | withdrawn | withdrawn | waits on: somebody wants the server to be out, and nothing is cut by that |
    pub(super) fn at_limit(&self, drain: &Drain) -> AtLimit {
        let acts = drain.follow.acts();
        match self.rules.hard.at_limit {
            AtHardLimit::Restart if acts || drain.command.is_some() => AtLimit::Cut,
            AtHardLimit::Restart => AtLimit::Reach,
            AtHardLimit::Abort if acts || drain.command.is_some() => AtLimit::Abort,
            AtHardLimit::Abort => AtLimit::Wait,
        }
    }

    /// The limit has passed. Says whether that has changed anything.
    pub(super) fn pass_hard_limit(&mut self, now: Moment, drain: Drain, effects: &mut Effects) -> bool {
        if matches!(&self.course, Course::Hard(out) if out.limit_passed.is_some()) {
            return false;
        }
        let held_by = match (self.missing(now).or_else(|| self.unconfirmed()), &self.view.traffic) {
            (Some(missing), Traffic::Quiet { .. }) => missing.to_owned(),
            (_, traffic) => traffic.held_by(),
        };
        let why = format!("the limit of {:?} has passed: {held_by}", self.rules.hard.limit);
        let at_limit = self.at_limit(&drain);
        match at_limit {
            AtLimit::Abort => {
                self.give_up(Outcome::Withdrawn, why, effects);
                return true;
            }
            AtLimit::Cut => {
                effects.warnings.push(format!("drain {} cuts what is left: {why}", drain.id));
                effects.cuts = !matches!(self.view.traffic, Traffic::Quiet { .. });
            }
            AtLimit::Reach | AtLimit::Wait => {
                effects
                    .warnings
                    .push(format!("drain {} holds the server, which is still in use: {why}", drain.id));
            }
        }
        if drain.follow.acts() {
            self.restart(now, drain, why, effects);
        } else if let Course::Hard(out) = &mut self.course {
            out.reached = at_limit != AtLimit::Wait;
            out.limit_passed = Some(why);
        }
        true
    }

    /// What that is for people, beforehand.
    pub(super) fn at_limit_shown(&self, drain: &Drain) -> Option<&'static str> {
        Some(match (self.at_limit(drain), &drain.follow) {
            (AtLimit::Abort, _) => "withdraws to up",
            (AtLimit::Cut, Follow::Stop) => "stops the server and cuts what is left",
            (AtLimit::Cut, Follow::Run(_) | Follow::Hold | Follow::HoldSoft) => {
                "runs the command and cuts what is left"
            }
            (AtLimit::Cut, Follow::Restart) => "restarts and cuts what is left",
            (AtLimit::Reach, _) => "waits no longer, and holds",
            (AtLimit::Wait, _) => return None,
        })
    }
}
