//! What an agent says of itself, by `drainctl status --json`.

use std::{ffi::OsString, path::PathBuf, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{process::Command, time::timeout};

/// An agent that takes longer has nothing to say this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The part of the status that the table shows.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Status {
    /// up, soft, hard, restarting, warming, failed, down.
    pub(crate) phase: String,
    /// Requests that are not finished.
    pub(crate) in_flight: Option<u64>,
    /// Who asks for the shop's health.
    #[serde(default)]
    pub(crate) balancers: Vec<Balancer>,
}

/// One balancer in the status.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Balancer {
    /// Whether it acts on the answer.
    #[serde(default)]
    pub(crate) acknowledged: bool,
    /// Holders of its cookie for this shop, if it counts them.
    pub(crate) users: Option<u64>,
}

impl Status {
    /// Asks the agent; `None` if it does not answer.
    pub(crate) async fn ask((program, socket): (PathBuf, [OsString; 2])) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(socket).args(["status", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(ANSWER_LIMIT, command.output()).await.ok()?.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Balancers that have acknowledged, of how many.
    pub(crate) fn acknowledged(&self) -> (usize, usize) {
        let acknowledged = self.balancers.iter().filter(|balancer| balancer.acknowledged).count();
        (acknowledged, self.balancers.len())
    }

    /// Users over all balancers that count them; `None` if none does.
    pub(crate) fn users(&self) -> Option<u64> {
        self.balancers.iter().filter_map(|balancer| balancer.users).reduce(|a, b| a + b)
    }
}
