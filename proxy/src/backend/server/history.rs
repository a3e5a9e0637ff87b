//! What has become of a server: its checks, its changes, the time it was down.
//!
//! Written by whoever changes the server, never on the way of a request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// How one check ended, in HAProxy's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// `L7OK` and the like.
    pub status: &'static str,
    /// The same in a sentence: `Layer7 check passed`.
    pub description: &'static str,
    /// HAProxy's number for it in `show servers state`.
    pub number: u8,
    /// The status code of the answer.
    pub code: Option<u16>,
    /// The reason phrase of a bad status, or what the system said.
    pub info: String,
    /// How long it took.
    pub duration: Duration,
    /// It was a good one.
    pub passed: bool,
    /// What the answer says of a drain: `soft; reason="…"; since=…`.
    pub drain: Option<String>,
}

/// What has become of a server, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last check, since the last maintenance.
    pub check: Option<Checked>,
    /// The last answer of its agent.
    pub agent: Option<Checked>,
    /// Its agent has said something that could be obeyed: weight and `maxconn` may be what it asks.
    pub agent_spoke: bool,
    /// Checks that failed (HAProxy: `chkfail`).
    pub failed_checks: u64,
    /// Changes from up to down (`chkdown`).
    pub downs: u64,
    /// Failed checks that stood for too many errors of users (`hanafail`).
    pub observed: u64,
    /// When it changed last.
    pub changed: Option<Instant>,
    /// Since when it is down; `None`: it is not.
    pub down_since: Option<Instant>,
    /// How long it was down before that.
    pub downtime: Duration,
    /// Checks in a row, after the first, that found it in the same phase of a drain: what it was shown meanwhile.
    pub shown: u32,
}

impl History {
    /// For how long it has been down in all.
    pub fn downtime(&self, now: Instant) -> Duration {
        let present = self.down_since.map(|since| now.saturating_duration_since(since));
        self.downtime + present.unwrap_or_default()
    }

    /// A check has found it in this drain, whose phase stands first.
    fn show(&mut self, drain: Option<&str>) {
        let phase =
            |drain: Option<&str>| drain.map(|drain| drain.split(';').next().unwrap_or_default().to_owned());
        let before = self.check.as_ref().and_then(|check| phase(check.drain.as_deref()));
        let is_same = before.is_some() && before == phase(drain);
        self.shown = if is_same { self.shown.saturating_add(1) } else { 0 };
    }

    /// Its operation has changed.
    fn turn(&mut self, is_down: bool, now: Instant) {
        self.changed = Some(now);
        match (is_down, self.down_since) {
            (true, None) => {
                self.down_since = Some(now);
                self.downs += 1;
            }
            (false, Some(since)) => {
                self.downtime += now.saturating_duration_since(since);
                self.down_since = None;
            }
            _ => {}
        }
    }
}

/// The same, where several write.
#[derive(Debug, Default)]
pub(in crate::backend) struct Chronicle(Mutex<History>);

impl Chronicle {
    pub(in crate::backend) fn so_far(&self) -> History {
        self.lock().clone()
    }

    pub(in crate::backend) fn checked(&self, checked: Checked, observed: bool) {
        let mut history = self.lock();
        history.failed_checks += u64::from(!checked.passed);
        history.observed += u64::from(observed);
        history.show(checked.drain.as_deref());
        history.check = Some(checked);
    }

    pub(in crate::backend) fn agent_asked(&self, checked: Checked, spoke: bool) {
        let mut history = self.lock();
        history.agent = Some(checked);
        history.agent_spoke |= spoke;
    }

    pub(in crate::backend) fn turned(&self, is_down: bool) {
        self.lock().turn(is_down, clock::now());
    }

    /// Begins to count anew.
    pub(in crate::backend) fn clear(&self) {
        let mut history = self.lock();
        (history.failed_checks, history.downs, history.observed) = (0, 0, 0);
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // Nothing under the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_it_was_down_adds_up() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        for (is_down, seconds) in [(true, 10), (true, 12), (false, 15), (true, 20)] {
            history.turn(is_down, at(seconds));
        }
        assert_eq!(history.downtime(at(23)), Duration::from_secs(8));
        assert_eq!((history.downs, history.changed), (2, Some(at(20))));
    }

    #[test]
    fn a_drain_is_shown_to_its_agent_by_the_check_after_the_one_that_found_it() {
        let mut history = History::default();
        let check = |history: &mut History, drain: Option<&str>| {
            history.show(drain);
            history.check = Some(Checked { drain: drain.map(str::to_owned), ..Checked::default() });
            history.shown
        };
        assert_eq!(check(&mut history, None), 0);
        assert_eq!(check(&mut history, Some("soft; since=1")), 0);
        assert_eq!(check(&mut history, Some("soft; since=1")), 1);
        assert_eq!(check(&mut history, Some("hard; since=2")), 0, "another phase is to be shown anew");
        assert_eq!(check(&mut history, Some("hard; since=2")), 1);
        assert_eq!(check(&mut history, None), 0);
    }
}
