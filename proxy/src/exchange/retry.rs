//! When a request is tried again, and where. Pure.
//!
//! Only what no server can have executed is tried again:
//!
//! | what happened | a GET that lies in memory | a POST, or what has been let go of |
//! |---|---|---|
//! | the connection failed | again | again |
//! | nothing could be written | again | again |
//! | a connection that served before closed without a byte | again, on a new connection | never sent on such a one |
//! | a new connection closed without a byte | 502 | 502 |

use std::time::Duration;

use crate::config;

/// HAProxy's pause before the same server is tried again; never longer than an attempt may last.
const SAME_SERVER_PAUSE: Duration = Duration::from_secs(1);

/// What happens after a failed attempt to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The same server, after a pause.
    Same(Duration),
    /// Another server, if there is one.
    Elsewhere,
    /// 503.
    GiveUp,
}

/// An attempt that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    /// The request's cookie named this server.
    pub(super) pinned: bool,
    /// The server took its time, so that no pause is due.
    pub(super) timed_out: bool,
    /// The server has gone down meanwhile.
    pub(super) down: bool,
}

/// What follows when `left` further attempts are allowed.
pub(super) fn after(failed: Failed, left: u32, settings: &config::Backend) -> Next {
    let last = left == 1;
    if left == 0 {
        Next::GiveUp
    } else if failed.down || (settings.redispatch && (last || !failed.pinned)) {
        Next::Elsewhere
    } else {
        Next::Same(pause(failed.timed_out, settings))
    }
}

/// The pause before the same server is tried again.
pub(super) fn pause(timed_out: bool, settings: &config::Backend) -> Duration {
    if timed_out { Duration::ZERO } else { SAME_SERVER_PAUSE.min(settings.timeout.connect) }
}
