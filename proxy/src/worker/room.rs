//! How many connections may be open at once: of a frontend, of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Room for connections.
#[derive(Debug)]
pub struct Room {
    permits: Arc<Semaphore>,
    limit: AtomicUsize,
    /// So many permits are to go, whoever gets them.
    owed: AtomicUsize,
    /// Nobody is let in, whatever room there is.
    paused: watch::Sender<bool>,
}

impl Room {
    /// For so many.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let (permits, paused) = (Arc::new(Semaphore::new(limit)), watch::Sender::new(false));
        Arc::new(Self { permits, limit: AtomicUsize::new(limit), owed: AtomicUsize::new(0), paused })
    }

    /// How many it is for.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether nobody is let in.
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Whether nobody is let in, however many leave.
    pub(super) fn is_shut(&self) -> bool {
        self.is_paused() || self.limit() == 0
    }

    /// Lets nobody in from now on, or everybody whom there is room for; false: so it was.
    pub fn pause(&self, paused: bool) -> bool {
        self.paused.send_if_modified(|was| std::mem::replace(was, paused) != paused)
    }

    /// Waits for room for one.
    pub(super) async fn take(&self) -> OwnedSemaphorePermit {
        loop {
            if self.is_paused() {
                // Its sender is here.
                let _ = self.paused.subscribe().wait_for(|&paused| !paused).await;
            }
            let permit = self.permits.clone().acquire_owned().await.expect("nobody closes it");
            // Who began to wait before the limit fell is served before who would take the permit away.
            if let Some(permit) = self.kept(permit).filter(|_| !self.is_paused()) {
                return permit;
            }
        }
    }

    /// The same, without waiting.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let permit = self.permits.clone().try_acquire_owned().ok()?;
            if let Some(permit) = self.kept(permit) {
                return Some(permit).filter(|_| !self.is_paused());
            }
        }
    }

    /// For another number from now on. Those that are to go and are held are taken when they come back; nobody else
    /// gets one until then.
    pub fn resize(&self, to: usize) {
        let to = to.min(Semaphore::MAX_PERMITS);
        let from = self.limit.swap(to, Ordering::SeqCst);
        if to >= from {
            let more = to - from;
            let forgiven = self
                .owed
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| Some(owed.saturating_sub(more)));
            self.permits.add_permits(more.saturating_sub(forgiven.unwrap_or_default()));
            return;
        }
        self.owed.fetch_add(from - to, Ordering::SeqCst);
        // Those that nobody holds.
        while let Ok(permit) = self.permits.clone().try_acquire_owned() {
            if self.kept(permit).is_some() {
                return;
            }
        }
    }

    /// The permit, unless it is to go.
    fn kept(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        // Almost always there is none to go, which costs a load.
        let is_owed = self.owed.load(Ordering::SeqCst) > 0
            && self.owed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| owed.checked_sub(1)).is_ok();
        if is_owed {
            permit.forget();
            return None;
        }
        Some(permit)
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.permits.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_smaller_room_takes_nobody_until_enough_have_left() {
        let room = Room::new(3);
        let mut held: Vec<_> = (0..3).map(|_| room.try_take().unwrap()).collect();
        room.resize(1);
        yield_now().await;
        for _ in 0..2 {
            held.pop();
            assert!(room.try_take().is_none());
            yield_now().await;
        }
        held.pop();
        yield_now().await;
        let _only = room.try_take().unwrap();
        assert!(room.try_take().is_none());
        room.resize(2);
        assert!(room.try_take().is_some());
    }

    #[tokio::test]
    async fn who_waited_before_a_room_became_smaller_waits_until_enough_have_left() {
        let room = Room::new(2);
        let mut held: Vec<_> = (0..2).map(|_| room.try_take().unwrap()).collect();
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.take().await }
        });
        yield_now().await;
        room.resize(1);
        held.pop();
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!waiting.is_finished());
        held.pop();
        let _only = waiting.await.unwrap();
        assert!(room.try_take().is_none());
    }

    #[tokio::test]
    async fn a_room_that_is_made_smaller_and_larger_again_is_as_it_was() {
        let room = Room::new(5);
        let held: Vec<_> = (0..3).map(|_| room.try_take().unwrap()).collect();
        for to in [1, 4, 2, 5] {
            room.resize(to);
            assert_eq!(room.limit(), to);
        }
        assert_eq!(room.left(), 2);
        drop(held);
        assert_eq!(room.left(), 5);
        room.resize(0);
        assert_eq!(room.left(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_room_lets_nobody_in_until_it_is_open_again() {
        let room = Room::new(1);
        assert!(room.pause(true) && !room.pause(true));
        assert!(room.try_take().is_none());
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.take().await }
        });
        yield_now().await;
        assert!(!waiting.is_finished());
        assert!(room.pause(false));
        let _permit = waiting.await.unwrap();
    }
}
