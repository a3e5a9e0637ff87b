//! What is written down of one drain.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Cut, LeftOpen};
use crate::{
    balancers::Standing,
    control::api::{Origin, Outcome, Target, Then},
    lifecycle::{Level, Stage},
};

/// One drain, from its request to the return of the users. All `at` are seconds since it was asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub drain: u64,
    /// The server's name.
    pub server: String,
    /// When it was asked, in seconds since 1970.
    pub asked_unix: u64,
    /// What was asked.
    pub what: Target,
    /// What was to follow zero; nothing where a soft drain holds in soft.
    pub then: Option<Then>,
    /// Who asked.
    pub origin: Origin,
    /// Why, as they said.
    pub reason: Option<String>,
    /// What the one who asked has run himself while it held.
    #[serde(default)]
    pub command: Option<String>,
    /// How it ended; nothing while it is under way.
    pub outcome: Option<Outcome>,
    /// The same for people; while it is under way, why it stands where it stands.
    pub text: String,
    /// When it ended.
    pub ended_at: Option<f64>,
    /// Its way through the life cycle.
    pub steps: Vec<Step>,
    /// Who has acknowledged what, and when.
    pub acknowledgements: Vec<Acknowledgement>,
    /// Who used the server over time, thinned out to at most [`super::SAMPLES`].
    pub traffic: Vec<Sample>,
    /// What was cut at a limit; nothing where the traffic was quiet.
    pub cut: Option<Cut>,
    /// What was not waited for, and still open when what was to follow began; nothing where nothing was.
    #[serde(default)]
    pub left_open: Option<LeftOpen>,
    /// The restarts that were tried; or what else was to follow zero, and what was run while it held.
    pub restarts: Vec<Try>,
    /// When the server was ready again.
    pub ready_at: Option<f64>,
    /// When users were seen again; nothing where none came in the minute after the end.
    pub users_back_at: Option<f64>,
    /// How often the agent was restarted meanwhile.
    pub agent_restarts: u32,
}

/// One step of a drain along the life cycle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: f64,
    /// From.
    pub from: Stage,
    /// To.
    pub to: Stage,
    /// Why.
    pub why: String,
}

/// A balancer has shown that it acts on what is announced, or is taken for doing so.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When.
    pub at: f64,
    /// What.
    pub level: Level,
    /// Where its checks come from.
    pub source: IpAddr,
    /// What it calls itself.
    pub node: Option<String>,
    /// What it calls this server.
    pub name: Option<String>,
    /// How it is known.
    pub how: Standing,
}

/// Who used the server at one moment. Unknown is never zero.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: f64,
    /// Requests that were not finished.
    pub in_flight: Option<u32>,
    /// Open connections without one.
    pub idle: Option<u32>,
    /// Users, as the balancers say; nothing where none says so.
    pub users: Option<u32>,
}

/// One try to restart the server, or to do what else was to follow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    pub at: f64,
    /// How long it took.
    pub seconds: f64,
    /// What went wrong; nothing where it went well.
    pub failure: Option<String>,
    /// The end of what it wrote.
    pub output: Option<String>,
}

impl Record {
    /// The same without what makes it long.
    #[must_use]
    pub fn brief(&self) -> Self {
        let restarts = self.restarts.iter().map(|one| Try { output: None, ..one.clone() }).collect();
        Self { traffic: Vec::new(), restarts, ..self.clone() }
    }

    /// Whether both tell of the same drain: ids begin anew where the state file was lost.
    pub fn is_same(&self, other: &Self) -> bool {
        self.drain == other.drain && self.asked_unix == other.asked_unix
    }

    /// It has stopped the server, and holds it out for that.
    pub fn is_stopped(&self) -> bool {
        let last = self.steps.last().map(|step| (step.from, step.to));
        self.outcome.is_none() && last == Some((Stage::Restarting, Stage::Hard))
    }

    /// When it entered `stage` first.
    pub fn entered(&self, stage: Stage) -> Option<f64> {
        self.steps.iter().find(|step| step.to == stage).map(|step| step.at)
    }
}
