//! What a request means in each stage.
//!
//! | asked ↓ in → | up | waiting | soft | hard | restarting, warming | failed |
//! |---|---|---|---|---|---|---|
//! | soft | accepted, or refused `too_few_remain` | already | already | already (never back to soft) | accepted: one further drain; then already | accepted, as hard |
//! | hard | accepted, or refused `too_few_remain` | accepted: goes to hard at its next try | accepted: becomes hard | already | accepted: one further drain; then already | accepted |
//! | up | already | accepted | accepted | accepted; refused `stopped` where the server was stopped and is not ready, `command_runs` | accepted where a further drain can be taken back, or a restart is about to be tried again; else refused `restarting`, or already in warming | accepted |
//! | return | already | refused `not_a_hold` | accepted from a hold, else refused `not_a_hold` | the same | refused `restarting`; already in warming | accepted |
//!
//! A request that joins a drain changes what it says expressly: a restart instead of a hold, a hold instead of a
//! restart, force. It is then accepted instead of already so. A signal says restart.
//!
//! Whoever runs a command on the server (`drainctl run`) has it for himself from the moment on at which his drain is
//! reached: a restart and up are refused `command_runs` until he has said how the command ended, or has gone, but by
//! force. One who brings a command joins nobody's drain (`under_way`), and nobody says when his is over.

use std::time::Duration;

use super::{
    Course, Drain, Effects, Follow, Level, Machine, Options, Origin, Outcome, Refusal, Request, Said,
    Verdict, course::Back,
};
use crate::clock::Moment;

/// A moment at which somebody asks for something.
pub(super) struct Asking<'a> {
    pub(super) now: Moment,
    pub(super) origin: &'a Origin,
    /// The same moment for people, in seconds since 1970.
    pub(super) unix: u64,
}

impl Machine {
    pub(super) fn ask(
        &mut self,
        asking: &Asking<'_>,
        request: &Request,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        match request {
            Request::Soft(options) => self.ask_drain(asking, Level::Soft, options, effects),
            Request::Hard(options) => self.ask_drain(asking, Level::Hard, options, effects),
            Request::Up => {
                self.refuse_at_work()?;
                self.ask_up(asking.now, effects)
            }
            Request::UpByForce => self.ask_up(asking.now, effects),
            Request::Return(_) => self.ask_return(asking, effects),
        }
    }

