//! One timer for each connection, moved as seldom as possible.
//!
//! Deadlines change several times per request and almost never come. The runtime's timer is therefore only set anew
//! when a deadline lies before it, or when it has rung too early.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// The timer of a connection.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl Timer {
    /// A timer for this deadline.
    pub(super) fn new(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), deadline }
    }

    /// The deadline is now this one.
    pub(super) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready when the deadline has passed.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if clock::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_holds_whether_it_was_moved_forth_or_back() {
        let start = clock::now();
        let mut timer = Timer::new(start + Duration::from_secs(5));
        timer.set(start + Duration::from_secs(9));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 9);
        timer.set(clock::now() + Duration::from_mins(1));
        timer.set(clock::now() + Duration::from_secs(1));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 10);
    }
}
