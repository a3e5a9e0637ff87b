//! The connections that are open to a server, over all cores: who may open one, and which idle ones close.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::broadcast;

use super::{Server, slots::add_within};

/// What the idle pools of all cores and generations are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdleOrder {
    /// Which server, by [`Server::identity`].
    pub server: usize,
    /// Close every idle connection, because the server drains or is down; else one, if there is a claim left: a request
    /// needs a connection and `maxconn` is reached.
    pub all: bool,
}

impl Server {
    /// Whether a connection that has answered may be kept idle. To be asked before it is parked; an order that
    /// comes in between is seen by the pool's watch.
    pub fn keeps_idle(&self) -> bool {
        let is_within = || self.limit(0).is_none_or(|limit| self.open() <= limit);
        self.operation().takes_new_users() && is_within()
    }

    /// What the idle pools of all cores follow.
    pub fn idle_orders(&self) -> broadcast::Receiver<IdleOrder> {
        self.lineage.idle_orders()
    }

    /// The right to close one idle connection for a request that waits; each claim gives it once, over all cores.
    pub(in crate::backend) fn take_claim(&self) -> bool {
        let claims = &self.state.claims;
        // Almost always there is none, which costs a load.
        claims.load(Ordering::SeqCst) > 0
            && claims.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// The right to open one connection, held as long as it is open. Waits, where the limit is reached by idle
    /// connections of other cores, until one of them has closed. The holder of a slot always gets one in the end,
    /// provided that everybody parks or closes a connection *before* the slot that it served is dropped.
    pub async fn connection(self: &Arc<Self>) -> OpenConnection {
        loop {
            let closed = self.state.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if let Some(open) = self.try_connection() {
                return open;
            }
            let _claim = Claim::of(self);
            self.lineage.order(IdleOrder { server: self.identity(), all: false });
            closed.await;
        }
    }

    /// As [`Server::connection`], but without waiting.
    pub fn try_connection(self: &Arc<Self>) -> Option<OpenConnection> {
        // A limit that has fallen below what is in flight keeps nobody who has a slot from being served.
        let limit = self.limit(0).map(|limit| limit.max(self.in_flight()));
        let highest = self
            .settings
            .maxconn
            .map_or(u32::MAX, |own| self.limits().maxconn.map_or(own, |now| now.max(own)).get());
        let limit = limit.map(|limit| limit.min(highest));
        add_within(&self.state.counters.open, limit)
            .then(|| OpenConnection { server: self.clone(), idle: false })
    }
}

/// An idle connection that a request waits to have closed; taken back if nobody has closed one for it.
struct Claim<'s>(&'s Server);

impl<'s> Claim<'s> {
    fn of(server: &'s Server) -> Self {
        server.state.claims.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for Claim<'_> {
    // It may have been another's that was taken: whoever waits still claims anew after each connection that closes.
    fn drop(&mut self) {
        self.0.take_claim();
    }
}

/// One open connection to a server. Dropped when the connection is closed.
#[derive(Debug)]
pub struct OpenConnection {
    server: Arc<Server>,
    idle: bool,
}

impl OpenConnection {
    /// Says that the connection now has, or no longer has, a request in flight.
    pub fn set_idle(&mut self, idle: bool) {
        if idle == self.idle {
            return;
        }
        self.idle = idle;
        if idle {
            self.server.state.counters.idle.fetch_add(1, Ordering::Relaxed);
        } else {
            self.server.state.counters.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The server at its other end.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.set_idle(false);
        self.server.state.counters.open.fetch_sub(1, Ordering::SeqCst);
        if self.server.limits().maxconn.is_some() {
            self.server.state.closed.notify_waiters();
        }
    }
}
