//! One run of a unit, by which the next is told from it.

use serde::{Deserialize, Serialize};

use super::Act;
use crate::systemd::standing::Standing;

/// One run of a unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The unit.
    pub unit: String,
    /// What systemd calls the run; empty: it has not run since the host's start.
    pub invocation: String,
    /// Whether it was under way.
    pub active: bool,
    /// Its main process, where it had one.
    pub main: Option<u32>,
}

/// What has become of a restart that nobody has followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::restart) enum Left {
    /// It is under way.
    UnderWay,
    /// It has not happened.
    Not,
    /// It has happened, or nobody can tell.
    Perhaps,
}

impl Run {
    /// The run of `unit` that is or was under way.
    pub(super) fn of(unit: &str, standing: &Standing) -> Self {
        Self {
            unit: unit.to_owned(),
            invocation: standing.invocation.clone(),
            active: standing.runs(),
            main: standing.main,
        }
    }

    /// What has become of an `act` that was to replace it, by how the unit is now.
    ///
    /// | a job for it | it runs | as the same run | restart | stop |
    /// |---|---|---|---|---|
    /// | yes | | | under way | under way |
    /// | no | yes | yes | not | not |
    /// | no | yes | no | perhaps | perhaps: somebody has started it since |
    /// | no | no | yes, or it has none | not: between a stop and a start, or it had not run | perhaps |
    /// | no | no | no | perhaps: another run has begun and ended | perhaps |
    pub(super) fn judge(&self, act: Act, now: &Standing) -> Left {
        let same = now.invocation == self.invocation;
        match (now.has_job, now.runs(), act) {
            (true, _, _) => Left::UnderWay,
            (false, true, _) if same => Left::Not,
            (false, false, Act::Restart(_)) if same || now.invocation.is_empty() => Left::Not,
            (false, _, _) => Left::Perhaps,
        }
    }

    /// Whether what is under way `now` is another run than this, by its id and its main process.
    pub(super) fn is_replaced_by(&self, now: &Standing) -> bool {
        let other_main = now.main.is_none() || now.main != self.main;
        now.runs() && !now.has_job && now.invocation != self.invocation && (other_main || !self.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::How;

    fn standing(active: &str, invocation: &str, has_job: bool) -> Standing {
        Standing { active: active.into(), invocation: invocation.into(), has_job, ..Standing::default() }
    }

    fn before() -> Run {
        Run { unit: "shop.service".into(), invocation: "a".into(), active: true, main: Some(7) }
    }

    #[test]
    fn what_has_become_of_it_is_told_by_job_and_invocation() {
        let (restart, stop) = (Act::Restart(How::Restart), Act::Stop);
        for (active, invocation, has_job, restarted, stopped) in [
            ("deactivating", "a", true, Left::UnderWay, Left::UnderWay),
            ("active", "b", true, Left::UnderWay, Left::UnderWay),
            ("active", "a", false, Left::Not, Left::Not),
            ("reloading", "a", false, Left::Not, Left::Not),
            ("active", "b", false, Left::Perhaps, Left::Perhaps),
            ("inactive", "a", false, Left::Not, Left::Perhaps),
            ("failed", "a", false, Left::Not, Left::Perhaps),
            ("inactive", "", false, Left::Not, Left::Perhaps),
            ("failed", "b", false, Left::Perhaps, Left::Perhaps),
            ("activating", "b", false, Left::Perhaps, Left::Perhaps),
        ] {
            let now = standing(active, invocation, has_job);
            assert_eq!(before().judge(restart, &now), restarted, "{now:?}");
            assert_eq!(before().judge(stop, &now), stopped, "{now:?}");
        }
    }

    #[test]
    fn another_run_has_another_id_and_another_main_process() {
        let now = |invocation: &str, main| Standing { main, ..standing("active", invocation, false) };
        assert!(before().is_replaced_by(&now("b", Some(8))));
        assert!(before().is_replaced_by(&now("b", None)), "a unit need not have a main process");
        assert!(!before().is_replaced_by(&now("b", Some(7))));
        assert!(!before().is_replaced_by(&now("a", Some(8))));
        assert!(!before().is_replaced_by(&standing("inactive", "b", false)));
        assert!(!before().is_replaced_by(&Standing { main: Some(8), ..standing("active", "b", true) }));
    }
}
