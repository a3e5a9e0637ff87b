//! Quiet: when the traffic lets a phase end.

use std::time::Duration;

use super::{Machine, Traffic};
use crate::clock::Moment;

/// A server that somebody else restarts at this moment listens again within this time: one that has not done so is gone.
const BETWEEN_LISTENS: Duration = Duration::from_secs(1);

impl Machine {
    /// Whether nobody can be on a dead server, as looks since `announced` have seen: nobody has used it for as long as
    /// hard asks for, or it listens no more and nobody is connected.
    pub(super) fn is_deserted(&self, announced: Moment) -> bool {
        let Traffic::Quiet { since, previous, last, abandoned, .. } = self.view.traffic else { return false };
        let seen_for = |begun: Moment| last.since(begun.max(announced));
        let is_silent = seen_for(since) >= self.rules.hard.quiet;
        let is_gone = abandoned.is_some_and(|first| seen_for(first) >= BETWEEN_LISTENS);
        previous >= announced && (is_silent || is_gone)
    }

    /// Whether two looks since the acknowledgement have found nothing in flight, after silence for `needed`.
    pub(super) fn quiet(&self, needed: Duration, acknowledged: Moment, emptiness_suffices: bool) -> bool {
        let Traffic::Quiet { since, previous, last, empty, .. } = self.view.traffic else { return false };
        let empty = empty.filter(|_| emptiness_suffices).is_some_and(|look| look >= acknowledged);
        previous >= acknowledged && (last.since(since) >= needed || empty)
    }
}

impl Traffic {
    /// What stands against quiet, for people.
    pub fn held_by(&self) -> String {
        match self {
            Self::Unknown(why) => format!("the traffic is unknown: {why}"),
            Self::Busy(what) => what.clone(),
            Self::Quiet { since, last, .. } => format!("quiet for only {:?}", last.since(*since)),
        }
    }
}
