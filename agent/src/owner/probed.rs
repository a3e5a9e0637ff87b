//! What the readiness probe has found.

use super::{Outside, Owner, Unready, journal};
use crate::{clock::Moment, lifecycle::Event, metrics::Failed};

impl<O: Outside> Owner<O> {
    /// Takes what the probe that `began` then has found.
    ///
    /// Of a server that could not be asked nothing was learned: what was known before holds, and it neither passes nor
    /// fails.
    pub(super) async fn probed(&mut self, began: Moment, result: Result<(), Unready>) {
        self.errands.probing = false;
        self.status_stale = true;
        let before = self.unasked.take();
        let passed = match result {
            Err(Unready::Unknown(why)) => {
                self.counters.failed(Failed::Unasked);
                if before.as_ref() != Some(&why) {
                    journal::unasked(&why);
                }
                self.unasked = Some(why);
                return;
            }
            Err(Unready::Not(why)) => {
                self.counters.failed(Failed::Probe);
                self.found = why;
                false
            }
            Ok(()) => {
                "ready".clone_into(&mut self.found);
                true
            }
        };
        if before.is_some() {
            journal::asked_again();
        }
        let before = (self.core.machine.server(), self.core.machine.course().stage());
        let _ = self.step(Event::Probed { began, passed }).await;
        if self.core.machine.server() != before.0 {
            journal::verdict(self.core.machine.server(), before.1, &self.found);
        }
    }

    /// What is told as long as the server can't be asked.
    pub(super) fn readiness_unknown(&self) -> Option<String> {
        let why = self.unasked.as_ref()?;
        Some(format!("whether the server is ready is not known, and what was known last holds: {why}"))
    }
}
