//! What the machine waits for, how long at most, and what has been reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Acknowledgement, Course, Drain, Follow, Machine, Verdict,
    course::{Back, Out, WarmUp},
};
use crate::{clock::Moment, config::AtAcknowledgeLimit};

/// What an agent waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The balancers' acknowledgements.
    Acknowledgement,
    /// The end of all traffic.
    Quiet,
    /// The end of the restart.
    Restart,
    /// The server's readiness.
    Ready,
    /// The requests that warm the server up.
    WarmUp,
    /// The end of the time that was asked for.
    Time,
}

/// What is waited for and how long at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// What.
    pub what: Wait,
    /// Until when at most.
    pub until: Moment,
    /// What happens then, for people.
    pub then: &'static str,
}

impl Machine {
    /// What is waited for and how long at most; `None` where nothing is, or where it may last for ever.
    pub fn waits(&self) -> Option<Waiting> {
        let rules = &self.rules;
        match &self.course {
            Course::Up | Course::Failed { .. } => None,
            Course::Waiting { drain, .. } => {
                Some(Waiting { what: Wait::Acknowledgement, until: drain.give_up, then: "gives up" })
            }
            Course::Soft(Out { acknowledged: None, announced, .. })
            | Course::Hard(Out { acknowledged: None, announced, .. }) => Some(Waiting {
                what: Wait::Acknowledgement,
                until: *announced + rules.acknowledge.limit,
                then: match rules.acknowledge.at_limit {
                    AtAcknowledgeLimit::Abort => "withdraws to up",
                    AtAcknowledgeLimit::Proceed => "goes on as if all had acknowledged",
                },
            }),
            Course::Soft(Out { drain, .. }) if drain.follow == Follow::HoldSoft => self.holds(drain),
            Course::Soft(Out { drain, acknowledged: Some(at), .. }) => {
                let until = drain.asked.max(*at) + rules.soft.limit;
                Some(Waiting { what: Wait::Quiet, until, then: "becomes hard" })
            }
            Course::Hard(out) if self.reached() || out.limit_passed.is_some() => self.holds(&out.drain),
            Course::Hard(Out { drain, acknowledged: Some(at), .. }) => {
                let until = self.hard_until_shown(drain, *at);
                let what = match self.view.acknowledged {
                    Acknowledgement::Complete if self.unconfirmed().is_none() => Wait::Quiet,
                    _ => Wait::Acknowledgement,
                };
                let limit = self.at_limit_shown(drain).map(|then| Waiting { what, until, then });
                limit.into_iter().chain(self.holds(drain)).min_by_key(|waiting| waiting.until)
            }
            Course::Restarting(Back { retry: Some(until), .. }) => {
                Some(Waiting { what: Wait::Restart, until: *until, then: "tries again" })
            }
            Course::Restarting(back) => {
                let until = back.since + rules.limit_of(&back.drain.follow);
                Some(Waiting { what: Wait::Restart, until, then: "fails" })
            }
            Course::Warming(Back { warm_up: WarmUp::Since(began), .. })
                if self.server.verdict() == Verdict::Ready =>
            {
                let until = *began + rules.warm_up.unwrap_or_default();
                Some(Waiting { what: Wait::WarmUp, until, then: "goes up all the same" })
            }
            Course::Warming(back) => {
                let until = back.ready_from() + rules.ready_deadline;
                Some(Waiting { what: Wait::Ready, until, then: "fails" })
            }
        }
    }

    /// A hold lasts as long as it was asked to, or for ever.
    fn holds(&self, drain: &Drain) -> Option<Waiting> {
        let until = self.over_at(drain)?;
        Some(Waiting { what: Wait::Time, until, then: "goes up" })
    }

    /// When the machine wants to be asked again at the latest, with what is seen then.
    pub fn deadline(&self) -> Option<Moment> {
        let limit = self.waits().map(|waiting| waiting.until);
        let over = self.course.drain().and_then(|drain| self.over_at(drain));
        let next = match &self.course {
            Course::Waiting { retry, drain, .. } => Some((*retry).min(drain.give_up)),
            _ => limit,
        };
        next.into_iter().chain(over).min()
    }

    /// How long the traffic must be quiet for the present phase to end; `None` where nothing waits for it.
    pub fn needed_quiet(&self) -> Option<Duration> {
        match &self.course {
            Course::Soft(out) if out.drain.follow != Follow::HoldSoft => Some(self.rules.soft.quiet),
            Course::Hard(_) => Some(self.rules.hard.quiet),
            _ => None,
        }
    }

    /// Whether a drain that holds has come as far as it goes.
    pub fn reached(&self) -> bool {
        match &self.course {
            Course::Soft(out) => out.drain.follow == Follow::HoldSoft && out.acknowledged.is_some(),
            // One that has stopped the server has passed zero.
            Course::Hard(out) => out.reached || (out.drain.stopped && !out.drain.follow.acts()),
            _ => false,
        }
    }

    /// The drain, and the command that whoever asked for it may be running on the server now.
    pub(super) fn at_work(&self) -> Option<(u64, &str)> {
        let Course::Hard(Out { drain, reached: true, .. }) = &self.course else { return None };
        let command = drain.command.as_deref().filter(|_| !drain.follow.acts() && !self.view.caller_gone)?;
        Some((drain.id, command))
    }

    /// What stood against quiet when the limit of a drain that holds in hard had passed, for people.
    pub fn limit_passed(&self) -> Option<&str> {
        match &self.course {
            Course::Hard(out) => out.limit_passed.as_deref(),
            _ => None,
        }
    }
}
