//! The owner's ear: the health checks that were answered, whatever else it waits for.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{pin, time::timeout};
use tracing::info;

use super::{Outside, Owner};
use crate::{health::Check, lifecycle::Stage};

/// Checks taken at once: so many are merged into one step.
pub(super) const CHECKS_AT_ONCE: usize = 256;
/// An owner that has heard nothing for longer was stopped, and may have missed checks: it hears twice as often, whatever
/// else keeps it busy.
pub(super) const STALL: Duration = Duration::from_secs(1);

impl<O: Outside> Owner<O> {
    /// Whether a check is to wake the owner: it may acknowledge. In use none does, and it is heard with whatever comes
    /// next, after half a [`STALL`] at the latest.
    pub(super) fn awaits_checks(&self) -> bool {
        !matches!(self.core.machine.course().stage(), Stage::Up | Stage::Failed)
    }

    /// Hears all checks that were answered until now, so that nobody is silent who has only not been heard.
    pub(super) fn hear(&mut self) {
        let now = self.outside.now();
        let waiting = self.inlets.checks.len();
        let full = waiting == self.inlets.checks.max_capacity();
        if full || now.since(self.heard) > STALL {
            Arc::make_mut(&mut self.core.table).missed(now);
        }
        self.heard = now;
        let mut checks = Vec::with_capacity(waiting);
        while checks.len() < waiting
            && let Ok(check) = self.inlets.checks.try_recv()
        {
            checks.push(check);
        }
        self.checked(&mut checks);
        self.records.stale |= self.ledger.has_news(self.says_drain());
    }

    pub(super) fn checked(&mut self, checks: &mut Vec<Check>) {
        if checks.is_empty() {
            return;
        }
        let unix = self.outside.unix();
        let table = Arc::make_mut(&mut self.core.table);
        for check in checks.drain(..) {
            self.counters.answered(check.source.ip().to_canonical(), check.status);
            if table.observe(&check, unix) {
                info!(source = %check.source.ip(), state = check.state.as_deref(), "a new balancer asks");
                self.records.stale = true;
            }
        }
        self.status_stale = true;
    }

    /// What `work` comes to. Meanwhile checks are heard: a disk that is slow, or a host with many processes, makes nobody
    /// silent.
    pub(super) async fn hearing<T>(&mut self, work: impl Future<Output = T>) -> T {
        pin!(work);
        loop {
            match timeout(STALL / 2, &mut work).await {
                Ok(done) => return done,
                Err(_still) => {
                    self.pulse.beat();
                    self.hear();
                }
            }
        }
    }
}
