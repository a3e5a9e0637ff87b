//! The axis of what was asked: how far the request has been carried out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Drain, Level};
use crate::clock::Moment;

/// How far what was asked has been carried out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Nothing is asked.
    #[default]
    Up,
    /// A drain is withdrawn for now, because too few others remain.
    Waiting {
        /// The drain.
        drain: Drain,
        /// When it is tried again.
        retry: Moment,
        /// Why it was withdrawn.
        why: String,
    },
    /// No new users.
    Soft(Out),
    /// Nobody.
    Hard(Out),
    /// The server is being restarted.
    Restarting(Back),
    /// The server was restarted, by the agent or by somebody else, and must become ready.
    Warming(Back),
    /// It was restarted in vain.
    Failed {
        /// What went wrong.
        why: String,
    },
}

/// A drain on its way to zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Out {
    /// The drain.
    pub drain: Drain,
    /// When the present answer was announced.
    pub announced: Moment,
    /// When every balancer had acknowledged it.
    pub acknowledged: Option<Moment>,
    /// It holds in hard, and has come as far as it goes: whoever waits for that may act on the server from now on.
    #[serde(default)]
    pub reached: bool,
    /// It holds in hard, and was not quiet when its limit had passed: what stood against that, for people.
    #[serde(default)]
    pub limit_passed: Option<String>,
    /// Why this phase was entered.
    pub why: String,
}

/// A drain that has passed zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Back {
    /// The drain.
    pub drain: Drain,
    /// When this phase began.
    pub since: Moment,
    /// One further drain, asked meanwhile.
    pub next: Option<Drain>,
    /// Why this phase was entered.
    pub why: String,
    /// How many restarts have failed.
    #[serde(default)]
    pub failed: u32,
    /// The last one has failed, and the next is tried at this moment.
    #[serde(default)]
    pub retry: Option<Moment>,
    /// How far the server is warmed up.
    #[serde(default)]
    pub warm_up: WarmUp,
}

/// How far a server that is ready again is warmed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmUp {
    /// Not yet.
    #[default]
    Due,
    /// The requests are under way since then.
    Since(Moment),
    /// They were made, or given up, then.
    Over(Moment),
}

/// A [`Course`] without its particulars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nothing is asked.
    Up,
    /// Withdrawn for now.
    Waiting,
    /// No new users.
    Soft,
    /// Nobody.
    Hard,
    /// Is being restarted.
    Restarting,
    /// Must become ready.
    Warming,
    /// Restarted in vain.
    Failed,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Waiting => "waiting",
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Restarting => "restarting",
            Self::Warming => "warming",
            Self::Failed => "failed",
        })
    }
}

impl Course {
    /// The stage.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Up => Stage::Up,
            Self::Waiting { .. } => Stage::Waiting,
            Self::Soft(_) => Stage::Soft,
            Self::Hard(_) => Stage::Hard,
            Self::Restarting(_) => Stage::Restarting,
            Self::Warming(_) => Stage::Warming,
            Self::Failed { .. } => Stage::Failed,
        }
    }

    /// The drain that is under way.
    pub fn drain(&self) -> Option<&Drain> {
        match self {
            Self::Up | Self::Failed { .. } => None,
            Self::Waiting { drain, .. } => Some(drain),
            Self::Soft(out) | Self::Hard(out) => Some(&out.drain),
            Self::Restarting(back) | Self::Warming(back) => Some(&back.drain),
        }
    }

    /// The drain that was asked to follow it.
    pub fn next(&self) -> Option<&Drain> {
        match self {
            Self::Restarting(back) | Self::Warming(back) => back.next.as_ref(),
            _ => None,
        }
    }

    /// Why this stage was entered; empty where nothing is asked.
    pub fn why(&self) -> &str {
        match self {
            Self::Up => "",
            Self::Waiting { why, .. } | Self::Failed { why } => why,
            Self::Soft(out) | Self::Hard(out) => &out.why,
            Self::Restarting(back) | Self::Warming(back) => &back.why,
        }
    }

    /// Whether the agent's command is at work at this moment, or its proof is awaited.
    pub fn is_replacing(&self) -> bool {
        matches!(self, Self::Restarting(Back { retry: None, .. }))
    }

    /// A drain of `level`, announced `now`.
    pub(super) fn announced(drain: Drain, level: Level, now: Moment, why: String) -> Self {
        let out = Out { drain, announced: now, acknowledged: None, reached: false, limit_passed: None, why };
        match level {
            Level::Soft => Self::Soft(out),
            Level::Hard => Self::Hard(out),
        }
    }
}

impl Out {
    /// A drain that holds from now on, and that nobody has to acknowledge.
    pub(super) fn held(drain: Drain, now: Moment, why: String) -> Self {
        Self { drain, announced: now, acknowledged: Some(now), reached: false, limit_passed: None, why }
    }
}

impl Back {
    /// What has passed zero now.
    pub(super) fn new(drain: Drain, now: Moment, why: String) -> Self {
        Self { drain, since: now, next: None, why, failed: 0, retry: None, warm_up: WarmUp::Due }
    }

    /// Since when it must become ready: a server that goes while it is warmed up gets its time again.
    pub(super) fn ready_from(&self) -> Moment {
        match self.warm_up {
            WarmUp::Due => self.since,
            WarmUp::Since(at) | WarmUp::Over(at) => at,
        }
    }
}
