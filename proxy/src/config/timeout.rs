//! `timeout` of a backend: how long servers may take.

use std::time::Duration;

use drain_config::Table;

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
    /// The same of the server, when the client has closed its half; `None`: nothing changes then.
    pub server_fin: Option<Duration>,
}

/// Unless configured: what HAProxy's users write.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Unless configured: as long as clients wait.
const SERVER_TIMEOUT: Duration = Duration::from_mins(1);

impl BackendTimeout {
    /// `timeout`, and its `check`.
    pub(super) fn read(table: &Table<'_>) -> (Self, Option<Duration>) {
        let connect = table.duration("connect", CONNECT_TIMEOUT).copied();
        let maybe = |key| table.field(key, None, |value| value.duration().map(Some)).copied();
        let timeout = Self {
            connect,
            server: table.duration("server", SERVER_TIMEOUT).copied(),
            queue: table.duration("queue", connect).copied(),
            tunnel: maybe("tunnel"),
            server_fin: maybe("server_fin"),
        };
        (timeout, maybe("check"))
    }
}
