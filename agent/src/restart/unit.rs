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

use std::{process::Stdio, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{
    IdentityError, Output,
    output::KEPT,
    process::{self, LOOK_INTERVAL, Process, blocking},
};
use crate::{
    clock::{self, Moment},
    config::How,
    systemd::bus::{BusError, Job, Standing, Systemd, Verb},
};

/// How many of its last lines in the journal are told of a unit that has failed.
const LINES: u32 = 30;

/// How long the journal may take: some gigabytes on a slow disk.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// How often a unit whose job's end nobody tells is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long systemd may take to tell how a unit is while the owner of the life cycle waits for it: a third of the
/// watchdog's limit (`WatchdogSec=30s`), after which systemd would end the agent, and the next one would wait again.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A unit, and what is done to it.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    name: Arc<str>,
    act: Act,
}

/// What is done to a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// It is restarted.
    Restart(How),
    /// It is stopped, and the sockets by which it would be started again.
    Stop,
}

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
pub(super) enum Left {
    /// It is under way.
    UnderWay,
    /// It has not happened.
    Not,
    /// It has happened, or nobody can tell.
    Perhaps,
}

/// Why a unit was not restarted or stopped.
#[derive(Debug, Error)]
pub enum UnitError {
    /// systemd can't be asked, or says no.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It is silent.
    #[error(
        "systemd does not answer within {TOLD_WITHIN:?}; see that dbus.service and systemd itself do not hang"
    )]
    Silent,
    /// The unit's processes could not be looked at.
    #[error(transparent)]
    Processes(#[from] IdentityError),
    /// There is no such unit.
    #[error(
        "expected the unit {unit}, but systemd says that it is {loaded}; correct restart.unit (`systemctl list-units \
         --type=service` has the names), or install what it belongs to"
    )]
    NotLoaded {
        /// The unit.
        unit: String,
        /// How it is.
        loaded: String,
    },
    /// The job has not been done.
    #[error("expected systemd to {verb} {unit}, found the job {result}{}", said(.output))]
    Job {
        /// What it was to do.
        verb: Verb,
        /// The unit.
        unit: String,
        /// What has become of it, and why.
        result: String,
        /// The unit's last lines in the journal.
        output: Output,
    },
    /// It has not ended in time.
    #[error("expected systemd to {verb} {unit} within {limit:?}, so the job was cancelled{}", said(.output))]
    TimedOut {
        /// What it was to do.
        verb: Verb,
        /// The unit.
        unit: String,
        /// `restart.timeout`.
        limit: Duration,
        /// The unit's last lines in the journal.
        output: Output,
    },
    /// The job is done, but the unit does not run anew.
    #[error("expected {unit} to run anew after its restart, found it {found}{}", said(.output))]
    NotReplaced {
        /// The unit.
        unit: String,
        /// How it is instead.
        found: String,
        /// Its last lines in the journal.
        output: Output,
    },
    /// It was to be stopped.
    #[error("expected {unit} to be stopped, found it {found}{}", said(.output))]
    NotStopped {
        /// The unit.
        unit: String,
        /// How it is instead.
        found: String,
        /// Its last lines in the journal.
        output: Output,
    },
}

impl UnitError {
    /// The unit's last lines in the journal, where they were asked for.
    pub(super) const fn output(&self) -> Option<&Output> {
        match self {
            Self::Job { output, .. }
            | Self::TimedOut { output, .. }
            | Self::NotReplaced { output, .. }
            | Self::NotStopped { output, .. } => Some(output),
            Self::Bus(_) | Self::Silent | Self::Processes(_) | Self::NotLoaded { .. } => None,
        }
    }
}

fn said(output: &Output) -> String {
    if output.is_empty() { String::new() } else { format!("; the journal has of it: {output}") }
}

impl Unit {
    pub(super) const fn new(name: Arc<str>, act: Act) -> Self {
        Self { name, act }
    }

    /// The present run, and its processes: the main one, and the others.
    pub(super) async fn present(&self) -> Result<(Run, Vec<Process>, Vec<Process>), UnitError> {
        let ask = async {
            let mut systemd = Systemd::connect().await?;
            let standing = self.standing(&mut systemd).await?;
            let pids = if standing.runs() { systemd.processes(&self.name).await? } else { Vec::new() };
            Ok((standing, pids))
        };
        let (standing, pids) = told(ask).await?;
        let main = standing.main;
        // Processes that can't be looked at are not none: then anything that listens would be a new server.
        let found = blocking(move || process::find(&pids)).await?;
        let (main, others) =
            found.into_values().map(|found| found.process).partition(|process| Some(process.pid) == main);
        Ok((self.run(&standing), main, others))
    }

    fn run(&self, standing: &Standing) -> Run {
        Run {
            unit: self.name.to_string(),
            invocation: standing.invocation.clone(),
            active: standing.runs(),
            main: standing.main,
        }
    }

    async fn standing(&self, systemd: &mut Systemd) -> Result<Standing, UnitError> {
        let standing = systemd.standing(&self.name).await?;
        if standing.loaded == "loaded" {
            return Ok(standing);
        }
        Err(UnitError::NotLoaded { unit: self.name.to_string(), loaded: standing.loaded })
    }

