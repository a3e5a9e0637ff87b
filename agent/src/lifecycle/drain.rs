//! A drain: who asked for what, why, and what follows.

use serde::{Deserialize, Serialize};

use super::{Options, Origin, Then};
use crate::clock::Moment;

/// A drain, as it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drain {
    /// By which people and programs tell it from others. Counts up over the agent's restarts.
    pub id: u64,
    /// What was asked.
    pub level: Level,
    /// What follows when the traffic is zero.
    pub follow: Follow,
    /// Who asked.
    pub origin: Origin,
    /// Why, for people.
    pub reason: Option<String>,
    /// The guard does not apply: asked by force, or the server was out already.
    pub unguarded: bool,
    /// When it was asked, or last changed: no limit begins before.
    pub asked: Moment,
    /// The same for people, in seconds since 1970.
    pub asked_unix: u64,
    /// Until when it may be announced again after a withdrawal.
    pub give_up: Moment,
    /// When the restart began.
    pub restart_began: Option<Moment>,
}

impl Drain {
    /// The same in hard, where it stays if it was to stay in soft.
    pub(super) fn hardened(self) -> Self {
        let follow = if self.follow == Follow::HoldSoft { Follow::Hold } else { self.follow };
        Self { level: Level::Hard, follow, ..self }
    }
}

/// How far a drain goes before anything follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No new users.
    Soft,
    /// Nobody.
    Hard,
}

/// What follows when the traffic is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// The agent restarts the server and brings it back.
    Restart,
    /// The server stays in hard until told otherwise.
    Hold,
    /// It stays in soft until told otherwise.
    HoldSoft,
}

impl Follow {
    /// What `options` say; `None` where they leave it open, which means: as it is.
    pub(super) fn said(options: &Options, origin: &Origin) -> Option<Self> {
        match (options.then, origin) {
            (Some(Then::Hold), _) => Some(Self::Hold),
            (Some(Then::Restart), _) | (None, Origin::Signal { .. }) => Some(Self::Restart),
            (None, _) => None,
        }
    }

    /// What follows a drain of `level` for which nothing else is said.
    pub(super) fn by_default(level: Level) -> Self {
        match level {
            Level::Soft => Self::HoldSoft,
            Level::Hard => Self::Hold,
        }
    }
}
