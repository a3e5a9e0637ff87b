//! HAProxy's agent protocol: one line of words for whoever connects, and an end.
//!
//! ```text
//!  agent-check ──► accept (health's thread and tables) ──► words of phase, debts and weight ──► close
//! ```
//!
//! | phase | words | HAProxy |
//! |---|---|---|
//! | up | `up` | takes back its own `down`, and nothing else |
//! | up, for who was told `drain` | `up ready` | takes back `drain`, too |
//! | soft | `up drain` | DRAIN: no new users, those with a cookie still come |
//! | hard, restarting, warming, failed, down | `down #reason` | DOWN |
//! | not known yet | nothing | keeps what it has |
//!
//! In up, `75%` follows where a weight is configured (`load`).
//!
//! `ready` takes back what an operator has set in HAProxy by hand as well: a drain and a maintenance. So it is said only
//! to those that were told `drain`, and only in their first answers afterwards (`debts`); the state file remembers them,
//! from before they are told (`ledger`). Who asks for the first time in a drain can't wait for the disk: where an agent
//! ends in such a drain or shortly after, the next one takes it that anybody may have been told. HAProxy asks for a
//! server in maintenance as well, and there `drain` ends the maintenance: a soft drain says so nevertheless, since from
//! here nobody can see it; a hard one undoes nothing.

mod debts;
mod ledger;
mod load;
mod weight;
mod words;

use std::net::IpAddr;

use tokio::sync::watch;

pub use debts::Debts;
pub use ledger::Ledger;
pub use load::follow;
pub use words::Percent;

use crate::{clock::Moment, health::Answer, lifecycle::Phase};

/// Finds the words for those who ask.
#[derive(Debug)]
pub struct Speaker {
    ledger: Ledger,
    weight: watch::Receiver<Option<Percent>>,
}

impl Speaker {
    /// One that asks for the weight that `weight` holds, and keeps its debts in `ledger`.
    pub fn new(ledger: Ledger, weight: watch::Receiver<Option<Percent>>) -> Self {
        Self { ledger, weight }
    }

    /// What to tell `source` in the state of `answer`: a line with its end.
    pub fn line(&self, answer: &Answer, source: IpAddr, now: Moment) -> String {
        let mut debts = self.ledger.debts();
        match answer.phase {
            Phase::Up => words::up(debts.ready(source, now), *self.weight.borrow()),
            Phase::Soft => {
                debts.drain(source);
                words::drain()
            }
            Phase::Hard | Phase::Restarting | Phase::Warming | Phase::Failed | Phase::Down => {
                words::down(&answer.reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HAPROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn says(speaker: &Speaker, phase: Phase, at_s: u64) -> String {
        let answer = Answer { status: 0, phase, reason: "new release".into(), since_unix: 0, generation: 1 };
        speaker.line(&answer, HAPROXY, Moment::from_boot(Duration::from_secs(at_s)))
    }

    #[test]
    fn each_row_of_the_table_holds() {
        let speaker = Speaker::new(Ledger::default(), watch::channel(None).1);
        assert_eq!(says(&speaker, Phase::Up, 0), "up\n");
        for phase in [Phase::Hard, Phase::Restarting, Phase::Warming, Phase::Failed, Phase::Down] {
            assert_eq!(says(&speaker, phase, 1), "down #new release\n");
        }
        assert_eq!(says(&speaker, Phase::Up, 2), "up\n", "nobody was told drain");
        assert_eq!(says(&speaker, Phase::Soft, 3), "up drain\n");
        assert_eq!(says(&speaker, Phase::Hard, 4), "down #new release\n");
        assert_eq!(says(&speaker, Phase::Up, 5), "up ready\n");
    }

    #[test]
    fn the_weight_is_said_in_up_only() {
        let speaker = Speaker::new(Ledger::default(), watch::channel(Percent::new(75)).1);
        assert_eq!(says(&speaker, Phase::Up, 0), "up 75%\n");
        assert_eq!(says(&speaker, Phase::Soft, 1), "up drain\n");
        assert_eq!(says(&speaker, Phase::Down, 2), "down #new release\n");
        assert_eq!(says(&speaker, Phase::Up, 3), "up ready 75%\n");
    }
}
