//! The date in a log line, formatted once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};

/// The last second's text, so that a date costs a copy.
#[derive(Debug)]
pub(super) struct DateCache {
    zone: TimeZone,
    second: u64,
    text: String,
}

impl DateCache {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, second: u64::MAX, text: String::new() }
    }

    /// `22/Nov/2026:13:34:19.519`, local time.
    pub(super) fn write(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            let timestamp =
                Timestamp::from_second(since.as_secs().cast_signed()).unwrap_or(Timestamp::UNIX_EPOCH);
            self.text = timestamp.to_zoned(self.zone.clone()).strftime("%d/%b/%Y:%H:%M:%S").to_string();
        }
        let millis = since.subsec_millis();
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        for divisor in [100, 10, 1] {
            out.push(b'0' + (millis / divisor % 10) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_in_haproxy() {
        let mut dates = DateCache::new(TimeZone::fixed(jiff::tz::offset(1)));
        let mut write = |millis: u64| {
            let mut out = Vec::new();
            dates.write(UNIX_EPOCH + Duration::from_millis(millis), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(1_795_350_859_519), "22/Nov/2026:13:34:19.519");
        assert_eq!(write(1_795_350_859_007), "22/Nov/2026:13:34:19.007");
        assert_eq!(write(1_795_350_860_000), "22/Nov/2026:13:34:20.000");
    }
}
