//! Which server takes a new user: weighted round robin in HAProxy's order.
//!
//! The order is computed once for each change of the set of servers or their weights, and then only indexed: a
//! request takes the next entry of the cycle with one atomic addition.
//!
//! The first of these tiers that has a server is used:
//! 1. active servers that are up and have a weight;
//! 2. nobody yet, while an active server's first check is under way: requests wait;
//! 3. the first backup that is up;
//! 4. nobody yet, while a backup's first check is under way;
//! 5. servers in soft drain, where the backend serves when all drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::{Operation, Server};
use crate::config::WhenAllDrain;

/// The longest cycle. Weights go to 256, so that 256 servers of the highest weights still have exact shares;
/// beyond it they are scaled down together.
const MAX_CYCLE: usize = 65_536;

/// HAProxy's `BE_WEIGHT_SCALE`: its windows are this many cycles long, which shows in its order.
const SCALE: u64 = 16;

/// HAProxy's `SRV_EWGHT_MAX` and `SRV_UWGHT_RANGE`.
const MAX_EFFECTIVE_WEIGHT: u64 = 256 * SCALE;
const WEIGHT_RANGE: u64 = 256 + 1;

/// What can be chosen from at present.
#[derive(Debug)]
pub(super) struct Selection {
    /// Indices of the servers to choose from, in configuration order.
    candidates: Vec<usize>,
    /// Indices in the order in which they take their turns.
    cycle: Vec<u32>,
    next: AtomicUsize,
    /// Nobody can be chosen, but a first check will tell soon.
    pending: bool,
}

impl Selection {
    /// The choice among these servers as they are now.
    pub(super) fn new(servers: &[Arc<Server>], when_all_drain: WhenAllDrain) -> Self {
        let tier = |backup: bool, accepts: fn(Operation) -> bool| {
            let of_tier = servers.iter().filter(move |server| server.settings().backup == backup);
            of_tier
                .filter(|server| server.settings().weight > 0 && accepts(server.operation()))
                .map(|server| server.index())
                .collect::<Vec<_>>()
        };
        let starting = |operation: Operation| operation == Operation::Starting;
        let soft = |operation: Operation| operation == Operation::Soft;

        let active = tier(false, Operation::takes_new_users);
        if !active.is_empty() {
            return Self::of(servers, active);
        }
        if !tier(false, starting).is_empty() {
            return Self::pending();
        }
        let backups = tier(true, Operation::takes_new_users);
        if let Some(&first) = backups.first() {
            return Self::of(servers, vec![first]);
        }
        if !tier(true, starting).is_empty() {
            return Self::pending();
        }
        if when_all_drain == WhenAllDrain::Serve {
            let draining = tier(false, soft);
            if !draining.is_empty() {
                return Self::of(servers, draining);
            }
            let draining_backup = tier(true, soft).first().copied();
            return Self::of(servers, draining_backup.into_iter().collect());
        }
        Self::of(servers, Vec::new())
    }

    fn of(servers: &[Arc<Server>], candidates: Vec<usize>) -> Self {
        let weights: Vec<u32> =
            candidates.iter().map(|&index| u32::from(servers[index].settings().weight)).collect();
        let cycle = cycle(&weights).into_iter().map(|place| candidates[place as usize] as u32).collect();
        Self { candidates, cycle, next: AtomicUsize::new(0), pending: false }
    }

    fn pending() -> Self {
        Self { candidates: Vec::new(), cycle: Vec::new(), next: AtomicUsize::new(0), pending: true }
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
        self.candidates.binary_search(&index).is_ok()
    }

    /// The next server for which `take` succeeds, in the cycle's order. The one to avoid is taken only if there is
    /// no other.
    pub(super) fn take_next(
        &self,
        avoid: Option<usize>,
        mut take: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        // As many turns as there are servers, then each server once: a full server loses its turn as in HAProxy,
        // and a free one is found even behind many turns of a heavy full one.
        for _ in 0..self.candidates.len() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.cycle.len();
            let index = self.cycle[turn] as usize;
            if Some(index) != avoid && take(index) {
                return Some(index);
            }
        }
        let others = self.candidates.iter().copied().filter(|&index| Some(index) != avoid);
        let last = avoid.filter(|&index| self.contains(index));
        others.chain(last).find(|&index| take(index))
    }
}

