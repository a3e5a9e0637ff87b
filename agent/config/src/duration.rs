//! Durations as people write them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// The shortest duration that a configuration may ask for: a millisecond, what timers can keep.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// The longest duration that a configuration may ask for: 24 days, as in HAProxy, where timers end there.
pub const LONGEST: Duration = Duration::from_hours(24 * 24);

/// Why a text is no duration that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// It is no duration at all.
    NoDuration,
    /// It is a bare number.
    NoUnit,
    /// It reaches into the past.
    Negative,
    /// It has months or years, whose length is not known.
    Calendar,
    /// No number can hold it.
    TooLarge,
}

/// What "500ms", "2m 30s" or "1d" says, where it says something that is no less than [`SHORTEST`] and no more than
/// [`LONGEST`].
pub fn duration(text: &str) -> Option<Duration> {
    parse(text).ok().filter(|duration| (SHORTEST..=LONGEST).contains(duration))
}

/// Reads "500ms", "2m 30s", "1d", "PT5S"; a day has 24 hours.
pub(crate) fn parse(text: &str) -> Result<Duration, Unusable> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Unusable::NoUnit);
    }
    let Ok(span) = text.parse::<Span>() else {
        // A span holds fewer seconds than a duration does: what only the latter can read is too large.
        let large = text.parse::<SignedDuration>().is_ok();
        return Err(if large { Unusable::TooLarge } else { Unusable::NoDuration });
    };
    if span.is_negative() {
        return Err(Unusable::Negative);
    }
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err(Unusable::Calendar);
    }
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| Unusable::TooLarge)?;
    duration.try_into().map_err(|_| Unusable::Negative)
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// `duration` in the notation of the configuration: "2m 30s".
pub(crate) fn written(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() == 0 && seconds >= DAY_SECONDS && seconds.is_multiple_of(DAY_SECONDS) {
        return format!("{}d", seconds / DAY_SECONDS);
    }
    SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |d| format!("{d:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for (text, millis) in [
            ("500ms", 500),
            ("2m 30s", 150_000),
            ("2m30s", 150_000),
            ("1.5s", 1500),
            ("1d", 86_400_000),
            ("PT5S", 5000),
            ("3 mins, 2s", 182_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_called_by_its_fault() {
        for (text, fault) in [
            ("", Unusable::NoDuration),
            ("30 parsecs", Unusable::NoDuration),
            ("30", Unusable::NoUnit),
            ("-5s", Unusable::Negative),
            ("5s ago", Unusable::Negative),
            ("1mo", Unusable::Calendar),
            ("1y", Unusable::Calendar),
            ("99999999999h", Unusable::TooLarge),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for duration in [SHORTEST, LONGEST, Duration::from_secs(150), Duration::from_millis(1500)] {
            assert_eq!(parse(&written(duration)), Ok(duration));
        }
    }
}
