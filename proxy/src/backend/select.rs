//! Among whom a server is chosen: computed once for each change of a server's state or weight, and then only read.
//!
//! The first of these tiers that has a server is used:
//! 1. active servers that are up and have a weight;
//! 2. nobody yet, while an active server's first check is under way: requests wait;
//! 3. the first backup that is up; all of them with `allbackups`;
//! 4. nobody yet, while a backup's first check is under way;
//! 5. servers in soft drain, where the backend serves when all drain.
//!
//! How one of them is chosen is in [`choose`](super::choose).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Operation;
use super::cycle::{Order, cycle};
use super::ring::Ring;
use crate::config::{self, Balance, HashType, WhenAllDrain};

/// What a weight of 1 counts: weights grow by sixteenths after a start, as in HAProxy (`BE_WEIGHT_SCALE`).
pub(super) const FULL_WEIGHT: u32 = 16;

/// How one server is chosen among those that may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Method {
    /// In turn.
    Turns(Order),
    /// The one with the fewest requests for its weight.
    LeastConn,
    /// The first one that has room.
    First,
    /// The less loaded of so many drawn ones.
    Random(usize),
    /// By a hash and a map of turns.
    Map,
    /// By a hash and a ring.
    Ring,
}

impl Method {
    /// What the configuration says.
    pub(super) fn of(settings: &config::Backend) -> Self {
        match (&settings.balance, settings.hash_type) {
            (Balance::RoundRobin, _) => Self::Turns(Order::Smooth),
            (Balance::StaticRoundRobin, _) => Self::Turns(Order::Static),
            (Balance::LeastConn, _) => Self::LeastConn,
            (Balance::First, _) => Self::First,
            (Balance::Random(draws), _) => Self::Random(draws.get()),
            (_, HashType::MapBased) => Self::Map,
            (_, HashType::Consistent) => Self::Ring,
        }
    }

    /// Whether weights are those of the configuration for good (HAProxy's static algorithms).
    pub(super) fn is_static(self) -> bool {
        matches!(self, Self::Turns(Order::Static) | Self::Map)
    }
}

/// How a backend chooses, whatever its servers do.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) method: Method,
    pub(super) allbackups: bool,
    pub(super) when_all_drain: WhenAllDrain,
}

impl Rules {
    pub(super) fn of(settings: &config::Backend) -> Self {
        Self {
            method: Method::of(settings),
            allbackups: settings.allbackups,
            when_all_drain: settings.when_all_drain,
        }
    }
}

/// What the choice must know of a server; small, because it is read for all servers at each change of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) operation: Operation,
    pub(super) backup: bool,
    /// Its weight in sixteenths.
    pub(super) share: u32,
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

/// What can be chosen from at present.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) method: Method,
    /// Indices of the servers to choose from, in configuration order.
    pub(super) candidates: Vec<u32>,
    /// By server index: weights in sixteenths; zero for all but the candidates.
    pub(super) shares: Vec<u32>,
    pub(super) ring: Option<Arc<Ring>>,
    pub(super) turn: Turn,
    /// Indices in the order in which they take their turns; made when it is first needed, because servers may change
    /// faster than requests come.
    cycle: OnceLock<Vec<u32>>,
    usable: Usable,
    /// Nobody can be chosen, but a first check will tell soon.
    pending: bool,
}

/// Changed by each request of every core, and so on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Turn(AtomicUsize);

