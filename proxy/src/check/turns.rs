//! Which checks begin when more are due than the thread can make at once.
//!
//! The time of a check runs while the thread is busy with others. With thousands due in one moment on a slow machine,
//! each would find its time over before the thread came back to it: all servers would be down though each of them
//! answers, and stay so for as long as the machine is slow. So only few begin in one round of the thread. The rest wait
//! for their turn, and their time begins with it: they come late, but what they find is true.

use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// Checks that begin in one round of the thread. Each needs the thread about four times, for up to a millisecond where
/// the machine is slow and the backend large: a round stays near 100 ms, well below an interval of that many servers.
const AT_ONCE: usize = 32;

/// The turns of one thread.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    /// Waits for the next turn, in the order of those who ask. A turn lasts one round of the thread, not as long as the
    /// check: a server that does not answer keeps no other from being asked.
    pub(super) async fn next(&self) {
        let _turn = self.0.acquire().await.expect("nobody closes it");
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::advance;

    use super::*;
    use crate::clock;

    const CHECKS: usize = 1000;
    /// What the thread needs for each of the three steps of a check.
    const STEP: Duration = Duration::from_millis(1);

    /// How long the slowest of many checks takes that are due at once.
    async fn slowest(turns: Option<Rc<Turns>>) -> Duration {
        let check = async move |turns: Option<Rc<Turns>>| {
            if let Some(turns) = turns {
                turns.next().await;
            }
            let began = clock::now();
            for _ in 0..3 {
                // The others go on behind each step.
                advance(STEP).await;
            }
            clock::now().duration_since(began)
        };
        let all = async {
            let checks: Vec<_> = (0..CHECKS).map(|_| spawn_local(check(turns.clone()))).collect();
            let mut slowest = Duration::ZERO;
            for check in checks {
                slowest = slowest.max(check.await.unwrap());
            }
            slowest
        };
        LocalSet::new().run_until(all).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_many_checks_has_its_time_on_a_slow_thread() {
        let inter = Duration::from_secs(2);
        assert!(slowest(None).await > inter, "without turns none would end in time");
        let slowest = slowest(Some(Rc::default())).await;
        assert!(slowest < inter / 4, "{slowest:?}");
    }
}
