//! What a shadow makes of a request; says whether it is refused.

use super::*;

impl Shadow {
    pub(super) fn drain(&mut self, now: u64, level: Level, options: &Options, origin: &Origin) -> bool {
        let said = match (&options.then, origin) {
            (Some(Then::Hold), _) => Some(Follow::Hold),
            (Some(Then::Stop), _) => Some(Follow::Stop),
            (Some(Then::Run(_)), _) => Some(Follow::Run),
            (None, Origin::Control { .. } | Origin::Remote { .. } | Origin::Agent) => None,
            _ => Some(Follow::Restart),
        };
        let default = if level == Level::Soft { Follow::HoldSoft } else { Follow::Hold };
        let follow = said.unwrap_or(default);
        let until = options.for_seconds.map(|seconds| now + seconds);
        let command = options.command.is_some();
        if (follow.acts() || command) && until.is_some() {
            return true;
        }
        let give_up = now + 60;
        let new =
            Asked { level, follow, forced: options.force, at: now, give_up, until, stopped: false, command };
        let guarded = !options.force && self.server != Verdict::NotReady;
        match self.stage {
            Stage::Up if guarded && (!self.seen.enough || self.seen.others_out) => return true,
            Stage::Up => self.out(now, new, level),
            Stage::Failed => {
                let follow = if follow == Follow::HoldSoft { Follow::Hold } else { follow };
                self.out(now, Asked { follow, forced: true, ..new }, Level::Hard);
            }
            Stage::Restarting | Stage::Warming => self.next = self.next.or(Some(new)),
            Stage::Waiting | Stage::Soft | Stage::Hard if command => return true,
            Stage::Waiting | Stage::Soft | Stage::Hard => {
                let hardens = level > self.asked.level;
                let kept = if self.asked.follow == Follow::HoldSoft && level == Level::Hard {
                    Follow::Hold
                } else {
                    self.asked.follow
                };
                let stops_again = self.asked.stopped && said == Some(Follow::Stop);
                let follow = if stops_again { Follow::Hold } else { said.unwrap_or(kept) };
                let disturbs = said.is_some_and(Follow::acts) && !options.force;
                let ends = follow.acts() || self.asked.command;
                if (disturbs && self.is_worked_on()) || (ends && until.is_some()) {
                    return true;
                }
                self.asked.forced |= options.force;
                self.asked.level = self.asked.level.max(level);
                self.asked.until = until.or(self.asked.until).filter(|_| !follow.acts());
                if follow != self.asked.follow {
                    (self.asked.follow, self.asked.at) = (follow, now);
                    self.reached = false;
                }
                if hardens && self.stage == Stage::Soft {
                    self.out(now, self.asked, Level::Hard);
                }
            }
        }
        false
    }

    /// Whether somebody's command may be at work.
    pub(super) fn is_worked_on(&self) -> bool {
        let holds = self.stage == Stage::Hard && self.reached && !self.asked.follow.acts();
        holds && !self.seen.caller_gone
    }

    pub(super) fn ask_up(&mut self, now: u64) -> bool {
        match self.stage {
            Stage::Restarting if self.next.is_none() && self.pausing.is_none() => return true,
            Stage::Restarting if self.next.is_none() => {
                (self.server, self.against) = (Verdict::NotReady, 0);
                self.enter(now, Stage::Up);
            }
            Stage::Restarting | Stage::Warming => self.next = None,
            Stage::Up => {}
            Stage::Hard if self.asked.stopped && self.server != Verdict::Ready => return true,
            _ => self.enter(now, Stage::Up),
        }
        false
    }

    pub(super) fn ask_return(&mut self, now: u64) -> bool {
        match self.stage {
            Stage::Up | Stage::Warming => {}
            Stage::Waiting | Stage::Restarting => return true,
            Stage::Soft | Stage::Hard if self.asked.follow.acts() => return true,
            Stage::Soft | Stage::Hard | Stage::Failed => self.warm(now),
        }
        false
    }
}
