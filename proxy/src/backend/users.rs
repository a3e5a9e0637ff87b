//! How many distinct users a server has had within a window.
//!
//! A fixed table of atomics: a request touches its entry without a lock, and the count is a scan. A user is a
//! 32-bit fingerprint, so that two users may be taken for one (1 in 4 billion pairs), but a server that has a user
//! never counts zero.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Entries per server (128 KiB, made when the first user comes): more users than one server serves in a window of
/// minutes on the machines that this is for. Beyond it the count stays at what the table holds.
const ENTRIES: usize = 16 * 1024;

/// How many entries a user may be in. With eight a table of open addressing fills to about nine tenths.
const PROBES: usize = 8;

/// The users of one server.
#[derive(Debug, Default)]
pub struct Users {
    /// Fingerprint in the upper half, second last seen in the lower; zero is empty.
    table: OnceLock<Box<[AtomicU64]>>,
    /// When a user found no entry last: it counts as one user.
    overflowed_at: AtomicU32,
}

impl Users {
    /// No users.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the user with this hash was here at `second`, counted from any fixed point but zero.
    pub fn touch(&self, hash: u64, second: u32, window_s: u32) {
        let table = self.table.get_or_init(|| (0..ENTRIES).map(|_| AtomicU64::new(0)).collect());
        // Fingerprint 0 is left to mean "empty".
        let fingerprint = ((hash >> 32) as u32).max(1);
        let entry = u64::from(fingerprint) << 32 | u64::from(second);
        let places = (0..PROBES).map(|probe| &table[(hash as usize).wrapping_add(probe) % ENTRIES]);
        let mut free = None;
        for place in places {
            let held = place.load(Ordering::Relaxed);
            if (held >> 32) as u32 == fingerprint {
                if held as u32 != second {
                    place.store(entry, Ordering::Relaxed);
                }
                return;
            }
            if free.is_none() && !is_fresh(held, second, window_s) {
                free = Some((place, held));
            }
        }
        let taken = free.is_some_and(|(place, held)| {
            place.compare_exchange(held, entry, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        });
        if !taken {
            self.overflowed_at.store(second, Ordering::Relaxed);
        }
    }

    /// How many users were seen within the window that ends at `second`.
    pub fn count(&self, second: u32, window_s: u32) -> u32 {
        let Some(table) = self.table.get() else { return 0 };
        let listed =
            table.iter().filter(|entry| is_fresh(entry.load(Ordering::Relaxed), second, window_s)).count();
        let overflowed_at = self.overflowed_at.load(Ordering::Relaxed);
        let unlisted = overflowed_at != 0 && second.saturating_sub(overflowed_at) <= window_s;
        listed as u32 + u32::from(unlisted)
    }
}

fn is_fresh(entry: u64, second: u32, window_s: u32) -> bool {
    entry != 0 && second.saturating_sub(entry as u32) <= window_s
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_S: u32 = 300;

    fn hash(user: u64) -> u64 {
        (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn users_are_counted_once_each() {
        let users = Users::new();
        assert_eq!(users.count(1000, WINDOW_S), 0);
        for user in 0..1000 {
            users.touch(hash(user), 1000, WINDOW_S);
            users.touch(hash(user), 1001, WINDOW_S);
        }
        assert_eq!(users.count(1001, WINDOW_S), 1000);
    }

    #[test]
    fn users_leave_when_the_window_has_passed() {
        let users = Users::new();
        users.touch(hash(1), 1000, WINDOW_S);
        users.touch(hash(2), 1100, WINDOW_S);
        assert_eq!(users.count(1300, WINDOW_S), 2);
        assert_eq!(users.count(1301, WINDOW_S), 1);
        assert_eq!(users.count(1401, WINDOW_S), 0);
    }

    #[test]
    fn more_users_than_entries_are_bounded_and_never_zero() {
        let users = Users::new();
        for user in 0..3 * ENTRIES as u64 {
            users.touch(hash(user), 1000, WINDOW_S);
        }
        let count = users.count(1000, WINDOW_S) as usize;
        assert!(count > ENTRIES / 2 && count <= ENTRIES + 1, "{count}");
        assert_eq!(users.count(1301, WINDOW_S), 0);
    }
}
