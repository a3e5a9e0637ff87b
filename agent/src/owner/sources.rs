//! What is read of the sources of traffic.

use super::{Outside, Owner, journal};
use crate::{
    clock::Moment,
    lifecycle::{Stage, Verdict},
    traffic::{Reading, sources::News},
};

impl<O: Outside> Owner<O> {
    /// Takes what a look that began `at` has found.
    pub(super) async fn looked_at(&mut self, at: Moment, reading: Result<Reading, String>) {
        self.errands.looking = false;
        self.hear();
        // Not yet known is not dead.
        let alive = self.core.machine.server() != Verdict::NotReady;
        let reading = reading.and_then(|reading| reading.of_server(alive));
        let now = self.outside.now();
        let sessions = self.core.table.sessions(now);
        let soft = self.core.machine.course().stage() == Stage::Soft;
        if reading.as_ref().is_ok_and(|reading| reading.in_flight() + reading.idle() == 0) {
            self.core.table.nothing_open();
        }
        self.status_stale = true;
        self.account_for_look(at, &reading, now);
        let news = self.sources.look(at, reading, sessions, soft);
        self.see().await;
        self.tell(news, now);
        if !self.curious.is_empty() {
            self.publish_status(now);
            for looked in self.curious.drain(..) {
                // Who does not wait any more has the status as it was.
                let _ = looked.send(());
            }
        }
    }

    /// Says at once that a source can't be read any more, or can be again.
    fn tell(&mut self, news: Option<News>, now: Moment) {
        let Some(news) = news else { return };
        journal::source(&news, self.core.machine.needed_quiet().is_some());
        self.publish_status(now);
    }
}
