//! When the owner looks, probes and publishes: as often as the moment needs, and no oftener.

use std::time::Duration;

use crate::{
    clock::Moment,
    lifecycle::{Machine, Stage},
};

/// While nothing is asked, looks serve only who looks at the status: one dump of 1,000 sockets takes 2 ms.
const IN_USE: Duration = Duration::from_secs(10);
/// While a drain is out of use for other reasons than traffic.
const OUT: Duration = Duration::from_secs(1);
/// While a soft drain may last for minutes.
const SOFT: Duration = Duration::from_millis(250);
/// While every tenth of a second counts. A look at a small table takes 0.8 ms.
const CLOSE: Duration = Duration::from_millis(100);
/// A soft drain whose silence will be long enough within this time is close to its end.
const SOON: Duration = Duration::from_secs(2);
/// The least time between two looks, however close quiet is.
const LEAST: Duration = Duration::from_millis(20);

/// When it is time for the next look, the last having begun at `last`; `due` is when the silence will have been long
/// enough, if it lasts.
pub(super) fn next_look(machine: &Machine, last: Option<Moment>, due: Option<Moment>, now: Moment) -> Moment {
    let Some(last) = last else { return now };
    let soon = due.is_some_and(|due| due.since(now) < SOON);
    let regular = last
        + match machine.course().stage() {
            Stage::Up | Stage::Failed => IN_USE,
            Stage::Waiting | Stage::Restarting | Stage::Warming => OUT,
            Stage::Soft | Stage::Hard if machine.reached(now) => OUT,
            Stage::Soft if !soon => SOFT,
            Stage::Soft | Stage::Hard => CLOSE,
        };
    match due {
        Some(due) if due > last && machine.announcement().is_some() => regular.min(due.max(last + LEAST)),
        _ => regular,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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

    #[test]
    fn in_use_it_looks_rarely_whatever_is_due() {
        assert_eq!(next_look(&machine(), Some(at(0)), Some(at(500)), at(100)), at(10_000));
    }
}
