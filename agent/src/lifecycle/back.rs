//! The way back: the restart and its tries, the server's warming, and what follows where either fails.

use std::time::Duration;

use super::{
    Course, Drain, Effects, Follow, Level, Machine, Outcome, Verdict,
    course::{Back, Out, WarmUp},
};
use crate::{clock::Moment, config::OnFailure};

impl Machine {
    /// Begins what follows zero: a restart, a stop, a command of the configuration.
    pub(super) fn restart(&mut self, now: Moment, drain: Drain, why: String, effects: &mut Effects) {
        let id = drain.id;
        let drain = Drain { restart_took: None, stopped: false, ..drain };
        effects.restart = Some(id);
        self.enter(Course::Restarting(Back::new(drain, now, why.clone())), Some(id), why, effects);
    }

    pub(super) fn advance_restarting(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Restarting(back) = &self.course else { return false };
        if let Some(retry) = back.retry {
            if now < retry {
                return false;
            }
            let id = back.drain.id;
            let why = format!("try {} of {}", back.failed + 1, self.rules.retries.saturating_add(1));
            let back = Back { since: now, retry: None, why: why.clone(), ..back.clone() };
            effects.restart = Some(id);
            self.enter(Course::Restarting(back), Some(id), why, effects);
            return true;
        }
        let limit = self.rules.limit_of(&back.drain.follow);
        if now < back.since + limit {
            return false;
        }
        // It may still be at work: no further try.
        self.fail(now, format!("the {} has not ended within {limit:?}", back.drain.follow.noun()), effects);
        true
    }

    /// The server was replaced, or was not.
    pub(super) fn restart_ended(
        &mut self,
        now: Moment,
        result: Result<(), String>,
        took: Option<Duration>,
        effects: &mut Effects,
    ) {
        let Course::Restarting(back) = &self.course else { return };
        let mut back = back.clone();
        back.drain.restart_took = took;
        self.course = Course::Restarting(back.clone());
        match result {
            Err(why) if back.next.is_none() && self.may_retry(&back) => self.retry(now, back, &why, effects),
            Err(why) => self.fail(now, why, effects),
            Ok(()) if back.next.as_ref().is_some_and(|next| next.follow.acts()) => {
                let past = back.drain.follow.past();
                let text = format!("{past}; a further restart was asked meanwhile and follows at once");
                done(&back.drain, &text, effects);
                if let Some(next) = back.next {
                    self.follow_up(now, next, effects);
                }
            }
            Ok(()) if back.drain.follow == Follow::Stop => self.stopped(now, back, effects),
            Ok(()) => {
                let why = back.drain.follow.past();
                self.warm(now, back, why, effects);
            }
        }
    }

    /// Only a restart is tried again: a command may have done half of what it does.
    fn may_retry(&self, back: &Back) -> bool {
        back.drain.follow == Follow::Restart && back.failed < self.rules.retries
    }

    fn retry(&mut self, now: Moment, back: Back, failure: &str, effects: &mut Effects) {
        let id = back.drain.id;
        let (failed, of) = (back.failed + 1, self.rules.retries.saturating_add(1));
        let pause = self.rules.retry_after;
        let why = format!("try {failed} of {of} has failed, the next is in {pause:?}: {failure}");
        effects.warnings.push(format!("drain {id}: {why}"));
        let back = Back { failed, retry: Some(now + pause), why: why.clone(), ..back };
        self.enter(Course::Restarting(back), Some(id), why, effects);
    }

    /// The server was stopped, and stays out until somebody asks.
    pub(super) fn stopped(&mut self, now: Moment, back: Back, effects: &mut Effects) {
        self.server.replaced(now);
        if let Some(next) = back.next {
            done(&back.drain, "stopped", effects);
            return self.follow_up(now, next, effects);
        }
        let id = back.drain.id;
        let drain = Drain { level: Level::Hard, follow: Follow::Hold, stopped: true, ..back.drain };
        let why = "the server is stopped".to_owned();
        // Balancers have acted on hard before it was stopped, and nobody is there who could be lost.
        let out = Out::held(drain, now, why.clone());
        self.enter(Course::Hard(out), Some(id), why, effects);
    }

    /// Enters warming: what answered before was another process.
    pub(super) fn warm(&mut self, now: Moment, back: Back, why: String, effects: &mut Effects) {
        self.server.replaced(now);
        let id = back.drain.id;
        let back = Back { since: now, why: why.clone(), retry: None, warm_up: WarmUp::Due, ..back };
        self.enter(Course::Warming(back), Some(id), why, effects);
    }

