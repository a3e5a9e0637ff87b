//! What a worker waits for before it ends.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// What a worker still has to do.
#[derive(Debug, Default)]
pub(super) struct Live {
    connections: Cell<usize>,
    none: Notify,
}

impl Live {
    /// One more connection.
    pub(super) fn count(this: &Rc<Self>) -> Counted {
        this.connections.set(this.connections.get() + 1);
        Counted(this.clone())
    }

    pub(super) async fn ended(&self) {
        while self.connections.get() > 0 {
            self.none.notified().await;
        }
    }
}

/// One connection that is still to be served.
#[derive(Debug)]
pub(super) struct Counted(Rc<Live>);

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.connections.get() - 1;
        self.0.connections.set(left);
        if left == 0 {
            // Only `run` waits, and it looks again.
            self.0.none.notify_one();
        }
    }
}
