//! `balance`: how a server is chosen for a user without one.

use drain_config::Value;

use super::words::later_words;

/// How a server is chosen for a user without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// In turn, each as often as its weight says.
    RoundRobin,
}

/// HAProxy's algorithms, of which only one is here so far.
pub(super) fn balance(value: &Value<'_>) -> Option<Balance> {
    let later = ["static-rr", "leastconn", "first", "random", "source", "uri", "hdr", "url_param", "hash"];
    later_words(value, &later, r#""roundrobin""#)?;
    value.choice(&[("roundrobin", Balance::RoundRobin)])
}
