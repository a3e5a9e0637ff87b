//! The one place where the tests read the time, and where they wait a moment between two looks.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The present moment, for deadlines.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time since 1970: what the servers' logs and scripts stamp, so that both can be compared.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Lets `time` pass: a user's thinking, or the pause between two looks in a wait with a deadline.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn pause(time: Duration) {
    thread::sleep(time);
}
