//! The restart of the server, and the proof that it is a new one.
//!
//! ```text
//! identity ──► begin ──► end: the command ends ──► the old processes are gone ──► done
//!                          │ not in time, in vain          │ not in time
//!                          └────────────► failed ◄─────────┘
//! ```
//!
//! [`Restarter`] has one variant for each way to restart a server. Today that is a command; the restart of a
//! systemd unit over D-Bus gets its variant here, with the unit's invocation id in the place of the processes.

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
    traffic::sockets::Doors,
};

/// What the proof gets at least, however much of the limit the restart itself has used up: an old process that
/// was told to end may need a moment for it.
const PROOF_AT_LEAST: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });

/// A way to restart the server that listens at certain doors.
#[derive(Clone, Debug)]
pub struct Restarter {
    way: Way,
    doors: Doors,
    proof: Proof,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Command(Command),
}

impl Restarter {
    /// The restart that `restart` describes, of the server with these `doors`; its command writes to `transcript`.
    pub fn new(restart: &config::Restart, doors: Doors, transcript: Arc<Transcript>) -> Self {
        Self {
            way: Way::Command(Command::new(&restart.command, transcript)),
            doors,
            proof: restart.proof,
            timeout: restart.timeout,
        }
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

    /// Begins the restart, whose processes will carry `mark`. Write [`Running::process`] down before anything else, so that an agent that comes
    /// after a crash of this one knows that a restart is under way.
    pub async fn begin(&self, mark: &Mark) -> Result<Running, RestartError> {
        match &self.way {
            Way::Command(command) => Ok(command.start(self.timeout, mark).await?),
        }
    }

    /// Waits until the restart has ended and the server that `before` names has been replaced.
    pub async fn end(&self, running: Running, before: &Identity) -> Result<Done, RestartError> {
        let done = self.ended(running).await?;
        self.proved(done, before).await
    }

    /// The first half of [`Self::end`]: waits until the restart has ended.
    pub async fn ended(&self, running: Running) -> Result<Done, RestartError> {
        Ok(running.end().await?)
    }

    /// The other half: waits until the server that `before` names has been replaced.
    pub async fn proved(&self, done: Done, before: &Identity) -> Result<Done, RestartError> {
        let limit = self.timeout.saturating_sub(done.took).max(PROOF_AT_LEAST);
        match before.replaced(self.doors.clone(), self.proof, limit).await {
            Ok(()) => Ok(done),
            Err(error) => Err(RestartError::Proof { error, output: done.output }),
        }
    }

    /// [`Self::begin`] and [`Self::end`].
    pub async fn restart(&self, mark: &Mark, before: &Identity) -> Result<Done, RestartError> {
        self.end(self.begin(mark).await?, before).await
    }

    /// Waits for the end of a restart that another agent had begun and that is still under way; how it ended
    /// nobody knows, so the proof alone decides. Without a `command`, that has ended already, and only what it has
    /// started is still at it. Gives the end of what it has written.
    pub async fn end_orphan(
        &self,
        command: Option<&Process>,
        began: Moment,
        before: &Identity,
    ) -> Result<Output, RestartError> {
        let limit = self.timeout.saturating_sub(Moment::now().since(began)).max(PROOF_AT_LEAST);
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
        let replaced = before.replaced(self.doors.clone(), self.proof, left).await;
        let Way::Command(command) = &self.way;
        let output = command.output();
        match replaced {
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
    /// Another agent's restart command does not end.
    #[error(
        "expected the restart command of an earlier agent to end within {limit:?}, found {process} still running, so it was ended"
    )]
    Orphan {
        /// The command.
        process: Process,
        /// How long it was waited for.
        limit: Duration,
    },
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
            Self::Command(CommandError::Start { .. }) | Self::Orphan { .. } | Self::Identity(_) => None,
        }
    }
}

/// What a command that has succeeded has said about a restart that has not happened.
fn said(output: &Output) -> String {
    if output.is_empty() { String::new() } else { format!("; the command said: {output}") }
}

#[cfg(test)]
mod tests;
