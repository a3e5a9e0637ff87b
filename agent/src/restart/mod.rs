//! The restart of the server, by a command or by systemd, and the proof that it is a new one.
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
mod unit;

pub use command::{CommandError, Done};
pub use identity::{Identity, IdentityError, ProofError};
pub use mark::{Mark, Marked, VARIABLE};
pub use output::Output;
pub use process::Process;
pub use transcript::Transcript;
pub use unit::{Run, UnitError};

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc, time::Duration};

use thiserror::Error;

use self::{
    command::Command,
    unit::{Act, Left, Unit},
};
use crate::{
    clock::Moment,
    config::{self, By, Proof},
    lifecycle::{Replaced, Then},
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

/// What is done, and what shows that it has done what it is for.
#[derive(Clone, Debug)]
struct Way {
    means: Means,
    timeout: Duration,
    proof: Shows,
}

/// By what a thing is done.
#[derive(Clone, Debug)]
enum Means {
    /// By a command.
    Command(Command),
    /// By systemd.
    Unit(Unit),
}

/// A restart, or whatever else, that was begun. Dropping it leaves it going on.
#[derive(Debug)]
pub enum Running {
    /// A command runs.
    Command(Box<command::Running>),
    /// systemd is at it.
    Unit(Box<unit::Restarting>),
}

impl Running {
    /// The command's process; systemd has none for it.
    pub const fn process(&self) -> Option<&Process> {
        match self {
            Self::Command(running) => Some(running.process()),
            Self::Unit(_) => None,
        }
    }
}

/// What shows that a thing has done what it is for.
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
        let command = |called: &str, argv: &[String]| {
            Means::Command(Command::new(called, argv, Arc::clone(transcript)))
        };
        let way = |means, timeout, proof| Way { means, timeout, proof };
        let gone = if restart.proof == Proof::None { Shows::Nothing } else { Shows::Gone };
        let (by, stops) = match &restart.by {
            By::Command(argv) => (command("restart command", argv), None),
            By::Unit { unit, how } => {
                let act = |act| Means::Unit(Unit::new(Arc::clone(unit), act));
                (act(Act::Restart(*how)), Some(act(Act::Stop)))
            }
        };
        let stops = restart.stop.as_deref().map(|argv| command("stop command", argv)).or(stops);
        let runs = runs.iter().map(|run| {
            let means = command(&format!("command {}", run.name), &run.command);
            (run.name.clone(), way(means, run.timeout, Shows::Nothing))
        });
        Self {
            restart: way(by, restart.timeout, Shows::Replaced(restart.proof)),
            stop: stops.map(|stop| way(stop, restart.timeout, gone)),
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
    /// Of a unit systemd tells its run and its processes, without any right to look at them.
    ///
    /// Without a proof nobody needs to be permitted to look: then what can't be found out is left empty.
    pub async fn identity(&self) -> Result<Identity, RestartError> {
        let identity = match &self.restart.means {
            Means::Unit(unit) => unit.present().await.map(Identity::of_unit).map_err(RestartError::from),
            Means::Command(_) => Identity::of(self.doors.clone()).await.map_err(RestartError::from),
        };
        match identity {
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

    /// What has become of `then`, if systemd was to do it to what `before` names: an agent that has been away asks.
    /// `None`: no unit was to be replaced.
    pub async fn unit_left_behind(&self, then: &Then, before: &Identity) -> Option<Replaced> {
        let (Way { means: Means::Unit(unit), .. }, Some(run)) = (self.way(then).ok()?, &before.unit) else {
            return None;
        };
        Some(match unit.left(run).await {
            Ok(Left::UnderWay) => Replaced::UnderWay,
            Ok(Left::Not) => Replaced::Not,
            Ok(Left::Perhaps) => Replaced::Perhaps,
            Err(error) => {
                tracing::warn!("what has become of the restart can't be told: {error}");
                Replaced::Perhaps
            }
        })
    }

    /// Begins `then`, whose processes will carry `mark`. Write [`Running::process`] down before anything else, so that
    /// an agent that comes after a crash of this one knows that a restart is under way.
    pub async fn begin(&self, then: &Then, mark: &Mark) -> Result<Running, RestartError> {
        let way = self.way(then)?;
        Ok(match &way.means {
            Means::Command(command) => Running::Command(Box::new(command.start(way.timeout, mark).await?)),
            Means::Unit(unit) => Running::Unit(Box::new(unit.begin(way.timeout).await?)),
        })
    }

    /// Waits until the restart has ended and the server that `before` names has been replaced.
    pub async fn end(&self, running: Running, before: &Identity) -> Result<Done, RestartError> {
        let done = self.ended(running).await?;
        self.proved(&Then::Restart, done, before).await
    }

    /// The first half of [`Self::end`]: waits until the restart has ended.
    pub async fn ended(&self, running: Running) -> Result<Done, RestartError> {
        Ok(match running {
            Running::Command(running) => running.end().await?,
            Running::Unit(running) => {
                let took = running.end().await?;
                Done { status: ExitStatus::from_raw(0), output: Output::default(), took }
            }
        })
    }

    /// The other half: waits until what `then` is for has happened to the server that `before` names.
    pub async fn proved(&self, then: &Then, done: Done, before: &Identity) -> Result<Done, RestartError> {
        let way = self.way(then)?;
        let limit = way.timeout.saturating_sub(done.took).max(PROOF_AT_LEAST);
        self.shown(way, before, limit, || done.output.clone()).await?;
        Ok(done)
    }

    /// Waits until what `way` is for has happened; `output` is what its command has said.
    async fn shown(
        &self,
        way: &Way,
        before: &Identity,
        limit: Duration,
        output: impl FnOnce() -> Output,
    ) -> Result<(), RestartError> {
        if let (Means::Unit(unit), Some(run)) = (&way.means, &before.unit) {
            match way.proof {
                Shows::Replaced(Proof::Process) => return Ok(unit.replaced(run, limit).await?),
                Shows::Gone => return Ok(unit.stopped(limit).await?),
                // Its processes tell: systemd has named them.
                Shows::Replaced(Proof::Workers | Proof::None) | Shows::Nothing => {}
            }
        }
        let shown = match way.proof {
            Shows::Replaced(proof) => before.replaced(self.doors.clone(), proof, limit).await,
            Shows::Gone => before.gone(limit).await,
            Shows::Nothing => Ok(()),
        };
        shown.map_err(|error| RestartError::Proof { error, output: output() })
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
        let output = || match &way.means {
            Means::Command(command) => command.output(),
            Means::Unit(_) => Output::default(),
        };
        if let Means::Unit(unit) = &way.means {
            unit.follow(left).await?;
        }
        self.shown(way, before, left, output).await?;
        Ok(output())
    }
}

/// Why a restart has failed.
#[derive(Debug, Error)]
pub enum RestartError {
    /// The command did not do it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// systemd did not do it.
    #[error(transparent)]
    Unit(#[from] UnitError),
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
    #[error("expected a way to {0} in the configuration, found none any more; add it and ask again")]
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
            Self::Unit(error) => error.output(),
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
