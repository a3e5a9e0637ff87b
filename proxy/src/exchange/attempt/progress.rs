//! How often a response may still be continued. Pure.
//!
//! `retries` bounds the attempts in a row that bring nothing. A download that goes on for hours outlives many restarts:
//! each one that brings it further gives it all of them again.

/// So many further attempts a response gets in all. Each restart of a server costs it one or two; more than this is a
/// fault that continuing only hides.
const MOST: u32 = 1_000;

/// How far a response had come when it last broke off further on than before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Bytes of its body that were missing then.
    left: u64,
    /// Further attempts until then.
    retries: u32,
}

impl Default for Progress {
    fn default() -> Self {
        Self { left: u64::MAX, retries: 0 }
    }
}

impl Progress {
    /// How many of these further attempts count, after one that failed; `left`: bytes that are missing, of a response that
    /// broke off.
    pub(super) fn spent(&mut self, retries: u32, left: Option<u64>) -> u32 {
        if let Some(left) = left.filter(|&left| left < self.left && retries < MOST) {
            *self = Self { left, retries };
        }
        retries - self.retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_count_from_the_last_byte_that_came() {
        let mut progress = Progress::default();
        let spent: Vec<u32> = [
            (0, None),
            (2, None),
            // It breaks off for the first time, and twice without another byte.
            (2, Some(100)),
            (3, Some(100)),
            (4, None),
            (5, Some(99)),
            (6, Some(99)),
        ]
        .map(|(retries, left)| progress.spent(retries, left))
        .to_vec();
        assert_eq!(spent, [0, 2, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut progress = Progress::default();
        let spent: Vec<u32> = (0..MOST + 3)
            .map(|retries| progress.spent(retries, Some(u64::from(MOST + 3 - retries))))
            .collect();
        assert_eq!(spent[MOST as usize - 1..], [0, 1, 2, 3]);
    }
}
