//! How many servers are what: kept up with each change of one, in constant time however many there are; only the first
//! backup is looked for among the backups.
//!
//! The first of these tiers that has a server is used:
//! 1. active servers that are up and have a weight;
//! 2. nobody yet, while an active server's first check is under way: requests wait;
//! 3. the first backup that is up; all of them with `allbackups`;
//! 4. nobody yet, while a backup's first check is under way;
//! 5. servers in soft drain, where the backend serves when all drain.

use super::select::{FULL_WEIGHT, Method, Rules};
use super::{Operation, Server};
use crate::config::WhenAllDrain;

/// What the choice must know of a server; small, because it is read for all servers when a choice is prepared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Member {
    pub(super) operation: Operation,
    pub(super) backup: bool,
    /// Its weight in sixteenths.
    pub(super) share: u32,
}

/// What a server is to new users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    Up,
    Starting,
    Soft,
}

impl Member {
    /// A server as it is now.
    pub(super) fn of(server: &Server, method: Method) -> Self {
        let sixteenths = if method.is_static() { FULL_WEIGHT } else { server.warmth().sixteenths() };
        Self {
            operation: server.operation(),
            backup: server.settings().backup,
            share: u32::from(server.weight()) * sixteenths,
        }
    }

    /// `None`: it takes no new users whatever becomes of the others.
    fn class(self) -> Option<Class> {
        match self.operation {
            _ if self.share == 0 => None,
            operation if operation.takes_new_users() => Some(Class::Up),
            Operation::Starting => Some(Class::Starting),
            Operation::Soft => Some(Class::Soft),
            _ => None,
        }
    }
}

/// Servers that take new users.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usable {
    /// Those that are no backups.
    pub active: usize,
    /// Backups.
    pub backup: usize,
    /// The weights of those among whom new users are shared out.
    pub weight: u32,
}

/// Among whom new users are shared out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tier {
    /// Servers of this class that are backups or not; `alone`: the first of them only.
    Of { class: Class, backup: bool, alone: bool },
    /// Nobody, but a first check will tell soon.
    Pending,
    /// Nobody.
    Nobody,
}

impl Tier {
    /// Whether it is one server, though others may be like it.
    pub(super) fn is_one(self) -> bool {
        matches!(self, Self::Of { alone: true, .. })
    }

    /// Whether a server belongs to it that is this at present, the first one of several aside.
    pub(super) fn has(self, member: Member) -> bool {
        matches!(self, Self::Of { class, backup, .. } if member.class() == Some(class) && member.backup == backup)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    servers: usize,
    /// The sum of their weights, in sixteenths.
    share: u32,
}

/// All servers, and how many are what.
#[derive(Debug)]
pub(super) struct Census {
    members: Vec<Member>,
    /// The places of those that are configured as backups.
    backups: Vec<usize>,
    /// By class, and by whether they are backups.
    counts: [[Count; 2]; 3],
}

impl Census {
    pub(super) fn new(members: Vec<Member>) -> Self {
        let backups = members.iter().enumerate().filter(|(_, member)| member.backup);
        let backups = backups.map(|(index, _)| index).collect();
        let mut census = Self { members, backups, counts: Default::default() };
        for index in 0..census.members.len() {
            census.count(index, |count, share| {
                count.servers += 1;
                count.share += share;
            });
        }
        census
    }

    /// A server has become this.
    pub(super) fn change(&mut self, index: usize, member: Member) {
        self.count(index, |count, share| {
            count.servers -= 1;
            count.share -= share;
        });
        self.members[index] = member;
        self.count(index, |count, share| {
            count.servers += 1;
            count.share += share;
        });
    }

    fn count(&mut self, index: usize, change: impl FnOnce(&mut Count, u32)) {
        let member = self.members[index];
        if let Some(class) = member.class() {
            change(&mut self.counts[class as usize][usize::from(member.backup)], member.share);
        }
    }

    /// All servers, in configuration order.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Among whom new users are shared out now.
    pub(super) fn tier(&self, rules: &Rules) -> Tier {
        let serves = rules.when_all_drain == WhenAllDrain::Serve;
        let any = |class, backup| self.of(class, backup).servers > 0;
        for (class, may) in [(Class::Up, true), (Class::Soft, serves)] {
            for backup in [false, true] {
                if may && any(class, backup) {
                    return Tier::Of { class, backup, alone: backup && !rules.allbackups };
                }
                if any(Class::Starting, backup) {
                    return Tier::Pending;
                }
            }
        }
        Tier::Nobody
    }

