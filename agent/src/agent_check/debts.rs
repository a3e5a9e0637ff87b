//! Who was told `drain` and is still owed a `ready`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

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

/// Who was told `drain` and is still owed a `ready`. It is written down with the state, so that an agent that dies
/// leaves nobody drained, and the next one takes back nothing that others have set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Debts {
    owed: BTreeMap<IpAddr, Debt>,
    everybody: Everybody,
    /// As this was written down, others might be told `drain` yet: an agent that finds it does not know all.
    #[serde(default)]
    open: bool,
    /// What was written down last is not so any more.
    #[serde(skip)]
    news: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Debt {
    /// When `ready` was said first.
    first: Option<Moment>,
    /// How often it was said.
    said: u32,
    /// It is to be told `drain` as soon as it asks, and was not yet. An agent that finds it written down can't know.
    #[serde(skip)]
    untold: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Everybody {
    /// All who are owed are known.
    #[default]
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
    /// Everybody may be owed: an earlier agent was in a drain, and nobody knows whom it has told.
    pub fn unknown() -> Self {
        Self { everybody: Everybody::Yes, ..Self::default() }
    }

    /// What an earlier agent has written down; moments of another boot mean nothing.
    #[must_use]
    pub fn resumed(mut self, same_boot: bool) -> Self {
        if !same_boot {
            self.owed.values_mut().for_each(|debt| *debt = Debt::default());
        }
        if self.open || (!same_boot && self.everybody != Everybody::No) {
            self.everybody = Everybody::Yes;
        }
        self
    }

    /// What is to be written down; `open`: who asks for the first time may be told `drain`, before that is written down.
    pub(super) fn taken_down(&mut self, open: bool) -> Self {
        (self.news, self.open) = (false, open);
        self.clone()
    }

    /// Whether there is something to be written down.
    pub(super) fn has_news(&self, open: bool) -> bool {
        self.news || self.open != open
    }

    /// These will be told `drain`, as soon as that is written down.
    pub(super) fn announce(&mut self, sources: impl IntoIterator<Item = IpAddr>) {
        for source in sources {
            let source = source.to_canonical();
            let was_told = self.owed.get(&source).is_some_and(|debt| !debt.untold);
            if was_told || self.owed.len() < KEPT {
                self.owed.insert(source, Debt { untold: !was_told, ..Debt::default() });
                self.news = true;
            }
        }
    }

    /// Nobody will be told `drain` any more who was not yet.
    pub(super) fn settle(&mut self) {
        let all = self.owed.len();
        self.owed.retain(|_, debt| !debt.untold);
        self.news |= self.owed.len() < all;
    }

    /// `source` is told `drain`.
    pub(super) fn drain(&mut self, source: IpAddr) {
        let source = source.to_canonical();
        let before = self.owed.get(&source).copied();
        if before.is_some() || self.owed.len() < KEPT {
            self.owed.insert(source, Debt::default());
        } else {
            self.news |= self.everybody != Everybody::Yes;
            self.everybody = Everybody::Yes;
        }
        // One that was announced is written down as it is.
        self.news |= before.is_none_or(|before| before.said > 0);
    }

    /// Whether `source`, to which the server is up, is to be told `ready`.
    pub(super) fn ready(&mut self, source: IpAddr, now: Moment) -> bool {
        let source = source.to_canonical();
        if self.everybody == Everybody::Yes {
            (self.everybody, self.news) = (Everybody::Until(now + EVERYBODY), true);
        }
        if matches!(self.everybody, Everybody::Until(end) if now >= end) {
            (self.everybody, self.news) = (Everybody::No, true);
        }
        let all = self.everybody != Everybody::No;
        let is_known = self.owed.get(&source).is_some_and(|debt| !debt.untold);
        if !is_known && (!all || self.owed.len() >= KEPT) {
            return all;
        }
        let debt = self.owed.entry(source).or_default();
        debt.untold = false;
        let due = debt.pay(now);
        // As long as everybody is owed, those who were paid are known by their entries.
        if !due && !all {
            self.owed.remove(&source);
        }
        self.news |= due || !all;
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
        let mut debts = Debts::default();
        debts.drain(ip(1));
        assert!(!debts.ready(ip(2), at(0)));
        assert!(debts.ready(ip(1), at(0)));
    }

    #[test]
    fn ready_is_said_at_first_only_so_that_later_drains_by_hand_stay() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        let said: Vec<bool> = (0..20).step_by(2).map(|s| debts.ready(ip(1), at(s))).collect();
        assert_eq!(said, [true, true, true, true, true, false, false, false, false, false]);
        debts.drain(ip(1));
        assert!(debts.ready(ip(1), at(30)), "another drain is another debt");
    }

    #[test]
    fn who_asks_rarely_is_told_twice() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        let said = [0, 60, 120, 180].map(|s| debts.ready(ip(1), at(s)));
        assert_eq!(said, [true, true, false, false]);
    }

    #[test]
    fn a_debt_waits_for_who_is_away() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        assert!(debts.ready(ip(1), at(100_000)));
    }

    #[test]
    fn after_an_earlier_agents_drain_everybody_is_told_for_a_while() {
        let mut debts = Debts::unknown();
        assert!(debts.ready(ip(1), at(1000)));
        assert!(debts.ready(ip(2), at(1100)));
        assert!(debts.ready(ip(1), at(1060)));
        assert!(!debts.ready(ip(1), at(1120)), "each as often as needed");
        assert!(!debts.ready(ip(3), at(1180)), "that is over");
    }

    /// What the next agent finds.
    fn next(debts: &mut Debts, same_boot: bool) -> Debts {
        let text = serde_json::to_string(&debts.taken_down(false)).unwrap();
        assert!(!debts.has_news(false));
        serde_json::from_str::<Debts>(&text).unwrap().resumed(same_boot)
    }

    #[test]
    fn debts_outlive_the_agent_and_nobody_else_is_owed_then() {
        for same_boot in [true, false] {
            let mut debts = Debts::default();
            debts.announce([ip(1)]);
            assert!(debts.has_news(false), "it is to be written down before the first word");
            let mut next = next(&mut debts, same_boot);
            assert!(!next.ready(ip(2), at(100_000)));
            assert!(next.ready(ip(1), at(100_000)));
        }
    }

    #[test]
    fn the_next_agent_goes_on_with_what_is_paid() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        assert!(debts.ready(ip(1), at(0)) && debts.ready(ip(1), at(2)));
        assert!(debts.has_news(false));
        let mut next = next(&mut debts, true);
        assert!(!next.ready(ip(1), at(10)));
        assert!(next.has_news(false), "paid");
        assert_eq!(next.owed.len(), 0);
    }

    #[test]
    fn who_was_announced_a_drain_and_not_told_is_owed_nothing() {
        let mut debts = Debts::default();
        debts.announce([ip(1), ip(2)]);
        debts.taken_down(false);
        debts.drain(ip(2));
        assert!(!debts.has_news(false), "that is written down");
        assert!(!debts.ready(ip(1), at(0)), "before the first answer has changed");
        debts.settle();
        assert!(debts.has_news(false));
        assert_eq!(debts.owed.len(), 1);
        assert!(debts.ready(ip(2), at(1)));
    }

    #[test]
    fn another_drain_begins_a_debt_anew_that_is_being_paid() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        debts.ready(ip(1), at(0));
        debts.announce([ip(1)]);
        debts.settle();
        assert!(debts.ready(ip(1), at(11)), "it was told before");
        debts.taken_down(false);
        debts.drain(ip(1));
        assert!(debts.has_news(false), "what is written down is half paid");
    }

    #[test]
    fn who_is_told_drain_after_the_last_words_of_an_agent_that_dies_is_owed() {
        for same_boot in [true, false] {
            let mut debts = Debts::default();
            debts.announce([ip(1)]);
            let text = serde_json::to_string(&debts.taken_down(true)).unwrap();
            assert!(!debts.has_news(true), "as long as others may be told");
            debts.drain(ip(2));
            assert!(debts.has_news(true), "it is to be written down");
            let mut next = serde_json::from_str::<Debts>(&text).unwrap().resumed(same_boot);
            assert!(next.ready(ip(2), at(100_000)));
            assert!(next.ready(ip(1), at(100_179)));
            assert!(!next.ready(ip(3), at(100_180)), "not for ever");
        }
    }

    #[test]
    fn once_nobody_else_is_told_drain_that_is_written_down_and_the_next_agent_knows_all() {
        let mut debts = Debts::default();
        debts.drain(ip(1));
        debts.taken_down(true);
        assert!(debts.has_news(false));
        let mut next = next(&mut debts, true);
        assert!(!next.ready(ip(2), at(0)) && next.ready(ip(1), at(0)));
    }

    #[test]
    fn everybody_is_owed_over_another_agents_end() {
        let mut debts = Debts::unknown();
        assert!(debts.ready(ip(1), at(0)));
        let mut other_boot = next(&mut debts, false);
        let mut next = next(&mut debts, true);
        assert!(next.ready(ip(2), at(179)));
        assert!(!next.ready(ip(3), at(180)));
        assert!(other_boot.ready(ip(3), at(5000)), "nobody knows how long that is");
    }

    #[test]
    fn a_flood_of_sources_leaves_nobody_drained() {
        let mut debts = Debts::default();
        let many = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        for n in 0..1000 {
            debts.drain(many(n));
        }
        assert_eq!(debts.owed.len(), KEPT);
        assert!((0..1000).all(|n| debts.ready(many(n), at(0))));
    }
}
