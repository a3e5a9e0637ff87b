//! `[backend.NAME]`: servers that do the same work, and how one is chosen.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use drain_config::{Table, Value};

use super::{
    AddressField,
    balance::{Balance, HashType},
    check::CheckDefaults,
    condition::Condition,
    cookie::{Cookie, DynamicKey},
    lookup::Lookup,
    retry::Retry,
    reuse::Reuse,
    server::{Context, MOST_SERVER_CONNECTIONS, Server, servers},
    timeout::BackendTimeout,
    words::object_name,
};
use crate::rules::{Names, Rules, Scope};

/// Servers that do the same work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Its name in logs, statistics and the state header.
    pub name: Arc<str>,
    /// How a server is chosen for a user without one.
    pub balance: Balance,
    /// How a hash becomes a server, where `balance` hashes.
    pub hash_type: HashType,
    /// Whether all backups serve when no other server can, and not only the first of them.
    pub allbackups: bool,
    /// Requests in the backend at which a server with `minconn` takes its full `maxconn`.
    pub fullconn: NonZeroU32,
    /// The persistence cookie; `None`: none.
    pub cookie: Option<Cookie>,
    /// Whether a user whose cookie names a server that is down is sent there all the same.
    pub persist: bool,
    /// Requests for which the same is so, and which no retry takes elsewhere.
    pub force_persist: Condition,
    /// Requests whose cookie is not looked at, and whose answers set none.
    pub ignore_persist: Condition,
    /// For how long after a request its user counts as one.
    pub users_window: Duration,
    /// How its requests are tried again.
    pub retry: Retry,
    /// Whose idle connections a request may use.
    pub reuse: Reuse,
    /// Whether a request whose client has closed its half of the connection is given up as long as no server has
    /// answered it (HAProxy: `option abortonclose`).
    pub abort_on_close: bool,
    /// The field that tells its servers the client's address, beside what a frontend asks for.
    pub forward_for: Option<AddressField>,
    /// The one that tells what the client connected to, likewise.
    pub original_to: Option<AddressField>,
    /// What becomes of its requests and their responses beside that.
    pub rules: Arc<Rules>,
    /// Its timeouts.
    pub timeout: BackendTimeout,
    /// What becomes of new users when only soft-draining servers are left.
    pub when_all_drain: WhenAllDrain,
    /// The file that tells its servers' state of before at a start, and is never written; `None`: that of all backends,
    /// [`super::Admin::server_state`].
    pub load_server_state: Option<PathBuf>,
    /// Its servers in the order of the file, names unique. Without any its requests are answered 503.
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

/// DESIGN's number: as long as a shopper thinks between two pages.
const USERS_WINDOW: Duration = Duration::from_mins(5);

impl Backend {
    /// `[backend.NAME]`, whose servers must not be among `binds`, the proxy's own addresses; its frontends take `reach`
    /// connections at once, and its rules may ask of `names`.
    pub(super) fn read(
        name: &str,
        table: &Table<'_>,
        binds: &[SocketAddr],
        lookup: &Lookup<'_>,
        reach: usize,
        names: &Names<'_>,
    ) -> Option<Self> {
        let scope = Scope { names, own: name };
        let name = object_name(name, table);
        let (timeout, check_timeout) = table.section("timeout", BackendTimeout::read);
        let check = table
            .take("check")
            .and_then(|value| value.section(|table| CheckDefaults::read(table, check_timeout)));
        let cookie = table.field("cookie", None, |value| value.section(Cookie::read)).into_inner();
        let dynamic = DynamicKey::read(table, cookie.as_ref());
        let condition = |key| {
            table.field(key, Condition::Never, |value| {
                only_with_cookie(value, cookie.as_ref())?;
                Condition::read(value)
            })
        };
        let rules = Rules::of_backend(table, scope);
        if let Some(value) = table.take("persistence") {
            let _ = only_with_cookie(&value, cookie.as_ref());
        }
        let (force_persist, ignore_persist) = (condition("force_persist"), condition("ignore_persist"));
        let servers = table
            .require("server", r#"[{ name = "pool1", address = "10.0.0.11:80" }]"#)
            .and_then(|value| servers(&value, &Context { check, check_timeout, dynamic, binds, lookup }));
        let [forward_for, original_to] = AddressField::read_both(table);
        let words = [("serve", WhenAllDrain::Serve), ("refuse", WhenAllDrain::Refuse)];
        Some(Self {
            name: name?,
            balance: table.field("balance", Balance::RoundRobin, Balance::read).into_inner(),
            hash_type: table.field("hash_type", HashType::MapBased, HashType::read).copied(),
            allbackups: table.flag("allbackups", false).copied(),
            fullconn: table.field("fullconn", fullconn(reach), read_fullconn).copied(),
            cookie,
            persist: table.flag("persist", false).copied(),
            force_persist: force_persist.into_inner(),
            ignore_persist: ignore_persist.into_inner(),
            users_window: table.duration("users_window", USERS_WINDOW).copied(),
            retry: Retry::read(table, timeout.connect),
            reuse: Reuse::read(table),
            abort_on_close: table.flag("abortonclose", false).copied(),
            forward_for,
            original_to,
            rules: rules.into(),
            timeout,
            when_all_drain: table.choice("when_all_drain", WhenAllDrain::Serve, &words).copied(),
            load_server_state: table.take("load_server_state").and_then(|value| value.absolute_path()),
            servers: servers?,
        })
    }
}

/// Refuses what says something of a cookie that the backend doesn't have.
fn only_with_cookie(value: &Value<'_>, cookie: Option<&Cookie>) -> Option<()> {
    if cookie.is_none() {
        value.wrong("has no effect", "expected `cookie` in the backend beside it");
    }
    cookie.map(drop)
}

/// HAProxy's number: a tenth of what the frontends let in.
fn fullconn(reach: usize) -> NonZeroU32 {
    let tenth = u32::try_from(reach.div_ceil(10)).unwrap_or(u32::MAX);
    NonZeroU32::new(tenth).unwrap_or(NonZeroU32::MIN)
}

fn read_fullconn(value: &Value<'_>) -> Option<NonZeroU32> {
    value.number(1, MOST_SERVER_CONNECTIONS).and_then(NonZeroU32::new)
}
