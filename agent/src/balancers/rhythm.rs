//! When somebody asks: intervals, evenness, silence.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// The moments of somebody's last checks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rhythm {
    recent: VecDeque<Moment>,
    /// The longest interval that was known before the agent's own restart.
    before: Option<Duration>,
    /// The last check before it.
    last_before: Option<Moment>,
    /// The longest interval of late: a balancer that checks fast for a while will be slow again.
    #[serde(default)]
    slow: Slow,
}

/// The longest interval of the present span of time and of the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Slow {
    /// When the present span began.
    since: Option<Moment>,
    now: Duration,
    before: Duration,
}

/// So many moments are kept: the longest interval of a balancer that alternates between `inter` and `fastinter` must
/// be among them, and a change of its configuration be forgotten soon.
const KEPT: usize = 8;

/// How long a span is of which the longest interval is remembered: half an hour to an hour. HAProxy's `fastinter` lasts for
/// `rise` or `fall` checks, which are minutes.
const SPAN: Duration = Duration::from_mins(30);

/// Intervals are even when the longer exceeds the shorter by no more than a quarter...
const UNEVEN_DIVISOR: u32 = 4;
/// ...and this much, which is scheduling and the check's own duration.
const UNEVEN_SLACK: Duration = Duration::from_millis(50);

/// By so much must a long interval exceed a short one, so that they are two: more than a machine that has little to do
/// is late.
const IN_TURN: Duration = Duration::from_millis(10);

/// Nobody is gone before this, however short their interval is (DESIGN: "at least 5 s").
const LEAST_SILENCE: Duration = Duration::from_secs(5);
/// Nobody whose interval is not known is gone before this (DESIGN: "else 30 s").
pub(super) const UNKNOWN: Duration = Duration::from_secs(30);
/// So many of its own intervals without a check, and a balancer is gone.
const SILENT_INTERVALS: u32 = 3;

impl Rhythm {
    /// Somebody asks.
    pub fn beat(&mut self, at: Moment) {
        let interval = self.recent.back().map(|last| at.since(*last));
        // Whoever was silent for longer was away, and that is not how they ask.
        if let Some(interval) = interval.filter(|interval| *interval < self.patience()) {
            self.slow.note(interval, at);
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
    }

    /// When they asked last.
    pub fn last(&self) -> Option<Moment> {
        self.recent.back().copied().or(self.last_before)
    }

    /// The longest of the recent intervals.
    pub fn longest(&self) -> Option<Duration> {
        self.intervals().max().or(self.before)
    }

    /// Whether the last three checks came at even intervals.
    pub fn is_even(&self) -> bool {
        let mut last = self.intervals().rev();
        let (Some(a), Some(b)) = (last.next(), last.next()) else { return false };
        !differ(a, b)
    }

    /// Whether the last interval breaks a rhythm that was even before it: two processes that ask one after the other,
    /// or in turn, do that.
    pub fn is_broken(&self) -> bool {
        let mut last = self.intervals().rev();
        let (Some(a), Some(b), Some(c)) = (last.next(), last.next(), last.next()) else { return false };
        !differ(b, c) && differ(a, b)
    }

    /// Whether they come after a short and a long interval in turn, each always the same: a lone process waits for the
    /// same time whenever it was answered, and two that know nothing of each other do that. `None` where too few have come
    /// to tell.
    pub fn alternates(&self) -> Option<bool> {
        if self.recent.len() < KEPT {
            return None;
        }
        let range = |first: usize| {
            let mut own = self.intervals().skip(first).step_by(2);
            let begin = own.next().unwrap_or_default();
            own.fold((begin, begin), |(least, most), interval| (least.min(interval), most.max(interval)))
        };
        let (one, other) = (range(0), range(1));
        let (short, long) = (one.min(other), one.max(other));
        let spread = |(least, most): (Duration, Duration)| most.saturating_sub(least);
        Some(long.0 > short.1 + spread(short).max(spread(long)).max(IN_TURN))
    }

    /// After how long a silence they are gone.
    pub fn patience(&self) -> Duration {
        let Some(longest) = self.longest() else { return UNKNOWN };
        LEAST_SILENCE.max(longest.max(self.slow.longest()) * SILENT_INTERVALS)
    }

    /// The agent was away: the gap is not theirs.
    pub fn interrupted(&mut self) {
        *self = Self {
            before: self.longest(),
            last_before: self.last(),
            slow: self.slow,
            recent: VecDeque::new(),
        };
    }

    /// Moments of another boot mean nothing; it is as if they had last asked at `at`.
    pub fn rebased(&mut self, at: Moment) {
        let slow = Slow { since: Some(at), ..self.slow };
        *self = Self { before: self.longest(), last_before: Some(at), slow, recent: VecDeque::new() };
    }

    fn intervals(&self) -> impl DoubleEndedIterator<Item = Duration> {
        self.recent.iter().zip(self.recent.iter().skip(1)).map(|(earlier, later)| later.since(*earlier))
    }
}

impl Slow {
    fn note(&mut self, interval: Duration, at: Moment) {
        let since = *self.since.get_or_insert(at);
        if at.since(since) >= SPAN {
            *self = Self { since: Some(at), before: self.now, now: Duration::ZERO };
        }
        self.now = self.now.max(interval);
    }

