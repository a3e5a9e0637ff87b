//! How many requests a server may have in flight at the moment (HAProxy's `srv_dynamic_maxconn`).

use std::num::NonZeroU32;

/// The limits of a server as the configuration has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `None`: none.
    pub(super) maxconn: Option<NonZeroU32>,
    /// Where `maxconn` begins when the backend is quiet.
    pub(super) minconn: Option<NonZeroU32>,
    /// Requests in the backend at which it is `maxconn`.
    pub(super) fullconn: NonZeroU32,
}

impl Limits {
    /// Whether the limit follows the backend's load.
    pub(super) fn follow_load(&self) -> bool {
        self.minconn.is_some() && self.minconn < self.maxconn
    }

    /// With another `maxconn` at run time. A limit that did not follow the load does not begin to.
    pub(super) fn with_maxconn(self, maxconn: Option<NonZeroU32>) -> Self {
        Self { maxconn, minconn: self.minconn.filter(|_| self.follow_load()), ..self }
    }

    /// The limit when so many requests are in the backend, in flight and waiting, and the server has come so far
    /// since it came up, in per cent.
    pub(super) fn at(&self, load: u32, warmth: u32) -> Option<u32> {
        let most = self.maxconn?.get();
        let limit = match self.minconn {
            Some(least) if load < self.fullconn.get() => {
                let share = u64::from(load) * u64::from(most) / u64::from(self.fullconn.get());
                (share as u32).max(least.get()).min(most)
            }
            _ => most,
        };
        let warmed = u64::from(limit) * u64::from(warmth.min(100)) / 100;
        Some((warmed as u32).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_with_the_load_and_with_the_time_since_the_start() {
        let number = |number| NonZeroU32::new(number);
        // minconn, maxconn, fullconn, load, warmth
        for (minconn, maxconn, fullconn, load, warmth, limit) in [
            (0, 0, 100, 50, 100, None),
            (0, 20, 100, 0, 100, Some(20)),
            (5, 20, 100, 0, 100, Some(5)),
            (5, 20, 100, 30, 100, Some(6)),
            (5, 20, 100, 50, 100, Some(10)),
            (5, 20, 100, 99, 100, Some(19)),
            (5, 20, 100, 100, 100, Some(20)),
            (5, 20, 100, 5000, 100, Some(20)),
            (5, 20, 100, 100, 50, Some(10)),
            (5, 20, 100, 0, 1, Some(1)),
            (0, 20, 100, 0, 0, Some(1)),
        ] {
            let limits = Limits {
                maxconn: number(maxconn),
                minconn: number(minconn),
                fullconn: number(fullconn).unwrap(),
            };
            assert_eq!(limits.at(load, warmth), limit, "{limits:?}, {load} in the backend, at {warmth} %");
            assert_eq!(limits.follow_load(), minconn > 0);
        }
    }

    #[test]
    fn another_maxconn_at_run_time_leaves_it_steady_or_following_as_it_was() {
        let number = |number| NonZeroU32::new(number);
        // minconn, maxconn, then maxconn at run time, and the limits when quiet and when full
        for (minconn, maxconn, asked, quiet, full) in [
            (0, 20, 7, Some(7), Some(7)),
            (0, 20, 30, Some(30), Some(30)),
            (0, 20, 0, None, None),
            (0, 0, 7, Some(7), Some(7)),
            (20, 20, 30, Some(30), Some(30)),
            (5, 20, 30, Some(5), Some(30)),
            (5, 20, 3, Some(3), Some(3)),
        ] {
            let fullconn = number(100).unwrap();
            let limits = Limits { maxconn: number(maxconn), minconn: number(minconn), fullconn };
            let limits = limits.with_maxconn(number(asked));
            assert_eq!((limits.at(0, 100), limits.at(100, 100)), (quiet, full), "{limits:?}");
        }
    }
}
