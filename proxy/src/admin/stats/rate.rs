//! Rates, and what else is seen by looking once a second.

use std::time::Duration;

use tokio::time::Instant;

use crate::served::Totals;

/// How often is looked.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How a number that only grows has grown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    before: u64,
    looked: Option<Instant>,
    /// In the last second.
    pub(super) now: u64,
    /// The most in a second.
    pub(super) most: u64,
    /// When it was last seen to have grown.
    grown: Option<Instant>,
}

impl Rate {
    /// It is this now.
    pub(super) fn look(&mut self, total: u64, now: Instant) {
        let growth = total.saturating_sub(self.before);
        if let Some(looked) = self.looked {
            // A machine that is late has counted for longer than a second.
            let millis = now.saturating_duration_since(looked).max(EVERY).as_millis() as u64;
            self.now = growth.saturating_mul(1000).div_ceil(millis);
            self.most = self.most.max(self.now);
        }
        if growth > 0 {
            self.grown = Some(now);
        }
        (self.before, self.looked) = (total, Some(now));
    }

    /// How long ago it has grown last; `None`: never.
    pub(super) fn idle_for(&self, total: u64, now: Instant) -> Option<Duration> {
        if total > self.before {
            return Some(Duration::ZERO);
        }
        self.grown.map(|grown| now.saturating_duration_since(grown))
    }
}

/// What has been seen of one frontend, backend or server.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Of connections, for frontends; of requests, for the others.
    pub(super) sessions: Rate,
    /// Of requests, for frontends.
    pub(super) requests: Rate,
    /// The most at once.
    pub(super) most: u32,
    /// From where numbers are counted since they were cleared.
    pub(super) cleared: Option<Box<Cleared>>,
    /// Since when a backend has no usable server.
    pub(super) down_since: Option<Instant>,
    /// How long it had none before that.
    pub(super) downtime: Duration,
    /// How often it lost its last one.
    pub(super) downs: u64,
    /// When that changed last.
    pub(super) changed: Option<Instant>,
}

/// Numbers as they were when they were cleared.
#[derive(Clone, Debug, Default)]
pub(super) struct Cleared {
    pub(super) totals: Totals,
    pub(super) sessions: u64,
    pub(super) downs: u64,
}

impl Seen {
    /// A backend has a usable server, or none.
    pub(super) fn turn(&mut self, is_down: bool, now: Instant) {
        match (is_down, self.down_since) {
            (true, None) => {
                self.down_since = Some(now);
                self.downs += 1;
            }
            (false, Some(since)) => {
                self.downtime += now.saturating_duration_since(since);
                self.down_since = None;
            }
            _ => return,
        }
        self.changed = Some(now);
    }

    /// For how long it has had none, in all.
    pub(super) fn downtime(&self, now: Instant) -> Duration {
        let present = self.down_since.map(|since| now.saturating_duration_since(since));
        self.downtime + present.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_rate_is_what_came_in_the_last_second_however_long_that_was() {
        let start = clock::now();
        let mut rate = Rate::default();
        for (total, millis) in [(100, 0), (110, 1000), (150, 3000), (150, 4000)] {
            rate.look(total, start + Duration::from_millis(millis));
        }
        assert_eq!((rate.now, rate.most), (0, 20));
        let later = start + Duration::from_secs(10);
        assert_eq!(rate.idle_for(150, later), Some(Duration::from_secs(7)));
        assert_eq!(rate.idle_for(151, later), Some(Duration::ZERO));
        assert_eq!(Rate::default().idle_for(0, later), None);
    }

    #[test]
    fn the_time_without_a_usable_server_adds_up() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        for (is_down, seconds) in [(false, 0), (true, 2), (true, 3), (false, 5), (true, 9)] {
            seen.turn(is_down, at(seconds));
        }
        assert_eq!((seen.downtime(at(10)), seen.downs), (Duration::from_secs(4), 2));
    }
}
