//! Balancers that are expected and that nobody hears.

use super::{Outside, Owner, journal};
use crate::clock::Moment;

impl<O: Outside> Owner<O> {
    /// Says once of each that nobody hears it, and that it asks.
    pub(super) fn look_for_expected(&mut self, now: Moment) {
        let Some(unheard) = self.core.table.unheard(now) else { return };
        if unheard == self.unheard {
            return;
        }
        for one in unheard.iter().filter(|one| !self.unheard.contains(one)) {
            journal::unheard(one);
        }
        for one in self.unheard.iter().filter(|was| unheard.iter().all(|one| one.name != was.name)) {
            journal::heard(one);
        }
        self.unheard = unheard;
        self.status_stale = true;
    }
}
