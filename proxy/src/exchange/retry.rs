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
    /// The server has gone down meanwhile, or drains and the request's user is none of its own.
    pub(super) gone: bool,
}

/// What follows when `left` further attempts are allowed.
pub(super) fn after(failed: Failed, left: u32, settings: &config::Backend) -> Next {
    let last = left == 1;
    if left == 0 {
        Next::GiveUp
    } else if failed.gone || (settings.redispatch && (last || !failed.pinned)) {
        Next::Elsewhere
    } else {
        Next::Same(pause(failed.timed_out, settings))
    }
}

/// The pause before the same server is tried again.
pub(super) fn pause(timed_out: bool, settings: &config::Backend) -> Duration {
    if timed_out { Duration::ZERO } else { SAME_SERVER_PAUSE.min(settings.timeout.connect) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fixture;

    #[test]
    fn each_failure_has_its_next_step() {
        const SOON: Next = Next::Same(Duration::from_secs(1));
        const AT_ONCE: Next = Next::Same(Duration::ZERO);
        // pinned, timed out, gone, left, redispatch
        for (pinned, timed_out, gone, left, redispatch, next) in [
            (false, false, false, 3, true, Next::Elsewhere),
            (false, false, false, 3, false, SOON),
            (false, true, false, 3, false, AT_ONCE),
            (true, false, false, 3, true, SOON),
            (true, false, false, 2, true, SOON),
            (true, false, false, 1, true, Next::Elsewhere),
            (true, false, false, 1, false, SOON),
            (true, true, false, 2, true, AT_ONCE),
            (true, false, true, 3, true, Next::Elsewhere),
            (true, false, true, 3, false, Next::Elsewhere),
            (true, false, true, 0, true, Next::GiveUp),
            (false, false, false, 0, true, Next::GiveUp),
        ] {
            let settings = config::Backend { redispatch, ..fixture::settings(Vec::new()) };
            let failed = Failed { pinned, timed_out, gone };
            assert_eq!(
                after(failed, left, &settings),
                next,
                "{failed:?}, {left} left, redispatch {redispatch}"
            );
        }
    }

    #[test]
    fn a_pause_is_no_longer_than_an_attempt_may_last() {
        let mut settings = fixture::settings(Vec::new());
        settings.timeout.connect = Duration::from_millis(300);
        assert_eq!(pause(false, &settings), Duration::from_millis(300));
    }
}
