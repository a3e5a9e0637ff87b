//! What a shadow makes of the agent's end, and of the host's.

use super::*;

impl Shadow {
    /// The agent has died; what it was to replace is `replaced`, or not.
    pub(in super::super) fn dies(&mut self, now: u64, replaced: Replaced) {
        self.seen = NOTHING_SEEN;
        (self.server, self.against) = (Verdict::Unknown, 0);
        match self.stage {
            Stage::Restarting if self.pausing.is_some() => {}
            Stage::Restarting if replaced != Replaced::Perhaps => self.since = now,
            Stage::Restarting if self.asked.follow == Follow::Stop => self.stopped(now),
            Stage::Restarting | Stage::Warming => self.warm(now),
            Stage::Soft | Stage::Hard if self.acknowledged.is_none() => self.since = now,
            _ => {}
        }
    }

    /// The host has been restarted, and the server with it.
    pub(in super::super) fn boots(&mut self, now: u64) {
        self.seen = NOTHING_SEEN;
        (self.server, self.against) = (Verdict::Unknown, 0);
        let rebased = |asked| Asked { at: now, give_up: now, ..asked };
        (self.asked, self.next) = (rebased(self.asked), self.next.map(rebased));
        match self.stage {
            Stage::Up | Stage::Failed => {}
            Stage::Warming => self.warm(now),
            Stage::Restarting | Stage::Waiting | Stage::Soft | Stage::Hard if self.asked.follow.acts() => {
                if self.asked.follow != Follow::Stop {
                    return self.warm(now);
                }
                self.asked = Asked { level: Level::Hard, follow: Follow::Hold, ..self.asked };
                self.enter(now, Stage::Hard);
                self.acknowledged = Some(now);
            }
            Stage::Waiting => (self.asked.give_up, self.retry) = (now + 60, now),
            Stage::Restarting | Stage::Soft | Stage::Hard => {
                (self.since, self.acknowledged) = (now, self.acknowledged.map(|_| now));
            }
        }
    }
}
