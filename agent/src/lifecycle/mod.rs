//! The life cycle of a server: what was asked, what is observed, and what follows from both.
//!
//! ```text
//!            asked soft              soft: acknowledged and quiet,          hard: acknowledged and quiet,
//!                                    or its limit, or asked hard            or its limit
//!      up ───────────────► soft ────────────────────────────────► hard ─────────────────────► restarting
//!      ▲ ▲ ▲                │  │                                   │ │                             │ done
//!      │ │ └─── asked up ───┴──┼───────────────────────────────────┘ │                             ▼
//!      │ │                     └─► waiting (answers like up) ◄───────┘                          warming
//!      │ │                          too few others remain                                          │
//!      │ └───────────────────────── ready, `rise` times ───────────────────────────────────────────┤
//!      │                                                                                           │ restart failed, or
//!      └── asked up ── failed: 500 and why, until asked ◄──────────────────────────────────────────┘ not ready in time
//!
//!      asked hard: up ──► hard
//! ```
//!
//! All transitions, each with a test of its own (`tests/edges.rs`, `tests/guard.rs`):
//!
//! | from | to | when |
//! |---|---|---|
//! | up | soft, hard | asked so, and enough others remain (or by force, or the server is dead) |
//! | soft | hard | acknowledged and quiet; its limit; asked hard; the server is dead |
//! | soft, hard | up | asked up; not acknowledged in time (`at_limit = "abort"`); hard limit with `at_limit = "abort"`, but of a hold for which nothing is run |
//! | soft, hard | waiting | too few others remain, as seen after the announcement or directly before the restart |
//! | waiting | soft, hard | its delay is over and enough others remain |
//! | waiting | up | asked up; not in time |
//! | hard | restarting | acknowledged, still so, and quiet; its limit; the server is dead and was quiet since the announcement, or listens no more and nobody is connected |
//! | soft, hard | warming | asked to return from a hold |
//! | restarting | warming | the restart is done, or the command that was to run |
//! | restarting | hard | the server is stopped, as was asked: it holds there |
//! | restarting | restarting | the restart failed, and is to be tried again after a pause; the pause is over |
//! | restarting | failed | the restart failed for the last time, or did not end |
//! | restarting, warming | up | the same, where the configuration says so (`on_failure = "up"`); asked up in the pause between two tries |
//! | restarting, warming | restarting, soft, hard | ended, and a further drain was asked meanwhile |
//! | waiting, soft, hard | up | the time for which a hold was asked is over |
//! | warming | up | ready `rise` times in a row, and warmed up |
//! | warming | failed | not ready in time |
//! | failed | up, warming, hard | asked up; asked to return; asked for a drain |
//!
//! The machine is a value. It reads no clock, opens nothing and sleeps never: [`Machine::step`] takes the moment and
//! an event and gives effects or a refusal. Invariants, held by a property test (`tests/property.rs`):
//! - no restart before every balancer has acknowledged and the traffic is quiet, or a limit has passed, or the server
//!   is dead and, since the announcement, nobody has used it for as long as hard asks for or it has listened no more
//!   and nobody was connected;
//! - one request, one restart at most, and its retries where it fails;
//! - no answer of up between an announcement and readiness, but where the drain is given up;
//! - a drain never goes back from hard to soft;
//! - every drain that is to restart ends.
//!
//! A drain that holds takes no further edge when it is reached, and only says so, once and for all: acknowledged and
//! quiet, or its limit. Whoever runs something then (`drainctl run`) cuts what is left at the limit, as a restart does,
//! and is withdrawn where that is not to be.

mod acknowledgement;
mod answer;
mod ask;
mod back;
mod course;
mod drain;
mod event;
mod guard;
mod limit;
mod machine;
mod origin;
mod outcome;
mod quiet;
mod recovery;
mod refusal;
mod request;
mod rules;
mod server;
#[cfg(test)]
mod tests;
mod waits;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use answer::phase;
pub use course::{Course, Stage, WarmUp};
pub use drain::{Drain, Follow, Level};
pub use event::{Acknowledgement, Effects, Ended, Event, Remaining, Said, Traffic, Transition, View};
pub use machine::{Announcement, Machine};
pub use origin::Origin;
pub use outcome::Outcome;
pub use recovery::{Replaced, Saved};
pub use refusal::Refusal;
pub use request::{NoSuchThen, Options, Ran, Request, Then};
pub use rules::Rules;
pub use server::{Server, Verdict};
pub use waits::{Wait, Waiting};

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
    /// Takes no user although no hard drain was asked: it does not answer its readiness probe.
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
