//! The one place where the agent reads the time.
//!
//! Everything that decides takes a [`Moment`] as an argument; the wall clock is only for people.

use std::{
    fmt,
    ops::Add,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point on the boot-time clock (`CLOCK_BOOTTIME`): it never goes back, and counts while the host sleeps.
///
/// It survives the agent's own restart, but not the host's: whoever stores one stores the boot id beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(Duration);

impl Moment {
    /// The present moment.
    pub fn now() -> Self {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self(Duration::new(t.tv_sec as u64, t.tv_nsec as u32))
    }

    /// The moment that lies `since_boot` after the host's start.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after the host's start this is.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// The moment that lies `by` before this one; the host's start where that lies later.
    #[must_use]
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }

    /// The time from `earlier` to this moment; zero where `earlier` lies later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot+{:.3}s", self.0.as_secs_f64())
    }
}

/// Seconds since 1970 by the wall clock, for people and for `--for`.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