    /// Those of a tier, in configuration order.
    pub(super) fn candidates(&self, tier: Tier) -> Vec<u32> {
        let Tier::Of { alone, .. } = tier else { return Vec::new() };
        let most = if alone { 1 } else { self.members.len() };
        let all = self.members.iter().enumerate().filter(|(_, member)| tier.has(**member));
        all.map(|(index, _)| index as u32).take(most).collect()
    }

    /// A first check that is under way does not count against a server.
    pub(super) fn usable(&self, rules: &Rules) -> Usable {
        let [active, backup] = [false, true].map(|backup| {
            let [up, starting] = [Class::Up, Class::Starting].map(|class| self.of(class, backup));
            Count { servers: up.servers + starting.servers, share: up.share + starting.share }
        });
        let share = match (active.servers, rules.allbackups) {
            (0, true) => backup.share,
            (0, false) => self.first_backup().map_or(0, |member| member.share),
            _ => active.share,
        };
        Usable { active: active.servers, backup: backup.servers, weight: share.div_ceil(FULL_WEIGHT) }
    }

    fn first_backup(&self) -> Option<Member> {
        let mut backups = self.backups.iter().map(|&index| self.members[index]);
        backups.find(|member| matches!(member.class(), Some(Class::Up | Class::Starting)))
    }

    fn of(&self, class: Class, backup: bool) -> Count {
        self.counts[class as usize][usize::from(backup)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member() -> impl Strategy<Value = Member> {
        let operation = (0..=4u8).prop_map(Operation::from_u8);
        (operation, any::<bool>(), 0..3u32).prop_map(|(operation, backup, share)| Member {
            operation,
            backup,
            share,
        })
    }

    fn rules(allbackups: bool, serves: bool) -> Rules {
        let when_all_drain = if serves { WhenAllDrain::Serve } else { WhenAllDrain::Refuse };
        Rules { method: Method::First, allbackups, when_all_drain }
    }

    proptest! {
        #[test]
        fn after_any_changes_it_is_the_census_of_what_is_there(
            members in prop::collection::vec(member(), 1..6),
            changes in prop::collection::vec((0..6usize, member()), 0..12),
            allbackups: bool,
            serves: bool,
        ) {
            let rules = rules(allbackups, serves);
            let mut census = Census::new(members);
            for (index, member) in changes {
                let index = index % census.members().len();
                // Whether it is a backup stands in the configuration.
                census.change(index, Member { backup: census.members()[index].backup, ..member });
            }
            let anew = Census::new(census.members().to_vec());
            let tier = census.tier(&rules);
            prop_assert_eq!(tier, anew.tier(&rules));
            prop_assert_eq!(census.usable(&rules), anew.usable(&rules));
            prop_assert_eq!(census.candidates(tier), anew.candidates(tier));
            let has_one = !census.candidates(tier).is_empty();
            prop_assert_eq!(matches!(tier, Tier::Of { .. }), has_one);
        }
    }

    #[test]
    fn each_tier_is_used_when_those_before_it_have_nobody() {
        use Operation::{Down, Soft, Starting, Up};
        const ALL: &[u32] = &[0, 1, 2, 3];
        // Two active servers and two backups; with allbackups, and whether draining ones serve.
        for (operations, allbackups, serves, candidates, pending) in [
            ([Up, Up, Up, Up], true, true, &ALL[..2], false),
            ([Starting, Up, Up, Up], true, true, &ALL[1..2], false),
            ([Starting, Down, Up, Up], true, true, &[], true),
            ([Down, Soft, Up, Up], true, true, &ALL[2..], false),
            ([Down, Soft, Up, Up], false, true, &ALL[2..3], false),
            ([Down, Soft, Starting, Up], false, true, &ALL[3..], false),
            ([Down, Soft, Starting, Soft], false, true, &[], true),
            ([Soft, Soft, Soft, Down], false, true, &ALL[..2], false),
            ([Soft, Down, Down, Down], false, false, &[], false),
            ([Down, Down, Soft, Soft], false, true, &ALL[2..3], false),
            ([Down, Down, Soft, Soft], true, true, &ALL[2..], false),
            ([Down, Down, Down, Down], true, true, &[], false),
        ] {
            let member = |(at, operation)| Member { operation, backup: at > 1, share: FULL_WEIGHT };
            let census = Census::new(operations.into_iter().enumerate().map(member).collect());
            let tier = census.tier(&rules(allbackups, serves));
            assert_eq!(census.candidates(tier), candidates, "{operations:?}");
            assert_eq!(tier == Tier::Pending, pending, "{operations:?}");
        }
    }
}
