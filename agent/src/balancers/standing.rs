//! Where a balancer stands to what is announced.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// What has happened between a balancer and the present announcement.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    /// How many answers it was given that say what is announced.
    pub given: u32,
    /// When it got the first.
    pub first: Option<Moment>,
    /// Its header has proved that it acts on it.
    pub proven: bool,
    /// It has reported no session since it acts on it.
    pub zero: bool,
    /// When it last said, having been told, that it does not act on it.
    #[serde(default)]
    pub otherwise: Option<Moment>,
    /// So often it has said so, and counted to nothing else; of several that call themselves the same, all together.
    #[serde(default)]
    pub refused: u32,
    /// It was DOWN before it heard of it, and has been since: that this is no answer to it.
    #[serde(default)]
    pub was_down: bool,
}

/// Whether a balancer acts on what is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its header says so.
    Proven,
    /// Its header says DOWN where NOLB was meant, and did not before: it takes soft for a failure and has moved the users.
    TookForFailure,
    /// It sends no header and has been answered often enough.
    Answered,
    /// It does not ask any more.
    Gone,
    /// It should have acted by now but says that it does not.
    Unproven,
    /// Not yet.
    Pending,
}
