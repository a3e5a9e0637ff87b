//! `balance` and `hash_type`: how a server is chosen for a user without one.

use std::{num::NonZeroUsize, sync::Arc};

use drain_config::Value;

use super::words::later_words;

/// How a server is chosen for a user without one; written in HAProxy's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Balance {
    /// In turn, each as often as its weight says, which may change at run time.
    RoundRobin,
    /// In turn, by the weights of the configuration.
    StaticRoundRobin,
    /// The one with the fewest requests for its weight.
    LeastConn,
    /// The first one that has room under its `maxconn`.
    First,
    /// The less loaded of so many drawn at random.
    Random(NonZeroUsize),
    /// By the client's address.
    Source,
    /// By the request target.
    Uri(UriPart),
    /// By a request header.
    Header {
        /// Its name.
        name: Arc<str>,
        /// Only the domain's own label counts: `shop` of `www.shop.example:80`.
        domain_only: bool,
    },
    /// By a parameter in the request target's query.
    UrlParam(Arc<str>),
}

/// What of a request target is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UriPart {
    /// At most so many bytes.
    pub len: Option<NonZeroUsize>,
    /// At most so many directories.
    pub depth: Option<NonZeroUsize>,
    /// The query, too.
    pub whole: bool,
    /// Without scheme and host where the target has them.
    pub path_only: bool,
}

/// How a hash becomes a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashType {
    /// By a table of the usable servers: even shares, but a server that comes or goes moves most users.
    MapBased,
    /// By a ring: a server that comes or goes moves its own users only.
    Consistent,
}

/// HAProxy's number of draws.
const DRAWS: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

/// More draws than this cost more than they gain.
const MOST_DRAWS: usize = 16;

/// What `balance` may say.
const EXPECTED: &str = r#"expected "roundrobin", "static-rr", "leastconn", "first", "random", "random(DRAWS)", "source", "uri", "uri" with `len N`, `depth N`, `whole` or `path-only` behind it, "hdr(NAME)", "hdr(NAME) use_domain_only" or "url_param NAME""#;

impl Balance {
    /// Whether the choice is by something of the request.
    pub fn is_hash(&self) -> bool {
        matches!(self, Self::Source | Self::Uri(_) | Self::Header { .. } | Self::UrlParam(_))
    }

    /// One of HAProxy's algorithms, in its words.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let text = value.text()?;
        let algorithm = text.split([' ', '(']).next().unwrap_or(text);
        if ["rdp-cookie", "hash"].contains(&algorithm) {
            value.wrong("is not supported in this version", r#"expected "roundrobin" or another algorithm"#);
            return None;
        }
        let read = Self::of(text);
        if read.is_none() {
            value.wrong("is no algorithm", EXPECTED);
        }
        read
    }

    fn of(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (algorithm, argument) = with_argument(words.next()?)?;
        let balance = match (algorithm, argument) {
            ("roundrobin", None) => Self::RoundRobin,
            ("static-rr", None) => Self::StaticRoundRobin,
            ("leastconn", None) => Self::LeastConn,
            ("first", None) => Self::First,
            ("random", None) => Self::Random(DRAWS),
            ("random", Some(draws)) => {
                let draws = draws.parse().ok().filter(|draws: &NonZeroUsize| draws.get() <= MOST_DRAWS)?;
                Self::Random(draws)
            }
            ("source", None) => Self::Source,
            ("uri", None) => return UriPart::of(words).map(Self::Uri),
            ("hdr", Some(name)) => {
                let domain_only = match words.next() {
                    None => false,
                    Some("use_domain_only") => true,
                    Some(_) => return None,
                };
                Self::Header { name: token(name)?, domain_only }
            }
            ("url_param", None) => Self::UrlParam(parameter(words.next()?)?),
            _ => return None,
        };
        words.next().is_none().then_some(balance)
    }
}

impl UriPart {
    fn of<'t>(mut words: impl Iterator<Item = &'t str>) -> Option<Self> {
        let mut part = Self::default();
        while let Some(word) = words.next() {
            match word {
                "len" => part.len = Some(words.next()?.parse().ok()?),
                "depth" => part.depth = Some(words.next()?.parse().ok()?),
                "whole" => part.whole = true,
                "path-only" => part.path_only = true,
                _ => return None,
            }
        }
        Some(part)
    }
}

impl HashType {
    /// `hash_type`.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let functions = ["sdbm", "djb2", "wt6", "crc32"];
        later_words(value, &functions, r#""map-based" or "consistent""#)?;
        value.choice(&[("map-based", Self::MapBased), ("consistent", Self::Consistent)])
    }
}

/// A word, and what stands in parentheses behind it.
fn with_argument(word: &str) -> Option<(&str, Option<&str>)> {
    match word.split_once('(') {
        None => Some((word, None)),
        Some((word, rest)) => rest.strip_suffix(')').map(|argument| (word, Some(argument))),
    }
}

/// A header's name.
fn token(name: &str) -> Option<Arc<str>> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (!name.is_empty() && name.bytes().all(is_token)).then(|| name.into())
}

/// A parameter's name as it stands in a query.
fn parameter(name: &str) -> Option<Arc<str>> {
    let is_sound = |b: u8| b.is_ascii_graphic() && !b"&=#?".contains(&b);
    name.bytes().all(is_sound).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_written_as_in_haproxy() {
        let two = NonZeroUsize::new(2);
        let uri = |len, depth, whole, path_only| Balance::Uri(UriPart { len, depth, whole, path_only });
        for (text, balance) in [
            ("roundrobin", Balance::RoundRobin),
            ("static-rr", Balance::StaticRoundRobin),
            ("leastconn", Balance::LeastConn),
            ("first", Balance::First),
            ("random", Balance::Random(DRAWS)),
            ("random(3)", Balance::Random(NonZeroUsize::new(3).unwrap())),
            ("source", Balance::Source),
            ("uri", uri(None, None, false, false)),
            ("uri len 2 depth 2 whole path-only", uri(two, two, true, true)),
            ("hdr(Host)", Balance::Header { name: "Host".into(), domain_only: false }),
            ("hdr(Host) use_domain_only", Balance::Header { name: "Host".into(), domain_only: true }),
            ("url_param id", Balance::UrlParam("id".into())),
        ] {
            assert_eq!(Balance::of(text), Some(balance), "{text}");
        }
        for text in [
            "",
            "rr",
            "roundrobin x",
            "random(0)",
            "random(17)",
            "random(2",
            "uri depth",
            "uri depth 0",
            "uri x",
            "hdr()",
            "hdr(a b)",
            "hdr(a) b",
            "url_param",
            "url_param a=b",
            "url_param a check_post",
        ] {
            assert_eq!(Balance::of(text), None, "{text}");
        }
    }
}
