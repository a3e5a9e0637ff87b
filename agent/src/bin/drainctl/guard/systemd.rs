//! What is asked of systemd, by `systemctl`: it reaches process 1 without the bus, in a shutdown, too.

use std::{process::Stdio, time::Duration};

use drain_agent::guard::{Job, UnitName, UnitState};
use tokio::{process::Command, time};

use crate::verdict::Fault;

/// How long systemctl may take: it asks process 1, which is busy where the host is.
const SYSTEMCTL: Duration = Duration::from_secs(10);

/// How long a start or stop of a companion may take: its hooks wait for nobody then.
const HOOKS: Duration = Duration::from_secs(90);

/// The systemd of this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Systemd;

impl Systemd {
    /// The unit's own name, where it was called by another one; an error where there is no such unit.
    pub(super) async fn canonical(self, unit: &UnitName) -> Result<UnitName, Fault> {
        let shown = systemctl(&["show", "--property=LoadState,Id", unit.as_str()], SYSTEMCTL).await?;
        match property(&shown, "LoadState") {
            Some("loaded") => {
                let id = property(&shown, "Id").unwrap_or_default();
                id.parse().map_err(|error| Fault::Failed(format!("{unit} is called otherwise: {error}")))
            }
            state => Err(Fault::Failed(format!(
                "{unit} is {}; `systemctl list-units --type=service` has the names of those that can be guarded",
                state.unwrap_or("unknown")
            ))),
        }
    }

    /// The same; a unit that is gone keeps the name that it was called by.
    pub(super) async fn canonical_if_known(self, unit: &UnitName) -> UnitName {
        self.canonical(unit).await.unwrap_or_else(|_gone| unit.clone())
    }

    pub(crate) async fn is_active(self, unit: &str) -> Result<bool, Fault> {
        let shown = systemctl(&["show", "--property=ActiveState", unit], SYSTEMCTL).await?;
        Ok(runs(&shown))
    }

    /// Whether the unit runs, and what is about to happen to it.
    pub(super) async fn state(self, unit: &UnitName) -> Result<UnitState, Fault> {
        let shown = systemctl(&["show", "--property=ActiveState", unit.as_str()], SYSTEMCTL).await?;
        let jobs =
            systemctl(&["list-jobs", "--no-legend", "--plain", "--full", unit.as_str()], SYSTEMCTL).await?;
        Ok(UnitState { runs: runs(&shown), changes: changes(&shown), job: job(&jobs, unit) })
    }

    /// How long the unit may take to stop and to start; `None` where it may take for ever.
    pub(super) async fn timeouts(
        self,
        unit: &UnitName,
    ) -> Result<(Option<Duration>, Option<Duration>), Fault> {
        let arguments = ["show", "--property=TimeoutStopUSec,TimeoutStartUSec", unit.as_str()];
        let shown = systemctl(&arguments, SYSTEMCTL).await?;
        Ok((span(&shown, "TimeoutStopUSec")?, span(&shown, "TimeoutStartUSec")?))
    }

    /// `JobTimeoutSec=`; `None` where there is none.
    pub(super) async fn time_limit_of_job(self, target: &str) -> Result<Option<Duration>, Fault> {
        let shown = systemctl(&["show", "--property=JobTimeoutUSec", target], SYSTEMCTL).await?;
        span(&shown, "JobTimeoutUSec")
    }

    pub(crate) async fn reload(self) -> Result<(), Fault> {
        systemctl(&["daemon-reload"], HOOKS).await.map(drop)
    }

    pub(super) async fn enable(self, unit: &str) -> Result<(), Fault> {
        systemctl(&["--quiet", "enable", unit], SYSTEMCTL).await.map(drop)
    }

    pub(super) async fn start(self, unit: &str) -> Result<(), Fault> {
        systemctl(&["start", unit], HOOKS).await.map(drop)
    }

    /// As soon as it has stopped, should it be about to.
    pub(super) async fn start_later(self, unit: &str) -> Result<(), Fault> {
        systemctl(&["--no-block", "start", unit], SYSTEMCTL).await.map(drop)
    }

