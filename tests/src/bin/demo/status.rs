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
    /// How many balancers act on the present answer.
    pub(crate) acknowledged: Acknowledged,
    balancers: Vec<Balancer>,
    traffic: Traffic,
}

/// How many balancers act on the present answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Acknowledged {
    /// That do.
    pub(crate) count: u32,
    /// That should.
    pub(crate) of: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Balancer {
    users: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Traffic {
    in_flight: Option<u32>,
}

impl Status {
    /// Asks the agent; `None` if it does not answer.
    pub(crate) async fn ask((program, socket): (PathBuf, [OsString; 2])) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(socket).args(["status", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(ANSWER_LIMIT, command.output()).await.ok()?.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Requests that are not finished; `None` where that is not known.
    pub(crate) fn in_flight(&self) -> Option<u32> {
        self.traffic.in_flight
    }

    /// Holders of a cookie for this shop, over all balancers that count them; `None` if none does.
    pub(crate) fn users(&self) -> Option<u32> {
        self.balancers.iter().filter_map(|balancer| balancer.users).reduce(|a, b| a + b)
    }
}
