//! What a request is hashed by, where the algorithm hashes.
//!
//! A place in a table of servers is HAProxy's (sdbm, and an address as it is), so that who comes from there keeps its
//! server; in a farm whose weights' sum times its servers is above four million, the table itself is another one (see
//! `cycle`). One on a ring is our own (FNV-1a, mixed as in `SplitMix64`). Both are the same in every process and on every
//! machine, so that two proxies before the same servers agree.

use std::net::IpAddr;

use crate::{
    config::{Balance, UriPart},
    http1::RequestHead,
};

/// The hash of what a request is balanced by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    own: u64,
    /// As HAProxy hashes it for a table.
    haproxys: u32,
}

impl Key {
    /// What the algorithm looks at in this request; `None` where it looks at nothing or the request has no such thing,
    /// so that it takes its turn.
    pub fn of(balance: &Balance, head: &RequestHead<'_, '_>, client: IpAddr) -> Option<Self> {
        match balance {
            Balance::Source => Some(Self::source(client)),
            Balance::Uri(part) => Some(Self::new(part.cut(head.target))),
            Balance::Header { name, domain_only } => {
                let value = head.fields.first(name.as_bytes())?;
                let value = value.split(|&b| b == b',').next().unwrap_or(value).trim_ascii();
                let value = if *domain_only { domain(value) } else { value };
                (!value.is_empty()).then(|| Self::new(value))
            }
            Balance::UrlParam(name) => parameter(head.target, name.as_bytes()).map(Self::new),
            _ => None,
        }
    }

    /// Of a client's address.
    fn source(client: IpAddr) -> Self {
        let words = match client {
            IpAddr::V4(address) => Self::address(&address.octets()),
            IpAddr::V6(address) => Self::address(&address.octets()),
        };
        match client.to_canonical() {
            // HAProxy hashes one that came to a socket of both families as it came.
            IpAddr::V4(address) => Self { haproxys: words.haproxys, ..Self::new(&address.octets()) },
            IpAddr::V6(_) => words,
        }
    }

    /// HAProxy adds the words of an address up, without carrying.
    fn address(octets: &[u8]) -> Self {
        let words = octets.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
        Self { haproxys: words.fold(0, |sum, word| sum ^ word), ..Self::new(octets) }
    }

    /// Of these bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        // FNV-1a's offset and prime.
        let fold = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { own: mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold)), haproxys: sdbm(bytes) }
    }

    /// Of the same and a number.
    pub(super) const fn and(self, number: u64) -> Self {
        Self { own: mix(self.own ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), ..self }
    }

    /// A place among so many.
    pub(super) const fn place(self, places: usize) -> usize {
        self.haproxys as usize % places
    }

    /// A place on a ring of 2^32.
    pub(super) const fn position(self) -> u32 {
        (self.own >> 32) as u32
    }
}

/// HAProxy's function where none is said (`hash_sdbm`).
fn sdbm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash: u32, &byte| hash.wrapping_mul(65_599).wrapping_add(byte.into()))
}

/// `SplitMix64`'s last step: each bit of the result depends on each bit of the number.
pub(super) const fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl UriPart {
    /// What of this target is looked at.
    fn cut(self, target: &[u8]) -> &[u8] {
        let target = if self.path_only { path(target) } else { target };
        let target = &target[..target.len().min(self.len.map_or(usize::MAX, Into::into))];
        let mut slashes = 0;
        let end = target.iter().position(|&byte| match byte {
            b'/' => {
                slashes += 1;
                // The first one begins the path.
                self.depth.is_some_and(|depth| slashes > depth.get())
            }
            b'?' => !self.whole,
            _ => false,
        });
        &target[..end.unwrap_or(target.len())]
    }
}

/// A target without scheme and authority.
fn path(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let authority = memchr::memmem::find(target, b"://").map_or(target, |at| &target[at + 3..]);
    authority.iter().position(|&b| matches!(b, b'/' | b'?')).map_or(target, |at| &authority[at..])
}

/// `shop` of `www.shop.example:80`: what stands before the last dot and behind the one before; without a dot all of it.
fn domain(host: &[u8]) -> &[u8] {
    host.rsplit(|&b| b == b'.').nth(1).unwrap_or(host)
}

/// The value of a parameter in a target's query.
fn parameter<'t>(target: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let query = &target[memchr::memchr(b'?', target)? + 1..];
    query.split(|&b| b == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::http1::Storage;

    fn key(balance: &Balance, target: &str, host: &str) -> Option<Key> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-User: \r\n\r\n");
        let mut storage = Storage::new();
        let head = RequestHead::parse(head.as_bytes(), &mut storage).unwrap();
        Key::of(balance, &head, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn the_wanted_part_of_a_uri_is_looked_at() {
        let cut = |len, depth, whole, path_only, target: &'static str| {
            let (len, depth) = (NonZeroUsize::new(len), NonZeroUsize::new(depth));
            let part = UriPart { len, depth, whole, path_only };
            std::str::from_utf8(part.cut(target.as_bytes())).unwrap()
        };
        assert_eq!(cut(0, 0, false, false, "/a/b?c"), "/a/b");
        assert_eq!(cut(0, 0, true, false, "/a/b?c"), "/a/b?c");
        assert_eq!(cut(3, 0, false, false, "/a/b?c"), "/a/");
        assert_eq!(cut(0, 1, false, false, "/a/b?c"), "/a");
        assert_eq!(cut(0, 2, false, false, "/a/b/c"), "/a/b");
        assert_eq!(cut(0, 0, false, false, "http://h/a?b"), "http://h/a");
        assert_eq!(cut(0, 0, false, true, "http://h/a?b"), "/a");
        assert_eq!(cut(0, 0, false, true, "*"), "*");
    }

    #[test]
    fn a_header_counts_by_its_first_element_and_an_empty_one_not_at_all() {
        let header = |name: &str, domain_only| Balance::Header { name: name.into(), domain_only };
        assert_eq!(key(&header("host", false), "/", "a.example"), Some(Key::new(b"a.example")));
        assert_eq!(key(&header("Host", true), "/", "www.shop.example:80"), Some(Key::new(b"shop")));
        assert_eq!(key(&header("Host", true), "/", "shop"), Some(Key::new(b"shop")));
        assert_eq!(key(&header("Host", true), "/", "shop:80"), Some(Key::new(b"shop:80")));
        assert_eq!(key(&header("Host", true), "/", "[2001:db8::1]:80"), Some(Key::new(b"[2001:db8::1]:80")));
        assert_eq!(key(&header("X-User", false), "/", "a"), None);
        assert_eq!(key(&header("X-None", false), "/", "a"), None);
    }

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        let by_id = Balance::UrlParam("id".into());
        assert_eq!(key(&by_id, "/a?xid=1&id=2&id=3", "h"), Some(Key::new(b"2")));
        assert_eq!(key(&by_id, "/a?idx=1", "h"), None);
        assert_eq!(key(&by_id, "/id=1", "h"), None);
    }

    #[test]
    fn an_address_is_the_same_in_either_family_but_where_haproxy_has_two() {
        let mapped = Key::source("::ffff:192.0.2.1".parse().unwrap());
        let plain = Key::source(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(mapped.own, plain.own);
        assert_eq!((plain.haproxys, mapped.haproxys), (0xc000_0201, 0xc000_0201 ^ 0xffff));
    }
}