    pub(super) async fn disable_and_stop(self, unit: &str) -> Result<(), Fault> {
        systemctl(&["--quiet", "--now", "disable", unit], HOOKS).await.map(drop)
    }
}

/// Runs systemctl, and gives what it prints.
pub(crate) async fn systemctl(arguments: &[&str], limit: Duration) -> Result<String, Fault> {
    let line = || format!("systemctl {}", arguments.join(" "));
    let mut command = Command::new("systemctl");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = time::timeout(limit, command.output())
        .await
        .map_err(|_late| Fault::Failed(format!("`{}` did not end in {limit:?}", line())))?
        .map_err(|error| {
            Fault::Failed(format!("can't run `{}`: {error}; is this a host with systemd?", line()))
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Fault::Failed(format!("`{}` failed ({}): {}", line(), output.status, said.trim())))
}

fn property<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn runs(shown: &str) -> bool {
    matches!(property(shown, "ActiveState"), Some("active" | "reloading"))
}

fn changes(shown: &str) -> bool {
    matches!(property(shown, "ActiveState"), Some("activating" | "deactivating"))
}

/// A time as systemctl writes it: `1min 30s`; `None` for `infinity`.
fn span(shown: &str, name: &str) -> Result<Option<Duration>, Fault> {
    match property(shown, name) {
        Some("infinity") => Ok(None),
        Some(text) if let Some(span) = drain_config::duration(text) => Ok(Some(span)),
        found => Err(Fault::Failed(format!(
            "expected systemd's {name} as a time such as 1min 30s or infinity, found {:?}; is a unit of it in years or months?",
            found.unwrap_or_default()
        ))),
    }
}

/// What a list of jobs says of `unit`: `NUMBER UNIT TYPE STATE`.
fn job(jobs: &str, unit: &UnitName) -> Job {
    let of_unit = jobs.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut of_unit = of_unit.filter(|fields| fields.get(1) == Some(&unit.as_str()));
    match of_unit.find_map(|fields| fields.get(2).copied()) {
        Some("stop" | "restart" | "try-restart") => Job::Stop,
        Some(_) => Job::Other,
        None => Job::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_from_systemctls_list() {
        let unit: UnitName = "apache2".parse().unwrap();
        for (jobs, expected) in [
            ("", Job::None),
            ("371 apache2.service stop waiting\n", Job::Stop),
            ("371 apache2-drain.service stop running\n372 apache2.service restart waiting\n", Job::Stop),
            ("371 apache2.service start waiting\n", Job::Other),
            ("371 nginx.service stop running\n", Job::None),
            ("No jobs running.\n", Job::None),
        ] {
            assert_eq!(job(jobs, &unit), expected, "{jobs}");
        }
    }

    #[test]
    fn a_reloading_server_runs_and_a_crashed_one_does_not() {
        for (state, expected) in [
            ("active", (true, false)),
            ("reloading", (true, false)),
            ("activating", (false, true)),
            ("deactivating", (false, true)),
            ("failed", (false, false)),
            ("inactive", (false, false)),
        ] {
            let shown = format!("ActiveState={state}\n");
            assert_eq!((runs(&shown), changes(&shown)), expected, "{state}");
        }
    }

    #[test]
    fn times_are_read_as_systemctl_writes_them() {
        for (written, expected) in [
            ("1min 30s", Some(Duration::from_secs(90))),
            ("30min", Some(Duration::from_mins(30))),
            ("5s", Some(Duration::from_secs(5))),
            ("1h 5min", Some(Duration::from_mins(65))),
            ("infinity", None),
        ] {
            let read = span(&format!("JobTimeoutUSec={written}\n"), "JobTimeoutUSec");
            assert_eq!(read.unwrap(), expected, "{written}");
        }
        for unknown in ["JobTimeoutUSec=soon\n", "JobTimeoutUSec=\n", ""] {
            assert!(span(unknown, "JobTimeoutUSec").is_err(), "{unknown:?} is no time, and not for ever");
        }
    }
}
