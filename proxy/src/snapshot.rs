//! The last message of each proxy that was no HTTP, for whoever looks for the reason (HAProxy: `show errors`).

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// How many have been taken, of all proxies.
pub fn taken() -> u32 {
    TAKEN.load(Ordering::Relaxed)
}

/// A message, as it came.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: SystemTime,
    /// The frontend's name.
    pub frontend: Arc<str>,
    /// The backend's name and the server's, with its place, where one has sent it.
    pub server: Option<(Arc<str>, Arc<str>, usize)>,
    /// The client.
    pub client: SocketAddr,
    /// What had come of it.
    pub bytes: Box<[u8]>,
    /// How much there was room for.
    pub room: usize,
    /// Where it ceases to be HTTP.
    pub fault: usize,
}

/// The last one.
#[derive(Debug, Default)]
pub struct Last(Mutex<Option<(u32, Arc<Snapshot>)>>);

impl Last {
    /// Keeps this one instead of the one before.
    pub fn keep(&self, snapshot: Snapshot) {
        let event = TAKEN.fetch_add(1, Ordering::Relaxed);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((event, Arc::new(snapshot)));
    }

    /// It, and how many were taken before it.
    pub fn get(&self) -> Option<(u32, Arc<Snapshot>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
