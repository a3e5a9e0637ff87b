//! The restart of the server, and the proof that it is a new one.
//!
//! ```text
//! identity ──► begin ──► end: the command ends ──► the old processes are gone ──► done
//!                          │ not in time, in vain          │ not in time
//!                          └────────────► failed ◄─────────┘
//! ```
//!
//! The same is done with the command that stops the server, whose proof is that its processes are gone, and with the
//! other commands that a drain can end with, which have no proof but their success.

mod command;
mod identity;
mod mark;
mod output;
mod process;
mod transcript;

pub use command::{CommandError, Done, Running};
pub use identity::{Identity, IdentityError, ProofError};
pub use mark::{Mark, Marked, VARIABLE};
pub use output::Output;
pub use process::Process;
pub use transcript::Transcript;

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use self::command::Command;
use crate::{
    clock::Moment,
    config::{self, Proof},
    lifecycle::Then,
    traffic::sockets::Doors,
};

/// What the proof gets at least, however much of the limit the restart itself has used up: an old process that
/// was told to end may need a moment for it.
const PROOF_AT_LEAST: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });

/// A way to restart the server that listens at certain doors.
#[derive(Clone, Debug)]
pub struct Restarter {
    restart: Way,
    stop: Option<Way>,
    runs: Arc<[(String, Way)]>,
    doors: Doors,
    proof: Proof,
}

/// A command, and what shows that it has done what it is for.
#[derive(Clone, Debug)]
struct Way {
    command: Command,
    timeout: Duration,
    proof: Shows,
}

/// What shows that a command has done what it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shows {
    /// The server is a new one.
    Replaced(Proof),
    /// The server is gone.
    Gone,
    /// The command's success.
    Nothing,
}

impl Restarter {
    /// The restart that `restart` describes, of the server with these `doors`, and the other commands `runs`; they write to
    /// `transcript`.
    pub fn new(
        restart: &config::Restart,
        runs: &[config::Run],
        doors: Doors,
        transcript: &Arc<Transcript>,
    ) -> Self {
        let way = |called: &str, argv: &[String], timeout, proof| Way {
            command: Command::new(called, argv, Arc::clone(transcript)),
            timeout,
            proof,
        };
        let gone = if restart.proof == Proof::None { Shows::Nothing } else { Shows::Gone };
        let runs = runs.iter().map(|run| {
            let called = format!("command {}", run.name);
            (run.name.clone(), way(&called, &run.command, run.timeout, Shows::Nothing))
        });
        Self {
            restart: way(
                "restart command",
                &restart.command,
                restart.timeout,
                Shows::Replaced(restart.proof),
            ),
            stop: restart.stop.as_ref().map(|argv| way("stop command", argv, restart.timeout, gone)),
            runs: runs.collect(),
            doors,
            proof: restart.proof,
        }
    }

    /// How `then` is done.
    fn way(&self, then: &Then) -> Result<&Way, RestartError> {
        let way = match then {
            Then::Restart => Some(&self.restart),
            Then::Stop => self.stop.as_ref(),
            Then::Run(name) => self.runs.iter().find(|(run, _)| run == name).map(|(_, way)| way),
            Then::Hold => None,
        };
        way.ok_or_else(|| RestartError::NoCommand(then.clone()))
    }

    /// Which processes are the server at this moment: what a restart is to replace.
    ///
    /// Take it directly before the restart: a server changes its workers on its own too, and workers that were
    /// gone before the restart prove nothing. It looks through the open files of all processes of the host,
    /// about a millisecond for each hundred, in a thread of its own.
    ///
    /// Without a proof nobody needs to be permitted to look: then what can't be found out is left empty.
    pub async fn identity(&self) -> Result<Identity, IdentityError> {
        match Identity::of(self.doors.clone()).await {
            Err(error) if self.proof == Proof::None => {
                tracing::debug!(%error, "the server's processes are unknown, and restart.proof asks for none");
                Ok(Identity::default())
            }
            identity => identity,
        }
    }

    /// Whether the server is still the one that `before` names, so that its restart has not happened: something
    /// that had to go is there, or nothing listens where nothing has listened.
    pub async fn has_not_happened(&self, before: &Identity) -> Result<bool, IdentityError> {
        if before.is_empty() {
            return Ok(Identity::of(self.doors.clone()).await?.is_empty());
        }
        Ok(!before.remaining(self.proof).await?.is_empty())
    }