/// The order in which servers of these weights (all above zero) take their turns, by place.
fn cycle(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let mut weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
    let total: u64 = weights.iter().sum();
    if total > MAX_CYCLE as u64 {
        for weight in &mut weights {
            *weight = (*weight * MAX_CYCLE as u64 / total).max(1);
        }
    }
    // Rounding may give a server a turn too many within one cycle, and another one too few.
    let mut shares = weights.clone();
    let length = weights.iter().sum::<u64>() as usize;
    let due = |&place: &u32| {
        let share = &mut shares[place as usize];
        let is_due = *share > 0;
        *share = share.saturating_sub(1);
        is_due
    };
    Turns::new(&weights).filter(due).take(length).collect()
}

/// HAProxy's weighted round robin (`lb_fwrr.c`), from a fresh start.
///
/// Each server has a position at which its next turn comes; after a turn it moves on by total/weight. One that has
/// had no turn yet takes the first hole, heavier ones first.
struct Turns {
    /// Of each server that had a turn: (next position, remainder, weight).
    started: Vec<Option<Turn>>,
    /// Places that had no turn, the one to take next at the end.
    fresh: Vec<u32>,
    weights: Vec<u64>,
    total: u64,
    position: u64,
}

#[derive(Clone, Copy)]
struct Turn {
    next: u64,
    remainder: u64,
    /// HAProxy's sorting key, and the order of insertion for equal ones.
    key: (u64, u64),
}

impl Turns {
    fn new(weights: &[u64]) -> Self {
        let weights: Vec<u64> = weights.iter().map(|weight| weight * SCALE).collect();
        let mut fresh: Vec<u32> = (0..weights.len() as u32).collect();
        fresh.sort_by_key(|&place| std::cmp::Reverse(weights[place as usize]));
        fresh.reverse();
        let total = weights.iter().sum();
        Self { started: vec![None; weights.len()], fresh, weights, total, position: total }
    }

    fn turn(&mut self) -> Option<u32> {
        let due = (0..self.started.len() as u32)
            .filter_map(|place| self.started[place as usize].map(|turn| (turn.key, turn.next, place)))
            .min();
        let place = match due {
            Some((_, next, place)) if next <= self.position => place,
            other => self.fresh.pop().or(other.map(|(_, _, place)| place))?,
        };
        let weight = self.weights[place as usize];
        let before =
            self.started[place as usize].unwrap_or(Turn { next: self.position, remainder: 0, key: (0, 0) });
        let mut next = before.next + self.total / weight;
        let mut remainder = before.remainder + self.total % weight;
        if remainder >= weight {
            remainder -= weight;
            next += 1;
        }
        self.position += 1;
        let key = WEIGHT_RANGE * next + (MAX_EFFECTIVE_WEIGHT + remainder - weight) / SCALE;
        self.started[place as usize] = Some(Turn { next, remainder, key: (key, self.position) });
        Some(place)
    }
}

impl Iterator for Turns {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.turn()
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(weights: &[u32]) -> String {
        cycle(weights).iter().map(|&place| char::from(b'a' + place as u8)).collect()
    }

    #[test]
    fn turns_come_in_the_order_of_haproxy() {
        for (weights, expected) in [
            (&[1, 1, 1][..], "abc"),
            (&[2, 1], "aab"),
            (&[3, 1, 1], "aabac"),
            (&[5, 1, 1], "aaabaac"),
            (&[1, 2], "bba"),
            (&[10, 20, 30], "cbcacb"),
            (&[3, 2], "aabab"),
            (&[100, 100], "ab"),
            (&[7], "a"),
        ] {
            assert_eq!(letters(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn nobody_has_no_turns() {
        assert_eq!(letters(&[]), "");
    }

    proptest::proptest! {
        #[test]
        fn each_server_has_exactly_its_share_of_a_cycle(weights in proptest::collection::vec(1u32..=40, 1..8)) {
            let cycle = cycle(&weights);
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            for (place, &weight) in weights.iter().enumerate() {
                let turns = cycle.iter().filter(|&&turn| turn as usize == place).count() as u64;
                proptest::prop_assert_eq!(turns * total, u64::from(weight) * cycle.len() as u64);
            }
        }
    }
}
