//! The watchdog: systemd ends an agent that does not say for `WatchdogSec` that it lives, and starts it anew.
//!
//! It is not enough that some task runs. Those on whom everything depends, the owner of the life cycle and the thread that
//! answers health checks, each have a [`Pulse`] that they beat whenever they get round to it; systemd is told only while
//! all of them beat.

use std::{
    env, process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::notify;

/// So many times within the watchdog's limit systemd is told: one that comes late does no harm.
const TELLS: u32 = 3;

/// The pulse of one that must live.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// It lives.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has beaten.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What systemd is promised to be told, and by whose pulse.
#[derive(Debug)]
pub struct Watchdog {
    limit: Duration,
    pulses: Vec<(Pulse, u64)>,
}

impl Watchdog {
    /// The one that systemd expects of this process; `None`: it expects none.
    pub fn expected(pulses: impl IntoIterator<Item = Pulse>) -> Option<Self> {
        let variable = |name| env::var(name).ok();
        let limit = limit(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref())?;
        Some(Self::new(limit, pulses))
    }

    fn new(limit: Duration, pulses: impl IntoIterator<Item = Pulse>) -> Self {
        // Each must have beaten once before the first time.
        Self { limit, pulses: pulses.into_iter().map(|pulse| (pulse, 0)).collect() }
    }

    /// Tells systemd that the agent lives, for as long as that is true.
    pub async fn run(mut self) {
        let mut tells = interval(self.limit / TELLS);
        tells.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tells.tick().await;
            if self.lives() {
                notify::alive();
            }
        }
    }

    /// Whether each has beaten since this was true last.
    fn lives(&mut self) -> bool {
        let all = self.pulses.iter().all(|(pulse, last)| pulse.count() != *last);
        if all {
            for (pulse, last) in &mut self.pulses {
                *last = pulse.count();
            }
        }
        all
    }
}

/// What systemd has set for this process, and not for one that has started it.
fn limit(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    let for_us = pid.is_none_or(|pid| pid.parse() == Ok(process::id()));
    let microseconds = microseconds?.parse().ok().filter(|limit| *limit > 0 && for_us)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_must_beat_before_systemd_is_told_again() {
        let (owner, health) = (Pulse::default(), Pulse::default());
        let mut watchdog = Watchdog::new(Duration::from_secs(30), [owner.clone(), health.clone()]);
        assert!(!watchdog.lives(), "nobody has beaten yet");
        owner.beat();
        assert!(!watchdog.lives(), "one is not enough");
        health.beat();
        assert!(watchdog.lives());
        assert!(!watchdog.lives(), "not for a beat that was counted");
        owner.beat();
        owner.beat();
        assert!(!watchdog.lives());
        health.beat();
        assert!(watchdog.lives());
    }

    #[test]
    fn another_processs_watchdog_is_none_of_ours() {
        let own = process::id().to_string();
        assert_eq!(limit(Some("30000000"), Some(&own)), Some(Duration::from_secs(30)));
        assert_eq!(limit(Some("30000000"), None), Some(Duration::from_secs(30)));
        assert_eq!(limit(Some("30000000"), Some("1")), None);
        assert_eq!(limit(None, None), None);
        assert_eq!(limit(Some("0"), None), None);
    }
}
