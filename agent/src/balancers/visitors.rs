//! Those who ask and say nothing of themselves, before it shows whether they are balancers.

use std::collections::BTreeMap;

use super::{Key, Rhythm};
use crate::clock::Moment;

/// How many are watched. The one that was silent longest makes room.
const VISITORS: usize = 256;

/// How many of them may come from one address: a balancer has a handful of backends that ask for different things, and
/// whoever asks for another thing each time must not push everybody else out.
const PER_SOURCE: usize = 16;

/// Those who ask at intervals that are not even yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitors(BTreeMap<Key, Rhythm>);

impl Visitors {
    /// `key` asks. Gives the rhythm before this, once it is a balancer's.
    pub(super) fn visit(&mut self, key: &Key, at: Moment) -> Option<Rhythm> {
        if !self.0.contains_key(key) {
            self.make_room(key);
        }
        let rhythm = self.0.entry(key.clone()).or_default();
        let mut with_this = rhythm.clone();
        with_this.beat(at);
        if with_this.is_even() {
            return Some(rhythm.clone());
        }
        *rhythm = with_this;
        None
    }

    /// It is none any more.
    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }

    fn make_room(&mut self, for_whom: &Key) {
        let from_there = self.0.keys().filter(|key| key.source == for_whom.source).count();
        let crowded = from_there >= PER_SOURCE;
        if !crowded && self.0.len() < VISITORS {
            return;
        }
        let among = self.0.iter().filter(|(key, _)| !crowded || key.source == for_whom.source);
        let oldest = among.min_by_key(|(_, rhythm)| rhythm.last()).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::Way;

    fn at(second: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(second))
    }

    fn key(last: u8, asks: &str) -> Key {
        Key::nameless([10, 0, 0, last].into(), Way::Http, Some(asks))
    }

    #[test]
    fn one_that_asks_for_another_thing_each_time_pushes_out_nobody_else() {
        let mut visitors = Visitors::default();
        visitors.visit(&key(1, "GET /"), at(0));
        visitors.visit(&key(1, "GET /"), at(1));
        for n in 0..1000 {
            visitors.visit(&key(2, &n.to_string()), at(1));
        }
        assert_eq!(visitors.0.len(), PER_SOURCE + 1);
        assert!(visitors.visit(&key(1, "GET /"), at(2)).is_some());
    }

    #[test]
    fn of_many_the_one_that_was_silent_longest_makes_room() {
        let mut visitors = Visitors::default();
        for n in 0..=VISITORS as u64 {
            let source = [10, 1, (n / 256) as u8, (n % 256) as u8];
            visitors.visit(&Key::nameless(source.into(), Way::Http, None), at(n));
        }
        assert_eq!(visitors.0.len(), VISITORS);
        assert!(!visitors.0.contains_key(&Key::nameless([10, 1, 0, 0].into(), Way::Http, None)));
    }
}
