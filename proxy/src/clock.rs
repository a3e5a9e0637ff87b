//! The one place that reads the time.
//!
//! What decides (the check machine, selection, queues) is given `now`; the shells around it take it from here.

use std::time::SystemTime;

use tokio::time::Instant;

/// The monotonic clock, which tests can pause.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for people only: log lines and dates in cookies.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
