//! How the checks of the process are spread over time. Pure.

use std::time::Duration;

/// Shorter intervals do not take part in choosing the smallest one over which checks are spread (HAProxy).
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// When each check starts within its interval (HAProxy's `start_checks`): all of them are spread over the smallest
/// interval that is long enough, or over their own if that is longer.
pub(super) fn spread(intervals: &[Duration]) -> Vec<Duration> {
    let smallest =
        intervals.iter().copied().filter(|&inter| inter >= SHORTEST_SPREAD).min().unwrap_or_default();
    let count = intervals.len() as u32;
    let place = |(at, &inter): (usize, &Duration)| inter.max(smallest) * at as u32 / count;
    intervals.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_spread_as_in_haproxy() {
        let spread_ms = |intervals: &[u64]| -> Vec<u128> {
            let intervals: Vec<_> = intervals.iter().map(|&inter| Duration::from_millis(inter)).collect();
            spread(&intervals).iter().map(Duration::as_millis).collect()
        };
        assert_eq!(spread_ms(&[2000, 2000, 1200, 500]), [0, 500, 600, 900]);
        assert_eq!(spread_ms(&[500; 4]), [0, 125, 250, 375]);
        assert_eq!(spread_ms(&[]), [] as [u128; 0]);
    }
}
