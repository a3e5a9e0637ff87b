//! `[[backend.NAME.server]]`: one server of a backend.

use std::{collections::HashSet, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use drain_config::{Mistake, Table, Value};

use super::{
    Agent, Check,
    announce::{check_send_proxy, send_proxy},
    check::CheckDefaults,
    condition::Condition,
    cookie::DynamicKey,
    lookup::Lookup,
    passive::Passive,
    words::{cookie_value, server_name},
};
use crate::proxy_protocol::Version;

/// One server of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name in logs, statistics and the state header.
    pub name: Arc<str>,
    /// Where it listens; a host's name was looked up once.
    pub address: SocketAddr,
    /// What the cookie says for it; `None`: it pins nobody.
    pub cookie: Option<Arc<str>>,
    /// Requests that go to it, if their cookie names it, though it is down, and which no retry takes elsewhere.
    pub force_persist: Condition,
    /// Its share, 0 to [`Server::MAX_WEIGHT`]; 0: no new users.
    pub weight: u16,
    /// Connections to it at once, in flight and idle over all cores; `None`: as many as come.
    pub maxconn: Option<NonZeroU32>,
    /// Requests in flight on it at once while the backend is quiet: the limit grows with the backend's load up to
    /// `maxconn`, which it reaches at `fullconn`. Not above `maxconn`; `None`: `maxconn` always.
    pub minconn: Option<NonZeroU32>,
    /// Requests that may wait for it alone; `None`: as many as come.
    pub maxqueue: Option<NonZeroU32>,
    /// How long its weight and `maxconn` take to grow to what they are when it comes up again; zero: at once.
    pub slowstart: Duration,
    /// Whether it serves only when no other can.
    pub backup: bool,
    /// It begins in maintenance, until an operator enables it.
    pub disabled: bool,
    /// The PROXY protocol that names the client at the beginning of each connection; `None`: none does. Such
    /// connections serve one client's connection only.
    pub send_proxy: Option<Version>,
    /// Its health check, with what it inherits from the backend; `None`: it is not checked, and counts as up.
    pub check: Option<Check>,
    /// The agent that speaks for it; `None`: none does.
    pub agent: Option<Agent>,
    /// What its traffic says of its health, and what becomes of its sessions when that changes.
    pub passive: Passive,
}

impl Server {
    /// The greatest weight, HAProxy's.
    pub const MAX_WEIGHT: u16 = 256;
}

/// What a server inherits and must not clash with.
pub(super) struct Context<'c> {
    /// The backend's check; `None`: it has none.
    pub(super) check: Option<CheckDefaults>,
    pub(super) check_timeout: Option<Duration>,
    /// What cookies are made of for servers that have none; `None`: nothing is.
    pub(super) dynamic: Option<DynamicKey>,
    /// The proxy's own addresses.
    pub(super) binds: &'c [SocketAddr],
    pub(super) lookup: &'c Lookup<'c>,
}

/// The servers of a backend, with names that none has twice.
pub(super) fn servers(value: &Value<'_>, context: &Context<'_>) -> Option<Vec<Server>> {
    let items = value.items();
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
pub(super) const MOST_SERVER_CONNECTIONS: u32 = 1_000_000;

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
        let dynamic = || context.dynamic.as_ref().zip(address).map(|(key, address)| key.cookie_of(address));
        let cookie = table.take("cookie").map_or_else(dynamic, |value| cookie_value(&value));
        let force_persist = table.field("force_persist", Condition::Never, Condition::read).into_inner();
        let weight = table.number("weight", 1, 0, Self::MAX_WEIGHT).copied();
        let maxconn = table.field("maxconn", None, |value| connections(value).map(Some)).copied();
        let minconn = table.field("minconn", None, |value| connections(value).map(Some));
        if let (Some(least), Some(place)) = (*minconn.as_inner(), minconn.place())
            && maxconn.is_none_or(|most| least > most)
        {
            let title = format!("`{}` is above `maxconn`", table.path_of("minconn"));
            let found =
                maxconn.map_or("there is no `maxconn`".to_owned(), |most| format!("`maxconn` is {most}"));
            table.report(Mistake::new(place.clone(), title, found));
        }
        let maxqueue = table.field("maxqueue", None, |value| connections(value).map(Some)).copied();
        let slowstart = table.duration("slowstart", Duration::ZERO).copied();
        let backup = table.flag("backup", false).copied();
        let disabled = table.flag("disabled", false).copied();
        let send_proxy = send_proxy(table);
        let check_speaks = check_send_proxy(table, send_proxy);
        // Where the address is wrong this was reported; the rest of the check is read all the same.
        let stand_in = address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let mut check: Option<Check> = match (table.take("check"), &context.check) {
            (Some(value), defaults) => {
                let standard = CheckDefaults::standard(context.check_timeout);
                let defaults = defaults.as_ref().unwrap_or(&standard);
                value.section(|table| Check::read(table, defaults, stand_in, context.lookup)).flatten()
            }
            (None, Some(defaults)) => Some(Check::inherited(defaults, stand_in)),
            (None, None) => None,
        };
        let minconn = minconn.copied();
        if let Some(check) = &mut check
            && (check_speaks || check.address == stand_in)
        {
            check.send_proxy = send_proxy;
        }
        let inter = check.as_ref().map_or(Agent::INTER, |check| check.inter);
        let agent = table.take("agent_check").and_then(|value| {
            value.section(|table| Agent::read(table, stand_in.ip(), inter, context.lookup)).flatten()
        });
        let passive = Passive::read(table, check.is_some());
        Some(Self {
            name: name?,
            address: address?,
            cookie,
            force_persist,
            weight,
            maxconn,
            minconn,
            maxqueue,
            slowstart,
            backup,
            disabled,
            send_proxy,
            check,
            agent,
            passive,
        })
    }
}

/// A number of connections or requests.
fn connections(value: &Value<'_>) -> Option<NonZeroU32> {
    value.number(1, MOST_SERVER_CONNECTIONS).and_then(NonZeroU32::new)
}

/// Whether a connection to `address` ends at a listener on `bind`, as far as the addresses alone can tell.
pub(super) fn reaches(address: SocketAddr, bind: SocketAddr) -> bool {
    let everywhere =
        bind.ip().is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified());
    address.port() == bind.port() && (address.ip() == bind.ip() || everywhere)
}
