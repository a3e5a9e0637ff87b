//! The agent's own connections to the server's unix sockets, which are no traffic.

use std::{
    collections::HashSet,
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::fstat;

/// The inodes of the agent's own ends. The kernel gives each to one open socket at a time.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct OwnEnds(Arc<Mutex<HashSet<u32>>>);

impl OwnEnds {
    /// Enters the agent's end of a connection, before it is connected, until the entry is dropped. Drop it before the
    /// socket: the inode may be somebody else's at once.
    pub(in super::super) fn enter(&self, end: impl AsFd) -> io::Result<UnixEntry> {
        // The kernel keeps no more than 32 bits of it for sockets.
        let inode = fstat(end)?.st_ino as u32;
        self.inodes().insert(inode);
        Ok(UnixEntry { own: self.clone(), inode })
    }

    pub(in super::super) fn holds(&self, inode: u32) -> bool {
        inode != 0 && self.inodes().contains(&inode)
    }

    fn inodes(&self) -> MutexGuard<'_, HashSet<u32>> {
        // Each change is one call, so they are whole even if a thread has died.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of the agent's own; it ends with this value.
#[derive(Debug)]
#[must_use = "the connection counts as the agent's own only as long as the entry lives"]
pub struct UnixEntry {
    own: OwnEnds,
    inode: u32,
}

impl Drop for UnixEntry {
    fn drop(&mut self) {
        self.own.inodes().remove(&self.inode);
    }
}
