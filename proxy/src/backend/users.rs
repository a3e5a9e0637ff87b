//! How many distinct users a server has had within a window.
//!
//! Tables of atomics: a request touches its entry without a lock, and the count is a scan. A user is a 32-bit
//! fingerprint, so that two users may be taken for one (1 in 4 billion pairs), but a server that has a user never
//! counts zero.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Entries of a server's tables (2, 16 and 128 KiB), each of which is made when those before it have no place for a
/// user: thousands of servers with a few users each cost little memory, and little time to count. All three hold more
/// users than one server serves in a window of minutes on the machines that this is for. Beyond them the count stays at
/// what they hold.
const TABLES: [usize; 3] = [256, 2 * 1024, 16 * 1024];

/// A year; beyond it nobody counts seconds, and they would not fit.
const LONGEST_WINDOW_S: u32 = 366 * 24 * 3600;

/// How many entries of a table a user may be in. With eight a table of open addressing fills to about nine tenths.
const PROBES: usize = 8;

/// The users of one server.
#[derive(Debug)]
pub struct Users {
    /// The second after [`LONGEST_WINDOW_S`] of the times in the table; those before it are for what another process has
    /// seen.
    epoch: Instant,
    window_s: AtomicU32,
    /// Fingerprint in the upper half, second last seen in the lower; zero is empty.
    tables: [OnceLock<Box<[AtomicU64]>>; TABLES.len()],
    /// When a user found no entry last: it counts as one user.
    overflowed_at: AtomicU32,
}

impl Users {
    /// No users yet. Who is not seen for the window is none any more.
    pub fn new(now: Instant, window: Duration) -> Self {
        let users = Self {
            epoch: now,
            window_s: AtomicU32::new(0),
            tables: Default::default(),
            overflowed_at: AtomicU32::new(0),
        };
        users.set_window(window);
        users
    }

    /// From now on who is not seen for this long is none any more.
    pub fn set_window(&self, window: Duration) {
        let window_s = u32::try_from(window.as_secs()).unwrap_or(u32::MAX).min(LONGEST_WINDOW_S);
        self.window_s.store(window_s, Ordering::Relaxed);
    }

    /// Notes that the user with this hash is here.
    pub fn touch(&self, hash: u64, now: Instant) {
        self.see((hash >> 32) as u32, self.second(now));
    }

    /// Everyone who was seen within this time: a key for [`Users::recall`], and how many seconds ago.
    pub fn seen(&self, within: Duration, now: Instant) -> Vec<(u64, u32)> {
        let second = self.second(now);
        let seen = |entry: &AtomicU64| {
            let held = entry.load(Ordering::Relaxed);
            let ago = second.saturating_sub(held as u32);
            let is_wanted = self.is_fresh(held, second) && u64::from(ago) <= within.as_secs();
            // As a hash of which nothing else counts.
            is_wanted.then_some((held >> 32 << 32, ago))
        };
        self.entries().filter_map(seen).collect()
    }

    /// Notes a user whom another process has seen.
    pub fn recall(&self, key: u64, ago_s: u32, now: Instant) {
        let second = self.second(now);
        if ago_s <= self.window_s.load(Ordering::Relaxed) {
            self.see((key >> 32) as u32, second - ago_s);
        }
    }

    fn see(&self, fingerprint: u32, second: u32) {
        // 0 is left to mean "empty".
        let fingerprint = fingerprint.max(1);
        let entry = u64::from(fingerprint) << 32 | u64::from(second);
        // Whoever is faster takes one of these places, perhaps for the same user: then they are looked at anew.
        for _ in 0..PROBES + TABLES.len() {
            let mut free = None;
            for place in self.places(fingerprint) {
                let held = place.load(Ordering::Relaxed);
                if (held >> 32) as u32 == fingerprint {
                    if (held as u32) < second {
                        place.store(entry, Ordering::Relaxed);
                    }
                    return;
                }
                if free.is_none() && !self.is_fresh(held, second) {
                    free = Some((place, held));
                }
            }
            match free {
                Some((place, held)) => {
                    if place.compare_exchange(held, entry, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                        return;
                    }
                }
                None if self.grow() => {}
                None => break,
            }
        }
        self.overflowed_at.store(second, Ordering::Relaxed);
    }

    /// Where a user may be, in the order in which places are taken.
    fn places(&self, fingerprint: u32) -> impl Iterator<Item = &AtomicU64> {
        let first = fingerprint as usize;
        self.made().flat_map(move |table| (0..PROBES).map(move |probe| &table[(first + probe) % table.len()]))
    }

    /// Adds a table; false: all are there.
    fn grow(&self) -> bool {
        let next = self.tables.iter().zip(TABLES).find(|(table, _)| table.get().is_none());
        let Some((table, entries)) = next else { return false };
        table.get_or_init(|| (0..entries).map(|_| AtomicU64::new(0)).collect());
        true
    }

