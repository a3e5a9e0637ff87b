//! The connections that the endpoint holds: a table with a bound, in the order of their coming.

use std::net::IpAddr;

/// A bounded table of connections, the oldest first, each with what ends it.
///
/// At most `capacity` are held, and at most `share` of one source; who comes beyond that pushes the oldest out,
/// of its own source where that has used up its share. The table is small enough to be searched from end to end.
#[derive(Debug)]
pub(super) struct Held<T> {
    entries: Vec<Entry<T>>,
    capacity: usize,
    share: usize,
}

#[derive(Debug)]
struct Entry<T> {
    id: u64,
    source: IpAddr,
    held: T,
}

impl<T> Held<T> {
    pub(super) fn new(capacity: usize, share: usize) -> Self {
        Self { entries: Vec::new(), capacity, share }
    }

    /// Takes a connection in, and gives back the one that must be closed for it.
    pub(super) fn admit(&mut self, id: u64, source: IpAddr, held: T) -> Option<T> {
        // An IPv4 balancer on an IPv6 socket is still one source.
        let source = source.to_canonical();
        let of_source = self.entries.iter().filter(|entry| entry.source == source).count();
        let out = if of_source >= self.share {
            self.entries.iter().position(|entry| entry.source == source)
        } else if self.entries.len() >= self.capacity {
            Some(0)
        } else {
            None
        };
        let out = out.map(|at| self.entries.remove(at).held);
        self.entries.push(Entry { id, source, held });
        out
    }

    /// Forgets a connection, if it is still here.
    pub(super) fn release(&mut self, id: u64) -> Option<T> {
        let at = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(at).held)
    }

    /// Forgets all of which this holds.
    pub(super) fn take_where(&mut self, holds: impl Fn(&T) -> bool) -> Vec<T> {
        let taken = self.entries.extract_if(.., |entry| holds(&entry.held));
        taken.map(|entry| entry.held).collect()
    }

    /// How many are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets the oldest.
    pub(super) fn oldest(&mut self) -> Option<T> {
        (!self.entries.is_empty()).then(|| self.entries.remove(0).held)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut held = Held::new(2, 2);
        assert_eq!(held.admit(1, ip(1), 'a'), None);
        assert_eq!(held.admit(2, ip(2), 'b'), None);
        assert_eq!(held.admit(3, ip(3), 'c'), Some('a'));
        assert_eq!(held.admit(4, ip(4), 'd'), Some('b'));
    }

    #[test]
    fn a_source_beyond_its_share_pushes_out_its_own() {
        let mut held = Held::new(10, 2);
        held.admit(1, ip(9), 'o');
        held.admit(2, ip(1), 'a');
        held.admit(3, ip(1), 'b');
        assert_eq!(held.admit(4, ip(1), 'c'), Some('a'), "the older connection of another source stays");
    }

    #[test]
    fn a_mapped_address_is_the_same_source() {
        let mut held = Held::new(10, 1);
        held.admit(1, ip(1), 'a');
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(held.admit(2, mapped, 'b'), Some('a'));
    }

    #[test]
    fn those_that_are_over_go_together() {
        let mut held = Held::new(10, 10);
        for (id, held_at) in [(1, 'a'), (2, 'b'), (3, 'a')] {
            held.admit(id, ip(1), held_at);
        }
        assert_eq!(held.take_where(|&held| held == 'a'), ['a', 'a']);
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn who_has_left_takes_no_room() {
        let mut held = Held::new(1, 1);
        held.admit(1, ip(1), 'a');
        assert_eq!(held.release(1), Some('a'));
        assert_eq!(held.release(1), None);
        assert_eq!(held.admit(2, ip(1), 'b'), None);
        assert_eq!(held.oldest(), Some('b'));
        assert_eq!(held.oldest(), None);
    }
}
