//! `[drain]`: how long each phase of a drain lasts, and when it may act.

use std::{num::NonZeroU32, time::Duration};

/// How long each phase of a drain lasts, and when it may act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drain {
    /// Until every balancer has taken notice.
    pub acknowledge: Acknowledge,
    /// The soft phase.
    pub soft: Soft,
    /// The hard phase.
    pub hard: Hard,
    /// So many answers acknowledge a drain for a balancer that sends no state header: its own `fall`.
    pub fall: NonZeroU32,
    /// What must remain of the others' weight.
    pub min_remaining: MinRemaining,
    /// What an open connection without a request in flight means.
    pub long_lived: LongLived,
}

/// The limit of the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledge {
    /// How long it may take, from the announcement.
    pub limit: Duration,
    /// What follows the limit.
    pub at_limit: AtAcknowledgeLimit,
}

/// What follows when not every balancer has acknowledged in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtAcknowledgeLimit {
    /// Back to up: nobody has listened, so nobody is protected.
    Abort,
    /// On, as if all had acknowledged.
    Proceed,
}

/// The soft phase; its times run from the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Soft {
    /// Nothing in flight and no new request for so long ends it; at most `limit`.
    pub quiet: Duration,
    /// The longest that it may last; then it becomes hard.
    pub limit: Duration,
}

/// The hard phase; its times run from the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hard {
    /// Nothing in flight and no new request for so long ends it; at most `limit`.
    pub quiet: Duration,
    /// Whether `quiet` is not the user's own number but the default: then balancers that all report zero
    /// sessions may end the phase earlier.
    pub quiet_is_default: bool,
    /// The longest that it may last.
    pub limit: Duration,
    /// What follows the limit.
    pub at_limit: AtHardLimit,
}

/// What follows when a hard drain has not become quiet in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtHardLimit {
    /// Restart, and cut what is left.
    Restart,
    /// Back to up.
    Abort,
}

/// What must remain of a balancer's weight without this server, before it may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MinRemaining {
    /// So much weight; 0 switches the guard off.
    Weight(u32),
    /// So much of the weight that the balancer had with this server, in per cent (0 to 100).
    Percent(u8),
}

/// What an open connection without a request in flight means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LongLived {
    /// Nothing, once it has been silent for `quiet`.
    Quiet,
    /// It holds the drain until it closes or the limit comes.
    Wait,
}
