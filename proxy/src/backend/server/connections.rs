//! The connections that are open to a server, over all cores: who may open one, and which idle ones close.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::timeout;

use super::{JointLimit, Server, slots::add_within};

/// How often one who waits looks whether another process has closed a connection, of which nobody is told: short beside
/// what a user notices, and no load, as it lasts no longer than an upgrade.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the idle pools of all cores and generations are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdleOrder {
    /// Which server, by [`Server::identity`].
    pub server: usize,
    /// Close every idle connection, because the server drains or is down, but while it drains softly those that a pinned
    /// user has authenticated; else one, if there is a claim left: a request
    /// needs a connection and `maxconn` is reached.
    pub all: bool,
}

impl Server {
    /// Whether a connection that has answered may be kept idle. To be asked before it is parked; an order that
    /// comes in between is seen by the pool's watch.
    pub fn keeps_idle(&self) -> bool {
        let is_within = || self.limit(0).is_none_or(|limit| self.open() <= limit);
        self.operation().takes_new_users() && is_within() && !self.is_wanted_elsewhere()
    }

    /// Whether another process keeps to its limit, too.
    pub fn has_joint_limit(&self) -> bool {
        self.state.joint.is_there()
    }

    /// Whether another process may wait for a connection of this one to close.
    pub fn is_wanted_elsewhere(&self) -> bool {
        self.state.joint.is_reached()
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
    /// provided that everybody parks or closes a connection *before* the slot that it served is dropped. `None`: it no
    /// longer `stays`, at which each look looks, too.
    pub async fn connection(self: &Arc<Self>, stays: impl Fn() -> bool) -> Option<OpenConnection> {
        let _waiting = Waiting::of(self);
        loop {
            let closed = self.state.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if let Some(open) = self.try_connection() {
                return Some(open);
            }
            // All its idle connections close when it leaves, or another process has them and it looks by itself.
            if !stays() {
                return None;
            }
            let _claim = Claim::of(self);
            self.lineage.order(IdleOrder { server: self.identity(), all: false });
            if self.state.joint.is_there() {
                // Both outcomes are a reason to look again.
                let _ = timeout(LOOK_EVERY, closed).await;
            } else {
                closed.await;
            }
        }
    }

    /// As [`Server::connection`], but without waiting.
    pub fn try_connection(self: &Arc<Self>) -> Option<OpenConnection> {
        // A limit that has fallen below what is in flight keeps nobody who has a slot from being served.
        let limit = self.limit(0).map(|limit| limit.max(self.in_flight()));
        let limit = limit.map(|limit| limit.min(self.highest().unwrap_or(u32::MAX)));
        let open = &self.state.counters.open;
        let is_open = self.state.joint.open(
            || add_within(open, limit),
            || {
                open.fetch_sub(1, Ordering::SeqCst);
            },
        );
        is_open.then(|| OpenConnection { server: self.clone(), idle: false })
    }

    /// Has another process, which takes over, keep to the limit together with this one; `None`: there is none.
    pub fn join_limit(&self) -> Option<io::Result<JointLimit>> {
        let most = self.highest()?;
        Some(self.state.joint.begin(|| most.saturating_sub(self.open())))
    }

    /// Keeps to a limit together with the process that has made it; `None`: with nobody any more.
    pub fn keep_joint_limit(&self, limit: Option<JointLimit>) {
        self.state.joint.set(limit);
        self.state.closed.notify_waiters();
    }

    /// The most connections that it ever has, whatever is asked for it.
    fn highest(&self) -> Option<u32> {
        let own = self.settings.maxconn?;
        Some(self.limits().maxconn.map_or(own, |now| now.max(own)).get())
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

/// Somebody who waits for a connection to close; counted, so that whoever closes one rings for nobody else.
struct Waiting<'s>(&'s Server);

impl<'s> Waiting<'s> {
    fn of(server: &'s Server) -> Self {
        server.state.waiting.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.waiting.fetch_sub(1, Ordering::SeqCst);
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
        let state = &self.server.state;
        state.joint.close(|| {
            state.counters.open.fetch_sub(1, Ordering::SeqCst);
        });
        // Not for this configuration's limit: who waits may do so by another's.
        if state.waiting.load(Ordering::SeqCst) > 0 {
            state.closed.notify_waiters();
        }
    }
}
