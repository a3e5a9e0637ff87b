//! Among whom a server is chosen: prepared once, and then only read, until some server's state or weight has changed.
//!
//! A change outdates it in constant time. What is cheap is made anew for the next request; what is dear serves for so
//! many further choices that its cost is small beside theirs, and each of them looks whether the server that it has
//! found is still in. So nobody is sent to a server that has left, and one that has come waits for a part of a turn.
//!
//! Which servers these are is in [`census`](super::census), how one of them is chosen in [`choose`](super::choose).

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Server;
use super::census::{Census, Member, Tier};
use super::cycle::{Order, cycle};
use super::ring::Ring;
use crate::config::{self, Balance, HashType, WhenAllDrain};

/// What a weight of 1 counts: weights grow by sixteenths after a start, as in HAProxy (`BE_WEIGHT_SCALE`).
pub(super) const FULL_WEIGHT: u32 = 16;

/// Nothing has changed; no patience comes near it.
const CURRENT: u32 = u32::MAX;

/// Places of an order from which on it is dear to make: below it that takes some 100 microseconds.
const DEAR: usize = 4096;

/// So many places of an order may be made for one choice (a microsecond or so), and by so much of a turn a server that
/// has come is late.
const PLACES_PER_CHOICE: usize = 16;

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
    /// Whom the candidates are.
    tier: Tier,
    /// How many more choices are made from it; [`CURRENT`]: any number, for nothing has changed.
    left: AtomicU32,
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

impl Selection {
    /// The choice among these servers as they are now. `before` is what it was: turns go on where they were.
    pub(super) fn new(
        census: &Census,
        rules: &Rules,
        ring: Option<Arc<Ring>>,
        before: Option<&Self>,
    ) -> Self {
        let tier = census.tier(rules);
        let candidates = census.candidates(tier);
        let members = census.members();
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
            tier,
            left: AtomicU32::new(CURRENT),
        }
    }

    /// Some server has changed, and new users are shared out among this tier now.
    pub(super) fn outdate(&self, tier: Tier) {
        let left = if tier == self.tier { self.patience() } else { 0 };
        self.left.fetch_min(left, Ordering::SeqCst);
    }

    /// How many choices it is good for after a change.
    fn patience(&self) -> u32 {
        // Who goes by a hash goes to the same server through every proxy; and of a single candidate nobody can tell by
        // itself that it is no longer the first.
        let keeps = matches!(self.method, Method::Turns(_) | Method::LeastConn | Method::Random(_));
        if !keeps || self.tier.is_one() {
            return 0;
        }
        let places = self.cycle.get().map_or(self.candidates.len(), Vec::len);
        if places < DEAR { 0 } else { (places / PLACES_PER_CHOICE) as u32 }
    }

    /// Whether nothing has changed since it was made.
    pub(super) fn is_current(&self) -> bool {
        self.left.load(Ordering::SeqCst) == CURRENT
    }

    /// Whether one more choice may be made from it.
    pub(super) fn lasts(&self) -> bool {
        // Mostly that costs a load.
        self.is_current()
            || self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                    CURRENT => None,
                    left => left.checked_sub(1),
                })
                .is_ok()
    }

    /// Whether a server that is a candidate is one still.
    pub(super) fn still_has(&self, server: &Server) -> bool {
        self.is_current() || self.tier.has(Member::of(server, self.method))
    }

    /// Whether a first check will soon tell whom to choose.
    pub(super) fn is_pending(&self) -> bool {
        self.tier == Tier::Pending
    }

    /// Whether there is nobody to choose.
    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Whether this server takes new users.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.shares[index] > 0
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
