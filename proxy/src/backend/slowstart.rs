//! Slow starts: a server that has come up takes its share of users, and of requests at once, little by little.
//!
//! As in HAProxy a server is slow when it comes back from DOWN or from a soft drain, not when the proxy starts. Its
//! weight grows by sixteenths, its `maxconn` by per cent, at most twenty times on the way. Static algorithms keep its
//! weight.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Server;
use super::lineage::Lineage;
use super::select::FULL_WEIGHT;
use crate::clock;

/// HAProxy's number of steps.
const STEPS: u32 = 20;

/// Steps come no faster: after each the order of the backend's servers is made anew.
const SHORTEST_STEP: Duration = Duration::from_millis(100);

/// Warm, in thousandths.
const FULL: u32 = 1000;

/// How far a server has come since it came up.
#[derive(Debug)]
pub(super) struct Warmth {
    /// In thousandths, as of the last step.
    reached: AtomicU32,
    /// When it came up; `None`: it is warm, or not up.
    since: Mutex<Option<Instant>>,
}

impl Default for Warmth {
    fn default() -> Self {
        Self { reached: AtomicU32::new(FULL), since: Mutex::new(None) }
    }
}

impl Warmth {
    /// The sixteenths of its weight that it takes.
    pub(super) fn sixteenths(&self) -> u32 {
        (1 + self.reached() * FULL_WEIGHT / FULL).min(FULL_WEIGHT)
    }

    /// The per cent of its `maxconn` that it takes.
    pub(super) fn percent(&self) -> u32 {
        self.reached() * 100 / FULL
    }

    pub(super) fn is_full(&self) -> bool {
        self.reached() == FULL
    }

    /// It has just come up.
    pub(super) fn begin(&self, now: Instant) {
        *self.since() = Some(now);
        self.reached.store(0, Ordering::Relaxed);
    }

    /// It has come up so long ago, in another process.
    pub(super) fn resume(&self, elapsed: Duration, slowstart: Duration) {
        let reached = thousandths(elapsed, slowstart);
        // A machine is not younger than the processes on it.
        *self.since() = clock::now().checked_sub(elapsed).filter(|_| reached < FULL);
        self.reached.store(reached, Ordering::Relaxed);
    }

    /// When it came up; `None`: it is warm, or not up.
    pub(super) fn began(&self) -> Option<Instant> {
        *self.since()
    }

    /// It need not care any more.
    pub(super) fn end(&self) {
        *self.since() = None;
        self.reached.store(FULL, Ordering::Relaxed);
    }

    /// What is said in the state header.
    pub(super) fn throttle(&self, slowstart: Duration, now: Instant) -> Option<u32> {
        let since = (*self.since())?;
        let reached = thousandths(now.duration_since(since), slowstart);
        (reached < FULL).then(|| (reached * 100 / FULL).max(1))
    }

    /// Takes the next step of the start that began then; tells whether there is a further one.
    fn step(&self, began: Instant, slowstart: Duration, now: Instant) -> bool {
        let mut since = self.since();
        if *since != Some(began) {
            return false;
        }
        let reached = thousandths(now.duration_since(began), slowstart);
        self.reached.store(reached, Ordering::Relaxed);
        if reached == FULL {
            *since = None;
        }
        reached < FULL
    }

