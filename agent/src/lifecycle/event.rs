//! What the machine is told and what it says.

use std::time::Duration;

use super::{Origin, Outcome, Request, Rules, Stage, Then, Verdict};
use crate::clock::Moment;

/// What the machine is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Somebody asks for something. Preceded by a [`Event::Seen`] of the same moment, for the guard.
    Asked {
        /// What.
        request: Request,
        /// Who.
        origin: Origin,
        /// The present moment for people, in seconds since 1970.
        unix: u64,
    },
    /// What is known of balancers and traffic. Comes whenever that changes and at each [`super::Machine::deadline`].
    Seen(View),
    /// A readiness probe has come back.
    Probed {
        /// When it began.
        began: Moment,
        /// Whether the server is ready.
        passed: bool,
    },
    /// No readiness probe has come back in time: until one does, this holds.
    NoVerdict {
        /// What was known when the agent last ran.
        last: Verdict,
    },
    /// The restart has ended, or what else was to follow zero.
    RestartEnded {
        /// How.
        result: Result<(), String>,
        /// How long it took; nothing where it has not begun.
        took: Option<Duration>,
    },
    /// The requests that warm the server up were made.
    WarmedUp {
        /// For which drain.
        drain: u64,
        /// Those that went wrong, and why, for people.
        failed: Vec<String>,
    },
    /// The configuration was reloaded.
    Reloaded(Rules),
    /// The drain can't be carried on: the agent gives it up. During a restart and until the server is back that is the
    /// one that was asked to follow.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// What is known of balancers and traffic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Whether the balancers act on the present announcement.
    pub acknowledged: Acknowledgement,
    /// Whether the other servers suffice.
    pub remaining: Remaining,
    /// Who uses the server.
    pub traffic: Traffic,
    /// A random delay for the case that the drain must be withdrawn now: servers that have announced in the same
    /// instant must not try again in the same instant.
    pub jitter: Duration,
    /// Another server of this host that is out, for people: the guard `exclusive`.
    pub others_out: Option<String>,
    /// Whoever asked for the drain, to run a command himself, has gone, and can't say how it ends.
    pub caller_gone: bool,
    /// The present moment by the wall clock, in seconds since 1970.
    pub unix: u64,
}

/// Whether the balancers act on the present announcement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Acknowledgement {
    /// Not all.
    Pending {
        /// Who is missing, for people.
        missing: String,
    },
    /// All that are known.
    Complete,
}

/// Whether the other servers suffice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remaining {
    /// They do, or nobody can tell.
    Enough,
    /// They do as far as can be seen, but one that goes at the same time can't be seen yet; for people.
    Unconfirmed(String),
    /// They do not; for people.
    TooFew(String),
}

/// Who uses the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Traffic {
    /// A source can't be read, or has not been read yet: that is never zero.
    Unknown(String),
    /// Somebody does; for people.
    Busy(String),
    /// Nobody did at the last two looks.
    Quiet {
        /// Since when nothing is known to have happened.
        since: Moment,
        /// When the look before the last took place: both found nothing in flight.
        previous: Moment,
        /// When the last look took place.
        last: Moment,
        /// Every balancer has reported zero as well, and a look that found nothing in flight lies so far before the
        /// last that hard needs no further silence: this look.
        empty: Option<Moment>,
        /// Since when all looks have found that nobody listens any more, and nobody is connected.
        abandoned: Option<Moment>,
    },
}

/// What the machine says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// The answer to [`Event::Asked`].
    pub said: Option<Said>,
    /// What has changed, in order.
    pub transitions: Vec<Transition>,
    /// Every balancer has acknowledged what is announced.
    pub acknowledged: bool,
    /// A restart is to begin now, for this drain.
    pub restart: Option<u64>,
    /// The server is to be warmed up now, for this drain.
    pub warm_up: Option<u64>,
    /// What begins now, here or where somebody has waited for it, cuts what is in flight.
    pub cuts: bool,
    /// Drains that have ended.
    pub ended: Vec<Ended>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// The answer to a request that was not refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// It is under way.
    Accepted {
        /// The drain, where there is one.
        drain: Option<u64>,
        /// For people.
        text: String,
    },
    /// It was so already.
    Already {
        /// The drain, where there is one.
        drain: Option<u64>,
        /// For people.
        text: String,
    },
}

/// One step along an edge of the diagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    /// From.
    pub from: Stage,
    /// To.
    pub to: Stage,
    /// Why.
    pub why: String,
    /// In which drain.
    pub drain: Option<u64>,
}

/// A drain has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The drain's id.
    pub id: u64,
    /// How.
    pub outcome: Outcome,
    /// The same for people.
    pub text: String,
    /// What was to follow zero; nothing where it was to hold in soft.
    pub then: Option<Then>,
    /// How long the restart took, its proof included, or what else was to follow; of several tries the last.
    pub restart_took: Option<Duration>,
}
