//! Whose connections are open, by the other end's address: what a restart would cut, and what it leaves open.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError},
};

use super::{LookError, Looker, Looks, Sockets, Verdict};
use crate::{clock::Moment, report::Peer, traffic::Reading};

/// How many peers are named: behind balancers there are as many as balancers; others are only counted.
const PEERS: usize = 32;

/// So many addresses are told apart in one look: more have their users come without a balancer.
const ADDRESSES: usize = 4096;

/// What a look finds that is made for the sake of who it is.
#[derive(Clone, Debug)]
pub struct Left {
    /// What is open. Of what has ended since the last look it tells nothing.
    pub reading: Reading,
    /// Whose it is, those with the most in flight first.
    pub peers: Vec<Peer>,
}

impl Sockets {
    /// Looks whose connections are open, in a thread of its own.
    pub async fn left(&self) -> Result<Left, LookError> {
        let looker = Arc::clone(&self.looker);
        let look = move || looker.lock().unwrap_or_else(PoisonError::into_inner).left();
        tokio::task::spawn_blocking(look).await.map_err(|_| LookError::Stopped)?
    }
}

impl Looker {
    fn left(&mut self) -> Result<Left, LookError> {
        self.enter()?;
        self.seen.begin();
        let (reading, peers) =
            self.read(Looks::InARow, Moment::now(), |peers: &mut Peers, socket, verdict| {
                peers.count(socket.remote.ip().to_canonical(), verdict);
            })?;
        Ok(Left { reading, peers: peers.most() })
    }
}

/// Peers, as far as they are told apart.
#[derive(Default)]
struct Peers(BTreeMap<IpAddr, Peer>);

impl Peers {
    fn count(&mut self, address: IpAddr, verdict: Verdict) {
        if self.0.len() == ADDRESSES && !self.0.contains_key(&address) {
            return;
        }
        let mut peer = |in_flight, idle| {
            let peer = self.0.entry(address).or_insert(Peer { address, in_flight: 0, idle: 0 });
            peer.in_flight += in_flight;
            peer.idle += idle;
        };
        match verdict {
            Verdict::Busy | Verdict::Unsure { .. } => peer(1, 0),
            Verdict::Answered { .. } | Verdict::Fresh => peer(0, 1),
            Verdict::Closed => {}
        }
    }

    fn most(self) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.0.into_values().collect();
        peers.sort_by_key(|peer| Reverse((peer.in_flight, peer.idle)));
        peers.truncate(PEERS);
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_the_most_are_named_first() {
        let mut peers = Peers::default();
        for n in 0..100 {
            for _ in 0..n {
                peers.count([10, 0, 0, n].into(), Verdict::Busy);
            }
            peers.count([10, 0, 0, n].into(), Verdict::Fresh);
            peers.count([10, 0, 0, n].into(), Verdict::Closed);
        }
        let most = peers.most();
        assert_eq!(most.len(), PEERS);
        assert_eq!(most[0], Peer { address: [10, 0, 0, 99].into(), in_flight: 99, idle: 1 });
    }

    #[test]
    fn only_so_many_addresses_are_told_apart() {
        let mut peers = Peers::default();
        for n in 0..2 * ADDRESSES as u32 {
            peers.count(IpAddr::from(n.to_be_bytes()), Verdict::Busy);
        }
        peers.count(IpAddr::from([0, 0, 0, 7]), Verdict::Busy);
        assert_eq!(peers.0.len(), ADDRESSES);
        assert_eq!(peers.most()[0].in_flight, 2);
    }
}
