//! `[backend.NAME]`: servers that do the same work, and how one is chosen.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use drain_config::Table;

use super::{
    balance::{Balance, balance},
    check::CheckDefaults,
    cookie::Cookie,
    lookup::Lookup,
    server::{Context, Server, servers},
    timeout::BackendTimeout,
    words::object_name,
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

/// What becomes of new users when only soft-draining servers are left (never hard ones, and after the backups).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenAllDrain {
    /// They are served by those.
    Serve,
    /// They are refused with 503, as HAProxy does.
    Refuse,
}

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
