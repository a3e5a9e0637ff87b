//! A limit on a server's connections that two processes keep together, while one takes over from the other.
//!
//! The kernel counts how many more connections may be opened (`eventfd(2)` with `EFD_SEMAPHORE`). Whoever opens one, in
//! whichever process, takes one of that number, and gives it back when the connection is closed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{read, write};

/// How many more connections to a server may be opened, by all processes that hold it.
#[derive(Clone, Debug)]
pub struct JointLimit(Arc<OwnedFd>);

impl JointLimit {
    /// So many more.
    pub(crate) fn new(left: u32) -> io::Result<Self> {
        let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Self::of(eventfd(left, flags)?))
    }

    /// The one that another process has made.
    pub(crate) fn of(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&self) -> bool {
        read(&self.0, &mut [0; 8]).is_ok()
    }

    /// Gives one back.
    fn give(&self) {
        // The number is far below the 2^64 - 2 that it may be, beyond which alone this fails.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether one is left. None is taken for that: another process might find none meanwhile.
    fn has_room(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for JointLimit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The limit that a server's connections are opened under beside its own, as long as another process has some, too.
#[derive(Debug, Default)]
pub(super) struct Joint {
    limit: Mutex<Option<JointLimit>>,
    /// Whether there is one, for those on the way of each request.
    is_there: AtomicBool,
}

impl Joint {
    /// Opens a connection if both limits allow it: `open` counts it under the server's own, `close` no more.
    pub(super) fn open(&self, open: impl FnOnce() -> bool, close: impl FnOnce()) -> bool {
        let limit = self.lock();
        if !open() {
            return false;
        }
        let is_open = limit.as_ref().is_none_or(JointLimit::take);
        if !is_open {
            close();
        }
        is_open
    }

    /// The same for the end of one.
    pub(super) fn close(&self, close: impl FnOnce()) {
        let limit = self.lock();
        close();
        if let Some(limit) = &*limit {
            limit.give();
        }
    }

    /// The one that there is, or one that begins now with as many as `left` says; nothing is opened or closed meanwhile.
    pub(super) fn begin(&self, left: impl FnOnce() -> u32) -> io::Result<JointLimit> {
        let mut limit = self.lock();
        if let Some(limit) = &*limit {
            return Ok(limit.clone());
        }
        let begun = JointLimit::new(left())?;
        self.is_there.store(true, Ordering::SeqCst);
        Ok(limit.insert(begun).clone())
    }

    /// From now on there is this one, or none.
    pub(super) fn set(&self, joint: Option<JointLimit>) {
        let mut limit = self.lock();
        self.is_there.store(joint.is_some(), Ordering::SeqCst);
        *limit = joint;
    }

    /// Another process keeps to it, too.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::SeqCst)
    }

    /// Whether as many connections are open as both processes may have. Almost always that costs a load.
    pub(super) fn is_reached(&self) -> bool {
        self.is_there() && self.lock().as_ref().is_some_and(|limit| !limit.has_room())
    }

    fn lock(&self) -> MutexGuard<'_, Option<JointLimit>> {
        // Nothing under the lock can leave it half changed.
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_one_process_has_open_the_other_has_not() {
        let [old, new] = [(); 2].map(|()| (Joint::default(), Cell::new(0_u32)));
        let open = |(joint, count): &(Joint, Cell<u32>)| {
            joint.open(|| count.replace(count.get() + 1) < u32::MAX, || count.set(count.get() - 1))
        };
        let close = |(joint, count): &(Joint, Cell<u32>)| joint.close(|| count.set(count.get() - 1));
        assert!(open(&old) && open(&old));
        let limit = old.0.begin(|| 3 - old.1.get()).unwrap();
        new.0.set(Some(JointLimit::of(limit.as_fd().try_clone_to_owned().unwrap())));
        assert!(!old.0.is_reached() && open(&new));
        assert!(!open(&new) && !open(&old) && old.0.is_reached() && new.0.is_reached());
        assert_eq!((old.1.get(), new.1.get()), (2, 1));
        // What was open before counts as what came after.
        close(&old);
        assert!(open(&new) && !open(&old));
        close(&new);
        assert!(open(&old));
        new.0.set(None);
        assert!(open(&new) && !new.0.is_reached());
    }
}