    fn ask_drain(
        &mut self,
        asking: &Asking<'_>,
        level: Level,
        options: &Options,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        self.can_follow(asking, level, options)?;
        match &self.course {
            Course::Up => {
                let overridden = self.guard(options.force)?;
                let drain = self.new_drain(asking, level, options);
                effects.warnings.extend(overridden.iter().map(|guard| overrides(&drain, guard)));
                Ok(self.start(asking.now, drain, level, effects))
            }
            Course::Failed { .. } => {
                let mut drain = self.new_drain(asking, level, options);
                drain.unguarded = true;
                Ok(self.start(asking.now, drain.hardened(), Level::Hard, effects))
            }
            Course::Waiting { .. } | Course::Soft(_) | Course::Hard(_) => {
                self.join(asking, level, options, effects)
            }
            Course::Restarting(Back { next: None, .. }) | Course::Warming(Back { next: None, .. }) => {
                let drain = self.new_drain(asking, level, options);
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

    /// Whether what is asked to follow can follow, as the configuration is.
    fn can_follow(&self, asking: &Asking<'_>, level: Level, options: &Options) -> Result<(), Refusal> {
        let follow = Follow::said(options, asking.origin, &self.rules).unwrap_or(Follow::by_default(level));
        match &follow {
            Follow::Stop if !self.rules.can_stop => return Err(Refusal::NoStopCommand),
            Follow::Run(name) if !self.rules.runs.iter().any(|(run, _)| run == name) => {
                let known: Vec<&str> = self.rules.runs.iter().map(|(run, _)| run.as_str()).collect();
                let known = match &known[..] {
                    [] => "nor another [run.NAME]; add it, and reload the agent".to_owned(),
                    known => format!("but these: {}", known.join(", ")),
                };
                return Err(Refusal::NoSuchRun { name: name.clone(), known });
            }
            _ => {}
        }
        let ends = follow.then().filter(|_| follow.acts()).map(|then| then.to_string());
        match ends
            .or_else(|| options.command.as_deref().map(command))
            .filter(|_| options.for_seconds.is_some())
        {
            Some(end) => Err(Refusal::EndsOtherwise(end)),
            None => Ok(()),
        }
    }

    /// Nobody else restarts a server, or sends users to it, on which a command may be at work.
    fn refuse_at_work(&self) -> Result<(), Refusal> {
        match self.at_work() {
            Some((drain, command)) => Err(Refusal::CommandRuns { drain, command: command.to_owned() }),
            None => Ok(()),
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

    fn new_drain(&mut self, asking: &Asking<'_>, level: Level, options: &Options) -> Drain {
        let id = self.next_id;
        self.next_id += 1;
        Drain {
            id,
            level,
            follow: Follow::said(options, asking.origin, &self.rules)
                .unwrap_or_else(|| Follow::by_default(level)),
            origin: asking.origin.clone(),
            reason: options.reason.clone(),
            unguarded: options.force,
            asked: asking.now,
            asked_unix: asking.unix,
            give_up: asking.now + self.rules.acknowledge.limit,
            restart_took: None,
            until_unix: until(asking, options),
            stopped: false,
            command: options.command.clone(),
        }
    }

    /// A request joins the drain that is under way.
    fn join(
        &mut self,
        asking: &Asking<'_>,
        level: Level,
        options: &Options,
        effects: &mut Effects,
    ) -> Result<Said, Refusal> {
        let said = Follow::said(options, asking.origin, &self.rules);
        if said.as_ref().is_some_and(Follow::acts) && !options.force {
            self.refuse_at_work()?;
        }
        let in_soft = matches!(self.course, Course::Soft(_));
        let drain = match &mut self.course {
            Course::Waiting { drain, .. } => drain,
            Course::Soft(out) | Course::Hard(out) => &mut out.drain,
            _ => return Ok(Said::Already { drain: None, text: String::new() }),
        };
        if options.command.is_some() {
            return Err(Refusal::UnderWay(drain.id));
        }
        let before = drain.clone();
        let hardens = level == Level::Hard && before.follow == Follow::HoldSoft;
        let follow = match said {
            // It is stopped, and held for that.
            Some(Follow::Stop) if before.stopped => Follow::Hold,
            Some(follow) => follow,
            None if hardens => Follow::Hold,
            None => before.follow.clone(),
        };
        let ends = follow.then().filter(|_| follow.acts()).map(|then| then.to_string());
        if let Some(end) = ends.or_else(|| before.command.as_deref().map(command))
            && options.for_seconds.is_some()
        {
            return Err(Refusal::EndsOtherwise(end));
        }
        drain.level = drain.level.max(level);
        drain.unguarded |= options.force;
        drain.until_unix = until(asking, options).or(drain.until_unix).filter(|_| !follow.acts());
        drain.follow = follow;
        let id = Some(drain.id);
        if *drain == before {
            return Ok(Said::Already { drain: id, text: format!("drain {} is under way", before.id) });
        }
        let is_other = drain.follow != before.follow;
        if is_other {
            drain.asked = asking.now;
        }
        let drain = drain.clone();
        if in_soft && drain.level > before.level {
            self.announce(asking.now, drain, Level::Hard, "asked hard".into(), effects);
            return Ok(Said::Accepted { drain: id, text: format!("drain {} becomes hard", before.id) });
        }
        if let Course::Hard(out) = &mut self.course
            && is_other
        {
            (out.reached, out.limit_passed) = (false, None);
        }
        let lasts = lasts(before.until_unix, drain.until_unix, asking.unix);
        Ok(Said::Accepted { drain: id, text: format!("drain {} is changed{lasts}", before.id) })
    }

    fn ask_up(&mut self, now: Moment, effects: &mut Effects) -> Result<Said, Refusal> {
        match &mut self.course {
            Course::Up => Ok(Said::Already { drain: None, text: "nothing is asked of the server".into() }),
            Course::Waiting { drain, .. } => {
                let id = drain.id;
                self.give_up(Outcome::Cancelled, "asked up".into(), effects);
                Ok(Said::Accepted { drain: Some(id), text: format!("drain {id} is cancelled") })
            }
            Course::Hard(out) if out.drain.stopped => {
                let id = out.drain.id;
                self.ask_stopped_up(id, effects)
            }
            Course::Soft(out) | Course::Hard(out) => {
                let id = out.drain.id;
                self.give_up(Outcome::Cancelled, "asked up".into(), effects);
                Ok(Said::Accepted { drain: Some(id), text: format!("drain {id} is cancelled") })
            }
            Course::Restarting(back) | Course::Warming(back) if back.next.is_some() => {
                let id = self.give_up_next(Outcome::Cancelled, "asked up", effects);
                let text = "the further drain is cancelled; the restart that is under way goes on".into();
                Ok(Said::Accepted { drain: id, text })
            }
            Course::Restarting(Back { drain, retry: Some(_), .. }) => {
                let text =
                    format!("drain {} is cancelled; the server goes up as far as it is ready", drain.id);
                let id = self.give_up_retry(now, "asked up", effects);
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

    /// Up is asked of a server that was stopped: where nobody has started it, nobody would answer.
    fn ask_stopped_up(&mut self, id: u64, effects: &mut Effects) -> Result<Said, Refusal> {
        if self.server.verdict() != Verdict::Ready {
            return Err(Refusal::Stopped);
        }
        let text = "the server was stopped, and runs again".to_owned();
        self.give_up(Outcome::Done, text.clone(), effects);
        Ok(Said::Accepted { drain: Some(id), text })
    }

    fn ask_return(&mut self, asking: &Asking<'_>, effects: &mut Effects) -> Result<Said, Refusal> {
        let drain = match &self.course {
            Course::Up => {
                return Ok(Said::Already { drain: None, text: "nobody holds the server out".into() });
            }
            Course::Waiting { drain, .. } => return Err(Refusal::NotAHold(drain.id)),
            Course::Soft(out) | Course::Hard(out) if out.drain.follow.acts() => {
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
            Course::Failed { .. } => self.new_drain(asking, Level::Hard, &Options::default()),
        };
        let id = drain.id;
        let back = Back::new(drain, asking.now, String::new());
        self.warm(asking.now, back, "asked to return".into(), effects);
        Ok(Said::Accepted { drain: Some(id), text: "the server goes up as soon as it is ready".into() })
    }
}

/// What ends a drain that holds for a command, for people.
fn command(command: &str) -> String {
    format!("the command {command:?}")
}

/// When a drain that holds is over, in seconds since 1970.
fn until(asking: &Asking<'_>, options: &Options) -> Option<u64> {
    options.for_seconds.map(|seconds| asking.unix.saturating_add(seconds))
}

/// What has become of the end of a drain that holds, for people.
fn lasts(before: Option<u64>, after: Option<u64>, unix: u64) -> String {
    let left = |until: u64| Duration::from_secs(until.saturating_sub(unix));
    match (before, after) {
        (Some(before), Some(after)) if before != after => {
            format!(": it is over in {:?}, no longer in {:?}", left(after), left(before))
        }
        (None, Some(after)) => format!(": it is over in {:?}, and had no end before", left(after)),
        (Some(before), None) => format!(": it is no longer over in {:?}", left(before)),
        (Some(_), Some(_)) | (None, None) => String::new(),
    }
}

/// Who has overridden which guard, and why, for people.
fn overrides(drain: &Drain, guard: &String) -> String {
    let reason = drain.reason.as_ref().map_or_else(|| "no reason".to_owned(), |reason| format!("{reason:?}"));
    format!("drain {} is by force, asked by {} ({reason}), although {guard}", drain.id, drain.origin)
}
