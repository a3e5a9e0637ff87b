//! The acknowledgement: a drain goes on when every balancer acts on what is announced, and what the lack of it leads to.

use super::{Acknowledgement, Course, Effects, Machine, Outcome};
use crate::{clock::Moment, config::AtAcknowledgeLimit};

impl Machine {
    /// Notes the acknowledgement, or what the lack of it leads to. Says whether anything has changed.
    pub(super) fn acknowledge(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let complete = self.view.acknowledged == Acknowledgement::Complete;
        let missing = match &self.view.acknowledged {
            Acknowledgement::Pending { missing } => missing.clone(),
            Acknowledgement::Complete => String::new(),
        };
        let rules = self.rules.acknowledge;
        // An acknowledged drain may last so long that its first time for trying is over when it is withdrawn: it is
        // tried until both phases and their acknowledgements, and one further, have had all their time.
        let lasts = self.rules.soft.limit + self.rules.hard.limit + rules.limit * 3;
        let (Course::Soft(out) | Course::Hard(out)) = &mut self.course else { return false };
        if out.acknowledged.is_some() {
            return false;
        }
        let give_up = out.drain.give_up.max(out.drain.asked + lasts);
        if complete {
            out.acknowledged = Some(now);
            out.drain.give_up = give_up;
            effects.acknowledged = true;
            return true;
        }
        if now < out.announced + rules.limit {
            return false;
        }
        match rules.at_limit {
            AtAcknowledgeLimit::Proceed => {
                out.acknowledged = Some(now);
                out.drain.give_up = give_up;
                effects.warnings.push(format!(
                    "not acknowledged within {:?} ({missing}); goes on nevertheless, as configured",
                    rules.limit
                ));
            }
            AtAcknowledgeLimit::Abort => {
                let why = format!("withdrawn: not acknowledged within {:?} ({missing})", rules.limit);
                self.give_up(Outcome::Withdrawn, why, effects);
            }
        }
        true
    }

    /// Who does not act on hard, although it was acknowledged: a balancer that has come, or come back, since then.
    pub(super) fn missing(&self, now: Moment) -> Option<&str> {
        let (Course::Hard(out), Acknowledgement::Pending { missing }) =
            (&self.course, &self.view.acknowledged)
        else {
            return None;
        };
        let rules = self.rules.acknowledge;
        let goes_on = rules.at_limit == AtAcknowledgeLimit::Proceed && now >= out.announced + rules.limit;
        (!goes_on).then_some(missing)
    }
}
