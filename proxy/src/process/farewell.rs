//! What the balancers above are told while the proxy is about to finish. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::{admin::http::Standing, config::Leave};

/// A proxy that is about to finish and still takes connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farewell {
    standing: Standing,
    until: Instant,
    leave: Leave,
}

impl Farewell {
    /// Begins `now`. `None`: nothing is to be told first.
    pub(super) fn begin(leave: Leave, now: Instant) -> Option<Self> {
        Self::of(Standing::Soft, leave, now).or_else(|| Self::of(Standing::Hard, leave, now))
    }

    /// What comes when its time has passed. `None`: nothing is accepted any more.
    pub(super) fn next(self, now: Instant) -> Option<Self> {
        match self.standing {
            Standing::Soft => Self::of(Standing::Hard, self.leave, now),
            Standing::Up | Standing::Hard => None,
        }
    }

    /// What is told.
    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// Until when.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// `None`: it lasts no time.
    fn of(standing: Standing, leave: Leave, now: Instant) -> Option<Self> {
        let lasts = if standing == Standing::Soft { leave.soft } else { leave.hard };
        let until = now.checked_add(lasts)?;
        (lasts > Duration::ZERO).then_some(Self { standing, until, leave })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(soft: u64, hard: u64) -> Vec<(Standing, u64)> {
        let begin = crate::clock::now();
        let [soft, hard] = [soft, hard].map(Duration::from_secs);
        let mut now = begin;
        let mut step = Farewell::begin(Leave { soft, hard }, now);
        let mut told = Vec::new();
        while let Some(farewell) = step {
            now = farewell.until();
            told.push((farewell.standing(), (now - begin).as_secs()));
            step = farewell.next(now);
        }
        told
    }

    #[test]
    fn balancers_above_are_told_404_and_then_500() {
        assert_eq!(told(10, 5), [(Standing::Soft, 10), (Standing::Hard, 15)]);
    }

    #[test]
    fn what_lasts_no_time_is_left_out() {
        assert_eq!(told(0, 5), [(Standing::Hard, 5)]);
        assert_eq!(told(10, 0), [(Standing::Soft, 10)]);
        assert_eq!(told(0, 0), []);
    }
}
