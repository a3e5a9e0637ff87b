//! The machine itself: its value and the edges that it takes by itself.

use std::{mem, time::Duration};

use super::{
    Acknowledgement, Course, Drain, Effects, Event, Follow, Level, Outcome, Refusal, Remaining, Rules,
    Server, Traffic, Transition, Verdict, View, ask::Asking, course::Out,
};
use crate::clock::Moment;

/// The life cycle of one server. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) rules: Rules,
    pub(super) course: Course,
    pub(super) server: Server,
    pub(super) view: View,
    /// When that was seen.
    pub(super) seen: Moment,
    pub(super) next_id: u64,
}

/// What the balancers are to acknowledge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// The drain.
    pub drain: u64,
    /// What is announced.
    pub level: Level,
    /// When it was.
    pub at: Moment,
}

impl Machine {
    /// A machine that knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            course: Course::Up,
            server: Server::default(),
            view: nothing_seen(),
            seen: Moment::default(),
            next_id: 1,
        }
    }

    /// Takes one event. A refusal leaves everything as it was.
    pub fn step(&mut self, now: Moment, event: Event) -> Result<Effects, Refusal> {
        let mut effects = Effects::default();
        match event {
            Event::Asked { request, origin, unix } => {
                let said = self.ask(&Asking { now, origin: &origin, unix }, &request, &mut effects)?;
                effects.said = Some(said);
            }
            Event::Seen(view) => (self.view, self.seen) = (view, now),
            Event::Probed { began, passed } => {
                self.server.probed(began, passed, self.rules.rise, self.rules.fall);
            }
            Event::NoVerdict { last } => self.server.assume(last),
            Event::RestartEnded { result, took } => self.restart_ended(now, result, took, &mut effects),
            Event::WarmedUp { drain, failed } => self.warmed_up(now, drain, &failed, &mut effects),
            Event::Reloaded(rules) => self.rules = rules,
            Event::GivenUp { why } => {
                self.give_up_next(Outcome::Withdrawn, &why, &mut effects);
                self.give_up(Outcome::Withdrawn, why, &mut effects);
            }
        }
        while self.advance(now, &mut effects) {}
        Ok(effects)
    }

    /// The axis of what was asked.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// The axis of what is observed of the server.
    pub fn server(&self) -> Verdict {
        self.server.verdict()
    }

    /// What the balancers are to acknowledge now.
    pub fn announcement(&self) -> Option<Announcement> {
        let (level, out) = match &self.course {
            Course::Soft(out) => (Level::Soft, out),
            Course::Hard(out) => (Level::Hard, out),
            _ => return None,
        };
        Some(Announcement { drain: out.drain.id, level, at: out.announced })
    }

    /// When a drain that holds is over by itself, as far as the wall clock goes on as it does.
    pub(super) fn over_at(&self, drain: &Drain) -> Option<Moment> {
        let left = drain.until_unix?.saturating_sub(self.view.unix);
        (!drain.follow.acts()).then(|| self.seen + Duration::from_secs(left))
    }

    /// Whether a drain that holds has lasted as long as it was asked to. Nothing is before the first look at the clock.
    fn is_over(&self) -> bool {
        let (Course::Waiting { drain, .. }
        | Course::Soft(Out { drain, .. })
        | Course::Hard(Out { drain, .. })) = &self.course
        else {
            return false;
        };
        !drain.follow.acts() && drain.until_unix.is_some_and(|until| self.view.unix >= until)
    }

    /// Takes the next edge that is due, if one is.
    fn advance(&mut self, now: Moment, effects: &mut Effects) -> bool {
        if self.is_over() {
            self.give_up(Outcome::Done, "the time that was asked for is over".into(), effects);
            return true;
        }
        match &self.course {
            Course::Up | Course::Failed { .. } => false,
            Course::Waiting { .. } => self.advance_waiting(now, effects),
            Course::Soft(_) => self.advance_soft(now, effects),
            Course::Hard(_) => self.advance_hard(now, effects),
            Course::Restarting(_) => self.advance_restarting(now, effects),
            Course::Warming(_) => self.advance_warming(now, effects),
        }
    }

    fn advance_soft(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Soft(out) = &self.course else { return false };
        let drain = out.drain.clone();
        if self.is_dead() && drain.follow != Follow::HoldSoft {
            self.announce(
                now,
                drain,
                Level::Hard,
                "the server does not answer its readiness probe".into(),
                effects,
            );
            return true;
        }
        if self.withdraw_if_too_few(now, effects) || self.acknowledge(now, effects) {
            return true;
        }
        let Course::Soft(Out { acknowledged: Some(at), .. }) = self.course else { return false };
        if drain.follow == Follow::HoldSoft {
            return false;
        }
        let soft = self.rules.soft;
        if self.quiet(soft.quiet, at, false) {
            self.announce(now, drain, Level::Hard, "acknowledged and quiet".into(), effects);
            return true;
        }
        if now >= drain.asked.max(at) + soft.limit {
            let why = format!("the limit of {:?} has passed: {}", soft.limit, self.view.traffic.held_by());
            self.announce(now, drain, Level::Hard, why, effects);
            return true;
        }
        false
    }

    fn advance_hard(&mut self, now: Moment, effects: &mut Effects) -> bool {
        let Course::Hard(out) = &self.course else { return false };
        let drain = out.drain.clone();
        if drain.follow.acts() && self.is_dead() && self.is_deserted(out.announced) {
            self.restart(now, drain, "the server is dead and holds nothing".into(), effects);
            return true;
        }
        if self.withdraw_if_too_few(now, effects) || self.acknowledge(now, effects) {
            return true;
        }
        let Course::Hard(Out { acknowledged: Some(at), .. }) = self.course else { return false };
        if self.reached() {
            return false;
        }
        let missing = self.missing(now).or_else(|| self.unconfirmed());
        if missing.is_none() && self.quiet(self.rules.hard.quiet, at, true) {
            self.end_hard(now, drain, effects);
            return true;
        }
        now >= self.hard_until(&drain, at) && self.pass_hard_limit(now, drain, effects)
    }

    /// Hard is acknowledged and quiet: what is to follow begins.
    fn end_hard(&mut self, now: Moment, drain: Drain, effects: &mut Effects) {
        if drain.follow.acts() {
            return self.restart(now, drain, "acknowledged and quiet".into(), effects);
        }
        if let Course::Hard(out) = &mut self.course {
            out.reached = true;
        }
    }

    /// Announces `level`, which is then to be acknowledged anew.
    pub(super) fn announce(
        &mut self,
        now: Moment,
        drain: Drain,
        level: Level,
        why: String,
        effects: &mut Effects,
    ) {
        let id = drain.id;
        // What was seen before belongs to what was announced before.
        self.view.acknowledged = Acknowledgement::Pending { missing: "just announced".into() };
        self.view.traffic = Traffic::Unknown("not looked since the announcement".into());
        self.enter(Course::announced(drain, level, now, why.clone()), Some(id), why, effects);
    }

    /// Ends the drain and goes back to up, where something is under way that can be taken back.
    pub(super) fn give_up(&mut self, outcome: Outcome, text: String, effects: &mut Effects) {
        let (Course::Waiting { drain, .. }
        | Course::Soft(Out { drain, .. })
        | Course::Hard(Out { drain, .. })) = &self.course
        else {
            return;
        };
        let id = drain.id;
        effects.ended.push(drain.ended(outcome, text.clone()));
        self.enter(Course::Up, Some(id), text, effects);
    }

    /// Its probes have failed. Users may be served nevertheless: a probe fails under load too, and after a deploy.
    pub(super) fn is_dead(&self) -> bool {
        self.server.is_dead()
    }

    pub(super) fn enter(&mut self, course: Course, drain: Option<u64>, why: String, effects: &mut Effects) {
        let from = mem::replace(&mut self.course, course).stage();
        effects.transitions.push(Transition { from, to: self.course.stage(), why, drain });
    }
}

/// What is known before anything was seen: nothing.
pub(super) fn nothing_seen() -> View {
    View {
        acknowledged: Acknowledgement::Pending { missing: "nothing seen yet".into() },
        remaining: Remaining::Enough,
        traffic: Traffic::Unknown("not looked yet".into()),
        jitter: Duration::ZERO,
        others_out: None,
        caller_gone: false,
        unix: 0,
    }
}
