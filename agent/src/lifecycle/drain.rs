//! A drain: who asked for what, why, and what follows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ended, Options, Origin, Outcome, Rules, Then};
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
    /// How long the restart took, its proof included, or what else follows zero; of several tries the last. Nothing where
    /// nobody has seen its end.
    #[serde(default)]
    pub restart_took: Option<Duration>,
    /// When a drain that holds is over by itself, in seconds since 1970.
    #[serde(default)]
    pub until_unix: Option<u64>,
    /// It has stopped the server, and holds it out.
    #[serde(default)]
    pub stopped: bool,
    /// What the one who asked runs himself while it holds.
    #[serde(default)]
    pub command: Option<String>,
}

impl Drain {
    /// What follows zero, or has followed it; nothing where it stays in soft.
    pub fn then(&self) -> Option<Then> {
        if self.stopped { Some(Then::Stop) } else { self.follow.then() }
    }

    /// It has ended so.
    pub(super) fn ended(&self, outcome: Outcome, text: String) -> Ended {
        Ended { id: self.id, outcome, text, then: self.then(), restart_took: self.restart_took }
    }

    /// The same in hard, where it stays if it was to stay in soft.
    pub(super) fn hardened(self) -> Self {
        let follow = if self.follow == Follow::HoldSoft { Follow::Hold } else { self.follow.clone() };
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// The agent restarts the server and brings it back.
    Restart,
    /// It stops the server, which then stays in hard until told otherwise.
    Stop,
    /// It runs the command of this name in the configuration and brings the server back.
    Run(String),
    /// The server stays in hard until told otherwise.
    Hold,
    /// It stays in soft until told otherwise.
    HoldSoft,
}

impl Follow {
    /// Whether the agent does something at the end, instead of waiting for people.
    pub fn acts(&self) -> bool {
        matches!(self, Self::Restart | Self::Stop | Self::Run(_))
    }

    /// The same in the words of a request; nothing where it stays in soft.
    pub fn then(&self) -> Option<Then> {
        match self {
            Self::Restart => Some(Then::Restart),
            Self::Stop => Some(Then::Stop),
            Self::Run(name) => Some(Then::Run(name.clone())),
            Self::Hold => Some(Then::Hold),
            Self::HoldSoft => None,
        }
    }

    /// What is done at the end, for people.
    pub(super) fn noun(&self) -> String {
        match self {
            Self::Restart | Self::Hold | Self::HoldSoft => "restart".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Run(name) => format!("command {name}"),
        }
    }

    /// That it is done, for people.
    pub(super) fn past(&self) -> String {
        match self {
            Self::Restart | Self::Hold | Self::HoldSoft => "restarted".to_owned(),
            Self::Stop => "stopped".to_owned(),
            Self::Run(name) => format!("the command {name} is done"),
        }
    }

    /// What `options` say, or a signal means; `None` where it is left open, which means: as it is.
    pub(super) fn said(options: &Options, origin: &Origin, rules: &Rules) -> Option<Self> {
        let then = match (&options.then, origin) {
            (Some(then), _) => then,
            (None, Origin::Signal { .. }) => &rules.then,
            (None, _) => return None,
        };
        Some(match then {
            Then::Restart => Self::Restart,
            Then::Stop => Self::Stop,
            Then::Run(name) => Self::Run(name.clone()),
            Then::Hold => Self::Hold,
        })
    }

    /// What follows a drain of `level` for which nothing else is said.
    pub(super) fn by_default(level: Level) -> Self {
        match level {
            Level::Soft => Self::HoldSoft,
            Level::Hard => Self::Hold,
        }
    }
}