    /// Begins `then`, whose processes will carry `mark`. Write [`Running::process`] down before anything else, so that
    /// an agent that comes after a crash of this one knows that a restart is under way.
    pub async fn begin(&self, then: &Then, mark: &Mark) -> Result<Running, RestartError> {
        let way = self.way(then)?;
        Ok(way.command.start(way.timeout, mark).await?)
    }

    /// Waits until the restart has ended and the server that `before` names has been replaced.
    pub async fn end(&self, running: Running, before: &Identity) -> Result<Done, RestartError> {
        let done = self.ended(running).await?;
        self.proved(&Then::Restart, done, before).await
    }

    /// The first half of [`Self::end`]: waits until the restart has ended.
    pub async fn ended(&self, running: Running) -> Result<Done, RestartError> {
        Ok(running.end().await?)
    }

    /// The other half: waits until what `then` is for has happened to the server that `before` names.
    pub async fn proved(&self, then: &Then, done: Done, before: &Identity) -> Result<Done, RestartError> {
        let way = self.way(then)?;
        let limit = way.timeout.saturating_sub(done.took).max(PROOF_AT_LEAST);
        match self.shown(way.proof, before, limit).await {
            Ok(()) => Ok(done),
            Err(error) => Err(RestartError::Proof { error, output: done.output }),
        }
    }

    async fn shown(&self, proof: Shows, before: &Identity, limit: Duration) -> Result<(), ProofError> {
        match proof {
            Shows::Replaced(proof) => before.replaced(self.doors.clone(), proof, limit).await,
            Shows::Gone => before.gone(limit).await,
            Shows::Nothing => Ok(()),
        }
    }

    /// [`Self::begin`] and [`Self::end`].
    pub async fn restart(&self, mark: &Mark, before: &Identity) -> Result<Done, RestartError> {
        self.end(self.begin(&Then::Restart, mark).await?, before).await
    }

    /// Waits for the end of a restart that another agent had begun and that is still under way; how it ended
    /// nobody knows, so the proof alone decides. Without a `command`, that has ended already, and only what it has
    /// started is still at it. Gives the end of what it has written.
    pub async fn end_orphan(
        &self,
        then: &Then,
        command: Option<&Process>,
        began: Moment,
        before: &Identity,
    ) -> Result<Output, RestartError> {
        let way = self.way(then)?;
        let limit = way.timeout.saturating_sub(Moment::now().since(began)).max(PROOF_AT_LEAST);
        let left = match command {
            Some(command) => {
                let ended = command.ended(limit).await;
                if matches!(ended, Err(RestartError::Orphan { .. })) {
                    // As at the limit of a command of our own: what comes late must not meet a new restart.
                    command::end_group(command.pid, async {}).await;
                }
                ended?;
                PROOF_AT_LEAST
            }
            None => limit,
        };
        let shown = self.shown(way.proof, before, left).await;
        let output = way.command.output();
        match shown {
            Ok(()) => Ok(output),
            Err(error) => Err(RestartError::Proof { error, output }),
        }
    }
}

/// Why a restart has failed.
#[derive(Debug, Error)]
pub enum RestartError {
    /// The command did not do it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The command did, but the server is not a new one.
    #[error("{error}{}", said(.output))]
    Proof {
        /// What is missing.
        error: ProofError,
        /// The end of what the command has said.
        output: Output,
    },
    /// Another agent's command does not end.
    #[error(
        "expected the command that an earlier agent has begun to end within {limit:?}, found {process} still running, \
         so it was ended"
    )]
    Orphan {
        /// The command.
        process: Process,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The configuration has changed since it was asked for.
    #[error("expected a command for {0} in the configuration, found none any more; add it and ask again")]
    NoCommand(Then),
    /// The processes could not be looked at.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl RestartError {
    /// The end of what the command has said, where it has run.
    pub const fn output(&self) -> Option<&Output> {
        match self {
            Self::Command(CommandError::Failed { output, .. } | CommandError::TimedOut { output, .. })
            | Self::Proof { output, .. } => Some(output),
            Self::Command(CommandError::Start { .. })
            | Self::Orphan { .. }
            | Self::NoCommand(_)
            | Self::Identity(_) => None,
        }
    }
}

/// What a command that has succeeded has said about a restart that has not happened.
fn said(output: &Output) -> String {
    if output.is_empty() { String::new() } else { format!("; the command said: {output}") }
}

#[cfg(test)]
mod tests;
