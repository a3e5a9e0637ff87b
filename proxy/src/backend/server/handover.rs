//! What one process hands on of a server to the next, and what it still has of it after that.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Administration, Asked, Operation, Server, Standing};

/// What another process has of a server, from which this one took over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Elsewhere {
    /// Requests in flight.
    pub in_flight: u32,
    /// Idle connections.
    pub idle: u32,
    /// Requests that wait for this very server.
    pub queued: u32,
}

/// What another process knew of a server.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    /// What its checks said.
    pub checks: Operation,
    /// It was on its way out on purpose.
    pub draining: bool,
    /// Its weight.
    pub weight: u16,
    /// What its agent had asked for it.
    pub asked: Asked,
    /// What an operator had ordered for it.
    pub ordered: Administration,
    /// The `maxconn` that was asked for it.
    pub maxconn: Option<u32>,
    /// How long ago its slow start began, while that lasted.
    pub up_for: Option<Duration>,
}

impl Server {
    /// Goes on from what another process knew. Before anybody else sees it.
    pub fn resume(&self, before: Resumed) {
        let standing = Standing { checks: before.checks, asked: before.asked, ordered: before.ordered };
        self.state.standing.store(standing.packed(), Ordering::Relaxed);
        self.state.draining.store(before.draining, Ordering::Relaxed);
        self.set_weight(before.weight);
        self.set_maxconn(before.maxconn);
        if let Some(elapsed) = before.up_for.filter(|_| standing.operation().takes_new_users()) {
            self.state.warmth.resume(elapsed, self.settings.slowstart);
        }
    }

    /// What an earlier process still has of it.
    pub fn elsewhere(&self) -> Elsewhere {
        let [in_flight, idle, queued] = [0, 1, 2].map(|at| self.state.elsewhere[at].load(Ordering::Relaxed));
        Elsewhere { in_flight, idle, queued }
    }

    /// Notes what an earlier process still has of it; its backend is to add that up.
    pub fn note_elsewhere(&self, has: Elsewhere) {
        for (at, count) in [has.in_flight, has.idle, has.queued].into_iter().enumerate() {
            self.state.elsewhere[at].store(count, Ordering::Relaxed);
        }
    }
}
