//! When the owner looks, probes and publishes: as often as the moment needs, and no oftener.

use std::time::Duration;

use crate::{
    clock::Moment,
    lifecycle::{Machine, Stage},
};

/// While nothing is asked, looks serve only who asks for the status, and they have one made; and the first look that
/// comes late ends the subscription that a drain had. One dump of 1,000 sockets takes 2 to 8 ms, which every ten seconds
/// was a quarter of all that the agent cost at rest.
const IN_USE: Duration = Duration::from_secs(30);
/// While a drain is out of use for other reasons than traffic.
const OUT: Duration = Duration::from_secs(1);
/// While a soft drain may last for minutes.
const SOFT: Duration = Duration::from_millis(250);
/// While the restart waits for the traffic alone. So long can it take to be seen that the last request has ended, and
/// from quiet, which two looks must see, to the restart it shall be 50 ms at most. A look at a small table takes 0.8 ms.
/// The end of a connection brings the look forward.
const HARD: Duration = Duration::from_millis(25);
/// The least time between two looks, however close quiet is.
const LEAST: Duration = Duration::from_millis(20);
/// Between two looks there is so many times the duration of one, so that a table of 100,000 sockets, through which a
/// look takes 0.2 s, does not cost the server a whole core.
const PAUSES: u32 = 3;

/// How often it is looked whether users are back after a drain, in a small table.
const FOR_USERS: Duration = Duration::from_millis(500);
/// In a large one so many times the duration of a look pass between two, so that it takes a hundredth of a core, as all
/// that the agent does while up shall.
const FOR_USERS_PAUSES: u32 = 100;

/// The last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When it began.
    pub(super) began: Moment,
    /// How long it took.
    pub(super) took: Duration,
}

/// When it is time for the next look after `last`; `due` is when one may find the quiet that ends
/// the present phase.
pub(super) fn next_look(machine: &Machine, last: Option<Look>, due: Option<Moment>, now: Moment) -> Moment {
    let Some(Look { began: last, took }) = last else { return now };
    let paused = last + took * (1 + PAUSES);
    let regular = match machine.course().stage() {
        Stage::Up | Stage::Failed => return last + IN_USE,
        Stage::Waiting | Stage::Restarting | Stage::Warming => return last + OUT,
        Stage::Soft | Stage::Hard if machine.reached() || machine.limit_passed().is_some() => {
            return last + OUT;
        }
        Stage::Soft => last + SOFT,
        Stage::Hard => last + HARD,
    };
    let regular = regular.max(paused);
    match due {
        // The regular one gives way, so that the one that counts is not late.
        Some(due) if due < regular + LEAST => due.max(last + LEAST.max(took * 2)),
        _ => regular,
    }
}

/// When it is time to look after `last` whether users are back.
pub(super) fn look_for_users(last: Look) -> Moment {
    last.began + FOR_USERS.max(last.took * FOR_USERS_PAUSES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        lifecycle::{Event, Options, Origin, Request},
    };

    const FLAGS: &str = "listen = '127.0.0.1:1'\nserver.ports = [80]\nrestart.command = ['true']";

    fn machine() -> Machine {
        Machine::new((&Config::parse("f", FLAGS, Some("s")).unwrap()).into())
    }

    fn at(ms: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(ms))
    }

    #[test]
    fn the_first_look_is_at_once() {
        assert_eq!(next_look(&machine(), None, None, at(7)), at(7));
    }

    fn hard() -> Machine {
        let mut machine = machine();
        let origin = Origin::Signal { signal: "SIGUSR2".into(), pid: None, uid: None };
        machine
            .step(at(0), Event::Asked { request: Request::Hard(Options::default()), origin, unix: 0 })
            .unwrap();
        machine
    }

    #[test]
    fn in_hard_the_look_that_counts_is_when_it_is_due() {
        let next = |due: Option<u64>| next_look(&hard(), Some(QUICK), due.map(at), at(1005));
        assert_eq!(next(None), at(1025), "nothing can be told: regularly");
        assert_eq!(next(Some(1500)), at(1025), "the regular one is in time");
        assert_eq!(next(Some(1022)), at(1022));
        assert_eq!(next(Some(1040)), at(1040), "the regular one would make it late");
        assert_eq!(next(Some(900)), at(1020), "as soon as may be");
    }

    const QUICK: Look =
        Look { began: Moment::from_boot(Duration::from_secs(1)), took: Duration::from_millis(1) };

    #[test]
    fn looks_through_a_large_table_are_rarer() {
        let slow = Look { took: Duration::from_millis(200), ..QUICK };
        let next = |due: Option<u64>| next_look(&hard(), Some(slow), due.map(at), at(1205));
        assert_eq!(next(None), at(1800), "a quarter of a core");
        assert_eq!(next(Some(1300)), at(1400), "half of one, for the look that counts");
    }

    #[test]
    fn looks_for_users_take_a_hundredth_of_a_core_at_most() {
        assert_eq!(look_for_users(QUICK), at(1500));
        assert_eq!(look_for_users(Look { took: Duration::from_millis(200), ..QUICK }), at(21_000));
    }

    #[test]
    fn in_use_it_looks_rarely_whatever_is_due() {
        assert_eq!(next_look(&machine(), Some(QUICK), Some(at(1500)), at(1100)), at(1000) + IN_USE);
    }
}
