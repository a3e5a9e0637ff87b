//! The messages on the control socket and port, as both ends see them: JSON, in the words of the glossary.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/watch` | | lines of [`Status`], one at once and one for each change |
//! | `GET /v1/balancers` | | a list of [`Balancer`] |
//! | `GET /v1/history?last=N` | | the last N drains, the youngest last: [`Record`]s without samples and output |
//! | `GET /v1/history/ID` | | the [`Record`] of one drain |
//! | `GET /v1/doctor` | | a [`Diagnosis`] |
//! | `POST /v1/soft`, `/v1/hard` | [`Options`] or nothing | [`Reply`] |
//! | `POST /v1/restart` | [`Options`] or nothing | [`Reply`]; a soft drain with `then` = restart |
//! | `POST /v1/up` | [`Up`] or nothing | [`Reply`] |
//! | `POST /v1/return` | [`Ran`] or nothing | [`Reply`] |
//!
//! A [`Reply`] comes with 202 (accepted), 200 (already so) or 409 (refused); everything else that is not a success
//! is a [`Failure`] with its own status: 401 without a token on the port, 403 for who may not.

mod status;

use serde::{Deserialize, Serialize};

pub use status::{
    Acknowledged, Agent, Asked, Balancer, DRAINS, Drain, Limit, Readiness, Source, Status, Target, Traffic,
    Verdict,
};

/// What the doctor finds.
pub use crate::doctor::Diagnosis;
/// Parts of the messages that mean the same inside.
pub use crate::lifecycle::{Options, Origin, Outcome, Phase, Ran, Then, Wait};
/// What is written down of a drain.
pub use crate::report::Record;

/// The particulars of up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Up {
    /// Although a command may be at work on the server (`drainctl run`).
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

/// What was said to a request that did not get as far as an answer by the life cycle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// A stable name in `snake_case`: `not_permitted`, `bad_request`, `no_such_path`, `no_answer`,
    /// `no_such_drain`, `unreadable`.
    pub failure: String,
    /// For people: what was expected, what was found, what to do.
    pub text: String,
}
