//! When a request is tried again, and where. Pure.
//!
//! | what happened | a request whose method is idempotent | a POST or PATCH |
//! |---|---|---|
//! | the connection failed, or nothing could be written | again | again |
//! | this server has as many connections as it may for all of `timeout.queue` | another server's; 503 for who belongs to this one | the same |
//! | this machine had no descriptor or memory for a connection | again; after a pause, unless an idle connection could be closed for it | the same |
//! | a connection that served before closed without a byte | again, on a new connection, not counted | never sent on such a one but its own user's authenticated one (NTLM): 502 |
//! | the connection broke, and the client has nothing of a final response | again, as `retry_on` says | 502 |
//! | junk, a timeout, a status of `retry_on` | again, as `retry_on` says | what came, 502 or 504 |
//! | a timeout while the rest of the request has not come | 504 | 504 |
//! | the server's sessions are ended because it has gone down, and the client has nothing of a final response | as if the connection broke | 502 |
//! | the client has some of a final response | never; a GET may be continued ([`super::resume`]) | never |
//!
//! A POST with `Idempotency-Key` stands on the left where the backend says so. What is to be sent again must be there
//! still, from its first byte on.

use std::{num::NonZeroU32, time::Duration};

use crate::config::{Failure, Redispatch, Retry};

/// What happens after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The same server, after a pause.
    Same(Duration),
    /// Another server, if there is one.
    Elsewhere,
    /// The client is told.
    GiveUp,
}

/// An attempt that failed without harm: the request may be sent once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five facts, each from somebody else")]
pub(super) struct Failed {
    /// How; `None`: the response broke off, and shall be continued.
    pub(super) failure: Option<Failure>,
    /// The request's cookie named this server.
    pub(super) pinned: bool,
    /// And it has to stay there, by `force_persist`.
    pub(super) kept: bool,
    /// The server took its time, so that no pause is due.
    pub(super) timed_out: bool,
    /// The server has gone down meanwhile, or drains and the request's user is none of its own.
    pub(super) gone: bool,
    /// This machine lacks what a connection to any server takes.
    pub(super) lacks: bool,
}

/// What follows when there were `retries` further attempts before this one failed.
pub(super) fn after(failed: Failed, retries: u32, settings: &Retry) -> Next {
    let is_covered = failed.failure.is_none_or(|failure| settings.on.contains(failure));
    if retries >= settings.limit || !is_covered {
        return Next::GiveUp;
    }
    if (failed.kept || failed.lacks) && !failed.gone {
        return Next::Same(pause(failed.timed_out, settings));
    }
    let free = !failed.pinned && settings.redispatch != Redispatch::Never;
    if failed.gone || free || redispatches(retries + 1, settings) {
        Next::Elsewhere
    } else {
        Next::Same(pause(failed.timed_out, settings))
    }
}

/// The pause before the same server is tried again.
pub(super) const fn pause(timed_out: bool, settings: &Retry) -> Duration {
    if timed_out { Duration::ZERO } else { settings.interval }
}

