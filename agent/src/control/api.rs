//! The messages on the control socket, as both ends see them.

use serde::{Deserialize, Serialize};

/// Who asked for something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A signal, with its sender where the kernel tells.
    Signal {
        /// `SIGUSR1` and the like.
        signal: String,
        /// Process that sent it.
        pid: Option<i32>,
        /// User that sent it.
        uid: Option<u32>,
    },
    /// Somebody on the control socket.
    Control {
        /// Process, by the socket's peer credentials.
        pid: Option<i32>,
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The agent itself: a limit, a guard.
    Agent,
}

/// What follows when the traffic is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Restart the server and bring it back.
    Restart,
    /// Stay out until told otherwise.
    Hold,
}

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Soft drain.
    Soft(Options),
    /// Hard drain.
    Hard(Options),
    /// Cancel a drain, or come back from hold or failed.
    Up,
    /// Come back by way of warming: the server was restarted by somebody else (`drainctl run`).
    Return,
}

/// The particulars of a drain.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// What follows zero; the default depends on who asks.
    pub then: Option<Then>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Override the guards.
    pub force: bool,
}

/// What was said to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// It is under way.
    Accepted {
        /// The drain's id, by which its end can be told in the status.
        drain: Option<u64>,
        /// For people.
        text: String,
    },
    /// It was so already; success.
    Already {
        /// The drain that it joined.
        drain: Option<u64>,
        /// For people.
        text: String,
    },
    /// Not now, and why.
    Refused {
        /// A stable name in `snake_case`.
        name: String,
        /// For people: what is the matter and what to do.
        text: String,
    },
}
