//! Why a request is refused.

use thiserror::Error;

/// Why a request is refused. The text is what `drainctl` prints.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// The guard `min_remaining`.
    #[error("too few other servers would remain: {0}; wait until others are back, or ask with --force")]
    TooFewRemain(String),
    /// The guard `exclusive`.
    #[error("{0}; wait until it is back, or ask with --force")]
    OthersOut(String),
    /// Nobody has said how.
    #[error(
        "the configuration does not say how to stop the server; add restart.stop, or ask for --then hold"
    )]
    NoStopCommand,
    /// No such command.
    #[error("the configuration has no [run.{name}], {known}")]
    NoSuchRun {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A time for a drain that ends otherwise.
    #[error(
        "only a drain that holds can last for a stated time, and this one ends with: {0}; leave one of the two out"
    )]
    EndsOtherwise(String),
    /// A restart can't be taken back.
    #[error(
        "the server is being restarted, which can't be taken back; it comes back by itself when it is ready"
    )]
    Restarting,
    /// Nobody would answer.
    #[error(
        "the server is stopped, and does not answer its readiness probe: `drainctl restart` starts it and brings it \
         back; where it is started otherwise, ask for up once it answers"
    )]
    Stopped,
    /// Somebody works on the server.
    #[error(
        "drain {drain} holds the server for the command {command:?}, which may be at work on it: wait for its end, or ask \
         with --force"
    )]
    CommandRuns {
        /// The drain.
        drain: u64,
        /// The command.
        command: String,
    },
    /// A command needs a drain of its own.
    #[error("drain {0} is under way, and nothing was run: wait for its end, or cancel it with up")]
    UnderWay(u64),
    /// The agent itself restarts at the end of this drain.
    #[error("drain {0} ends with a restart by the agent; `drainctl up` cancels it")]
    NotAHold(u64),
    /// The drain could not be written down.
    #[error(
        "the drain can't be written to the state file, so a crash would forget it: {0}; make it writable and ask again"
    )]
    StateUnwritable(String),
    /// Nobody could tell afterwards whether the server was replaced.
    #[error(
        "the server's processes can't be told, so the restart could not be proved: {0}; let the agent look at them, or set restart.proof to \"none\""
    )]
    ServerUnknown(String),
    /// The agent is going.
    #[error("the agent is about to stop; ask again when it is back")]
    Stopping,
}

impl Refusal {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooFewRemain(_) => "too_few_remain",
            Self::OthersOut(_) => "others_out",
            Self::NoStopCommand => "no_stop_command",
            Self::NoSuchRun { .. } => "no_such_run",
            Self::EndsOtherwise(_) => "ends_otherwise",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::CommandRuns { .. } => "command_runs",
            Self::UnderWay(_) => "under_way",
            Self::NotAHold(_) => "not_a_hold",
            Self::StateUnwritable(_) => "state_unwritable",
            Self::ServerUnknown(_) => "server_unknown",
            Self::Stopping => "stopping",
        }
    }
}
