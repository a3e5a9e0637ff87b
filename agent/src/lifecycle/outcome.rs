//! How a drain ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was to follow has been done, and the server is up again.
    Done,
    /// Somebody asked for up.
    Cancelled,
    /// The agent gave it up by itself: nobody acknowledged, a guard, a limit.
    Withdrawn,
    /// The restart failed, or the server did not become ready.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
        })
    }
}
