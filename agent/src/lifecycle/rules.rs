//! The numbers by which the life cycle decides.

use std::time::Duration;

use super::{Follow, Then};
use crate::config::{Acknowledge, Config, Hard, OnFailure, Soft};

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
    /// What follows a drain that a signal asks for.
    pub then: Then,
    /// Whether the agent can stop the server; it takes as long as a restart at most.
    pub can_stop: bool,
    /// The commands that a drain can end with, and how long each may take before it is given up for lost.
    pub runs: Vec<(String, Duration)>,
    /// How often a restart that has failed is tried again.
    pub retries: u32,
    /// The pause before that.
    pub retry_after: Duration,
    /// What follows the last failure.
    pub on_failure: OnFailure,
    /// How long the requests may take that warm a restarted server up; nothing where there are none.
    pub warm_up: Option<Duration>,
}

/// Added to `restart.timeout` for the machine's own limit: the command's end at its timeout, its process group's end
/// and the look for the proof come first, and this is only reached if they do not report at all.
const RESTART_GRACE: Duration = Duration::from_secs(30);

/// Added to the limits of all requests that warm a server up: only reached if nobody reports their end.
const WARM_UP_GRACE: Duration = Duration::from_secs(5);

impl Rules {
    /// How long what follows a drain may take before it is given up for lost.
    pub(super) fn limit_of(&self, follow: &Follow) -> Duration {
        let run = |name: &str| self.runs.iter().find(|(run, _)| run == name);
        match follow {
            Follow::Run(name) => run(name).map_or(self.restart_limit, |(_, limit)| *limit),
            _ => self.restart_limit,
        }
    }
}

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
            then: config.drain.then.clone(),
            can_stop: config.restart.can_stop(),
            runs: config
                .runs
                .iter()
                .map(|run| (run.name.clone(), run.timeout.saturating_add(RESTART_GRACE)))
                .collect(),
            retries: config.restart.retries,
            retry_after: config.restart.retry_after,
            on_failure: config.restart.on_failure,
            warm_up: config.restart.warm_up.longest().map(|longest| longest.saturating_add(WARM_UP_GRACE)),
        }
    }
}