/// Whether this further attempt, the first being 1, leaves the cookie's server. HAProxy counts the same way
/// (`redispatch_after`): from the last means a multiple of the number that is left before it.
fn redispatches(attempt: u32, settings: &Retry) -> bool {
    let every = match settings.redispatch {
        Redispatch::Never => return false,
        Redispatch::Every(count) => count,
        Redispatch::FromLast(count) => {
            NonZeroU32::new((settings.limit + 1).saturating_sub(count.get())).unwrap_or(NonZeroU32::MIN)
        }
    };
    attempt.is_multiple_of(every.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::fixture, config::RetryOn};

    const LAST: Redispatch = Redispatch::FromLast(NonZeroU32::MIN);
    const REFUSED: Failed = Failed {
        failure: Some(Failure::Connection),
        pinned: false,
        kept: false,
        timed_out: false,
        gone: false,
        lacks: false,
    };

    #[test]
    fn each_failure_has_its_next_step() {
        const SOON: Next = Next::Same(Duration::from_secs(1));
        const AT_ONCE: Next = Next::Same(Duration::ZERO);
        const NEVER: Redispatch = Redispatch::Never;
        // pinned, timed out, gone, retries before, redispatch
        for (pinned, timed_out, gone, retries, redispatch, next) in [
            (false, false, false, 0, LAST, Next::Elsewhere),
            (false, false, false, 0, NEVER, SOON),
            (false, true, false, 0, NEVER, AT_ONCE),
            (true, false, false, 0, LAST, SOON),
            (true, false, false, 1, LAST, SOON),
            (true, false, false, 2, LAST, Next::Elsewhere),
            (true, false, false, 2, NEVER, SOON),
            (true, true, false, 1, LAST, AT_ONCE),
            (true, false, true, 0, LAST, Next::Elsewhere),
            (true, false, true, 0, NEVER, Next::Elsewhere),
            (true, false, true, 3, LAST, Next::GiveUp),
            (false, false, false, 3, LAST, Next::GiveUp),
        ] {
            let settings = Retry { redispatch, ..fixture::retry() };
            let failed = Failed { pinned, timed_out, gone, ..REFUSED };
            assert_eq!(
                after(failed, retries, &settings),
                next,
                "{failed:?}, {retries} before, {redispatch:?}"
            );
        }
    }

    #[test]
    fn force_persist_keeps_a_request_at_its_server() {
        let settings = Retry { redispatch: LAST, ..fixture::retry() };
        let kept = Failed { pinned: true, kept: true, ..REFUSED };
        for (failed, retries, next) in [
            (kept, 0, Next::Same(Duration::from_secs(1))),
            (kept, 2, Next::Same(Duration::from_secs(1))),
            (kept, 3, Next::GiveUp),
            (Failed { gone: true, ..kept }, 0, Next::Elsewhere),
        ] {
            assert_eq!(after(failed, retries, &settings), next, "{failed:?}, {retries} before");
        }
    }

    #[test]
    fn no_other_server_is_asked_where_none_could_be() {
        let failed = Failed { lacks: true, ..REFUSED };
        assert_eq!(after(failed, 0, &fixture::retry()), Next::Same(Duration::from_secs(1)));
        let gone = Failed { gone: true, ..failed };
        assert_eq!(after(gone, 0, &fixture::retry()), Next::Elsewhere);
    }

    #[test]
    fn only_configured_failures_are_tried_again() {
        for (failure, tried) in [
            (Failure::Connection, true),
            (Failure::Empty, true),
            (Failure::Junk, false),
            (Failure::Timeout, false),
            (Failure::Status(503), false),
        ] {
            let next = after(Failed { failure: Some(failure), ..REFUSED }, 0, &fixture::retry());
            assert_eq!(next != Next::GiveUp, tried, "{failure:?}");
            let settings = Retry { on: RetryOn::NONE, ..fixture::retry() };
            assert_eq!(after(Failed { failure: Some(failure), ..REFUSED }, 0, &settings), Next::GiveUp);
            assert_eq!(after(Failed { failure: None, ..REFUSED }, 0, &settings), Next::Elsewhere);
        }
        let settings = Retry { on: RetryOn::NONE.and(Failure::Status(503)), ..fixture::retry() };
        let status =
            |status| after(Failed { failure: Some(Failure::Status(status)), ..REFUSED }, 0, &settings);
        assert_eq!((status(503), status(502)), (Next::Elsewhere, Next::GiveUp));
    }

    #[test]
    fn a_number_of_redispatch_says_which_attempts_leave_the_cookies_server() {
        let count = |number| NonZeroU32::new(number).unwrap();
        for (redispatch, limit, leaving) in [
            (Redispatch::Never, 3, &[][..]),
            (Redispatch::Every(count(1)), 3, &[1, 2, 3]),
            (Redispatch::Every(count(2)), 5, &[2, 4]),
            (Redispatch::FromLast(count(1)), 3, &[3]),
            (Redispatch::FromLast(count(2)), 3, &[2]),
            (Redispatch::FromLast(count(3)), 4, &[2, 4]),
            (Redispatch::FromLast(count(9)), 2, &[1, 2]),
        ] {
            let settings = Retry { limit, redispatch, ..fixture::retry() };
            let found: Vec<u32> = (1..=limit).filter(|&attempt| redispatches(attempt, &settings)).collect();
            assert_eq!(found, leaving, "{redispatch:?} of {limit}");
        }
    }
}
