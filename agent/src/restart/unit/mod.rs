//! The restart of a systemd unit.
//!
//! ```text
//! standing ──► begin: a job ──► end: the job is done ──► another run of the unit, with another main process ──► done
//!                                  │ failed, cancelled, late         │ not, or not in time
//!                                  └──────────────► failed, with the unit's last lines in the journal
//! ```
//!
//! What proves a restart is the unit's invocation id, which systemd gives anew to each run, and its main process. Nobody
//! needs a right to see them, other than the files of somebody else's processes.

mod error;
mod journal;
mod line;
mod restarting;
mod run;

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

pub use self::{error::UnitError, run::Run};
use self::{
    journal::journal,
    line::{LOOK_EVERY, Line, insist, told},
};
pub(super) use self::{restarting::Restarting, run::Left};
use super::process::{self, LOOK_INTERVAL, Process, blocking};
use crate::{
    clock::{self, Moment},
    config::How,
    systemd::{bus::Systemd, standing::Standing, verb::Verb},
};

/// A unit, and what is done to it.
#[derive(Clone, Debug)]
pub(in crate::restart) struct Unit {
    name: Arc<str>,
    act: Act,
}

/// What is done to a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::restart) enum Act {
    /// It is restarted.
    Restart(How),
    /// It is stopped, and the sockets by which it would be started again.
    Stop,
}

impl Unit {
    pub(in crate::restart) const fn new(name: Arc<str>, act: Act) -> Self {
        Self { name, act }
    }

    /// The present run, and its processes: the main one, and the others.
    pub(in crate::restart) async fn present(&self) -> Result<(Run, Vec<Process>, Vec<Process>), UnitError> {
        let ask = async {
            let systemd = Systemd::connect().await?;
            let standing = self.standing(&systemd).await?;
            let pids = if standing.runs() { systemd.processes(&self.name).await? } else { Vec::new() };
            Ok((standing, pids))
        };
        let (standing, pids) = told(ask).await?;
        let main = standing.main;
        // Processes that can't be looked at are not none: then anything that listens would be a new server.
        let found = blocking(move || process::find(&pids)).await?;
        let (main, others) =
            found.into_values().map(|found| found.process).partition(|process| Some(process.pid) == main);
        Ok((Run::of(&self.name, &standing), main, others))
    }

    async fn standing(&self, systemd: &Systemd) -> Result<Standing, UnitError> {
        let standing = systemd.standing(&self.name).await?;
        if standing.loaded == "loaded" {
            return Ok(standing);
        }
        Err(UnitError::NotLoaded { unit: self.name.to_string(), loaded: standing.loaded })
    }

    /// Begins, and does not wait for anything but systemd's word that it has.
    pub(in crate::restart) async fn begin(&self, limit: Duration) -> Result<Restarting, UnitError> {
        let began = Moment::now();
        let began_unix = clock::unix_now();
        let mut systemd = Systemd::connect().await?;
        let standing = self.standing(&systemd).await?;
        let mut steps = self.steps(&standing).into_iter();
        let (verb, name) = steps.next().unwrap_or((Verb::Restart, self.name.to_string()));
        let job = systemd.begin(verb, &name).await?;
        Ok(Restarting {
            systemd,
            unit: self.clone(),
            job,
            at: (verb, name),
            then: steps.collect(),
            began,
            began_unix,
            limit,
        })
    }

    /// What systemd is asked for, one after the other.
    ///
    /// A unit that sockets start is stopped with them, and first: who comes to one of them, as a probe of its readiness
    /// does, would start it again. One that was stopped so is started with them.
    fn steps(&self, standing: &Standing) -> Vec<(Verb, String)> {
        let sockets = || standing.triggered_by.iter().filter(|unit| unit.ends_with(".socket")).cloned();
        let unit = |verb| (verb, self.name.to_string());
        let verbs: &[Verb] = match self.act {
            Act::Stop => {
                return sockets().map(|socket| (Verb::Stop, socket)).chain([unit(Verb::Stop)]).collect();
            }
            Act::Restart(How::StopStart) => &[Verb::Stop, Verb::Start],
            Act::Restart(How::Restart) => &[Verb::Restart],
            Act::Restart(How::TryRestart) => &[Verb::TryRestart],
            Act::Restart(How::ReloadOrRestart) => &[Verb::ReloadOrRestart],
            Act::Restart(How::TryReloadOrRestart) => &[Verb::TryReloadOrRestart],
        };
        let starts = matches!(self.act, Act::Restart(How::Restart | How::StopStart | How::ReloadOrRestart));
        let first = sockets().filter(|_| starts && !standing.runs()).map(|socket| (Verb::Start, socket));
        first.chain(verbs.iter().map(|verb| unit(*verb))).collect()
    }

