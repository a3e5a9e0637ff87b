//! What the plots show: rates and times of the last minutes, of each frontend and each server.

use std::collections::{HashMap, VecDeque};

/// Seconds between two samples.
pub(super) const STEP_S: u64 = 2;

/// Samples of a plot: five minutes, in a plot that is about as many dots wide.
pub(super) const SPAN: usize = 150;

/// What is plotted, by name: a frontend's, or a server's with its backend's before it.
pub(super) type Name = (Box<str>, Box<str>);

/// The plots of one frontend or server.
#[derive(Clone, Debug, Default)]
pub(super) struct Plots {
    /// Requests in a second.
    pub(super) rate: VecDeque<f32>,
    /// Milliseconds; `None`: nothing was asked.
    pub(super) time: VecDeque<Option<u32>>,
    /// Requests so far, when it was looked at last.
    requests: Option<u64>,
    /// Seconds and requests of the latest looks, for a rate that does not jump.
    latest: f64,
}

/// All plots.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<Name, Plots>);

impl Plots {
    /// Notes that there were `requests` in all, `seconds` after the last time. Gives the rate.
    fn count(&mut self, requests: u64, seconds: f64) -> f64 {
        // One that is counted anew begins at 0.
        let more = self.requests.map_or(0, |before| requests.saturating_sub(before));
        self.requests = Some(requests);
        let now = if seconds > 0.0 { more as f64 / seconds } else { 0.0 };
        // Half of it is the past: a second's number alone would flicker.
        self.latest = if self.latest < 0.05 || now == 0.0 { now } else { f64::midpoint(self.latest, now) };
        self.latest = (self.latest * 10.0).round() / 10.0;
        self.latest
    }

    fn sample(&mut self, time: Option<u32>) {
        push(&mut self.rate, self.latest as f32);
        push(&mut self.time, time);
    }
}

fn push<T>(samples: &mut VecDeque<T>, sample: T) {
    if samples.len() == SPAN {
        samples.pop_front();
    }
    samples.push_back(sample);
}

impl History {
    /// Notes that it has had so many requests, and gives its rate.
    pub(super) fn count(&mut self, name: Name, requests: u64, seconds: f64) -> f64 {
        self.0.entry(name).or_default().count(requests, seconds)
    }

    /// Takes a sample of what has this name.
    pub(super) fn sample(&mut self, name: &Name, time: Option<u32>) {
        if let Some(plots) = self.0.get_mut(name) {
            plots.sample(time);
        }
    }

    /// The plots of what has this name.
    pub(super) fn of(&self, name: &Name) -> Plots {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Forgets all that is not wanted any more.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&Name) -> bool) {
        self.0.retain(|name, _| is_wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_has_come_since_and_the_oldest_goes() {
        let (mut history, name) = (History::default(), Name::from(("shop".into(), "a".into())));
        assert_eq!(history.count(name.clone(), 1000, 1.0) as u32, 0, "nobody knows when the first ones came");
        assert_eq!(history.count(name.clone(), 1010, 1.0) as u32, 10);
        assert_eq!(history.count(name.clone(), 1050, 2.0) as u32, 15);
        assert_eq!(history.count(name.clone(), 5, 1.0) as u32, 0, "it was counted anew");
        for sample in 0..SPAN + 10 {
            history.sample(&name, Some(sample as u32));
        }
        let plots = history.of(&name);
        assert_eq!((plots.time.len(), plots.rate.len()), (SPAN, SPAN));
        assert_eq!(plots.time[0], Some(10));
        history.keep(|_| false);
        assert!(history.of(&name).time.is_empty());
    }
}
