//! What a request means in each stage.
//!
//! | asked ↓ in → | up | waiting | soft | hard | restarting, warming | failed |
//! |---|---|---|---|---|---|---|
//! | soft | accepted, or refused `too_few_remain` | already | already | already (never back to soft) | accepted: one further drain; then already | accepted, as hard |
//! | hard | accepted, or refused `too_few_remain` | accepted: goes to hard at its next try | accepted: becomes hard | already | accepted: one further drain; then already | accepted |
//! | up | already | accepted | accepted | accepted | accepted where a further drain can be taken back; else refused `restarting`, or already in warming | accepted |
//! | return | already | refused `not_a_hold` | accepted from a hold, else refused `not_a_hold` | the same | refused `restarting`; already in warming | accepted |
//!
//! A request that joins a drain changes what it says expressly: a restart instead of a hold, a hold instead of a
//! restart, force. It is then accepted instead of already so. A signal says restart.

use super::{
    Course, Drain, Effects, Follow, Level, Machine, Options, Origin, Outcome, Refusal, Remaining, Request,
    Said, course::Back,
};
use crate::clock::Moment;

impl Machine {
    pub(super) fn ask(
        &mut self,
        now: Moment,
        request: &Request,
        origin: &Origin,
        unix: u64,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        match request {
            Request::Soft(options) => self.ask_drain(now, Level::Soft, options, origin, unix, effects),
            Request::Hard(options) => self.ask_drain(now, Level::Hard, options, origin, unix, effects),
            Request::Up => self.ask_up(now, effects),
            Request::Return => self.ask_return(now, origin, unix, effects),
        }
    }

    fn ask_drain(
        &mut self,
        now: Moment,
        level: Level,
        options: &Options,
        origin: &Origin,
        unix: u64,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        match &self.course {
            Course::Up => {
                if let Remaining::TooFew(too_few) = &self.view.remaining
                    && !options.force
                    && !self.is_dead()
                {
                    return Err(Refusal::TooFewRemain(too_few.clone()));
                }
                let drain = self.new_drain(now, level, options, origin, unix);
                Ok(self.start(now, drain, level, effects))
            }
            Course::Failed { .. } => {
                let mut drain = self.new_drain(now, level, options, origin, unix);
                drain.unguarded = true;
                Ok(self.start(now, drain.hardened(), Level::Hard, effects))
            }
            Course::Waiting { .. } | Course::Soft(_) | Course::Hard(_) => {
                Ok(self.join(now, level, options, origin, effects))
            }
            Course::Restarting(Back { next: None, .. }) | Course::Warming(Back { next: None, .. }) => {
                let drain = self.new_drain(now, level, options, origin, unix);
                let id = drain.id;
                if let Course::Restarting(back) | Course::Warming(back) = &mut self.course {
                    back.next = Some(drain);
                }
                Ok(Said::Accepted {
                    drain: Some(id),
                    text: "it follows the restart that is under way".into(),
                })
            }
            Course::Restarting(Back { next: Some(next), .. })
            | Course::Warming(Back { next: Some(next), .. }) => {
                let text = "one further drain is remembered already".into();
                Ok(Said::Already { drain: Some(next.id), text })
            }
        }
    }

    fn start(&mut self, now: Moment, drain: Drain, level: Level, effects: &mut Effects) -> Said {
        let id = drain.id;
        let why =
            drain.reason.clone().map_or_else(|| "asked".to_owned(), |reason| format!("asked: {reason}"));
        self.announce(now, drain, level, why, effects);
        let text = match level {
            Level::Soft => "announced: no new users",
            Level::Hard => "announced: no users",
        };
        Said::Accepted { drain: Some(id), text: text.into() }
    }

    fn new_drain(
        &mut self,
        now: Moment,
        level: Level,
        options: &Options,
        origin: &Origin,
        unix: u64,
    ) -> Drain {
        let id = self.next_id;
        self.next_id += 1;
        Drain {
            id,
            level,
            follow: Follow::said(options, origin).unwrap_or_else(|| Follow::by_default(level)),
            origin: origin.clone(),
            reason: options.reason.clone(),
            unguarded: options.force,
            asked: now,
            asked_unix: unix,
            give_up: now + self.rules.acknowledge.limit,
            restart_began: None,
        }
    }

