//! Times, as haproxy.cfg has them: a number and `us`, `ms`, `s`, `m`, `h` or `d`.

use std::time::Duration;

/// What "forever" becomes: the longest that a timer here may be set to, 24 days. HAProxy's own end there, too.
pub(super) const FOREVER: &str = "24d";

/// The longest that HAProxy takes, 24 days and 20 hours.
pub(super) const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// A time; `unit` is that of a bare number. `None`: it is none.
pub(super) fn read(text: &str, unit: Duration) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let number: u32 = number.parse().ok()?;
    let unit = match suffix {
        "" => unit,
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_hours(24),
        _ => return None,
    };
    unit.checked_mul(number)
}

/// The same in our words, as a string of TOML. What is less than a millisecond becomes one; more than the longest
/// becomes the longest.
pub(super) fn written(time: Duration) -> String {
    let milliseconds = time.as_micros().div_ceil(1000);
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    if milliseconds >= 24 * 86_400_000 {
        return format!("\"{FOREVER}\"");
    }
    let unit =
        units.into_iter().find(|(_, unit)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("\"{}{name}\"", milliseconds / unit),
        None => format!("\"{milliseconds}ms\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_haproxys() {
        for (text, expected) in [
            ("5000", "\"5s\""),
            ("500", "\"500ms\""),
            ("1m", "\"1m\""),
            ("90s", "\"90s\""),
            ("2h", "\"2h\""),
            ("1d", "\"1d\""),
            ("10us", "\"1ms\""),
            ("1500us", "\"2ms\""),
            ("30d", "\"24d\""),
        ] {
            assert_eq!(written(read(text, Duration::from_millis(1)).unwrap()), expected, "{text}");
        }
        for text in ["", "s", "5x", "-1", "5 s", "99999999999", "1.5s"] {
            assert_eq!(read(text, Duration::from_millis(1)), None, "{text}");
        }
    }
}
