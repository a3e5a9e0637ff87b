//! Requests and their responses: from a client's connection to a server's and back.
//!
//! ```text
//! client ── next request? ──► head ──► slot ──► connection ──► relay ──► record ──┐
//!    ▲      (no buffer)      refused   queued    retried,      both ways           │
//!    └──────────────────────── keep-alive ◄───────────────────────────────────────┘
//! ```
//!
//! What holds here:
//! - an idle client connection holds no buffer, and no more memory than its task;
//! - a request is sent again only when no server can have executed it, or when that does no harm ([`retry`]); what is
//!   not idempotent, or does not lie in memory as a whole, never goes out on a connection that has served before, so
//!   that a server that closes an idle connection hurts nobody;
//! - a server's connection is parked or closed before its slot is given back, and serves on only when request and
//!   response have both been read to their end;
//! - a response that breaks off is broken off towards the client too, never ended as if it were whole.

mod answer;
mod attempt;
mod authentication;
mod buffer;
mod client;
mod connect;
mod ending;
mod pipe;
mod record;
mod relay;
mod request;
mod retry;
#[cfg(test)]
mod tests;
mod timer;

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{net::TcpStream, sync::Notify};

use self::buffer::Pool;
use crate::{
    backend::{Backend, idle::IdlePool},
    config,
};

pub use self::record::{Record, Sink};

/// What all connections of one frontend on one core have in common.
pub struct Core {
    frontend: config::Frontend,
    backend: Arc<Backend>,
    idle: Rc<IdlePool>,
    pool: Rc<Pool>,
    head_bytes: usize,
    sink: Option<Rc<dyn Sink>>,
    open: OpenCounts,
    stopping: Cell<bool>,
    stop: Notify,
}

/// Client connections that are open, over all cores.
#[derive(Clone, Debug, Default)]
pub struct OpenCounts {
    /// Of the process.
    pub process: Arc<AtomicU32>,
    /// Of the frontend.
    pub frontend: Arc<AtomicU32>,
}

impl Core {
    /// A core's share of a frontend; `sink` takes the records for the access log.
    pub fn new(
        frontend: config::Frontend,
        backend: Arc<Backend>,
        idle: Rc<IdlePool>,
        limits: &config::Limits,
        sink: Option<Rc<dyn Sink>>,
        open: OpenCounts,
    ) -> Rc<Self> {
        let head_bytes = limits.head_bytes;
        let pool = Pool::new(head_bytes);
        let (stopping, stop) = (Cell::new(false), Notify::new());
        Rc::new(Self { frontend, backend, idle, pool, head_bytes, sink, open, stopping, stop })
    }

    /// Soft stop: idle client connections close now, the others after the response that is under way.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_waiters();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}

/// Serves a client's connection until it is over; a task of the core that accepted it. The socket should send at once
/// (`TCP_NODELAY`).
pub async fn serve(core: Rc<Core>, stream: TcpStream, client: SocketAddr) {
    let _open = Opened::new(&core.open);
    client::serve(&core, stream, client).await;
}

/// Counts a connection as long as it is open.
struct Opened(OpenCounts);

impl Opened {
    fn new(counts: &OpenCounts) -> Self {
        counts.process.fetch_add(1, Ordering::Relaxed);
        counts.frontend.fetch_add(1, Ordering::Relaxed);
        Self(counts.clone())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.process.fetch_sub(1, Ordering::Relaxed);
        self.0.frontend.fetch_sub(1, Ordering::Relaxed);
    }
}
