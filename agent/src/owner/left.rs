//! What is left on the server when what was to follow zero begins, as it is told in the report and in the log.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Outside, Owner, journal, task::Core};
use crate::{
    lifecycle::{Effects, Stage},
    traffic::sockets::Left,
};

/// How long what cuts waits to be told what: with 100,000 connections a look takes 200 ms.
const AT_THE_LIMIT: Duration = Duration::from_millis(500);

/// How long what follows quiet waits to be told whose connections stay open: it shall begin within 50 ms, and a look at
/// 1,000 takes 2 to 8 ms. How many they are is known from the look before.
const AT_QUIET: Duration = Duration::from_millis(10);

impl<O: Outside> Owner<O> {
    /// Whether something begins now, here or where somebody has waited for it, that ends what is left on the server.
    /// `before` is what was before.
    pub(super) fn begins(&self, before: &Core, effects: &Effects) -> bool {
        let reaches = self.core.machine.reached() && !before.machine.reached();
        let is_hard = |core: &Core| core.machine.course().stage() == Stage::Hard;
        is_hard(before) && (effects.restart.is_some() || (reaches && is_hard(&self.core)))
    }

    /// Looks what is left, in time or not at all: what is cut is cut because its time is over.
    pub(super) async fn note_left(&mut self, drain: u64, cuts: bool) {
        if !cuts && !self.sources.any_open() {
            // What was open when it was only to hold is not any more.
            self.history.recorder().left_open(drain, None);
            return;
        }
        let patience = if cuts { AT_THE_LIMIT } else { AT_QUIET };
        let outside = Arc::clone(&self.outside);
        let look = async move { timeout(patience, outside.left()).await };
        let left = self.hearing(Box::pin(look)).await;
        let left = left.unwrap_or_else(|_late| Err(format!("the look took longer than {patience:?}")));
        let server = self.core.machine.server();
        let left = left.and_then(|left| Ok(Left { reading: left.reading.of_server(server)?, ..left }));
        let now = self.outside.now();
        if cuts {
            let cut = self.sources.cut(now, &left);
            self.counters.cut(cut.in_flight.unwrap_or(0));
            self.history.recorder().cut(drain, now, cut);
        }
        // What a hold has waited for until its limit was waited for, whoever cuts it now.
        let waited = cuts || self.core.machine.limit_passed().is_some();
        let open = self.sources.left_open(&left, waited);
        if let Some(open) = &open {
            journal::left_open(drain, open, self.config.drain.long_lived);
        }
        self.history.recorder().left_open(drain, open);
        self.records.stale = true;
    }
}
