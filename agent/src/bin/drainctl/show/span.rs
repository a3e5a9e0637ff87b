//! Times as people write them.

use jiff::SignedDuration;

/// A time in seconds as people write it: `0.4s`, `12s`, `4m 10s`.
pub(crate) fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    format!("{:#}", SignedDuration::from_secs(seconds.round() as i64))
}

/// How long ago `then_unix` was; both in seconds since 1970.
pub(crate) fn ago(then_unix: u64, now_unix: u64) -> String {
    span(now_unix.saturating_sub(then_unix) as f64)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_written_as_in_the_configuration() {
        for (seconds, text) in
            [(0.0, "0s"), (0.44, "0.4s"), (3.0, "3s"), (9.96, "10s"), (60.0, "1m"), (5025.0, "1h 23m 45s")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
