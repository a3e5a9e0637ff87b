//! `[backend.NAME]`: servers that do the same work, and how one is chosen.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use super::Check;

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
