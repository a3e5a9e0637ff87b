//! Dates in log lines, formatted once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// The date that HAProxy's lines have.
pub(super) const DATE: &str = "%d/%b/%Y:%H:%M:%S";

/// The last second's text, so that a date costs a copy.
#[derive(Debug)]
pub(super) struct DateCache {
    zone: TimeZone,
    /// As `strftime` has it.
    format: &'static str,
    second: u64,
    text: String,
}

impl DateCache {
    pub(super) fn new(zone: TimeZone, format: &'static str) -> Self {
        Self { zone, format, second: u64::MAX, text: String::new() }
    }

    /// The text of the time's second, and what the time is beyond it.
    pub(super) fn text(&mut self, time: SystemTime) -> (&str, Duration) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            let timestamp =
                Timestamp::from_second(since.as_secs().cast_signed()).unwrap_or(Timestamp::UNIX_EPOCH);
            self.text = timestamp.to_zoned(self.zone.clone()).strftime(self.format).to_string();
        }
        (&self.text, Duration::from_nanos(since.subsec_nanos().into()))
    }

    /// The same with the zone's difference to UTC behind it, which this cache does not keep.
    pub(super) fn with_offset(&self, time: SystemTime) -> String {
        written(&self.zone, time)
    }
}

/// A date in UTC, with its difference to that, which is none.
pub(super) fn utc(time: SystemTime) -> String {
    written(&TimeZone::UTC, time)
}

fn written(zone: &TimeZone, time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let second = Timestamp::from_second(since.as_secs().cast_signed()).unwrap_or(Timestamp::UNIX_EPOCH);
    second.to_zoned(zone.clone()).strftime("%d/%b/%Y:%H:%M:%S %z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_local_and_follow_the_clock() {
        let mut dates = DateCache::new(TimeZone::fixed(jiff::tz::offset(1)), DATE);
        let mut text = |millis: u64| {
            let (text, rest) = dates.text(UNIX_EPOCH + Duration::from_millis(millis));
            format!("{text} {}", rest.as_millis())
        };
        assert_eq!(text(1_795_350_859_519), "22/Nov/2026:13:34:19 519");
        assert_eq!(text(1_795_350_859_007), "22/Nov/2026:13:34:19 7");
        assert_eq!(text(1_795_350_860_000), "22/Nov/2026:13:34:20 0");
    }
}
