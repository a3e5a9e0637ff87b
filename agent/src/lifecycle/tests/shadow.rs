//! The life cycle once more, as plainly as it can be said: whole seconds, one flat record, the numbers of
//! [`super::rules`]. It predicts where the machine stands after each event, and shares only the names with it.

mod asks;
mod deaths;

use super::*;

/// What follows, as [`super::Follow`] has it, by heart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Follow {
    Restart,
    Stop,
    Run,
    Hold,
    HoldSoft,
}

impl Follow {
    fn acts(self) -> bool {
        matches!(self, Self::Restart | Self::Stop | Self::Run)
    }
}

/// How far a server is warmed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Warm {
    Due,
    Since(u64),
    Over(u64),
}

/// What a shadow keeps of a drain.
#[derive(Clone, Copy, Debug)]
struct Asked {
    level: Level,
    follow: Follow,
    forced: bool,
    at: u64,
    give_up: u64,
    /// Until when a hold lasts.
    until: Option<u64>,
    stopped: bool,
    /// Whoever asked runs a command himself.
    command: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Shadow {
    pub(super) stage: Stage,
    asked: Asked,
    next: Option<Asked>,
    /// When the stage was entered, and for soft and hard when it was acknowledged.
    since: u64,
    acknowledged: Option<u64>,
    /// It holds for a command, which may begin.
    reached: bool,
    retry: u64,
    /// How often the restart has failed, and when it is tried again.
    failed: u32,
    pausing: Option<u64>,
    warm: Warm,
    pub(super) choice: Choice,
    pub(super) server: Verdict,
    against: u32,
    seen: Seen,
}

/// What the configuration leaves open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// What follows the last failure.
    pub(super) up_on_failure: bool,
    /// What follows the limit of hard: back to up.
    pub(super) hard_aborts: bool,
    /// What follows where nobody acknowledges: on.
    pub(super) proceeds: bool,
}

/// What was seen last.
#[expect(clippy::struct_excessive_bools, reason = "facts that are so or not, each seen by itself")]
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: u64,
    /// The clock was seen.
    clock: bool,
    others_out: bool,
    caller_gone: bool,
    acknowledged: bool,
    enough: bool,
    unconfirmed: bool,
    /// Since when; `None`: busy, or unknown.
    quiet: Option<u64>,
    /// Every balancer has reported zero.
    empty: bool,
    /// Since when nobody listens or is connected.
    abandoned: Option<u64>,
}

const NOTHING_SEEN: Seen = Seen {
    at: 0,
    clock: false,
    others_out: false,
    caller_gone: false,
    acknowledged: false,
    enough: true,
    unconfirmed: false,
    quiet: None,
    empty: false,
    abandoned: None,
};

/// How often a restart that fails is tried again here.
const RETRIES: u32 = 1;

impl Shadow {
    pub(super) fn up(choice: Choice) -> Self {
        let asked = Asked {
            level: Level::Soft,
            follow: Follow::HoldSoft,
            forced: false,
            at: 0,
            give_up: 0,
            until: None,
            stopped: false,
            command: false,
        };
        Self {
            stage: Stage::Up,
            asked,
            next: None,
            since: 0,
            acknowledged: None,
            reached: false,
            retry: 0,
            failed: 0,
            pausing: None,
            warm: Warm::Due,
            choice,
            server: Verdict::Ready,
            against: 0,
            seen: NOTHING_SEEN,
        }
    }

