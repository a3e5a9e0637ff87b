//! Durations and statuses, written into a line without detours: this is done for every request.

use std::time::Duration;

use crate::decimal::{self, number};

/// A number with leading zeros, in so many digits.
pub(super) fn padded<const DIGITS: usize>(mut number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Whole milliseconds; `-1` for what was not reached.
pub(super) fn millis(duration: Option<Duration>, out: &mut Vec<u8>) {
    match duration {
        Some(duration) => number(decimal::millis(duration), out),
        None => out.extend_from_slice(b"-1"),
    }
}

/// A status; `-1` where there was none.
pub(super) fn status(status: Option<u16>, out: &mut Vec<u8>) {
    match status {
        Some(status) => number(status.into(), out),
        None => out.extend_from_slice(b"-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_as_numbers() {
        assert_eq!(text(|out| padded::<3>(7, out)), "007");
        assert_eq!(text(|out| padded::<3>(1_234, out)), "234");
        assert_eq!(text(|out| millis(Some(Duration::from_micros(2_900)), out)), "2");
        assert_eq!(text(|out| millis(None, out)), "-1");
    }
}