    /// A request joins the drain that is under way.
    fn join(
        &mut self,
        now: Moment,
        level: Level,
        options: &Options,
        origin: &Origin,
        effects: &mut Effects,
    ) -> Said {
        let in_soft = matches!(self.course, Course::Soft(_));
        let drain = match &mut self.course {
            Course::Waiting { drain, .. } => drain,
            Course::Soft(out) | Course::Hard(out) => &mut out.drain,
            _ => return Said::Already { drain: None, text: String::new() },
        };
        let before = drain.clone();
        drain.level = drain.level.max(level);
        drain.unguarded |= options.force;
        if let Some(follow) = Follow::said(options, origin) {
            drain.follow = follow;
        } else if level == Level::Hard && drain.follow == Follow::HoldSoft {
            drain.follow = Follow::Hold;
        }
        let id = Some(drain.id);
        if *drain == before {
            return Said::Already { drain: id, text: format!("drain {} is under way", before.id) };
        }
        if drain.follow != before.follow {
            drain.asked = now;
        }
        if in_soft && drain.level > before.level {
            let drain = drain.clone();
            self.announce(now, drain, Level::Hard, "asked hard".into(), effects);
            return Said::Accepted { drain: id, text: format!("drain {} becomes hard", before.id) };
        }
        Said::Accepted { drain: id, text: format!("drain {} is changed", before.id) }
    }

    fn ask_up(&mut self, now: Moment, effects: &mut Effects) -> Result<Said, Refusal> {
        match &mut self.course {
            Course::Up => Ok(Said::Already { drain: None, text: "nothing is asked of the server".into() }),
            Course::Waiting { drain, .. } => {
                let id = drain.id;
                self.give_up(now, Outcome::Cancelled, "asked up".into(), effects);
                Ok(Said::Accepted { drain: Some(id), text: format!("drain {id} is cancelled") })
            }
            Course::Soft(out) | Course::Hard(out) => {
                let id = out.drain.id;
                self.give_up(now, Outcome::Cancelled, "asked up".into(), effects);
                Ok(Said::Accepted { drain: Some(id), text: format!("drain {id} is cancelled") })
            }
            Course::Restarting(back) | Course::Warming(back) if back.next.is_some() => {
                let id = self.give_up_next(Outcome::Cancelled, "asked up", effects);
                let text = "the further drain is cancelled; the restart that is under way goes on".into();
                Ok(Said::Accepted { drain: id, text })
            }
            Course::Restarting(_) => Err(Refusal::Restarting),
            Course::Warming(back) => Ok(Said::Already {
                drain: Some(back.drain.id),
                text: "the server goes up by itself as soon as it is ready".into(),
            }),
            Course::Failed { .. } => {
                self.enter(Course::Up, None, "asked up".into(), effects);
                Ok(Said::Accepted { drain: None, text: "up, as far as the server is ready".into() })
            }
        }
    }

    fn ask_return(
        &mut self,
        now: Moment,
        origin: &Origin,
        unix: u64,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        let drain = match &self.course {
            Course::Up => {
                return Ok(Said::Already { drain: None, text: "nobody holds the server out".into() });
            }
            Course::Waiting { drain, .. } => return Err(Refusal::NotAHold(drain.id)),
            Course::Soft(out) | Course::Hard(out) if out.drain.follow == Follow::Restart => {
                return Err(Refusal::NotAHold(out.drain.id));
            }
            Course::Soft(out) | Course::Hard(out) => out.drain.clone(),
            Course::Restarting(_) => return Err(Refusal::Restarting),
            Course::Warming(back) => {
                return Ok(Said::Already {
                    drain: Some(back.drain.id),
                    text: "the server goes up as soon as it is ready".into(),
                });
            }
            Course::Failed { .. } => self.new_drain(now, Level::Hard, &Options::default(), origin, unix),
        };
        let id = drain.id;
        let back = Back { drain, since: now, next: None, why: String::new() };
        self.warm(now, back, "asked to return".into(), effects);
        Ok(Said::Accepted { drain: Some(id), text: "the server goes up as soon as it is ready".into() })
    }
}
