//! One process, told from every other that ever bore its number.

use std::{collections::HashMap, fmt, fs, thread, time::Duration};

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
use tokio::{sync::oneshot, time};

use super::{IdentityError, RestartError};

/// How often it is looked whether a process has ended that is not our child.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in whole seconds since the host's start.
    pub started_seconds: u64,
    /// What it is called, for people.
    pub name: String,
}

impl Process {
    /// Whether this is the same process as `other`.
    ///
    /// sysinfo tells the start by the wall clock, and the host's start, from which we count, by the same. The
    /// kernel rounds that anew as the clock is adjusted, so one second more or less is the same start; a number
    /// is not given again so soon.
    pub const fn is(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started_seconds.abs_diff(other.started_seconds) <= 1
    }

    /// Whether it is still running. One that has ended and waits for its parent to notice is not.
    pub async fn is_running(&self) -> Result<bool, IdentityError> {
        let process = self.clone();
        blocking(move || Ok(!running(&[process])?.is_empty())).await
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self, limit: Duration) -> Result<(), RestartError> {
        let ended = async {
            while self.is_running().await? {
                time::sleep(LOOK_INTERVAL).await;
            }
            Ok(())
        };
        let late = || RestartError::Orphan { process: self.clone(), limit };
        time::timeout(limit, ended).await.unwrap_or_else(|_| Err(late()))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Those of `processes` that still run. Blocking.
pub(super) fn running(processes: &[Process]) -> Result<Vec<Process>, IdentityError> {
    let pids: Vec<u32> = processes.iter().map(|p| p.pid).collect();
    let found = find(&pids)?;
    let still = |process: &&Process| found.get(&process.pid).is_some_and(|now| now.process.is(process));
    Ok(processes.iter().filter(still).cloned().collect())
}

/// A process and its parent.
pub(super) struct Found {
    pub(super) process: Process,
    pub(super) parent: Option<u32>,
}

/// What runs under the numbers `pids`. Blocking.
pub(super) fn find(pids: &[u32]) -> Result<HashMap<u32, Found>, IdentityError> {
    // A new one each time: sysinfo keeps what it knows, and an open file, for each process that it has seen.
    let mut system = System::new().map_err(|e| IdentityError::System(e.to_string()))?;
    let host_start = System::boot_time().map_err(|e| IdentityError::System(e.to_string()))?;
    let wanted: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
    let what = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&wanted), true, what);
    let found = wanted.iter().filter_map(|pid| {
        let process = system.process(*pid)?;
        if matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead) {
            return None;
        }
        let found = Found {
            process: Process {
                pid: pid.as_u32(),
                started_seconds: process.start_time().saturating_sub(host_start),
                name: process.name().to_string_lossy().into_owned(),
            },
            parent: process.parent().map(Pid::as_u32),
        };
        Some((pid.as_u32(), found))
    });
    Ok(found.collect())
}

/// The numbers of all processes that can be seen. Blocking.
pub(super) fn all() -> Result<impl Iterator<Item = u32>, IdentityError> {
    let entries = fs::read_dir("/proc").map_err(IdentityError::Proc)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// How long a look may take: reading of a process that hangs in the kernel may never end. One takes a millisecond for
/// each hundred processes.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Runs `look`, which reads files of the kernel, in a thread of its own, for as long as a look may take. A thread that
/// hangs is left alone: the runtime, which would wait for its own at the agent's end, knows nothing of it.
pub(super) async fn blocking<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, IdentityError> {
    within(LOOK_LIMIT, look).await
}

async fn within<T: Send + 'static>(
    limit: Duration,
    look: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, IdentityError> {
    let (found, seen) = oneshot::channel();
    let begin = thread::Builder::new().name("look".into()).spawn(move || {
        // Who asked may have given up.
        let _ = found.send(look());
    });
    begin.map_err(|error| IdentityError::System(format!("no thread to look with: {error}")))?;
    match time::timeout(limit, seen).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(IdentityError::System("the thread that looked has ended early".into())),
        Err(_) => Err(IdentityError::System(format!(
            "a process hangs in the kernel: expected a look within {limit:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_given_up_and_holds_nobody() {
        let (release, hangs) = mpsc::channel::<()>();
        let look = within(LOOK_LIMIT, move || {
            let _ = hangs.recv();
            Ok(())
        });
        let error = look.await.unwrap_err();
        assert!(error.to_string().contains("hangs"), "{error}");
        drop(release);
    }
}
