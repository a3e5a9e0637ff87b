//! The life cycle of a server: what was asked and what is observed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a server stands, in the words of `x-drain-state`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Takes everybody.
    Up,
    /// Takes no new user.
    Soft,
    /// Takes nobody.
    Hard,
    /// Is being restarted.
    Restarting,
    /// Was restarted, and is not ready yet.
    Warming,
    /// Was restarted in vain: stays out until it is told otherwise.
    Failed,
    /// Nobody asked for a drain, but the server does not answer its readiness probe.
    Down,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Restarting => "restarting",
            Self::Warming => "warming",
            Self::Failed => "failed",
            Self::Down => "down",
        })
    }
}