    /// Takes an event; says whether it is refused.
    pub(super) fn take(&mut self, now: u64, event: &Event, world: &World) -> bool {
        let refused = match event {
            Event::Seen(_) => {
                let World {
                    acknowledged,
                    enough,
                    others_out,
                    caller_gone,
                    unconfirmed,
                    empty,
                    abandoned,
                    ..
                } = *world;
                self.seen = Seen {
                    at: now,
                    clock: true,
                    others_out,
                    caller_gone,
                    acknowledged,
                    enough,
                    unconfirmed,
                    quiet: world.quiet.filter(|_| !world.unknown),
                    empty,
                    abandoned,
                };
                false
            }
            Event::Probed { passed, .. } => {
                self.probed(*passed);
                false
            }
            Event::RestartEnded { result, .. } => {
                self.ended(now, result.is_ok());
                false
            }
            Event::WarmedUp { .. } => {
                if self.stage == Stage::Warming && matches!(self.warm, Warm::Since(_)) {
                    self.warm = Warm::Over(now);
                }
                false
            }
            Event::Asked { request: Request::Soft(options), origin, .. } => {
                self.drain(now, Level::Soft, options, origin)
            }
            Event::Asked { request: Request::Hard(options), origin, .. } => {
                self.drain(now, Level::Hard, options, origin)
            }
            Event::Asked { request: Request::Up, .. } if self.is_worked_on() => true,
            Event::Asked { request: Request::Up | Request::UpByForce, .. } => self.ask_up(now),
            Event::Asked { request: Request::Return(_), .. } => self.ask_return(now),
            Event::GivenUp { .. } => {
                match self.stage {
                    Stage::Waiting | Stage::Soft | Stage::Hard => self.enter(now, Stage::Up),
                    _ => self.next = None,
                }
                false
            }
            _ => false,
        };
        if !refused {
            while self.moves(now) {}
        }
        refused
    }

    fn probed(&mut self, passed: bool) {
        let found = if passed { Verdict::Ready } else { Verdict::NotReady };
        let needed = if passed { 2 } else { 3 };
        self.against = if found == self.server { 0 } else { self.against + 1 };
        if self.server == Verdict::Unknown || self.against >= needed {
            (self.server, self.against) = (found, 0);
        }
    }

    fn ended(&mut self, now: u64, done: bool) {
        if self.stage != Stage::Restarting {
            return;
        }
        match self.next {
            None if !done && self.asked.follow == Follow::Restart && self.failed < RETRIES => {
                self.failed += 1;
                self.pausing = Some(now + 5);
            }
            _ if !done => self.fail(now),
            Some(next) if next.follow.acts() => self.follow_up(now, false),
            _ if self.asked.follow == Follow::Stop => self.stopped(now),
            _ => self.warm(now),
        }
    }

    fn stopped(&mut self, now: u64) {
        (self.server, self.against) = (Verdict::NotReady, 0);
        if self.next.is_some() {
            return self.follow_up(now, false);
        }
        self.asked = Asked { level: Level::Hard, follow: Follow::Hold, stopped: true, ..self.asked };
        self.enter(now, Stage::Hard);
        self.acknowledged = Some(now);
    }

