//! The deadlines of all connections, kept by one timer.
//!
//! A timer for each connection would wake the thread by a system call when it is set, twice for each check: that is
//! half of what the agent costs at rest.

use std::{pin::pin, time::Duration};

use tokio::{sync::Notify, time::Instant};

/// How often it is looked which deadlines have passed, and so how late one can be found: not more than the shortest
/// of them.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// Wakes those who wait with a deadline.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    round: Notify,
}

impl Sweep {
    /// Lets all look at their deadlines; to be called every [`SWEEP`].
    pub(super) fn round(&self) {
        self.round.notify_waiters();
    }

    /// Does `work`, or gives it up at the first round after `limit`.
    pub(super) async fn within<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        let deadline = Instant::now() + limit;
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = self.round.notified() => {
                    if Instant::now() >= deadline {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use tokio::time;

    use super::*;

    fn sweep() -> Arc<Sweep> {
        let sweep = Arc::new(Sweep::default());
        let runs = Arc::clone(&sweep);
        tokio::spawn(async move {
            loop {
                time::sleep(SWEEP).await;
                runs.round();
            }
        });
        sweep
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_found_in_the_next_round_and_never_early() {
        let sweep = sweep();
        for limit in [Duration::from_millis(300), SWEEP, 3 * SWEEP + Duration::from_millis(1)] {
            let start = Instant::now();
            assert_eq!(sweep.within(limit, pending::<()>()).await, None);
            let took = start.elapsed();
            assert!(took >= limit && took <= limit + SWEEP, "{took:?} for {limit:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_is_not_held_up() {
        let sweep = sweep();
        let work = async {
            time::sleep(Duration::from_millis(1234)).await;
            7
        };
        let start = Instant::now();
        assert_eq!(sweep.within(Duration::from_secs(2), work).await, Some(7));
        assert!(start.elapsed() < Duration::from_millis(1240), "{:?}", start.elapsed());
    }
}