    /// The tables that are there.
    fn made(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.tables.iter().map_while(|table| table.get().map(|table| &**table))
    }

    fn entries(&self) -> impl Iterator<Item = &AtomicU64> {
        self.made().flatten()
    }

    /// How many users were seen within the window that ends now.
    pub fn count(&self, now: Instant) -> u32 {
        let oldest = self.oldest(self.second(now));
        // Each check comes by here.
        let listed = self.entries().filter(|entry| entry.load(Ordering::Relaxed) as u32 >= oldest).count();
        listed as u32 + u32::from(self.overflowed_at.load(Ordering::Relaxed) >= oldest)
    }

    /// The first is beyond the longest window, so that no entry is zero.
    fn second(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_secs() as u32 + LONGEST_WINDOW_S + 1
    }

    fn is_fresh(&self, entry: u64, second: u32) -> bool {
        entry as u32 >= self.oldest(second)
    }

    /// The first second of the window that ends with this one; above zero, which is an empty entry's.
    fn oldest(&self, second: u32) -> u32 {
        second - self.window_s.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(5);

    const ENTRIES: usize = TABLES[0] + TABLES[1] + TABLES[2];

    fn hash(user: u64) -> u64 {
        (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn users_are_counted_once_each() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        assert_eq!(users.count(start), 0);
        for user in 0..1000 {
            users.touch(hash(user), start);
            users.touch(hash(user), start + seconds(1));
        }
        assert_eq!(users.count(start + seconds(1)), 1000);
    }

    #[test]
    fn users_whom_several_cores_see_at_once_are_counted_once() {
        let start = crate::clock::now();
        for _ in 0..20 {
            let users = Users::new(start, WINDOW);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..500).for_each(|user| users.touch(hash(user), start)));
                }
            });
            assert_eq!(users.count(start), 500);
        }
    }

    #[test]
    fn few_users_take_little_memory() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        let made = || users.entries().count();
        assert_eq!(made(), 0);
        for user in 0..50 {
            users.touch(hash(user), start);
        }
        assert_eq!((made(), users.count(start)), (TABLES[0], 50));
        for user in 0..1000 {
            users.touch(hash(user), start);
        }
        assert_eq!((made(), users.count(start)), (TABLES[0] + TABLES[1], 1000));
    }

    #[test]
    fn a_user_who_comes_back_is_counted_once_whatever_places_have_become_free() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        // The first ones fill the first table and leave.
        for user in 0..400 {
            users.touch(hash(user), start);
        }
        for user in 300..600 {
            users.touch(hash(user), start + seconds(200));
        }
        for user in 300..600 {
            users.touch(hash(user), start + seconds(400));
        }
        assert_eq!(users.count(start + seconds(400)), 300);
    }

    #[test]
    fn users_leave_when_the_window_has_passed() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        users.touch(hash(1), start);
        users.touch(hash(2), start + seconds(100));
        assert_eq!(users.count(start + seconds(300)), 2);
        assert_eq!(users.count(start + seconds(301)), 1);
        assert_eq!(users.count(start + seconds(401)), 0);
    }

    #[test]
    fn another_window_counts_who_was_seen_within_it() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        users.touch(hash(1), start);
        users.touch(hash(2), start + seconds(100));
        users.set_window(seconds(50));
        assert_eq!(users.count(start + seconds(120)), 1);
        users.set_window(seconds(1000));
        assert_eq!(users.count(start + seconds(900)), 2);
    }

    #[test]
    fn whom_another_process_has_seen_is_counted_once_and_leaves_in_time() {
        let start = crate::clock::now();
        let [old, new] = [(); 2].map(|()| Users::new(start, WINDOW));
        for user in 0..1000 {
            old.touch(hash(user), start);
        }
        let later = start + seconds(200);
        old.touch(hash(0), later);
        assert_eq!(old.seen(seconds(10), later).len(), 1);
        for (key, ago_s) in old.seen(WINDOW, later) {
            new.recall(key, ago_s, later);
        }
        assert_eq!(new.count(later), 1000);
        assert_eq!(new.count(start + seconds(301)), 1);
    }

    #[test]
    fn more_users_than_entries_are_bounded_and_never_zero() {
        let start = crate::clock::now();
        let users = Users::new(start, WINDOW);
        for user in 0..3 * ENTRIES as u64 {
            users.touch(hash(user), start);
        }
        let count = users.count(start) as usize;
        assert!(count > ENTRIES / 2 && count <= ENTRIES + 1, "{count}");
        assert_eq!(users.count(start + seconds(301)), 0);
    }
}
