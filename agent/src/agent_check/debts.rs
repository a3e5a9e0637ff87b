//! Who was told `drain` and is still owed a `ready`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::clock::Moment;

/// So often a `ready` is said at least: an answer may be lost on its way.
const SAID: u32 = 2;

/// So long it is said at least: behind one address there may be several who ask, each every few seconds (HAProxy: 2 s
/// unless configured), and they can't be told apart. An operator's drain in this time is taken back.
const FOR: Duration = Duration::from_secs(10);

/// How many debts are kept: as many as balancers are. Where there are more, everybody is owed.
const KEPT: usize = 256;

/// How long everybody is owed, where nobody knows who was told `drain`: for who asks once a minute.
const EVERYBODY: Duration = Duration::from_mins(3);

/// Who was told `drain` and is still owed a `ready`.
#[derive(Debug)]
pub(super) struct Debts {
    owed: BTreeMap<IpAddr, Debt>,
    everybody: Everybody,
}

#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    /// When `ready` was said first.
    first: Option<Moment>,
    /// How often it was said.
    said: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Everybody {
    /// All who are owed are known.
    No,
    /// Others are owed, too.
    Yes,
    /// The same, until this moment.
    Until(Moment),
}

impl Debt {
    fn pay(&mut self, now: Moment) -> bool {
        let first = *self.first.get_or_insert(now);
        let due = self.said < SAID || now.since(first) < FOR;
        self.said = self.said.saturating_add(u32::from(due));
        due
    }
}

impl Debts {
    /// Nobody is owed; or everybody may be, because an earlier agent was in a drain.
    pub(super) fn new(everybody: bool) -> Self {
        Self { owed: BTreeMap::new(), everybody: if everybody { Everybody::Yes } else { Everybody::No } }
    }

    /// `source` is told `drain`.
    pub(super) fn drain(&mut self, source: IpAddr) {
        let source = source.to_canonical();
        if self.owed.len() < KEPT || self.owed.contains_key(&source) {
            self.owed.insert(source, Debt::default());
        } else {
            self.everybody = Everybody::Yes;
        }
    }

    /// Whether `source`, to which the server is up, is to be told `ready`.
    pub(super) fn ready(&mut self, source: IpAddr, now: Moment) -> bool {
        let source = source.to_canonical();
        if self.everybody == Everybody::Yes {
            self.everybody = Everybody::Until(now + EVERYBODY);
        }
        if matches!(self.everybody, Everybody::Until(end) if now >= end) {
            self.everybody = Everybody::No;
        }
        let all = self.everybody != Everybody::No;
        let Some(debt) = self.owed.get_mut(&source) else {
            if all && self.owed.len() < KEPT {
                let mut debt = Debt::default();
                let due = debt.pay(now);
                self.owed.insert(source, debt);
                return due;
            }
            return all;
        };
        let due = debt.pay(now);
        // As long as everybody is owed, those who were paid are known by their entries.
        if !due && !all {
            self.owed.remove(&source);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn who_was_not_told_drain_is_never_told_ready() {
        let mut debts = Debts::new(false);
        debts.drain(ip(1));
        assert!(!debts.ready(ip(2), at(0)));
        assert!(debts.ready(ip(1), at(0)));
    }

    #[test]
    fn ready_is_said_at_first_only_so_that_later_drains_by_hand_stay() {
        let mut debts = Debts::new(false);
        debts.drain(ip(1));
        let said: Vec<bool> = (0..20).step_by(2).map(|s| debts.ready(ip(1), at(s))).collect();
        assert_eq!(said, [true, true, true, true, true, false, false, false, false, false]);
        debts.drain(ip(1));
        assert!(debts.ready(ip(1), at(30)), "another drain is another debt");
    }

    #[test]
    fn who_asks_rarely_is_told_twice() {
        let mut debts = Debts::new(false);
        debts.drain(ip(1));
        let said = [0, 60, 120, 180].map(|s| debts.ready(ip(1), at(s)));
        assert_eq!(said, [true, true, false, false]);
    }

    #[test]
    fn a_debt_waits_for_who_is_away() {
        let mut debts = Debts::new(false);
        debts.drain(ip(1));
        assert!(debts.ready(ip(1), at(100_000)));
    }

    #[test]
    fn after_an_earlier_agents_drain_everybody_is_told_for_a_while() {
        let mut debts = Debts::new(true);
        assert!(debts.ready(ip(1), at(1000)));
        assert!(debts.ready(ip(2), at(1100)));
        assert!(debts.ready(ip(1), at(1060)));
        assert!(!debts.ready(ip(1), at(1120)), "each as often as needed");
        assert!(!debts.ready(ip(3), at(1180)), "that is over");
    }

    #[test]
    fn a_flood_of_sources_leaves_nobody_drained() {
        let mut debts = Debts::new(false);
        let many = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        for n in 0..1000 {
            debts.drain(many(n));
        }
        assert_eq!(debts.owed.len(), KEPT);
        assert!((0..1000).all(|n| debts.ready(many(n), at(0))));
    }
}
