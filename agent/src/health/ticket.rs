//! A connection's place among those whose request is not answered.

use std::{
    mem,
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::Ordering},
};

use super::accept::Shared;

/// A connection's place in the tables; given back when it is dropped.
pub(super) struct Ticket {
    id: u64,
    /// It counts among those that have sent something and were not answered.
    begun: bool,
    pub(super) shared: Arc<Shared>,
}

impl Ticket {
    /// That of a connection which has not sent anything.
    pub(super) const fn new(id: u64, shared: Arc<Shared>) -> Self {
        Self { id, begun: false, shared }
    }

    /// Something has come.
    pub(super) fn begun(&mut self) {
        if !self.begun {
            self.begun = true;
            self.shared.begun.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The answer is sent: from now on the connection counts among those.
    pub(super) fn answered(mut self, source: SocketAddr, stream: TcpStream) {
        self.settle();
        self.shared.keep(self.id, source, stream);
    }

    fn settle(&mut self) {
        if mem::take(&mut self.begun) {
            self.shared.begun.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle();
        self.shared.release(self.id);
    }
}