    /// Goes one step on by itself, if it can.
    #[expect(
        clippy::match_same_arms,
        reason = "the first arm that fits counts, and each stage reads for itself"
    )]
    fn moves(&mut self, now: u64) -> bool {
        let Seen { at: looked, clock, acknowledged, enough, unconfirmed, quiet, empty, abandoned, .. } =
            self.seen;
        let Choice { hard_aborts, proceeds, .. } = self.choice;
        let is_over =
            clock && !self.asked.follow.acts() && self.asked.until.is_some_and(|until| looked >= until);
        let seen_for = |begun: u64| looked.saturating_sub(begun.max(self.since));
        let deserted = quiet
            .is_some_and(|begun| seen_for(begun) >= 3 || abandoned.is_some_and(|begun| seen_for(begun) >= 1));
        let dead = self.server == Verdict::NotReady;
        let restarts = self.asked.follow.acts();
        let works = if self.asked.command { self.reached } else { self.acknowledged.is_some() };
        match self.stage {
            Stage::Up | Stage::Failed => return false,
            Stage::Waiting | Stage::Soft | Stage::Hard if is_over => self.enter(now, Stage::Up),
            Stage::Waiting if now >= self.asked.give_up => self.enter(now, Stage::Up),
            Stage::Waiting if now < self.retry => return false,
            Stage::Waiting if enough || dead || self.asked.forced => {
                self.out(now, self.asked, self.asked.level);
            }
            Stage::Waiting => {
                self.retry = now + 5;
                return false;
            }
            Stage::Restarting if self.pausing.is_some_and(|until| now < until) => return false,
            Stage::Restarting if self.pausing.is_some() => (self.pausing, self.since) = (None, now),
            Stage::Restarting if self.asked.follow == Follow::Run && now < self.since + 240 => return false,
            Stage::Restarting if now >= self.since + 120 => self.fail(now),
            Stage::Restarting => return false,
            Stage::Warming if self.server == Verdict::Ready && self.next.is_some() => {
                self.follow_up(now, false);
            }
            Stage::Warming if self.server == Verdict::Ready => match self.warm {
                Warm::Due => self.warm = Warm::Since(now),
                Warm::Since(began) if now < began + 65 => return false,
                Warm::Since(_) | Warm::Over(_) => self.enter(now, Stage::Up),
            },
            Stage::Warming => {
                let from = match self.warm {
                    Warm::Due => self.since,
                    Warm::Since(at) | Warm::Over(at) => at,
                };
                if now < from + 60 {
                    return false;
                }
                self.fail(now);
            }
            Stage::Soft if dead && self.asked.follow != Follow::HoldSoft => {
                self.out(now, self.asked, Level::Hard);
            }
            Stage::Hard if dead && restarts && deserted => self.enter(now, Stage::Restarting),
            Stage::Soft | Stage::Hard if !(enough || dead || self.asked.forced || (!restarts && works)) => {
                self.retry = now + 5;
                self.enter(now, Stage::Waiting);
            }
            Stage::Soft | Stage::Hard => {
                let is_late = now >= self.since + 60;
                let Some(at) = self.acknowledged else {
                    if acknowledged || (is_late && proceeds) {
                        self.acknowledged = Some(now);
                        self.asked.give_up = self.asked.give_up.max(self.asked.at + 1800 + 30 + 3 * 60);
                    } else if is_late {
                        self.enter(now, Stage::Up);
                    } else {
                        return false;
                    }
                    return true;
                };
                let soft = self.stage == Stage::Soft;
                let alone = !unconfirmed || !enough || self.asked.forced;
                let (needed, limit) = match (soft, alone) {
                    (true, _) => (300, 1800),
                    (false, true) => (3, 30),
                    (false, false) => (3, 30 + 60),
                };
                let may_go = (acknowledged || (is_late && proceeds)) && alone;
                let enough_silence = |since| looked - since >= needed || (!soft && empty);
                let is_quiet =
                    (soft || may_go) && quiet.is_some_and(|since| looked >= at && enough_silence(since));
                if !is_quiet && now < self.asked.at.max(at) + limit {
                    return false;
                }
                match self.asked.follow {
                    Follow::HoldSoft => return false,
                    _ if soft => self.out(now, self.asked, Level::Hard),
                    follow if !follow.acts() => {
                        if !self.asked.command || self.asked.stopped || self.reached {
                            return false;
                        }
                        if is_quiet || !hard_aborts {
                            self.reached = true;
                        } else {
                            self.enter(now, Stage::Up);
                        }
                    }
                    _ if is_quiet || !hard_aborts => self.enter(now, Stage::Restarting),
                    _ => self.enter(now, Stage::Up),
                }
            }
        }
        true
    }

    fn out(&mut self, now: u64, asked: Asked, level: Level) {
        self.asked = asked;
        // What was seen belongs to the announcement before.
        (self.seen.acknowledged, self.seen.quiet) = (false, None);
        self.enter(now, if level == Level::Soft { Stage::Soft } else { Stage::Hard });
    }

    fn warm(&mut self, now: u64) {
        let next =
            if self.stage == Stage::Restarting || self.stage == Stage::Warming { self.next } else { None };
        self.enter(now, Stage::Warming);
        (self.server, self.against, self.next) = (Verdict::NotReady, 0, next);
    }

    fn fail(&mut self, now: u64) {
        if self.next.is_some() {
            self.follow_up(now, true);
        } else if self.choice.up_on_failure {
            (self.server, self.against) = (Verdict::NotReady, 0);
            self.enter(now, Stage::Up);
        } else {
            self.enter(now, Stage::Failed);
        }
    }

    fn follow_up(&mut self, now: u64, hard: bool) {
        let Some(next) = self.next else { return };
        let level = if hard { Level::Hard } else { next.level };
        let follow = if hard && next.follow == Follow::HoldSoft { Follow::Hold } else { next.follow };
        self.asked = Asked { level, follow, ..next };
        if next.follow.acts() {
            self.enter(now, Stage::Restarting);
        } else {
            self.out(now, self.asked, level);
        }
    }

    fn enter(&mut self, now: u64, stage: Stage) {
        (self.stage, self.since, self.acknowledged, self.next) = (stage, now, None, None);
        self.reached = false;
        (self.failed, self.pausing, self.warm) = (0, None, Warm::Due);
    }
}
