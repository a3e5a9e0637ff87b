//! The proxy's own health, for a balancer above it: the same convention as its servers'.
//!
//! ```text
//!            SIGUSR1             after leave.soft        after leave.hard
//!     up ───────────────► soft ──────────────────► hard ──────────────────► nothing is accepted any more
//!     200                 404                      500                      500, until all is finished
//! ```

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;

/// What balancers above are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It takes everything.
    Up,
    /// It is about to go: no new users.
    Soft,
    /// It goes: nobody.
    Hard,
}

impl Standing {
    /// The status that says so.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Up => StatusCode::OK,
            Self::Soft => StatusCode::NOT_FOUND,
            Self::Hard => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// As in `x-drain-state`.
impl fmt::Display for Standing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Up => "up",
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

/// What is told, why, and since when.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    /// What.
    pub standing: Standing,
    /// Why; without quotation marks.
    pub reason: &'static str,
    /// Since when.
    pub since: SystemTime,
}

impl Announced {
    /// From `since` on it takes everything.
    pub const fn up(since: SystemTime) -> Self {
        Self { standing: Standing::Up, reason: "started", since }
    }

    /// The header by which a drain is told from a mistyped path.
    pub(super) fn marker(&self) -> String {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        format!("{}; reason=\"{}\"; since={}", self.standing, self.reason, since.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_goes_says_so_as_its_servers_do() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let up = Announced::up(since);
        assert_eq!(
            (up.standing.status().as_u16(), up.marker()),
            (200, "up; reason=\"started\"; since=1700000000".to_owned())
        );
        let soft = Announced { standing: Standing::Soft, reason: "SIGUSR1", since };
        assert_eq!(soft.standing.status().as_u16(), 404);
        assert_eq!(soft.marker(), "soft; reason=\"SIGUSR1\"; since=1700000000");
        assert_eq!(Standing::Hard.status().as_u16(), 500);
    }
}
