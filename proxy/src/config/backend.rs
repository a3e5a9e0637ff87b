//! `[backend.NAME]`: servers that do the same work, and how one is chosen.

use std::{collections::HashSet, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use drain_config::{Mistake, Table, Value};

use super::{
    Check,
    check::CheckDefaults,
    lookup::Lookup,
    words::{cookie_attribute, cookie_value, later_words, object_name, server_name, token},
};

/// Servers that do the same work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Its name in logs, statistics and the state header.
    pub name: Arc<str>,
    /// How a server is chosen for a user without one.
    pub balance: Balance,
    /// The persistence cookie; `None`: none.
    pub cookie: Option<Cookie>,
    /// For how long after a request its user counts as one.
    pub users_window: Duration,
    /// Further attempts to connect after the first one failed.
    pub retries: u32,
    /// Whether a further attempt may go to another server than the cookie's.
    pub redispatch: bool,
    /// Its timeouts.
    pub timeout: BackendTimeout,
    /// What becomes of new users when only soft-draining servers are left.
    pub when_all_drain: WhenAllDrain,
    /// Its servers in the order of the file; at least one, names unique.
    pub servers: Vec<Server>,
}

/// How a server is chosen for a user without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// In turn, each as often as its weight says.
    RoundRobin,
}

/// The persistence cookie, of HAProxy's mode `insert`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cookie {
    /// Its name; a token by RFC 9110.
    pub name: Arc<str>,
    /// Whether it is taken out of the requests before the server sees them.
    pub indirect: bool,
    /// What stands behind `path=/` in `Set-Cookie`, each attribute with its separator, in HAProxy's order:
    /// `; HttpOnly; Secure; SameSite=Lax`. Empty where none is set.
    pub attributes: Arc<str>,
    /// Whether a random token behind the server's id tells one user from another; else the source address does.
    pub count_users: bool,
}

/// Timeouts towards servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackendTimeout {
    /// One attempt to connect.
    pub connect: Duration,
    /// Inactivity of a server that should answer.
    pub server: Duration,
    /// Waiting for a free slot; `connect` where not set.
    pub queue: Duration,
    /// Inactivity in both directions after an upgrade; `None`: the client's and the server's timeouts hold on.
    pub tunnel: Option<Duration>,
}

/// What becomes of new users when only soft-draining servers are left (never hard ones, and after the backups).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenAllDrain {
    /// They are served by those.
    Serve,
    /// They are refused with 503, as HAProxy does.
    Refuse,
}

/// One server of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name in logs, statistics and the state header.
    pub name: Arc<str>,
    /// Where it listens; a host's name was looked up once.
    pub address: SocketAddr,
    /// What the cookie says for it; `None`: it pins nobody.
    pub cookie: Option<Arc<str>>,
    /// Its share, 0 to [`Server::MAX_WEIGHT`]; 0: no new users.
    pub weight: u16,
    /// Connections to it at once, in flight and idle over all cores; `None`: as many as come.
    pub maxconn: Option<NonZeroU32>,
    /// Whether it serves only when no other can.
    pub backup: bool,
    /// Its health check, with what it inherits from the backend; `None`: it is not checked, and counts as up.
    pub check: Option<Check>,
}

impl Server {
    /// The greatest weight, HAProxy's.
    pub const MAX_WEIGHT: u16 = 256;
}

/// Unless configured: what HAProxy's users write.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Unless configured: as long as clients wait.
const SERVER_TIMEOUT: Duration = Duration::from_mins(1);

/// HAProxy's number.
const RETRIES: u32 = 3;

/// Each may last a second before the same server is tried again: no client waits longer.
const MOST_RETRIES: u32 = 100;

/// DESIGN's number: as long as a shopper thinks between two pages.
const USERS_WINDOW: Duration = Duration::from_mins(5);