    fn longest(&self) -> Duration {
        self.now.max(self.before)
    }
}

fn differ(a: Duration, b: Duration) -> bool {
    let (short, long) = (a.min(b), a.max(b));
    long > short + slack(short)
}

/// By how much an interval may be longer or shorter than this one and still be the same.
pub(super) fn slack(interval: Duration) -> Duration {
    interval / UNEVEN_DIVISOR + UNEVEN_SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(moments_ms: &[u64]) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for &ms in moments_ms {
            rhythm.beat(Moment::from_boot(Duration::from_millis(ms)));
        }
        rhythm
    }

    #[test]
    fn three_checks_at_even_intervals_are_even() {
        assert!(rhythm(&[0, 500, 1010]).is_even());
        assert!(!rhythm(&[0, 500]).is_even());
        assert!(!rhythm(&[0, 500, 3000]).is_even());
    }

    #[test]
    fn a_check_between_the_beats_breaks_the_rhythm() {
        assert!(!rhythm(&[0, 500, 1000, 1500]).is_broken());
        assert!(rhythm(&[0, 500, 1000, 1200]).is_broken());
        assert!(rhythm(&[0, 500, 1000, 2500]).is_broken());
    }

    #[test]
    fn two_that_ask_independently_alternate_and_one_that_is_late_at_times_does_not() {
        let two = |apart: u64| {
            let moments: Vec<u64> = (0..4).flat_map(|n| [n * 500, n * 500 + apart]).collect();
            rhythm(&moments).alternates().expect("enough to tell")
        };
        assert!(two(3) && two(100) && two(230) && two(270) && two(497));
        assert!(!two(250), "that is one that asks twice as often");
        assert_eq!(rhythm(&[0, 100, 500, 600, 1000, 1100]).alternates(), None, "too few to tell");
        let late = [0, 503, 1001, 1562, 2064, 2561, 3082, 3580];
        assert_eq!(rhythm(&late).alternates(), Some(false));
        let faster_for_a_while = [0, 500, 1000, 1500, 1600, 1700, 1800, 2300];
        assert_eq!(rhythm(&faster_for_a_while).alternates(), Some(false));
    }

    #[test]
    fn a_balancer_is_gone_after_three_intervals_but_not_before_five_seconds() {
        assert_eq!(rhythm(&[0, 500]).patience(), Duration::from_secs(5));
        assert_eq!(rhythm(&[0, 4000]).patience(), Duration::from_secs(12));
    }

    #[test]
    fn one_that_checks_fast_for_a_while_is_not_gone_before_it_can_have_been_slow_again() {
        let mut moments: Vec<u64> = (0..5).map(|n| n * 20_000).collect();
        moments.extend((1..=10).map(|n| 80_000 + n * 1_000));
        assert_eq!(rhythm(&moments).longest(), Some(Duration::from_secs(1)));
        assert_eq!(rhythm(&moments).patience(), Duration::from_mins(1));
        moments.extend((1..=3_600).map(|n| 90_000 + n * 1_000));
        assert_eq!(
            rhythm(&moments).patience(),
            Duration::from_secs(5),
            "its configuration is another by now"
        );
    }

    #[test]
    fn an_absence_is_no_interval() {
        let mut moments: Vec<u64> = (0..5).map(|n| n * 500).collect();
        moments.extend((0..20).map(|n| 600_000 + n * 500));
        assert_eq!(rhythm(&moments).patience(), Duration::from_secs(5));
    }

    #[test]
    fn one_whose_interval_is_unknown_is_not_gone_before_thirty_seconds() {
        assert_eq!(rhythm(&[]).patience(), Duration::from_secs(30));
        assert_eq!(rhythm(&[3000]).patience(), Duration::from_secs(30));
    }

    #[test]
    fn the_agents_own_absence_is_not_an_interval() {
        let mut rhythm = rhythm(&[0, 2000]);
        rhythm.interrupted();
        assert_eq!(rhythm.longest(), Some(Duration::from_secs(2)));
        assert_eq!(rhythm.last(), Some(Moment::from_boot(Duration::from_secs(2))));
        rhythm.beat(Moment::from_boot(Duration::from_mins(10)));
        assert_eq!(rhythm.longest(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn old_intervals_are_forgotten() {
        let rhythm = rhythm(&[0, 9000, 9100, 9200, 9300, 9400, 9500, 9600, 9700, 9800]);
        assert_eq!(rhythm.longest(), Some(Duration::from_millis(100)));
    }
}
