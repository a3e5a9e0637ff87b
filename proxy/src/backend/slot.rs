//! The right to send one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Backend, Server};

/// The right to send one request to one server; counted as in flight until it is dropped.
#[derive(Debug)]
pub struct Slot {
    backend: Arc<Backend>,
    index: usize,
    /// The request goes there whatever becomes of the server.
    is_forced: bool,
}

impl Slot {
    pub(super) fn new(backend: Arc<Backend>, index: usize, is_forced: bool) -> Self {
        Self { backend, index, is_forced }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.backend.servers[self.index]
    }

    /// Whether the request goes there whatever becomes of the server.
    pub fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// Whether the request may still be sent to the server: its user, who is `pinned` to it or not, has stayed welcome.
    pub fn stays(&self, pinned: bool) -> bool {
        self.is_forced || self.backend.still_takes(self.index, pinned)
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.backend.counts_active {
            self.backend.lineage.active().fetch_sub(1, Ordering::Relaxed);
        }
        self.backend.release(self.index);
    }
}