    fn reached(&self) -> u32 {
        self.reached.load(Ordering::Relaxed)
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        // Held for an assignment.
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn thousandths(elapsed: Duration, slowstart: Duration) -> u32 {
    if elapsed >= slowstart {
        return FULL;
    }
    (elapsed.as_nanos() * u128::from(FULL) / slowstart.as_nanos()) as u32
}

/// Has this server start slowly from now on, if it is to; what comes back must go on. Without a runtime, on which
/// nothing could take the steps, it starts at once.
pub(super) fn begin(lineage: &Arc<Lineage>, server: &Arc<Server>) -> Option<Start> {
    if server.settings().slowstart.is_zero() || Handle::try_current().is_err() {
        return None;
    }
    let began = clock::now();
    server.warmth().begin(began);
    Some(Start { lineage: lineage.clone(), server: server.clone(), began })
}

/// The start of this server that another process began, if it is under way; what comes back must go on.
pub(super) fn resumed(lineage: &Arc<Lineage>, server: &Arc<Server>) -> Option<Start> {
    let began = server.warmth().began()?;
    Some(Start { lineage: lineage.clone(), server: server.clone(), began })
}

/// A start that is under way; when the runtime ends before it, the server is warm at once.
pub(super) struct Start {
    lineage: Arc<Lineage>,
    server: Arc<Server>,
    began: Instant,
}

impl Start {
    /// Takes the further steps on this runtime. Not to be called under a backend's lock.
    pub(super) fn go_on(self) {
        let step = (self.server.settings().slowstart / STEPS).max(SHORTEST_STEP);
        let steps = async move {
            while self.is_under_way(clock::now()) {
                sleep(step).await;
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(steps);
        }
    }

    fn is_under_way(&self, now: Instant) -> bool {
        let goes_on = self.server.warmth().step(self.began, self.server.settings().slowstart, now);
        for generation in self.lineage.all() {
            generation.act_on(&self.server);
        }
        goes_on
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let end = self.began + self.server.settings().slowstart;
        self.is_under_way(end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{backend_of, limited, server, settings};
    use super::super::{Admission, Operation, Wish};
    use super::*;
    use crate::config;

    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_back_takes_its_share_little_by_little() {
        let slow = config::Server { slowstart: LONG, ..server("a") };
        let backend = backend_of(settings(vec![slow, server("b")]));
        let guarded = &backend.servers()[0];
        assert_eq!(guarded.throttle(clock::now()), None, "not when the proxy starts");
        backend.set_operation(0, Operation::Down, false);
        backend.set_operation(0, Operation::Up, false);
        let share = || {
            let mut slots = (0..160).map(|_| match backend.admit(Wish::ANY) {
                Admission::Granted(slot) => slot.server().index(),
                other => panic!("expected a slot, got {other:?}"),
            });
            slots.by_ref().filter(|&index| index == 0).count()
        };
        assert_eq!(guarded.throttle(clock::now()), Some(1));
        let first = share();
        assert!((5..=12).contains(&first), "{first} of 160 at the start, one in 17");
        sleep(LONG / 2).await;
        assert_eq!(guarded.throttle(clock::now()), Some(50));
        let half = share();
        assert!((50..=62).contains(&half), "{half} of 160 after half the time, 9 in 25");
        assert_eq!(backend.effective_weight(guarded), 1);
        sleep(LONG).await;
        assert_eq!((guarded.throttle(clock::now()), share()), (None, 80));
    }

    #[tokio::test(start_paused = true)]
    async fn its_maxconn_grows_too_and_who_waits_goes_when_it_has() {
        let slow = config::Server { slowstart: LONG, ..limited("a", 4) };
        let backend = backend_of(settings(vec![slow]));
        backend.set_operation(0, Operation::Soft, true);
        backend.set_operation(0, Operation::Up, false);
        let Admission::Granted(_held) = backend.admit(Wish::ANY) else { panic!("there is one slot") };
        let Admission::Queued(waiting) = backend.admit(Wish::ANY) else { panic!("and no second one") };
        let began = clock::now();
        let _second = waiting.await.unwrap();
        assert!(clock::now().duration_since(began) >= LONG / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_goes_again_begins_anew() {
        let slow = config::Server { slowstart: LONG, ..server("a") };
        let backend = backend_of(settings(vec![slow, server("b")]));
        backend.set_operation(0, Operation::Down, false);
        backend.set_operation(0, Operation::Up, false);
        sleep(LONG / 2).await;
        backend.set_operation(0, Operation::Down, false);
        assert_eq!(backend.servers()[0].throttle(clock::now()), None);
        backend.set_operation(0, Operation::Up, false);
        sleep(LONG * 3 / 4).await;
        assert_eq!(backend.servers()[0].throttle(clock::now()), Some(75));
    }

    #[test]
    fn without_a_runtime_it_starts_at_once() {
        let slow = config::Server { slowstart: LONG, ..server("a") };
        let backend = backend_of(settings(vec![slow]));
        backend.set_operation(0, Operation::Down, false);
        backend.set_operation(0, Operation::Up, false);
        assert!(backend.servers()[0].warmth().is_full());
    }
}
