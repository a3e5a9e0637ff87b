//! The numbers by which the life cycle decides.

use std::time::Duration;

use crate::config::{Acknowledge, Config, Hard, Soft};

/// The numbers by which the life cycle decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How long the balancers may take to acknowledge, and what follows then.
    pub acknowledge: Acknowledge,
    /// The soft phase.
    pub soft: Soft,
    /// The hard phase.
    pub hard: Hard,
    /// So many probes in a row that pass make the server ready.
    pub rise: u32,
    /// So many in a row that fail make it unready.
    pub fall: u32,
    /// How long the server may take to become ready after its restart.
    pub ready_deadline: Duration,
    /// How long a restart may take before it is given up for lost.
    pub restart_limit: Duration,
}

/// Added to `restart.timeout` for the machine's own limit: the command's end at its timeout, its process group's end
/// and the look for the proof come first, and this is only reached if they do not report at all.
const RESTART_GRACE: Duration = Duration::from_secs(30);

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        Self {
            acknowledge: config.drain.acknowledge,
            soft: config.drain.soft,
            hard: config.drain.hard,
            rise: config.server.ready.rise.get(),
            fall: config.server.ready.fall.get(),
            ready_deadline: config.server.ready.deadline,
            restart_limit: config.restart.timeout.saturating_add(RESTART_GRACE),
        }
    }
}
