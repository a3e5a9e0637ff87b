//! A restart or a stop of a unit, step by step.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Unit, UnitError,
    journal::journal,
    line::{Line, insist, told},
};
use crate::{
    clock::Moment,
    systemd::{
        bus::{Job, Systemd},
        standing::Standing,
        verb::Verb,
    },
};

/// A restart or a stop that systemd has begun.
#[derive(Debug)]
pub struct Restarting {
    pub(super) systemd: Systemd,
    pub(super) unit: Unit,
    pub(super) job: Job,
    pub(super) at: (Verb, String),
    pub(super) then: Vec<(Verb, String)>,
    pub(super) began: Moment,
    pub(super) began_unix: u64,
    pub(super) limit: Duration,
}

impl Restarting {
    /// Waits for the end of all of it, and gives how long it took.
    pub(in crate::restart) async fn end(mut self) -> Result<Duration, UnitError> {
        let mut then = std::mem::take(&mut self.then).into_iter();
        loop {
            if let Err(error) = self.end_job().await {
                if let Some((verb, name)) = owed(&self.at, then.as_slice()) {
                    start_all_the_same(*verb, name).await;
                } else if matches!(error, UnitError::TimedOut { .. }) && self.was_stopping().await {
                    start_all_the_same(Verb::Start, &self.at.1).await;
                }
                return Err(error);
            }
            let Some(next) = then.next() else { return Ok(Moment::now().since(self.began)) };
            // In a connection that answers: the old one is dead where the bus was restarted meanwhile. Asked for once
            // only: of what gets no answer nobody knows whether it has begun.
            let left = self.limit.saturating_sub(Moment::now().since(self.began));
            let unit = self.unit.clone();
            let mut line = Line::of(&unit);
            insist(left, &mut line).await?;
            if let Some(systemd) = line.systemd {
                self.systemd = systemd;
            }
            self.job = self.systemd.begin(next.0, &next.1).await?;
            self.at = next;
        }
    }

    /// Whether the restart that was cancelled just now was in its stop, which goes on, so that nothing would start the unit
    /// again.
    async fn was_stopping(&self) -> bool {
        let restarts = !matches!(self.at.0, Verb::Start | Verb::Stop);
        let mut line = Line::of(&self.unit);
        restarts && insist(Duration::ZERO, &mut line).await.is_ok_and(|now| is_left_stopped(&now))
    }

    async fn end_job(&mut self) -> Result<(), UnitError> {
        let left = self.limit.saturating_sub(Moment::now().since(self.began));
        let (verb, unit) = self.at.clone();
        let result = match timeout(left, self.systemd.end(&self.job)).await {
            Ok(Some(result)) => result,
            // The bus was restarted, or systemd itself: the unit tells.
            Ok(None) => return self.unit.follow(left).await,
            Err(_late) => {
                // What comes late must not meet a new restart.
                self.systemd.cancel(&self.job).await;
                let output = journal(&unit, self.began_unix).await;
                return Err(UnitError::TimedOut { verb, unit, limit: self.limit, output });
            }
        };
        if result == "done" {
            return Ok(());
        }
        let output = journal(&unit, self.began_unix).await;
        Err(UnitError::Job { verb, unit, result: meaning(&result).to_owned(), output })
    }
}

/// Has started what was to be stopped and started, and has perhaps been stopped. How it ends the readiness tells.
async fn start_all_the_same(verb: Verb, name: &str) {
    // In a connection of its own: the restart's may be what has failed.
    let begun = async { Ok(Systemd::connect().await?.begin(verb, name).await?) };
    if let Err(error) = told(begun).await {
        tracing::error!("{name} is perhaps stopped, and systemd was not asked to {verb} it: {error}");
    }
}

/// Whether a unit is stopped or about to be, and nothing is to start it.
fn is_left_stopped(now: &Standing) -> bool {
    !now.has_job && matches!(now.active.as_str(), "deactivating" | "inactive" | "failed")
}

/// What must be asked for although the step `at` has failed: what that was to stop must not stay so.
fn owed<'a>(at: &(Verb, String), then: &'a [(Verb, String)]) -> Option<&'a (Verb, String)> {
    then.iter().find(|(verb, name)| at.0 == Verb::Stop && *verb == Verb::Start && *name == at.1)
}

/// What systemd's word for a job's end means.
fn meaning(result: &str) -> &str {
    match result {
        "failed" => "failed",
        "canceled" => "cancelled by somebody else, with `systemctl cancel` or by asking for the contrary",
        "timeout" => "ended by its own time limit (JobTimeoutSec=)",
        "dependency" => "failed because a unit that this one requires has failed",
        "skipped" => "skipped, since the unit can't do that or does not run",
        "assert" => "failed by an Assert of the unit",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_to_be_stopped_and_started_is_started_although_its_stop_has_failed() {
        let step = |verb, name: &str| (verb, name.to_owned());
        let (stop, start) = (step(Verb::Stop, "shop.service"), step(Verb::Start, "shop.service"));
        assert_eq!(owed(&stop, std::slice::from_ref(&start)), Some(&start));
        assert_eq!(owed(&start, &[]), None, "a start that fails is not repeated");
        assert_eq!(owed(&step(Verb::Stop, "shop.socket"), &[stop]), None, "what is to be stopped stays so");
        assert_eq!(owed(&step(Verb::Start, "shop.socket"), &[start]), None);
    }

    #[test]
    fn a_unit_is_left_stopped_where_nothing_is_to_start_it() {
        for (active, has_job, is) in [
            ("deactivating", false, true),
            ("inactive", false, true),
            ("failed", false, true),
            ("deactivating", true, false),
            ("active", false, false),
            ("activating", false, false),
        ] {
            let now = Standing { active: active.into(), has_job, ..Standing::default() };
            assert_eq!(is_left_stopped(&now), is, "{now:?}");
        }
    }
}