impl Turn {
    /// The next number.
    pub(super) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Who is in which tier.
#[derive(Default)]
struct Tiers {
    active: Vec<u32>,
    backup: Vec<u32>,
    soft_active: Vec<u32>,
    soft_backup: Vec<u32>,
    starting: Usable,
}

impl Selection {
    /// The choice among these servers as they are now. `before` is what it was: turns go on where they were.
    pub(super) fn new(
        members: &[Member],
        rules: &Rules,
        ring: Option<Arc<Ring>>,
        before: Option<&Self>,
    ) -> Self {
        let tiers = Tiers::of(members);
        let usable = tiers.usable(members, rules);
        let mut backups = tiers.backup;
        let mut soft_backups = tiers.soft_backup;
        if !rules.allbackups {
            backups.truncate(1);
            soft_backups.truncate(1);
        }
        let serves = rules.when_all_drain == WhenAllDrain::Serve;
        let pending = tiers.active.is_empty()
            && (tiers.starting.active > 0 || (backups.is_empty() && tiers.starting.backup > 0));
        let of_tier = [
            (true, tiers.active),
            (!pending, backups),
            (!pending && serves, tiers.soft_active),
            (!pending && serves, soft_backups),
        ];
        let first = of_tier.into_iter().find(|(may, tier)| *may && !tier.is_empty());
        let candidates = first.map(|(_, tier)| tier).unwrap_or_default();
        let mut shares = vec![0; members.len()];
        for &index in &candidates {
            shares[index as usize] = members[index as usize].share;
        }
        let turn = before.map_or(0, |before| before.turn.0.load(Ordering::Relaxed));
        Self {
            method: rules.method,
            candidates,
            shares,
            ring,
            turn: Turn(AtomicUsize::new(turn)),
            cycle: OnceLock::new(),
            usable,
            pending,
        }
    }

    /// Whether a first check will soon tell whom to choose.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether there is nobody to choose.
    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Whether this server takes new users.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.shares[index] > 0
    }

    /// Servers that take new users, or will when their first check has come back.
    pub(super) fn usable(&self) -> Usable {
        self.usable
    }

    /// The candidates in the order in which they take their turns; empty if there is none.
    pub(super) fn cycle(&self) -> &[u32] {
        self.cycle.get_or_init(|| {
            let order = match self.method {
                Method::Turns(order) => order,
                Method::Map => Order::Static,
                _ => Order::Smooth,
            };
            let weights: Vec<u32> =
                self.candidates.iter().map(|&index| self.shares[index as usize]).collect();
            let places = cycle(&weights, order);
            places.into_iter().map(|place| self.candidates[place as usize]).collect()
        })
    }
}

impl Tiers {
    fn of(members: &[Member]) -> Self {
        let mut tiers = Self::default();
        for (index, member) in members.iter().enumerate().filter(|(_, member)| member.share > 0) {
            let tier = match (member.operation, member.backup) {
                (operation, false) if operation.takes_new_users() => &mut tiers.active,
                (operation, true) if operation.takes_new_users() => &mut tiers.backup,
                (Operation::Soft, false) => &mut tiers.soft_active,
                (Operation::Soft, true) => &mut tiers.soft_backup,
                (Operation::Starting, backup) => {
                    tiers.starting.count(backup, member.share);
                    continue;
                }
                _ => continue,
            };
            tier.push(index as u32);
        }
        tiers
    }

    /// A first check that is under way does not count against a server.
    fn usable(&self, members: &[Member], rules: &Rules) -> Usable {
        let shares = |tier: &[u32]| -> u32 { tier.iter().map(|&index| members[index as usize].share).sum() };
        let active = self.active.len() + self.starting.active;
        let backup = self.backup.len() + self.starting.backup;
        let is_usable = |member: &&Member| {
            member.backup
                && member.share > 0
                && (member.operation.takes_new_users() || member.operation == Operation::Starting)
        };
        let weight = if active > 0 {
            shares(&self.active) + self.starting.weight
        } else {
            let count = if rules.allbackups { members.len() } else { 1 };
            members.iter().filter(is_usable).take(count).map(|member| member.share).sum()
        };
        Usable { active, backup, weight: weight.div_ceil(FULL_WEIGHT) }
    }
}

impl Usable {
    /// Counts one more; the weight is that of active ones.
    fn count(&mut self, backup: bool, share: u32) {
        if backup {
            self.backup += 1;
        } else {
            self.active += 1;
            self.weight += share;
        }
    }
}
