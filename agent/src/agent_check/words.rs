//! The words of the protocol.

use std::fmt;

/// The longest reason that is said: HAProxy shows it in a column of its page.
const REASON_CHARS: usize = 80;

/// A weight in per cent of the configured one, from 1 to 100. 0 would be a drain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Percent(u8);

impl Percent {
    /// `None` unless `number` is from 1 to 100.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 100 { Some(Self(number)) } else { None }
    }

    /// The number, from 1 to 100.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Everybody is welcome; `ready` takes a drain of our own back.
pub(super) fn up(ready: bool, weight: Option<Percent>) -> String {
    let ready = if ready { " ready" } else { "" };
    match weight {
        Some(weight) => format!("up{ready} {weight}\n"),
        None => format!("up{ready}\n"),
    }
}

/// No new users.
pub(super) fn drain() -> String {
    "up drain\n".to_owned()
}

/// Nobody, and why.
pub(super) fn down(reason: &str) -> String {
    // HAProxy ends the line at the first control character that is a line's end, and shows the rest as it came.
    let clean = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
    let reason: String = reason.chars().take(REASON_CHARS).map(clean).collect();
    format!("down #{}\n", reason.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(down("exit 1:\r\nup ready\u{e9}"), "down #exit 1:  up ready\n");
        assert_eq!(down(&"x".repeat(500)).len(), "down #\n".len() + REASON_CHARS);
    }

    #[test]
    fn a_weight_is_never_a_drain() {
        assert_eq!(Percent::new(0), None);
        assert_eq!(Percent::new(101), None);
        assert_eq!(Percent::new(1).map(|one| one.to_string()).as_deref(), Some("1%"));
    }
}