    /// What has become of what was to replace `before`.
    pub(in crate::restart) async fn left(&self, before: &Run) -> Result<Left, UnitError> {
        // Nobody answers health checks before this is known.
        let now = told(async { self.standing(&Systemd::connect().await?).await }).await?;
        Ok(before.judge(self.act, &now))
    }

    /// Follows what an earlier agent has begun, to its end.
    pub(in crate::restart) async fn follow(&self, limit: Duration) -> Result<(), UnitError> {
        let mut line = Line::of(self);
        let done = async {
            while insist(limit, &mut line).await?.has_job {
                sleep(LOOK_EVERY).await;
            }
            Ok::<_, UnitError>(())
        };
        // Where it takes longer, the proof says what is lacking.
        timeout(limit, done).await.unwrap_or(Ok(()))?;
        let mut line = Line::of(self);
        let is_stopped = !insist(Duration::ZERO, &mut line).await?.runs();
        if is_stopped
            && self.act == Act::Restart(How::StopStart)
            && let Some(systemd) = &mut line.systemd
        {
            // The agent that was to start it again is no more.
            systemd.begin(Verb::Start, &self.name).await?;
        }
        Ok(())
    }

    /// Waits until another run than `before` is under way. One that did not run and was not to be started has nothing to
    /// prove.
    pub(in crate::restart) async fn replaced(&self, before: &Run, limit: Duration) -> Result<(), UnitError> {
        let tries = matches!(self.act, Act::Restart(How::TryRestart | How::TryReloadOrRestart));
        if tries && !before.active {
            return Ok(());
        }
        let began_unix = clock::unix_now();
        self.becomes(limit, |now| before.is_replaced_by(now))
            .await?
            .map_err(async |now| {
                let same = now.runs();
                let found = if same { format!("{now}, and the same run as before") } else { now.to_string() };
                let output = journal(&self.name, began_unix.saturating_sub(limit.as_secs())).await;
                UnitError::NotReplaced { unit: self.name.to_string(), found, output }
            })
            .await
    }

    /// Waits until it does not run.
    pub(in crate::restart) async fn stopped(&self, limit: Duration) -> Result<(), UnitError> {
        let began_unix = clock::unix_now();
        let is = |now: &Standing| matches!(now.active.as_str(), "inactive" | "failed") && !now.has_job;
        self.becomes(limit, is)
            .await?
            .map_err(async |now| {
                let output = journal(&self.name, began_unix.saturating_sub(limit.as_secs())).await;
                UnitError::NotStopped { unit: self.name.to_string(), found: now.to_string(), output }
            })
            .await
    }

    /// Waits until it `is` so; gives how it is instead when that can't be any more, or not in time.
    async fn becomes(&self, limit: Duration, is: impl Fn(&Standing) -> bool) -> Result<Became, UnitError> {
        let mut line = Line::of(self);
        let began = Moment::now();
        loop {
            let left = limit.saturating_sub(Moment::now().since(began));
            let now = insist(left, &mut line).await?;
            if is(&now) {
                return Ok(Became(None));
            }
            let is_over = now.active == "failed" && !now.has_job;
            if is_over || Moment::now().since(began) >= limit {
                return Ok(Became(Some(now)));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

/// How a unit is that did not become what it was to.
struct Became(Option<Standing>);

impl Became {
    async fn map_err(self, error: impl AsyncFnOnce(Standing) -> UnitError) -> Result<(), UnitError> {
        match self.0 {
            None => Ok(()),
            Some(now) => Err(error(now).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(act: Act) -> Unit {
        Unit::new("shop.service".into(), act)
    }

    #[test]
    fn sockets_that_would_start_it_again_are_stopped_first_and_started_with_it() {
        let by_socket = |active: &str| Standing {
            triggered_by: vec!["shop.socket".into(), "shop.timer".into()],
            active: active.into(),
            ..Standing::default()
        };
        let steps = |act, active| {
            let steps = unit(act).steps(&by_socket(active));
            steps.iter().map(|(verb, unit)| format!("{verb} {unit}")).collect::<Vec<_>>()
        };
        assert_eq!(steps(Act::Stop, "active"), ["stop shop.socket", "stop shop.service"]);
        assert_eq!(steps(Act::Restart(How::Restart), "active"), ["restart shop.service"]);
        assert_eq!(
            steps(Act::Restart(How::Restart), "inactive"),
            ["start shop.socket", "restart shop.service"]
        );
        assert_eq!(steps(Act::Restart(How::TryRestart), "inactive"), ["try-restart shop.service"]);
        assert_eq!(
            steps(Act::Restart(How::StopStart), "active"),
            ["stop shop.service", "start shop.service"]
        );
    }

    #[tokio::test]
    async fn a_unit_that_was_not_to_be_started_has_nothing_to_prove() {
        let before =
            Run { active: false, unit: "shop.service".into(), invocation: "a".into(), main: Some(7) };
        unit(Act::Restart(How::TryRestart)).replaced(&before, Duration::ZERO).await.unwrap();
    }
}
