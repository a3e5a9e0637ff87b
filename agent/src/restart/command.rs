//! The restart by a command.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use thiserror::Error;
use tokio::{
    process::Child,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{
    Mark, Output, Transcript, mark,
    process::{self, LOOK_INTERVAL, Process, blocking},
    transcript::CUT_EVERY,
};
use crate::{clock::Moment, systemd::scope};

/// How long a process group has between SIGTERM and SIGKILL, and the kernel afterwards to end it.
const END_GRACE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });

/// What systemd tells the agent and nobody else: a server that believed it would report in the agent's name.
const FOR_THE_AGENT_ALONE: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
];

/// A command that restarts the server.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// What people call it: `restart command`.
    called: Arc<str>,
    /// The program and its arguments.
    argv: Arc<[String]>,
    /// What it writes to.
    transcript: Arc<Transcript>,
}

impl Command {
    pub(super) fn new(called: &str, argv: &[String], transcript: Arc<Transcript>) -> Self {
        Self { called: called.into(), argv: argv.into(), transcript }
    }

    /// The end of what it has written, this time or when an earlier agent has started it.
    pub(super) fn output(&self) -> Output {
        self.transcript.tail()
    }

    /// Starts it without a shell, in a process group of its own, and a scope of systemd's where that can be had, so that
    /// neither a Ctrl-C at the agent's terminal nor the agent's end reaches it or the server that it starts. Its
    /// environment carries `mark`.
    pub(super) async fn start(&self, limit: Duration, mark: &Mark) -> Result<Running, CommandError> {
        let command = self.argv.join(" ");
        let began = Moment::now();
        let called = Arc::clone(&self.called);
        let failed =
            |error| CommandError::Start { called: Arc::clone(&called), command: command.clone(), error };
        let child = self.spawn(mark).map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let found = blocking(move || Ok(process::find(&[pid])?.remove(&pid))).await.ok().flatten();
        // Where it has ended already, or can't be looked at, its number alone must do.
        let started_seconds =
            found.map_or(began.since_boot().as_secs(), |found| found.process.started_seconds);
        // At this moment it may still be what makes its scope.
        let process = Process { pid, started_seconds, name: command.clone() };
        Ok(Running {
            child,
            process,
            called: Arc::clone(&called),
            command,
            began,
            limit,
            transcript: Arc::clone(&self.transcript),
        })
    }

    fn spawn(&self, mark: &Mark) -> io::Result<Child> {
        let (program, arguments) =
            self.argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        // One file for both, so that output and errors stay in order.
        let (output, errors) = match self.transcript.begin().and_then(|file| Ok((file.try_clone()?, file))) {
            Ok((output, errors)) => (output.into(), errors.into()),
            Err(error) => {
                warn!(%error, "the {}'s output can't be kept", self.called);
                (Stdio::null(), Stdio::null())
            }
        };
        let mut command = scope::command(program, &format!("{} of a drain agent: {program}", self.called));
        for name in FOR_THE_AGENT_ALONE {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env(mark::VARIABLE, mark.as_str())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        command.spawn()
    }
}

/// A restart command that was started. Dropping it leaves the command running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    process: Process,
    called: Arc<str>,
    command: String,
    began: Moment,
    limit: Duration,
    transcript: Arc<Transcript>,
}

impl Running {
    /// The command's process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end; at its limit its whole process group is ended.
    pub(super) async fn end(mut self) -> Result<Done, CommandError> {
        let left = self.limit.saturating_sub(Moment::now().since(self.began));
        let Ok(status) = timeout(left, self.ended()).await else {
            let child = &mut self.child;
            end_group(self.process.pid, async {
                let _ = child.wait().await;
            })
            .await;
            // Killed, if not ended; the kernel takes a moment.
            let _ = timeout(END_GRACE, self.child.wait()).await;
            let output = self.transcript.tail();
            return Err(CommandError::TimedOut {
                called: self.called,
                command: self.command,
                limit: self.limit,
                output,
            });
        };
        let took = Moment::now().since(self.began);
        let output = self.transcript.tail();
        self.transcript.look_for_holders();
        match status {
            Ok(status) if status.success() => Ok(Done { status, output, took }),
            Ok(status) => {
                Err(CommandError::Failed { called: self.called, command: self.command, status, output })
            }
            Err(error) => Err(CommandError::Start { called: self.called, command: self.command, error }),
        }
    }

    /// Waits for its end, and cuts meanwhile what it writes.
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Ok(ended) = timeout(CUT_EVERY, self.child.wait()).await {
                return ended;
            }
            self.transcript.cut().await;
        }
    }
}

/// SIGTERM, and after a grace SIGKILL, to all processes of the group that `leader` leads: those too that the command
/// has started and not put into a group of their own. `reaped` is the end of the leader where it is a child of ours.
pub(super) async fn end_group(leader: u32, reaped: impl Future<Output = ()>) {
    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return };
    // An error says that there is nobody left.
    let _ = kill_process_group(group, Signal::TERM);
    let gone = async {
        reaped.await;
        while test_kill_process_group(group).is_ok() {
            sleep(LOOK_INTERVAL).await;
        }
    };
    if timeout(END_GRACE, gone).await.is_err() {
        let _ = kill_process_group(group, Signal::KILL);
        sleep(LOOK_INTERVAL).await;
    }
}

/// A restart that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// How the command ended.
    pub status: ExitStatus,
    /// The end of what it has said.
    pub output: Output,
    /// How long it took.
    pub took: Duration,
}

/// Why a restart command did not do it.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be run.
    #[error("the {called} `{command}` could not be run: {error}")]
    Start {
        /// What people call it.
        called: Arc<str>,
        /// The command.
        command: String,
        /// What the system said.
        error: io::Error,
    },
    /// It has ended with a failure.
    #[error("expected the {called} `{command}` to succeed, found {status}{}", behind(.output))]
    Failed {
        /// What people call it.
        called: Arc<str>,
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it has said.
        output: Output,
    },
    /// It has not ended in time, and was ended with its process group.
    #[error("expected the {called} `{command}` to end within {limit:?}, so it was ended{}", behind(.output))]
    TimedOut {
        /// What people call it.
        called: Arc<str>,
        /// The command.
        command: String,
        /// Its `timeout` in the configuration.
        limit: Duration,
        /// The end of what it has said.
        output: Output,
    },
}

/// What a command has said, behind what is said of it.
fn behind(output: &Output) -> String {
    if output.is_empty() { "; it has said nothing".to_owned() } else { format!(": {output}") }
}
