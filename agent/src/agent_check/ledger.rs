//! The debts, shared by who speaks and who writes them down.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Debts;

/// The debts, for the health endpoint, which makes and pays them, and for the owner, which writes them down.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Debts>>);

impl Ledger {
    /// A ledger that begins with these.
    pub fn new(debts: Debts) -> Self {
        Self(Arc::new(Mutex::new(debts)))
    }

    /// These, who speak the protocol, will be told `drain`. To be called before that is written down.
    pub fn announce(&self, sources: impl IntoIterator<Item = IpAddr>) {
        self.debts().announce(sources);
    }

    /// Nobody will be told `drain` any more who was not yet: the drain is over, or refused.
    pub fn settle(&self) {
        self.debts().settle();
    }

    /// What is to be written down now; `open`: who asks for the first time may be told `drain`, before that is written
    /// down.
    pub fn taken_down(&self, open: bool) -> Debts {
        self.debts().taken_down(open)
    }

    /// Whether something has changed since.
    pub fn has_news(&self, open: bool) -> bool {
        self.debts().has_news(open)
    }

    pub(super) fn debts(&self) -> MutexGuard<'_, Debts> {
        // Each change is one call: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
