//! The guard: a drain is withdrawn for now where too few other servers remain, and tried again later.

use std::time::Duration;

use super::{Course, Drain, Effects, Machine, Outcome, Refusal, Remaining};
use crate::clock::Moment;

/// The least time between a withdrawal and the next try, so that a view without jitter can't make a busy loop.
const LEAST_RETRY: Duration = Duration::from_millis(100);

impl Machine {
    /// The guards, before a drain begins. A dead server protects nobody; force overrides them, and gives what it overrides.
    pub(super) fn guard(&self, force: bool) -> Result<Vec<String>, Refusal> {
        if self.is_dead() {
            return Ok(Vec::new());
        }
        let too_few = match &self.view.remaining {
            Remaining::TooFew(too_few) => Some(too_few),
            Remaining::Enough | Remaining::Unconfirmed(_) => None,
        };
        let others_out = self.view.others_out.as_ref();
        match (too_few, others_out) {
            (Some(why), _) if !force => Err(Refusal::TooFewRemain(why.clone())),
            (_, Some(why)) if !force => Err(Refusal::OthersOut(why.clone())),
            _ => Ok(too_few.into_iter().chain(others_out).cloned().collect()),
        }
    }

    /// Who has to show yet that nobody else goes at the same time: the guard, directly before the restart.
    pub(super) fn unconfirmed(&self) -> Option<&str> {
        match (&self.course, &self.view.remaining) {
            (Course::Hard(out), Remaining::Unconfirmed(who)) if !out.drain.unguarded => Some(who),
            _ => None,
        }
    }

    /// Until when a hard drain that was acknowledged `at` may last. Its limit is for users who don't go; for others that
    /// go at the same time it waits longer, as long as for an acknowledgement.
    pub(super) fn hard_until(&self, drain: &Drain, at: Moment) -> Moment {
        let until = drain.asked.max(at) + self.rules.hard.limit;
        if self.unconfirmed().is_some() { until + self.rules.acknowledge.limit } else { until }
    }

    /// The same as people are told: who goes at the same time is known a check later, so that the longer time is worth
    /// a word only where it has begun.
    pub(super) fn hard_until_shown(&self, drain: &Drain, at: Moment) -> Moment {
        let until = drain.asked.max(at) + self.rules.hard.limit;
        if self.seen < until { until } else { self.hard_until(drain, at) }
    }

    /// The guard, after the announcement: where a balancer has too few others, the drain is withdrawn and tried again
    /// later. A drain that holds is guarded only until it is acknowledged: then somebody works on the server; one for a
    /// command until that may begin.
    pub(super) fn withdraw_if_too_few(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let (Course::Soft(out) | Course::Hard(out)) = &self.course else { return false };
        let Remaining::TooFew(too_few) = &self.view.remaining else { return false };
        let works = if out.drain.command.is_some() { out.reached } else { out.acknowledged.is_some() };
        let held = !out.drain.follow.acts() && works;
        if out.drain.unguarded || held || self.is_dead() {
            return false;
        }
        let why = format!("withdrawn for now: {too_few}");
        let drain = out.drain.clone();
        let id = drain.id;
        let retry = now + self.view.jitter.max(LEAST_RETRY);
        self.enter(Course::Waiting { drain, retry, why: too_few.clone() }, Some(id), why, effects);
        true
    }

    /// Tries a withdrawn drain again when its delay is over, or gives it up.
    pub(super) fn advance_waiting(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Waiting { drain, retry, why } = &mut self.course else { return false };
        if now >= drain.give_up {
            let why = format!("given up: {why}");
            self.give_up(Outcome::Withdrawn, why, effects);
            return true;
        }
        if now < *retry {
            return false;
        }
        if let Remaining::TooFew(too_few) = &self.view.remaining
            && !self.server.is_dead()
            && !drain.unguarded
        {
            why.clone_from(too_few);
            *retry = now + self.view.jitter.max(LEAST_RETRY);
            return false;
        }
        let (drain, level) = (drain.clone(), drain.level);
        self.announce(now, drain, level, "enough others remain now".into(), effects);
        true
    }
}
