//! One timer for each connection, moved as seldom as possible.
//!
//! Deadlines change several times per request and almost never come. The runtime's timer is therefore only set anew
//! when a deadline lies before it, or when it has rung too early.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use crate::clock;

/// The timer of a connection, polled by one task from [`Timer::arm`] on.
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

    /// Has it wake the task that polls it.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) {
        // Whether it has rung already is found when it is polled. However much the task has done in this turn: put off, it
        // would never learn of the task.
        let _ = Pin::new(&mut unconstrained(self.sleep.as_mut())).poll(cx);
    }

    /// The deadline is now this one.
    pub(super) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// The deadline.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ready when the deadline has passed.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // It knows its task: to look whether it has rung costs less than to have it look.
        while self.sleep.is_elapsed() {
            if clock::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
            self.arm(cx);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_holds_whether_it_was_moved_forth_or_back() {
        let start = clock::now();
        let mut timer = Timer::new(start + Duration::from_secs(5));
        timer.set(start + Duration::from_secs(9));
        poll_fn(|cx| {
            timer.arm(cx);
            Poll::Ready(())
        })
        .await;
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 9);
        timer.set(clock::now() + Duration::from_mins(1));
        timer.set(clock::now() + Duration::from_secs(1));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_holds_for_a_task_that_has_no_turn_left_when_it_is_moved() {
        let start = clock::now();
        let mut timer = Timer::new(start + Duration::from_secs(5));
        poll_fn(|cx| {
            timer.arm(cx);
            Poll::Ready(())
        })
        .await;
        timer.set(start + Duration::from_secs(9));
        tokio::time::sleep(Duration::from_secs(6)).await;
        poll_fn(|cx| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            assert!(timer.poll_expired(cx).is_pending(), "it has rung too early");
            Poll::Ready(())
        })
        .await;
        // Something else wakes the task much later.
        let late = tokio::time::timeout(Duration::from_mins(1), poll_fn(|cx| timer.poll_expired(cx))).await;
        assert_eq!((late, clock::now().duration_since(start).as_secs()), (Ok(()), 9));
    }
}