    pub(super) fn advance_warming(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Warming(back) = &self.course else { return false };
        if self.server.verdict() == Verdict::Ready {
            return self.warm_up(now, effects);
        }
        let deadline = self.rules.ready_deadline;
        if now < back.ready_from() + deadline {
            return false;
        }
        self.fail(now, format!("the server has not become ready within {deadline:?}"), effects);
        true
    }

    /// Goes on from ready: to the requests that warm the server up, and from there to up, or to what was asked meanwhile.
    fn warm_up(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Warming(back) = &mut self.course else { return false };
        let id = back.drain.id;
        if let Some(limit) = self.rules.warm_up.filter(|_| back.next.is_none()) {
            match back.warm_up {
                WarmUp::Due => {
                    back.warm_up = WarmUp::Since(now);
                    effects.warm_up = Some(id);
                    return true;
                }
                WarmUp::Since(began) if now < began + limit => return false,
                WarmUp::Since(_) => {
                    let warning = format!(
                        "drain {id}: the warm-up has not ended within {limit:?}; the server returns all the same"
                    );
                    effects.warnings.push(warning);
                }
                WarmUp::Over(_) => {}
            }
        }
        let back = back.clone();
        done(&back.drain, "the server is back", effects);
        match back.next {
            Some(next) => self.follow_up(now, next, effects),
            None => self.enter(Course::Up, Some(id), "ready".into(), effects),
        }
        true
    }

    /// The requests that warm the server up were made. Those that went wrong are told, and hold nothing: the server's
    /// own probe says that it is ready, and a page that is gone must not keep it out.
    pub(super) fn warmed_up(&mut self, now: Moment, drain: u64, failed: &[String], effects: &mut Effects) {
        let Course::Warming(back) = &mut self.course else { return };
        if back.drain.id != drain || !matches!(back.warm_up, WarmUp::Since(_)) {
            return;
        }
        back.warm_up = WarmUp::Over(now);
        let told = failed
            .iter()
            .map(|failed| format!("drain {drain}: warm-up: {failed}; the server returns all the same"));
        effects.warnings.extend(told);
    }

    /// Ends the drain that was asked to follow a restart, if there is one, and gives its id.
    pub(super) fn give_up_next(
        &mut self,
        outcome: Outcome,
        text: &str,
        effects: &mut Effects,
    ) -> Option<u64> {
        let (Course::Restarting(back) | Course::Warming(back)) = &mut self.course else { return None };
        let next = back.next.take()?;
        effects.ended.push(next.ended(outcome, text.to_owned()));
        Some(next.id)
    }

    /// Between two tries of a restart nothing is at work: the drain can be cancelled. Whether the server serves its
    /// probes must show.
    pub(super) fn give_up_retry(&mut self, now: Moment, text: &str, effects: &mut Effects) -> Option<u64> {
        let Course::Restarting(Back { drain, retry: Some(_), .. }) = &self.course else { return None };
        let id = drain.id;
        effects.ended.push(drain.ended(Outcome::Cancelled, text.to_owned()));
        self.server.replaced(now);
        self.enter(Course::Up, Some(id), text.to_owned(), effects);
        Some(id)
    }

    /// A drain that was asked during a restart goes on from there: nobody uses the server, and it was announced.
    fn follow_up(&mut self, now: Moment, next: Drain, effects: &mut Effects) {
        let why = "asked during the restart before".to_owned();
        if next.follow.acts() {
            return self.restart(now, next, why, effects);
        }
        let level = next.level;
        self.announce(now, next, level, why, effects);
    }

    fn fail(&mut self, now: Moment, why: String, effects: &mut Effects) {
        let (Course::Restarting(back) | Course::Warming(back)) = &self.course else { return };
        let back = back.clone();
        let id = Some(back.drain.id);
        effects.ended.push(back.drain.ended(Outcome::Failed, why.clone()));
        match (back.next, self.rules.on_failure) {
            (Some(next), _) => self.follow_up(now, next.hardened(), effects),
            (None, OnFailure::Stay) => self.enter(Course::Failed { why: why.clone() }, id, why, effects),
            (None, OnFailure::Up) => {
                effects.warnings.push(format!(
                    "the server goes up although its {} has failed, as configured: {why}",
                    back.drain.follow.noun()
                ));
                // What its probes have shown before says nothing about what is there now.
                self.server.replaced(now);
                self.enter(Course::Up, id, why, effects);
            }
        }
    }
}

fn done(drain: &Drain, text: &str, effects: &mut Effects) {
    effects.ended.push(drain.ended(Outcome::Done, text.to_owned()));
}