impl Backend {
    /// `[backend.NAME]`, whose servers must not be among `binds`, the proxy's own addresses.
    pub(super) fn read(
        name: &str,
        table: &Table<'_>,
        binds: &[SocketAddr],
        lookup: &Lookup<'_>,
    ) -> Option<Self> {
        let name = object_name(name, table);
        let (timeout, check_timeout) = table.section("timeout", BackendTimeout::read);
        let check = table
            .take("check")
            .and_then(|value| value.section(|table| CheckDefaults::read(table, check_timeout)));
        let cookie = table.field("cookie", None, |value| value.section(Cookie::read)).into_inner();
        let servers = table
            .require("server", r#"[{ name = "pool1", address = "10.0.0.11:80" }]"#)
            .and_then(|value| servers(&value, &Context { check, check_timeout, binds, lookup }));
        let words = [("serve", WhenAllDrain::Serve), ("refuse", WhenAllDrain::Refuse)];
        table.later("retry_on", "leave it out: what is sent again is what never reached a server");
        table.later("retry_interval", "leave it out: the same server is tried again after a second");
        table.later("replay", "leave it out: no request is kept to be sent again after it was sent");
        table.later("resume", "leave it out: a response that breaks off is truncated visibly");
        Some(Self {
            name: name?,
            balance: table.field("balance", Balance::RoundRobin, balance).copied(),
            cookie,
            users_window: table.duration("users_window", USERS_WINDOW).copied(),
            retries: table.number("retries", RETRIES, 0, MOST_RETRIES).copied(),
            redispatch: table.flag("redispatch", true).copied(),
            timeout,
            when_all_drain: table.choice("when_all_drain", WhenAllDrain::Serve, &words).copied(),
            servers: servers?,
        })
    }
}

/// HAProxy's algorithms, of which only one is here so far.
fn balance(value: &Value<'_>) -> Option<Balance> {
    let later = ["static-rr", "leastconn", "first", "random", "source", "uri", "hdr", "url_param", "hash"];
    later_words(value, &later, r#""roundrobin""#)?;
    value.choice(&[("roundrobin", Balance::RoundRobin)])
}

impl BackendTimeout {
    /// `timeout`, and its `check`.
    fn read(table: &Table<'_>) -> (Self, Option<Duration>) {
        let connect = table.duration("connect", CONNECT_TIMEOUT).copied();
        let maybe = |key| table.field(key, None, |value| value.duration().map(Some)).copied();
        let timeout = Self {
            connect,
            server: table.duration("server", SERVER_TIMEOUT).copied(),
            queue: table.duration("queue", connect).copied(),
            tunnel: maybe("tunnel"),
        };
        (timeout, maybe("check"))
    }
}

impl Cookie {
    fn read(table: &Table<'_>) -> Option<Self> {
        let name = table.require("name", r#""SERVERID""#).and_then(|value| token(&value, "a cookie's name"));
        table.field("mode", (), |value| {
            later_words(value, &["rewrite", "prefix", "passive"], r#""insert""#)?;
            value.choice(&[("insert", ())])
        });
        table.later("domain", r#"write it as an attribute: `attr = ["Domain=shop.example"]`"#);
        table.later("nocache", "let the servers send `cache-control: private` where it matters");
        for key in ["preserve", "postonly", "maxidle", "maxlife", "dynamic"] {
            table.later(key, "leave it out");
        }
        let mut attributes = String::new();
        for (key, attribute) in [("httponly", "; HttpOnly"), ("secure", "; Secure")] {
            if table.flag(key, false).copied() {
                attributes.push_str(attribute);
            }
        }
        let further = table.field("attr", Vec::new(), |value| value.each(cookie_attribute));
        for attribute in further.as_inner() {
            attributes.push_str("; ");
            attributes.push_str(attribute);
        }
        let indirect = table.flag("indirect", true).copied();
        let count_users = table.flag("count_users", false).copied();
        Some(Self { name: name?, indirect, attributes: attributes.into(), count_users })
    }
}

/// What a server inherits and must not clash with.
struct Context<'c> {
    /// The backend's check; `None`: it has none.
    check: Option<CheckDefaults>,
    check_timeout: Option<Duration>,
    /// The proxy's own addresses.
    binds: &'c [SocketAddr],
    lookup: &'c Lookup<'c>,
}

/// The servers of a backend, at least one, with names that none has twice.
fn servers(value: &Value<'_>, context: &Context<'_>) -> Option<Vec<Server>> {
    let items = value.items();
    if items.is_empty() {
        value.wrong("is empty", "expected at least one server");
        return None;
    }
    let mut names = HashSet::new();
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let server = item.section(|table| Server::read(table, context)).flatten()?;
            if !names.insert(Arc::clone(&server.name)) {
                let title = format!("there is a second server `{}`", server.name);
                item.report(Mistake::new(item.place(), title, "each server of a backend needs its own name"));
            }
            Some(server)
        })
        .collect();
    read.into_iter().collect()
}

/// A bound for slips: no server takes so many at once.
const MOST_SERVER_CONNECTIONS: u32 = 1_000_000;

impl Server {
    fn read(table: &Table<'_>, context: &Context<'_>) -> Option<Self> {
        let name = table.require("name", r#""pool1""#).and_then(|value| server_name(&value));
        let address = table.require("address", r#""10.0.0.11:80""#).and_then(|value| {
            let address = context.lookup.address(&value, None)?;
            if context.binds.iter().any(|bind| reaches(address, *bind)) {
                value.wrong(
                    "is the proxy itself",
                    "expected another address than those in `bind`: this is a loop",
                );
                return None;
            }
            Some(address)
        });
        let cookie = table.take("cookie").and_then(|value| cookie_value(&value));
        let weight = table.number("weight", 1, 0, Self::MAX_WEIGHT).copied();
        let maxconn = table
            .field("maxconn", None, |value| value.number(1, MOST_SERVER_CONNECTIONS).map(NonZeroU32::new))
            .copied();
        let backup = table.flag("backup", false).copied();
        // Where the address is wrong this was reported; the rest of the check is read all the same.
        let stand_in = address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let check = match (table.take("check"), &context.check) {
            (Some(value), defaults) => {
                let standard = CheckDefaults::standard(context.check_timeout);
                let defaults = defaults.as_ref().unwrap_or(&standard);
                value.section(|table| Check::read(table, defaults, stand_in, context.lookup)).flatten()
            }
            (None, Some(defaults)) => Some(Check::inherited(defaults, stand_in)),
            (None, None) => None,
        };
        Some(Self { name: name?, address: address?, cookie, weight, maxconn, backup, check })
    }
}

/// Whether a connection to `address` ends at a listener on `bind`, as far as the addresses alone can tell.
fn reaches(address: SocketAddr, bind: SocketAddr) -> bool {
    let everywhere =
        bind.ip().is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified());
    address.port() == bind.port() && (address.ip() == bind.ip() || everywhere)
}
