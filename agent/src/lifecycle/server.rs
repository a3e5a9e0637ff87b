//! The axis of what is observed: whether the server answers its readiness probe.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// Whether a server is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It answers its readiness probe.
    Ready,
    /// It does not.
    NotReady,
}

/// What the probes of a server have shown.
///
/// The first verdict after the agent's start counts at once, for nothing better is known; after that it takes `rise`
/// or `fall` probes in a row to change it. Where the agent knows from before its own restart that the server was ready,
/// one probe that fails is no more than that.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Server {
    verdict: Verdict,
    /// Only assumed, so that the first probe decides.
    assumed: bool,
    /// What the probes of an earlier agent had shown.
    known: Verdict,
    /// How many probes in a row have contradicted the verdict.
    against: u32,
    /// Probes that began earlier asked another process.
    not_before: Moment,
}

impl Server {
    /// Of which an earlier agent knew so much.
    pub(super) fn known(known: Verdict) -> Self {
        Self { known, ..Self::default() }
    }

    /// Whether the server is ready.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether its probes have failed: an assumption proves nothing.
    pub(super) fn is_dead(&self) -> bool {
        self.verdict == Verdict::NotReady && !self.assumed
    }

    /// Takes the result of one probe.
    pub(super) fn probed(&mut self, began: Moment, passed: bool, rise: u32, fall: u32) {
        if began < self.not_before {
            return;
        }
        let found = if passed { Verdict::Ready } else { Verdict::NotReady };
        let was_ready = self.known == Verdict::Ready;
        if (self.verdict == Verdict::Unknown || self.assumed) && was_ready && !passed {
            self.verdict = Verdict::Ready;
        } else if self.verdict == Verdict::Unknown || self.assumed {
            *self = Self { verdict: found, not_before: self.not_before, ..Self::default() };
            return;
        }
        self.assumed = false;
        self.known = Verdict::Unknown;
        if found == self.verdict {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if passed { rise } else { fall } {
            self.verdict = found;
            self.against = 0;
        }
    }

    /// From `now` on it is another process: not ready until `rise` probes have passed.
    pub(super) fn replaced(&mut self, now: Moment) {
        *self = Self { verdict: Verdict::NotReady, not_before: now, ..Self::default() };
    }

    /// No probe has come back in time: what was known last holds until one does, and without that, not ready.
    pub(super) fn assume(&mut self, last: Verdict) {
        if self.verdict == Verdict::Unknown {
            self.known = last;
            self.verdict = if last == Verdict::Ready { last } else { Verdict::NotReady };
            self.assumed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(probes: &[bool]) -> Verdict {
        let mut server = Server::default();
        for &passed in probes {
            server.probed(Moment::default(), passed, 2, 3);
        }
        server.verdict()
    }

    #[test]
    fn the_first_probe_decides() {
        assert_eq!(after(&[]), Verdict::Unknown);
        assert_eq!(after(&[true]), Verdict::Ready);
        assert_eq!(after(&[false]), Verdict::NotReady);
    }

    #[test]
    fn then_it_takes_fall_failures_in_a_row() {
        assert_eq!(after(&[true, false, false]), Verdict::Ready);
        assert_eq!(after(&[true, false, false, true, false, false]), Verdict::Ready);
        assert_eq!(after(&[true, false, false, false]), Verdict::NotReady);
    }

    #[test]
    fn and_rise_passes_in_a_row() {
        assert_eq!(after(&[false, true]), Verdict::NotReady);
        assert_eq!(after(&[false, true, false, true]), Verdict::NotReady);
        assert_eq!(after(&[false, true, true]), Verdict::Ready);
    }

    #[test]
    fn a_probe_of_the_old_process_says_nothing_about_the_new_one() {
        let second = Moment::from_boot(std::time::Duration::from_secs(1));
        let mut server = Server::default();
        server.replaced(second);
        server.probed(Moment::default(), true, 1, 1);
        assert_eq!(server.verdict(), Verdict::NotReady);
        server.probed(second, true, 1, 1);
        assert_eq!(server.verdict(), Verdict::Ready);
    }

    #[test]
    fn a_server_that_was_ready_before_the_agents_restart_fails_only_as_often_as_any() {
        let mut assumed = Server::default();
        assumed.assume(Verdict::Ready);
        for mut server in [assumed, Server::known(Verdict::Ready)] {
            for failures in 1..=3 {
                server.probed(Moment::default(), false, 2, 3);
                let expected = if failures < 3 { Verdict::Ready } else { Verdict::NotReady };
                assert_eq!(server.verdict(), expected, "after {failures}");
            }
        }
    }

    #[test]
    fn one_that_was_not_ready_before_is_so_at_the_first_probe_that_passes() {
        let mut server = Server::known(Verdict::NotReady);
        server.probed(Moment::default(), true, 2, 3);
        assert_eq!(server.verdict(), Verdict::Ready);
    }

    #[test]
    fn where_nothing_was_known_nothing_good_is_assumed() {
        let mut server = Server::default();
        server.assume(Verdict::Unknown);
        assert_eq!(server.verdict(), Verdict::NotReady);
        assert!(!server.is_dead(), "but neither is it proved");
        server.probed(Moment::default(), false, 2, 3);
        assert!(server.is_dead());
    }
}
