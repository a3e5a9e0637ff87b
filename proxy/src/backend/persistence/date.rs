//! Dates in a persistence cookie: the wall clock in units of four seconds, as five letters of base 64 (HAProxy's
//! `s30tob64`).

use std::time::{SystemTime, UNIX_EPOCH};

/// Five letters have 30 bits.
const LETTERS: usize = 5;

/// Base 64 with its most significant letter first.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A time of the wall clock as cookies keep it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Date {
    /// Seconds since 1970, divided by four.
    quads: u32,
}

impl Date {
    /// This time, rounded up: a date that was just written is never older than now.
    pub(super) fn of(time: SystemTime) -> Self {
        let quads = seconds(time).div_ceil(4) & ((1 << 30) - 1);
        Self { quads: u32::try_from(quads).expect("30 bits fit") }
    }

    /// What the first five letters of `text` say; `None` where they are none, or say zero.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let mut quads = 0;
        for letter in text.get(..LETTERS)? {
            quads = quads << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        (quads > 0).then_some(Self { quads })
    }

    /// Appends its five letters.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend((0..LETTERS).rev().map(|place| ALPHABET[(self.quads >> (6 * place) & 63) as usize]));
    }

    /// Whether it lies before this time.
    pub(super) fn is_before(self, time: SystemTime) -> bool {
        self.seconds() < seconds(time)
    }

    /// Whole seconds from it to this time; negative where it lies in the future.
    pub(super) fn age(self, time: SystemTime) -> i64 {
        seconds(time).cast_signed() - self.seconds().cast_signed()
    }

    fn seconds(self) -> u64 {
        u64::from(self.quads) << 2
    }
}

/// A clock that stands before 1970 stands at it.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn text(date: Date) -> String {
        let mut out = Vec::new();
        date.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_five_letters_with_the_greatest_first() {
        for (seconds, expected) in [
            (4, "AAAAB"),
            (4 * 63, "AAAA/"),
            (4 * 64, "AAABA"),
            (4 * ((1 << 30) - 1), "/////"),
            (1_763_839_456, "aSIN4"),
        ] {
            let date = Date::of(at(seconds));
            assert_eq!(text(date), expected, "{seconds}");
            assert_eq!(Date::read(expected.as_bytes()), Some(date), "{seconds}");
        }
    }

    #[test]
    fn a_date_is_rounded_up_so_that_it_is_not_past_when_it_is_written() {
        for (seconds, age) in [(1000, 0), (1001, -3), (1002, -2), (1003, -1)] {
            let date = Date::of(at(seconds));
            assert_eq!((date.age(at(seconds)), date.is_before(at(seconds))), (age, false), "{seconds}");
            assert!(date.is_before(at(seconds + 4)));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "AAAA", "AAAAA", "~AAAB", "AA=AB", "AAAA-"] {
            assert_eq!(Date::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Date::read(b"AAAABtail"), Some(Date::of(at(4))));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 1..(1_u64 << 32) - 4) {
            let date = Date::of(at(seconds));
            proptest::prop_assert_eq!(Date::read(text(date).as_bytes()), Some(date));
        }
    }
}
