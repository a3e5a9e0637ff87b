//! Who has requests in flight, by the other end's address: what a restart would cut.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError},
};

use super::{LookError, Looker, STATES, Sockets, Verdict};
use crate::report::{Cut, Peer};

/// How many peers are named: behind balancers there are as many as balancers; others are only counted.
const PEERS: usize = 32;

impl Sockets {
    /// Looks who has requests in flight, in a thread of its own.
    pub async fn in_flight(&self) -> Result<Cut, LookError> {
        let looker = Arc::clone(&self.looker);
        let look = move || looker.lock().unwrap_or_else(PoisonError::into_inner).in_flight();
        tokio::task::spawn_blocking(look).await.map_err(|_| LookError::Stopped)?
    }
}

impl Looker {
    fn in_flight(&mut self) -> Result<Cut, LookError> {
        self.enter()?;
        let Self { doors, table, own, seen, .. } = self;
        seen.begin();
        let peers = table.fold(
            &doors.ports,
            &STATES,
            BTreeMap::new,
            |peers: &mut BTreeMap<IpAddr, u32>, socket| {
                let in_flight = matches!(Verdict::of(socket), Verdict::Busy | Verdict::Unsure { .. });
                if in_flight && !seen.is_own(socket, own) {
                    *peers.entry(socket.remote.ip().to_canonical()).or_default() += 1;
                }
            },
        )?;
        seen.end();
        Ok(cut(peers))
    }
}

/// The peers with the most first.
fn cut(peers: BTreeMap<IpAddr, u32>) -> Cut {
    let in_flight = peers.values().sum();
    let mut peers: Vec<Peer> =
        peers.into_iter().map(|(address, in_flight)| Peer { address, in_flight }).collect();
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.in_flight));
    peers.truncate(PEERS);
    Cut { at: 0.0, in_flight, peers, unknown: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_the_most_are_named_first_and_all_are_counted() {
        let many = (0..100u8).map(|n| (IpAddr::from([10, 0, 0, n]), u32::from(n)));
        let cut = cut(many.collect());
        assert_eq!((cut.in_flight, cut.peers.len()), (4950, PEERS));
        assert_eq!(cut.peers[0], Peer { address: [10, 0, 0, 99].into(), in_flight: 99 });
    }
}
