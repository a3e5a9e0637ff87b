//! The ring of consistent hashing: each server has points on it, and a key belongs to the next point.
//!
//! It holds the points of all servers, usable or not. Who looks for a server passes over points that are out: those of
//! servers that take nobody, and as many of a server's points as its weight has been lowered by. So a server that comes
//! or goes changes nothing here, and moves no keys but its own.

use super::{hash::Key, select::FULL_WEIGHT};

/// Points of a server per unit of weight. Four times HAProxy's number: servers of weight 1 differ by 12 % instead
/// of 25 %.
const POINTS: u32 = 4 * FULL_WEIGHT;

/// All points of a ring (12 MB). Where weights would make more, each server has proportionally fewer.
const MOST_POINTS: u64 = 1 << 20;

/// The points of all servers.
#[derive(Debug)]
pub(super) struct Ring {
    /// By position.
    points: Vec<Point>,
    /// By server: its weight in sixteenths, for which there are points.
    shares: Vec<u32>,
    /// Points are fewer by this power of two.
    fewer: u32,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Point {
    position: u32,
    server: u32,
    /// Which of its server's points.
    number: u32,
}

impl Ring {
    /// A ring of servers with these names and weights in sixteenths.
    pub(super) fn new<'n>(servers: impl Iterator<Item = (&'n str, u32)>) -> Self {
        let (names, shares): (Vec<_>, Vec<_>) = servers.unzip();
        let all: u64 = shares.iter().map(|&share| u64::from(points(share, 0))).sum();
        let fewer = (0..u32::BITS).find(|fewer| all >> fewer <= MOST_POINTS).unwrap_or(0);
        let of_server = |(server, (name, &share)): (usize, (&&str, &u32))| {
            let key = Key::new(name.as_bytes());
            let server = server as u32;
            (0..points(share, fewer)).map(move |number| {
                let position = key.and(u64::from(number) + 1).position();
                Point { position, server, number }
            })
        };
        let mut points: Vec<Point> = names.iter().zip(&shares).enumerate().flat_map(of_server).collect();
        points.sort_unstable();
        Self { points, shares, fewer }
    }

    /// Whether it has points for this weight of a server.
    pub(super) fn has_points_for(&self, server: usize, share: u32) -> bool {
        share <= self.shares[server]
    }

    /// The server to whom a key belongs among those with these weights in sixteenths; not this one.
    pub(super) fn find(&self, key: Key, shares: &[u32], avoid: Option<usize>) -> Option<usize> {
        let start = self.points.partition_point(|point| point.position < key.position());
        let (before, behind) = self.points.split_at(start);
        let is_in = |point: &&Point| {
            let server = point.server as usize;
            Some(server) != avoid && point.number < points(shares[server], self.fewer)
        };
        behind.iter().chain(before).find(is_in).map(|point| point.server as usize)
    }
}

/// The points of a server of this weight in sixteenths.
fn points(share: u32, fewer: u32) -> u32 {
    let points = (share * (POINTS / FULL_WEIGHT)) >> fewer;
    // Whoever takes users at all is on the ring.
    if share > 0 { points.max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 4_000;

    fn ring(count: usize, weight: u32) -> (Ring, Vec<u32>) {
        let names: Vec<String> = (0..count).map(|server| format!("s{server}")).collect();
        let shares = vec![weight * FULL_WEIGHT; count];
        (Ring::new(names.iter().map(String::as_str).zip(shares.iter().copied())), shares)
    }

    fn owners(ring: &Ring, shares: &[u32]) -> Vec<usize> {
        (0..KEYS).map(|key| ring.find(Key::new(&key.to_le_bytes()), shares, None).unwrap()).collect()
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(24))]

        #[test]
        fn a_server_that_leaves_moves_its_own_keys_and_no_others(count in 2usize..12, leaves in 0usize..12) {
            let leaves = leaves % count;
            let (ring, mut shares) = ring(count, 10);
            let before = owners(&ring, &shares);
            shares[leaves] = 0;
            let after = owners(&ring, &shares);
            let mut moved = 0;
            for (before, after) in before.iter().zip(after) {
                if *before == leaves {
                    proptest::prop_assert_ne!(after, leaves);
                    moved += 1;
                } else {
                    proptest::prop_assert_eq!(*before, after);
                }
            }
            // About 1/n of them.
            proptest::prop_assert!(moved * count < KEYS as usize * 3 / 2, "{moved} of {KEYS} moved, {count} servers");
        }

        #[test]
        fn a_lower_weight_moves_only_keys_of_its_server(weight in 1u32..10) {
            let (ring, mut shares) = ring(4, 10);
            let before = owners(&ring, &shares);
            shares[2] = weight * FULL_WEIGHT;
            for (before, after) in before.iter().zip(owners(&ring, &shares)) {
                proptest::prop_assert!(*before == after || *before == 2);
            }
        }
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let (ring, mut shares) = ring(3, 100);
        shares[0] /= 2;
        let owners = owners(&ring, &shares);
        let of = |server| owners.iter().filter(|&&owner| owner == server).count() as f64 / KEYS as f64;
        for (server, share) in [(0, 0.2), (1, 0.4), (2, 0.4)] {
            assert!((of(server) - share).abs() < 0.05, "server {server} has {}", of(server));
        }
    }

    #[test]
    fn what_fails_is_avoided_and_nobody_is_found_among_nobody() {
        let (ring, shares) = ring(2, 1);
        let key = Key::new(b"user");
        let own = ring.find(key, &shares, None).unwrap();
        assert_eq!(ring.find(key, &shares, Some(own)), Some(1 - own));
        assert_eq!(ring.find(key, &[0, 0], None), None);
    }

    #[test]
    fn ten_thousand_heavy_servers_have_a_bounded_ring() {
        let (ring, shares) = ring(10_000, 256);
        assert!(ring.points.len() as u64 <= MOST_POINTS);
        let key = Key::new(b"user");
        assert!(ring.find(key, &shares, None).is_some());
    }
}
