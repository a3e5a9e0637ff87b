//! The order in which servers take their turns: computed once for each change of their weights, and then only indexed.

use std::{cmp::Reverse, collections::BinaryHeap};

/// The longest cycle. Weights go to 256, so that 256 servers of the highest weights still have exact shares;
/// beyond it they are scaled down together.
const MAX_CYCLE: usize = 65_536;

/// HAProxy's order of a static map looks at each server for each turn. Beyond so many looks (some milliseconds) the
/// other order, which has the same shares, is taken instead.
const MOST_LOOKS: usize = 1 << 22;

/// HAProxy's `BE_WEIGHT_SCALE`: its windows are this many cycles long, which shows in its order.
const SCALE: u64 = 16;

/// HAProxy's `SRV_EWGHT_MAX` and `SRV_UWGHT_RANGE`.
const MAX_EFFECTIVE_WEIGHT: u64 = 256 * SCALE;
const WEIGHT_RANGE: u64 = 256 + 1;

/// Which of HAProxy's orders.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// That of `roundrobin` (`lb_fwrr.c`).
    Smooth,
    /// That of `static-rr` and of the maps behind hashes (`lb_map.c`).
    Static,
}

/// The order in which servers of these weights (all above zero) take their turns, by place.
pub(super) fn cycle(weights: &[u32], order: Order) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let mut weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
    if weights.iter().all(|&weight| weight == 1) {
        return (0..weights.len() as u32).collect();
    }
    let total: u64 = weights.iter().sum();
    if total > MAX_CYCLE as u64 {
        for weight in &mut weights {
            *weight = (*weight * MAX_CYCLE as u64 / total).max(1);
        }
    }
    let length = weights.iter().sum::<u64>() as usize;
    if order == Order::Static && length * weights.len() <= MOST_LOOKS {
        return static_order(&weights, length);
    }
    // Rounding may give a server a turn too many within one cycle, and another one too few.
    let mut shares = weights.clone();
    let due = |&place: &u32| {
        let share = &mut shares[place as usize];
        let is_due = *share > 0;
        *share = share.saturating_sub(1);
        is_due
    };
    Turns::new(&weights).filter(due).take(length).collect()
}

/// HAProxy's static map (`recalc_server_map`): each server's score grows by its weight with each turn, and falls by the
/// total with a turn of its own; the first one of the highest score in totals is next.
fn static_order(weights: &[u64], length: usize) -> Vec<u32> {
    // Scores begin one total up, and so never fall below zero.
    let total = length as u64;
    let mut scores = vec![total; weights.len()];
    let turn = |_| {
        let mut best = (0, 0);
        for (place, (score, weight)) in scores.iter_mut().zip(weights).enumerate() {
            *score += weight;
            let rank = *score / total;
            if rank > best.0 {
                best = (rank, place);
            }
        }
        scores[best.1] -= total;
        best.1 as u32
    };
    (0..length).map(turn).collect()
}

/// HAProxy's weighted round robin, from a fresh start.
///
/// Each server has a position at which its next turn comes; after a turn it moves on by total/weight. One that has
/// had no turn yet takes the first hole, heavier ones first.
struct Turns {
    /// Servers that had a turn, the next one on top.
    started: BinaryHeap<Reverse<Turn>>,
    /// Places that had no turn, the one to take next at the end.
    fresh: Vec<u32>,
    weights: Vec<u64>,
    total: u64,
    position: u64,
}

#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Turn {
    /// HAProxy's sorting key, and the order of insertion for equal ones.
    key: (u64, u64),
    next: u64,
    remainder: u64,
    place: u32,
}

impl Turns {
    fn new(weights: &[u64]) -> Self {
        let weights: Vec<u64> = weights.iter().map(|weight| weight * SCALE).collect();
        let mut fresh: Vec<u32> = (0..weights.len() as u32).collect();
        fresh.sort_by_key(|&place| Reverse(weights[place as usize]));
        fresh.reverse();
        let total = weights.iter().sum();
        Self { started: BinaryHeap::new(), fresh, weights, total, position: total }
    }

    /// The turn that comes now.
    fn due(&mut self) -> Option<Turn> {
        let is_due = self.started.peek().is_some_and(|Reverse(turn)| turn.next <= self.position);
        if !is_due && let Some(place) = self.fresh.pop() {
            return Some(Turn { key: (0, 0), next: self.position, remainder: 0, place });
        }
        self.started.pop().map(|Reverse(turn)| turn)
    }
}

impl Iterator for Turns {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Turn { mut next, mut remainder, place, .. } = self.due()?;
        let weight = self.weights[place as usize];
        next += self.total / weight;
        remainder += self.total % weight;
        if remainder >= weight {
            remainder -= weight;
            next += 1;
        }
        self.position += 1;
        let key = WEIGHT_RANGE * next + (MAX_EFFECTIVE_WEIGHT + remainder - weight) / SCALE;
        self.started.push(Reverse(Turn { key: (key, self.position), next, remainder, place }));
        Some(place)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(weights: &[u32], order: Order) -> String {
        cycle(weights, order).iter().map(|&place| char::from(b'a' + place as u8)).collect()
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
            assert_eq!(letters(weights, Order::Smooth), expected, "{weights:?}");
        }
    }

    #[test]
    fn a_static_map_has_the_order_of_haproxy() {
        for (weights, expected) in
            [(&[3, 1, 1][..], "aabac"), (&[5, 1], "aaaaab"), (&[1, 1, 1], "abc"), (&[7], "a")]
        {
            assert_eq!(letters(weights, Order::Static), expected, "{weights:?}");
        }
    }

    #[test]
    fn nobody_has_no_turns() {
        assert_eq!(letters(&[], Order::Smooth), "");
    }

    #[test]
    fn many_servers_of_many_weights_have_a_short_cycle() {
        let weights: Vec<u32> = (0..10_000).map(|place| place % 256 + 1).collect();
        for order in [Order::Smooth, Order::Static] {
            let cycle = cycle(&weights, order);
            assert!(cycle.len() <= MAX_CYCLE + weights.len(), "{}", cycle.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn each_server_has_exactly_its_share_of_a_cycle(
            weights in proptest::collection::vec(1u32..=40, 1..8),
            order in proptest::sample::select(vec![Order::Smooth, Order::Static]),
        ) {
            let cycle = cycle(&weights, order);
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            for (place, &weight) in weights.iter().enumerate() {
                let turns = cycle.iter().filter(|&&turn| turn as usize == place).count() as u64;
                proptest::prop_assert_eq!(turns * total, u64::from(weight) * cycle.len() as u64);
            }
        }
    }
}
