//! From a load to a weight.

use super::Percent;
use crate::config::{Span, Weight};

/// How much of the way to the new value a sample moves the weight: at one every 2 s, a step of load shows in 7 s, and a
/// moment's peak hardly.
const SHARE: f32 = 0.25;

/// Smaller changes are not said, but at both ends: a balancer builds its tables anew for each.
const STEP: f32 = 5.0;

/// What was measured, in per cent; `None`: not known.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Load {
    pub(super) cpu: Option<f32>,
    pub(super) memory: Option<f32>,
    /// The load average.
    pub(super) average: Option<f32>,
}

/// A weight that follows a load, smoothed.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    rule: Weight,
    smooth: Option<f32>,
    said: Option<f32>,
}

impl Follower {
    pub(super) const fn new(rule: Weight) -> Self {
        Self { rule, smooth: None, said: None }
    }

    /// The weight after one more sample; `None` where what it follows is not known.
    pub(super) fn follow(&mut self, load: Load) -> Option<Percent> {
        let Some(now) = self.weight(load) else {
            (self.smooth, self.said) = (None, None);
            return None;
        };
        let smooth = self.smooth.map_or(now, |before| before + (now - before) * SHARE);
        self.smooth = Some(smooth);
        let floor = f32::from(self.rule.floor);
        let at_an_end = smooth >= 99.0 || smooth <= floor + 1.0;
        if at_an_end || self.said.is_none_or(|said| (smooth - said).abs() >= STEP) {
            self.said = Some(if smooth >= 99.0 { 100.0 } else { smooth.max(floor).round() });
        }
        self.said.and_then(|said| Percent::new(said as u8))
    }

    /// What the busiest of the loads leaves.
    fn weight(&self, load: Load) -> Option<f32> {
        let Weight { cpu, memory, load: average, floor, .. } = &self.rule;
        let floor = f32::from(*floor);
        let mut least = 100.0_f32;
        for (span, found) in [(cpu, load.cpu), (memory, load.memory), (average, load.average)] {
            let Some(span) = span else { continue };
            least = least.min(100.0 - (100.0 - floor) * along(*span, found?));
        }
        Some(least)
    }
}

/// How far along `span` a load is, from 0 to 1.
fn along(span: Span, load: f32) -> f32 {
    let (from, to) = (f32::from(span.from), f32::from(span.to));
    ((load - from) / (to - from)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Of;

    fn rule() -> Weight {
        let cpu = Some(Span { from: 60, to: 100 });
        Weight { of: Of::Host, cpu, memory: Some(Span { from: 80, to: 90 }), load: None, floor: 20 }
    }

    fn after(samples: &[f32]) -> Option<u8> {
        let mut follower = Follower::new(rule());
        let said = samples.iter().map(|&cpu| {
            follower.follow(Load { cpu: Some(cpu), memory: Some(0.0), average: None }).map(Percent::number)
        });
        said.last().flatten()
    }

    #[test]
    fn the_weight_falls_along_the_span_and_never_below_the_floor() {
        for (cpu, weight) in [(0.0, 100), (60.0, 100), (80.0, 60), (100.0, 20), (400.0, 20)] {
            assert_eq!(after(&[cpu]), Some(weight), "{cpu}");
        }
    }

    #[test]
    fn the_busiest_load_decides() {
        let load = Load { cpu: Some(80.0), memory: Some(90.0), average: None };
        assert_eq!(Follower::new(rule()).follow(load), Percent::new(20));
    }

    #[test]
    fn a_peak_hardly_shows_and_a_step_does_in_the_end() {
        assert_eq!(after(&[0.0, 100.0]), Some(80));
        assert_eq!(after(&[[0.0, 100.0].as_slice(), &[0.0; 20]].concat()), Some(100));
        assert_eq!(after(&[[0.0; 1].as_slice(), &[100.0; 20]].concat()), Some(20));
    }

    #[test]
    fn small_changes_are_not_said() {
        assert_eq!(after(&[80.0, 82.0, 82.0, 82.0, 82.0]), Some(60));
    }

    #[test]
    fn what_is_not_known_is_no_weight() {
        let mut follower = Follower::new(rule());
        assert_eq!(follower.follow(Load { cpu: Some(0.0), ..Load::default() }), None);
    }
}
