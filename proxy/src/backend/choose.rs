//! Which of the candidates takes a request.
//!
//! No algorithm takes a lock, and none but `first` looks at more than a bounded number of servers as long as they have
//! room:
//!
//! | algorithm | what it looks at | exact over cores |
//! |---|---|---|
//! | `roundrobin`, `static-rr` | the next entry of the cycle, by one atomic addition | yes |
//! | `leastconn` | the counters of all servers up to [`LOOKS`], beyond it of a window that moves on | up to the requests that other cores choose for in the same moment |
//! | `first` | servers in order up to the first with room | yes |
//! | `random` | the counters of the drawn ones | as `leastconn` |
//! | hashes, map-based | one entry of the cycle | yes |
//! | hashes, consistent | a binary search on the ring | yes |
//!
//! Whether there is room is decided by taking it, so `maxconn` always holds exactly. When nobody that was looked at has
//! room, everybody is looked at before a request has to wait.

use std::sync::Arc;

use super::hash::{Key, mix};
use super::select::{Method, Selection};
use super::server::Server;

/// Servers whose counters `leastconn` compares for one request; some of them come from other cores' caches. Beyond it
/// the least loaded of a window of so many is taken, which is among the least loaded 2 % or so of all.
const LOOKS: usize = 64;

/// How often a choice is made anew because the chosen one was taken by another core in the same moment.
const TRIES: usize = 4;

impl Selection {
    /// The server that a request of this key is bound to; `None` where it takes its turn. The one to avoid only if
    /// there is no other.
    pub(super) fn bound(&self, key: Option<Key>, avoid: Option<usize>) -> Option<usize> {
        let key = key.filter(|_| !self.is_empty())?;
        let avoid = avoid.filter(|_| self.candidates.len() > 1);
        match (self.method, &self.ring) {
            (Method::Map, _) => {
                let (before, behind) = self.cycle().split_at(key.place(self.cycle().len()));
                let mut turns = behind.iter().chain(before).map(|&index| index as usize);
                turns.find(|&index| Some(index) != avoid)
            }
            (Method::Ring, Some(ring)) => ring.find(key, &self.shares, avoid),
            _ => None,
        }
    }

    /// A server that `suits` and for which `take` succeeds, by the algorithm. The one to avoid is taken only if there is
    /// no other.
    pub(super) fn take(
        &self,
        servers: &[Arc<Server>],
        avoid: Option<usize>,
        suits: impl Fn(usize) -> bool,
        mut take: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let is_in = |index: usize| self.still_has(&servers[index]) && suits(index);
        let may = |index: usize| Some(index) != avoid && is_in(index);
        let taken = match self.method {
            Method::Turns(_) | Method::Map | Method::Ring => {
                self.take_turn(|index| may(index) && take(index))
            }
            Method::First => None,
            Method::LeastConn => self.take_best(&mut take, |number| {
                let count = self.candidates.len();
                let window = (0..count.min(LOOKS)).map(move |place| (number + place) % count);
                self.least(servers, window.map(|place| self.candidates[place] as usize), may)
            }),
            Method::Random(draws) => self.take_best(&mut take, |number| {
                let cycle = self.cycle();
                let drawn = (0..draws).map(|draw| mix((number * draws + draw) as u64) as usize % cycle.len());
                self.least(servers, drawn.map(|place| cycle[place] as usize), may)
            }),
        };
        taken.or_else(|| self.take_any(avoid, |index| is_in(index) && take(index)))
    }

    /// As many turns as there are servers: a full server loses its turn as in HAProxy.
    fn take_turn(&self, mut take: impl FnMut(usize) -> bool) -> Option<usize> {
        let cycle = self.cycle();
        (0..self.candidates.len()).find_map(|_| {
            let index = cycle[self.turn.next() % cycle.len()] as usize;
            take(index).then_some(index)
        })
    }

    /// The best one, again if another core was faster.
    fn take_best(
        &self,
        take: &mut impl FnMut(usize) -> bool,
        best: impl Fn(usize) -> Option<usize>,
    ) -> Option<usize> {
        (0..TRIES).find_map(|_| best(self.turn.next()).filter(|&index| take(index)))
    }

    /// The one with the fewest requests for its weight among these, of those that have room; the first of equal ones.
    /// Whether it `may` be taken can cost a system call, and is asked of those alone that are the best so far.
    fn least(
        &self,
        servers: &[Arc<Server>],
        among: impl Iterator<Item = usize>,
        may: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut least: Option<(usize, u64)> = None;
        for index in among.filter(|&index| servers[index].has_room()) {
            let load = u64::from(servers[index].load());
            let is_less = least.is_none_or(|(best, of_best)| {
                load * u64::from(self.shares[best]) < of_best * u64::from(self.shares[index])
            });
            if is_less && may(index) {
                least = Some((index, load));
            }
        }
        least.map(|(index, _)| index)
    }

    /// Anybody in configuration order; a free one is found even behind many turns of a heavy full one.
    fn take_any(&self, avoid: Option<usize>, mut take: impl FnMut(usize) -> bool) -> Option<usize> {
        let others =
            self.candidates.iter().map(|&index| index as usize).filter(|&index| Some(index) != avoid);
        let last = avoid.filter(|&index| self.contains(index));
        others.chain(last).find(|&index| take(index))
    }
}