    /// Begins, and does not wait for anything but systemd's word that it has.
    pub(super) async fn begin(&self, limit: Duration) -> Result<Restarting, UnitError> {
        let began = Moment::now();
        let began_unix = clock::unix_now();
        let mut systemd = Systemd::connect().await?;
        let standing = self.standing(&mut systemd).await?;
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
    ///
    /// | a job for it | it runs | as the same run | restart | stop |
    /// |---|---|---|---|---|
    /// | yes | | | under way | under way |
    /// | no | yes | yes | not | not |
    /// | no | yes | no | perhaps | perhaps: somebody has started it since |
    /// | no | no | yes, or it has none | not: between a stop and a start, or it had not run | perhaps |
    /// | no | no | no | perhaps: another run has begun and ended | perhaps |
    pub(super) async fn left(&self, before: &Run) -> Result<Left, UnitError> {
        // Nobody answers health checks before this is known.
        let now = told(async { self.standing(&mut Systemd::connect().await?).await }).await?;
        Ok(self.judge(&now, before))
    }

    fn judge(&self, now: &Standing, before: &Run) -> Left {
        let same = now.invocation == before.invocation;
        match (now.has_job, now.runs(), self.act) {
            (true, _, _) => Left::UnderWay,
            (false, true, _) if same => Left::Not,
            (false, false, Act::Restart(_)) if same || now.invocation.is_empty() => Left::Not,
            (false, _, _) => Left::Perhaps,
        }
    }

    /// Follows what an earlier agent has begun, to its end.
    pub(super) async fn follow(&self, limit: Duration) -> Result<(), UnitError> {
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
    pub(super) async fn replaced(&self, before: &Run, limit: Duration) -> Result<(), UnitError> {
        let tries = matches!(self.act, Act::Restart(How::TryRestart | How::TryReloadOrRestart));
        if tries && !before.active {
            return Ok(());
        }
        let began_unix = clock::unix_now();
        self.becomes(limit, |now| is_another(now, before))
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
    pub(super) async fn stopped(&self, limit: Duration) -> Result<(), UnitError> {
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

/// What systemd tells, if it does in time.
async fn told<T>(ask: impl Future<Output = Result<T, UnitError>>) -> Result<T, UnitError> {
    timeout(TOLD_WITHIN, ask).await.unwrap_or(Err(UnitError::Silent))
}

/// Who can be asked again.
trait Ask: Send {
    /// What is answered.
    type Answer: Send;
    /// Asks once.
    fn ask(&mut self) -> impl Future<Output = Result<Self::Answer, UnitError>> + Send;
}

/// How a unit is, over a connection that is kept while it answers: it is dead once the bus was restarted.
struct Line<'a> {
    unit: &'a Unit,
    systemd: Option<Systemd>,
}

impl<'a> Line<'a> {
    const fn of(unit: &'a Unit) -> Self {
        Self { unit, systemd: None }
    }
}

impl Ask for Line<'_> {
    type Answer = Standing;

    async fn ask(&mut self) -> Result<Standing, UnitError> {
        let mut systemd = match self.systemd.take() {
            Some(systemd) => systemd,
            None => Systemd::connect().await?,
        };
        let standing = self.unit.standing(&mut systemd).await?;
        self.systemd = Some(systemd);
        Ok(standing)
    }
}

/// Asks again while the bus fails, as in its own restart, for `limit`, and no less than for an answer in time.
async fn insist<A: Ask>(limit: Duration, line: &mut A) -> Result<A::Answer, UnitError> {
    let mut failed = UnitError::Silent;
    let answered = async {
        loop {
            match line.ask().await {
                Err(error @ UnitError::Bus(_)) => failed = error,
                answer => return answer,
            }
            sleep(LOOK_EVERY).await;
        }
    };
    let answered = timeout(limit.max(TOLD_WITHIN), answered).await.ok();
    answered.unwrap_or(Err(failed))
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

/// Whether what is under way `now` is another run than `before`, by its id and its main process.
fn is_another(now: &Standing, before: &Run) -> bool {
    let other_main = now.main.is_none() || now.main != before.main;
    now.runs() && !now.has_job && now.invocation != before.invocation && (other_main || !before.active)
}

/// A restart or a stop that systemd has begun.
#[derive(Debug)]
pub struct Restarting {
    systemd: Systemd,
    unit: Unit,
    job: Job,
    at: (Verb, String),
    then: Vec<(Verb, String)>,
    began: Moment,
    began_unix: u64,
    limit: Duration,
}

impl Restarting {
    /// Waits for the end of all of it, and gives how long it took.
    pub(super) async fn end(mut self) -> Result<Duration, UnitError> {
        let mut then = std::mem::take(&mut self.then).into_iter();
        loop {
            if let Err(error) = self.end_job().await {
                if let Some((verb, name)) = owed(&self.at, then.as_slice()) {
                    self.start_all_the_same(*verb, name).await;
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

    /// Has started what was to be stopped and started, and has perhaps been stopped. How it ends the readiness tells.
    async fn start_all_the_same(&mut self, verb: Verb, name: &str) {
        // In a connection of its own: this one may be what has failed.
        let begun = async { Ok(Systemd::connect().await?.begin(verb, name).await?) };
        if let Err(error) = told(begun).await {
            tracing::error!("{name} is perhaps stopped, and systemd was not asked to {verb} it: {error}");
        }
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

/// The last lines that the journal has of a unit since then, systemd's own about it included; nothing where the agent may
/// not read it.
async fn journal(unit: &str, since_unix: u64) -> Output {
    let mut command = Command::new("journalctl");
    command
        .arg(format!("--unit={unit}"))
        .arg(format!("--since=@{since_unix}"))
        .arg(format!("--lines={LINES}"))
        .args(["--output=cat", "--no-pager", "--quiet"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(Ok(said)) = timeout(JOURNAL_WITHIN, command.output()).await else { return Output::default() };
    let mut tail = said.stdout;
    let from = tail.len().saturating_sub(KEPT);
    tail.drain(..from);
    Output::new(tail, from as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(act: Act) -> Unit {
        Unit::new("shop.service".into(), act)
    }

    fn standing(active: &str, invocation: &str, has_job: bool) -> Standing {
        Standing { active: active.into(), invocation: invocation.into(), has_job, ..Standing::default() }
    }

    fn before() -> Run {
        Run { unit: "shop.service".into(), invocation: "a".into(), active: true, main: Some(7) }
    }

    #[test]
    fn what_has_become_of_it_is_told_by_job_and_invocation() {
        let (restart, stop) = (unit(Act::Restart(How::Restart)), unit(Act::Stop));
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
            assert_eq!(restart.judge(&now, &before()), restarted, "{now:?}");
            assert_eq!(stop.judge(&now, &before()), stopped, "{now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_systemd_is_given_up_long_before_the_watchdog_ends_the_agent() {
        let error = timeout(TOLD_WITHIN * 2, told(std::future::pending::<Result<(), _>>()))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains("does not answer within 10s"), "{error}");
        assert_eq!(told(async { Ok(7) }).await.unwrap(), 7);
    }

    /// Fails so many times before it answers.
    struct Failing(u32, fn() -> Result<u32, UnitError>);

    impl Ask for Failing {
        type Answer = u32;

        async fn ask(&mut self) -> Result<u32, UnitError> {
            let Some(left) = self.0.checked_sub(1) else { return self.1() };
            self.0 = left;
            Err(BusError::Silent.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_is_restarted_is_asked_again_until_the_limit() {
        let back = insist(Duration::ZERO, &mut Failing(3, || Ok(7))).await;
        assert_eq!(back.unwrap(), 7);
        let mut dead = Failing(u32::MAX, || Ok(7));
        let error = timeout(Duration::from_secs(61), insist(Duration::from_mins(1), &mut dead))
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, UnitError::Bus(_)), "{error}");
        let gone = || Err(UnitError::NotLoaded { unit: "shop.service".into(), loaded: "masked".into() });
        let error = insist(Duration::ZERO, &mut Failing(0, gone)).await.unwrap_err();
        assert!(error.to_string().contains("masked"), "{error}");
    }

    #[test]
    fn another_run_has_another_id_and_another_main_process() {
        let now = |invocation: &str, main| Standing { main, ..standing("active", invocation, false) };
        assert!(is_another(&now("b", Some(8)), &before()));
        assert!(is_another(&now("b", None), &before()), "a unit need not have a main process");
        assert!(!is_another(&now("b", Some(7)), &before()));
        assert!(!is_another(&now("a", Some(8)), &before()));
        assert!(!is_another(&standing("inactive", "b", false), &before()));
        assert!(!is_another(&Standing { main: Some(8), ..standing("active", "b", true) }, &before()));
    }

    #[test]
    fn sockets_that_would_start_it_again_are_stopped_first_and_started_with_it() {
        let by_socket = |active: &str| Standing {
            triggered_by: vec!["shop.socket".into(), "shop.timer".into()],
            ..standing(active, "a", false)
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

    #[test]
    fn what_was_to_be_stopped_and_started_is_started_although_its_stop_has_failed() {
        let step = |verb, name: &str| (verb, name.to_owned());
        let (stop, start) = (step(Verb::Stop, "shop.service"), step(Verb::Start, "shop.service"));
        assert_eq!(owed(&stop, std::slice::from_ref(&start)), Some(&start));
        assert_eq!(owed(&start, &[]), None, "a start that fails is not repeated");
        assert_eq!(owed(&step(Verb::Stop, "shop.socket"), &[stop]), None, "what is to be stopped stays so");
        assert_eq!(owed(&step(Verb::Start, "shop.socket"), &[start]), None);
    }

    #[tokio::test]
    async fn a_unit_that_was_not_to_be_started_has_nothing_to_prove() {
        let before = Run { active: false, ..before() };
        unit(Act::Restart(How::TryRestart)).replaced(&before, Duration::ZERO).await.unwrap();
    }
}
