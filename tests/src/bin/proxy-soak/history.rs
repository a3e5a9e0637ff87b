//! When a server was well: what the proxy may excuse itself with, and what not. Pure.
//!
//! A trouble begins before the server does anything. It is over when the server is well again *and* the proxy's checks
//! say that it has noticed.

use std::time::{Duration, Instant};

/// So long after the server is well again, no check is under way that it could have failed: the checks' timeout of 2 s,
/// and as much for a slow machine.
const SETTLE: Duration = Duration::from_secs(4);

/// What is wrong with a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Trouble {
    /// It tells its checks that nobody shall come: its users go elsewhere, and no request fails.
    Away,
    /// It is dead, or neither reads nor writes: requests fail.
    Ill,
}

/// The troubles of one server.
#[derive(Debug, Default)]
pub(crate) struct History {
    past: Vec<(Trouble, Instant, Instant)>,
    now: Option<Current>,
    last_check: Option<Instant>,
    unforeseen: u64,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    trouble: Trouble,
    from: Instant,
    /// Since when the server is well again.
    well: Option<Instant>,
}

impl History {
    /// A trouble begins; one that lasts becomes this one.
    pub(crate) fn begin(&mut self, trouble: Trouble, now: Instant) {
        if let Some(current) = self.now.take() {
            self.past.push((current.trouble, current.from, now));
        }
        self.now = Some(Current { trouble, from: now, well: None });
    }

    /// The server is well again.
    pub(crate) fn mend(&mut self, now: Instant) {
        if let Some(current) = &mut self.now {
            current.well = Some(now);
        }
    }

    /// A check has come that says how the proxy sees the server.
    pub(crate) fn checked(&mut self, serves: bool, now: Instant) {
        let before = self.last_check.replace(now).unwrap_or(now);
        match self.now {
            None if !serves => {
                // The proxy has found something wrong that nobody did: a check was too slow for it.
                self.unforeseen += 1;
                self.now = Some(Current { trouble: Trouble::Ill, from: before, well: Some(now) });
            }
            Some(Current { trouble, from, well: Some(well) }) if serves && now >= well + SETTLE => {
                self.past.push((trouble, from, now));
                self.now = None;
            }
            _ => {}
        }
    }

    /// Whether nothing is wrong, as far as both sides know.
    pub(crate) const fn is_well(&self) -> bool {
        self.now.is_none()
    }

    /// Whether it was at least in this trouble at any time between these.
    pub(crate) fn was(&self, trouble: Trouble, from: Instant, until: Instant) -> bool {
        let now = self.now.iter().any(|current| current.trouble >= trouble && current.from <= until);
        now || self.past.iter().any(|past| past.0 >= trouble && past.1 <= until && past.2 >= from)
    }

    /// How often the proxy held it for down while it was well.
    pub(crate) const fn unforeseen(&self) -> u64 {
        self.unforeseen
    }
}

#[cfg(test)]
mod tests {
    use drain_tests::clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trouble_lasts_until_a_late_check_says_that_the_proxy_has_noticed_its_end() {
        let (mut history, start) = (History::default(), clock::now());
        history.checked(true, start);
        history.begin(Trouble::Away, start + SECOND);
        history.checked(true, start + 2 * SECOND);
        history.mend(start + 3 * SECOND);
        history.checked(true, start + 4 * SECOND);
        assert!(!history.is_well(), "that check may have been sent before");
        history.checked(false, start + 8 * SECOND);
        history.checked(true, start + 9 * SECOND);
        assert!(history.is_well());
        for (from, until, was) in [(0, 0, false), (0, 1, true), (5, 6, true), (9, 20, true), (10, 20, false)]
        {
            assert_eq!(history.was(Trouble::Away, start + from * SECOND, start + until * SECOND), was);
            assert!(!history.was(Trouble::Ill, start + from * SECOND, start + until * SECOND));
        }
    }

    #[test]
    fn a_worse_trouble_is_the_lesser_one_as_well() {
        let (mut history, start) = (History::default(), clock::now());
        history.begin(Trouble::Away, start);
        history.begin(Trouble::Ill, start + 2 * SECOND);
        let was = |trouble, at| history.was(trouble, start + at * SECOND, start + at * SECOND);
        assert!(was(Trouble::Away, 1) && !was(Trouble::Ill, 1));
        assert!(was(Trouble::Away, 3) && was(Trouble::Ill, 3));
    }

    #[test]
    fn what_the_proxy_finds_by_itself_counts_since_the_check_before() {
        let (mut history, start) = (History::default(), clock::now());
        history.checked(true, start);
        history.checked(false, start + 2 * SECOND);
        assert!(history.was(Trouble::Ill, start + SECOND, start + SECOND));
        assert_eq!(history.unforeseen(), 1);
    }
}
