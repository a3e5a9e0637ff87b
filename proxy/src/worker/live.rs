//! What a worker waits for before it ends.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// What a worker still has to do.
#[derive(Debug, Default)]
pub(super) struct Live {
    connections: Cell<usize>,
    acceptors: Cell<usize>,
    fewer: Notify,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Connection,
    Acceptor,
}

impl Live {
    pub(super) fn count(this: &Rc<Self>, kind: Kind) -> Counted {
        let count = this.of(kind);
        count.set(count.get() + 1);
        Counted(this.clone(), kind)
    }

    pub(super) async fn ended(&self) {
        while self.connections.get() > 0 {
            self.fewer.notified().await;
        }
    }

    pub(super) async fn acceptors_ended(&self) {
        while self.acceptors.get() > 0 {
            self.fewer.notified().await;
        }
    }

    fn of(&self, kind: Kind) -> &Cell<usize> {
        match kind {
            Kind::Connection => &self.connections,
            Kind::Acceptor => &self.acceptors,
        }
    }
}

/// One thing that is still to be done.
#[derive(Debug)]
pub(super) struct Counted(Rc<Live>, Kind);

impl Drop for Counted {
    fn drop(&mut self) {
        let count = self.0.of(self.1);
        count.set(count.get() - 1);
        if count.get() == 0 {
            // Only `run` waits, and it looks again.
            self.0.fewer.notify_one();
        }
    }
}
