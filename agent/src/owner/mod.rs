//! The owner of the life cycle: the one task that feeds the machine and carries out what it says.
//!
//! ```text
//!   checks (health) ─┐                                    ┌─► state file, before anything else
//!   asks (control) ──┤        ┌──────────┐  effects       ├─► answer (watch) ─► health endpoint
//!   signals ─────────┼─ event │ machine  │ ──────────────►├─► status (watch) ─► control socket
//!   looks, probes ───┤ ──────►│ balancers│                ├─► log
//!   restart's end ───┤        │ quiet    │                └─► restart, looks, probes (tasks that report back)
//!   time ────────────┘        └──────────┘
//! ```
//!
//! What takes long runs in tasks that report back. What changes an answer is written to the state file first, so that no
//! drain is forgotten by a crash; while the owner waits for the disk, it still hears who asks.

mod account;
mod alone;
mod begin;
mod caller;
mod effects;
mod errands;
mod expected;
mod hearing;
mod journal;
mod left;
mod outside;
mod probed;
mod progress;
mod records;
mod reload;
mod schedule;
mod sources;
mod status;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use outside::{Outside, Real, Restarted, Unready};
pub use progress::Progress;
pub use task::Owner;

use crate::{
    control::{Ask, api::Status},
    faults::Present,
    health::{Answer, Check},
    signals::Signal,
};

/// What comes to the owner.
#[derive(Debug)]
pub struct Inlets {
    /// Health checks that were answered.
    pub checks: mpsc::Receiver<Check>,
    /// What people ask.
    pub asks: mpsc::Receiver<Ask>,
    /// Who wants the status to show a fresh look at the traffic, and is told when it does.
    pub looks: mpsc::Receiver<oneshot::Sender<()>>,
    /// Signals.
    pub signals: mpsc::Receiver<Signal>,
    /// What the agent does without.
    pub faults: watch::Receiver<Present>,
}

/// What the owner publishes.
#[derive(Debug)]
pub struct Outlets {
    /// What health checks are answered.
    pub answer: watch::Sender<Option<Answer>>,
    /// What can be seen.
    pub status: watch::Sender<Arc<Status>>,
}
