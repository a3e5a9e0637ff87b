//! The restart by a command.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use thiserror::Error;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command as Program},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    Mark, Output, mark,
    process::{self, LOOK_INTERVAL, Process, blocking},
};
use crate::clock::Moment;

/// How long a process group has between SIGTERM and SIGKILL, and the kernel afterwards to end it.
const END_GRACE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });

/// How long the rest of the output is waited for after the command's exit. What the command itself has written is
/// in the pipe by then; longer holds only a server that it has left behind with the pipe as its output.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

/// What systemd tells the agent and nobody else: a server that believed it would report in the agent's name.
const FOR_THE_AGENT_ALONE: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// A command that restarts the server.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// The program and its arguments.
    argv: Arc<[String]>,
}

impl Command {
    pub(super) fn new(argv: &[String]) -> Self {
        Self { argv: argv.into() }
    }

    /// Starts it without a shell, in a process group of its own, so that neither a Ctrl-C at the agent's
    /// terminal nor the agent's end reaches it or the server that it starts. Its environment carries `mark`.
    pub(super) async fn start(&self, limit: Duration, mark: &Mark) -> Result<Running, CommandError> {
        let command = self.argv.join(" ");
        let began = Moment::now();
        let failed = |error| CommandError::Start { command: command.clone(), error };
        let (child, pipe) = self.spawn(mark).map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let output = Arc::new(Mutex::new(Output::default()));
        let reader = tokio::spawn(read(pipe, Arc::clone(&output)));
        let found = blocking(move || Ok(process::find(&[pid])?.remove(&pid))).await.ok().flatten();
        let process = found.map_or_else(
            // It has ended already, or can't be looked at: its number alone must do.
            || Process { pid, started_seconds: began.since_boot().as_secs(), name: command.clone() },
            |found| found.process,
        );
        Ok(Running { child, process, command, began, limit, output, reader })
    }

    fn spawn(&self, mark: &Mark) -> io::Result<(Child, Receiver)> {
        let (program, arguments) =
            self.argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        // One pipe for both, so that output and errors stay in order.
        let (reader, writer) = io::pipe()?;
        let reader = Receiver::from_owned_fd(reader.into())?;
        let mut command = Program::new(program);
        for name in FOR_THE_AGENT_ALONE {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env(mark::VARIABLE, mark.as_str())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        Ok((command.spawn()?, reader))
    }
}

/// A restart command that was started. Dropping it leaves the command running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    process: Process,
    command: String,
    began: Moment,
    limit: Duration,
    output: Arc<Mutex<Output>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// The command's process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end; at its limit its whole process group is ended.
    pub(super) async fn end(mut self) -> Result<Done, CommandError> {
        let left = self.limit.saturating_sub(Moment::now().since(self.began));
        let Ok(status) = timeout(left, self.child.wait()).await else {
            let child = &mut self.child;
            end_group(self.process.pid, async {
                let _ = child.wait().await;
            })
            .await;
            // Killed, if not ended; the kernel takes a moment.
            let _ = timeout(END_GRACE, self.child.wait()).await;
            let (output, _) = self.output().await;
            return Err(CommandError::TimedOut { command: self.command, limit: self.limit, output });
        };
        let took = Moment::now().since(self.began);
        let (output, output_is_held) = self.output().await;
        match status {
            Ok(status) if status.success() => Ok(Done { status, output, took, output_is_held }),
            Ok(status) => Err(CommandError::Failed { command: self.command, status, output }),
            Err(error) => Err(CommandError::Start { command: self.command, error }),
        }
    }

    /// The output, and whether somebody still holds its pipe.
    ///
    /// A server that was left behind with the pipe must not block in a full one, nor be killed by a closed one:
    /// its reader goes on and throws away what comes.
    async fn output(&mut self) -> (Output, bool) {
        let is_held = timeout(OUTPUT_GRACE, &mut self.reader).await.is_err();
        (self.output.lock().unwrap_or_else(PoisonError::into_inner).clone(), is_held)
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

async fn read(mut pipe: Receiver, output: Arc<Mutex<Output>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        output.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..length]);
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
    /// Something that it has started still has the agent's pipe as its output. As long as the agent lives that
    /// is read and thrown away; when the agent ends, whoever writes there gets SIGPIPE. Its output should be
    /// redirected, for example to /dev/null.
    pub output_is_held: bool,
}

/// Why a restart command did not do it.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be run.
    #[error("the restart command `{command}` could not be run: {error}")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        error: io::Error,
    },
    /// It has ended with a failure.
    #[error("expected the restart command `{command}` to succeed, found {status}: {output}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it has said.
        output: Output,
    },
    /// It has not ended in time, and was ended with its process group.
    #[error("expected the restart command `{command}` to end within {limit:?}, so it was ended: {output}")]
    TimedOut {
        /// The command.
        command: String,
        /// `restart.timeout`.
        limit: Duration,
        /// The end of what it has said.
        output: Output,
    },
}
