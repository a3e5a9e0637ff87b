//! `[admin]`: who may look at the proxy and command it while it runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use drain_config::{Table, Value};

use super::{AdminPort, Leave};

/// Who may look at the proxy and command it while it runs.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Sockets that take HAProxy's runtime commands.
    pub sockets: Vec<AdminSocket>,
    /// Where the servers' state is written when it changes, and read when the proxy starts; `None`: nowhere.
    pub server_state: Option<PathBuf>,
    /// Where that is written which was set at run time, as commands that set it again at a start; `None`: nowhere.
    pub keep_changes: Option<PathBuf>,
    /// The port where it can be looked at; `None`: there is none.
    pub port: Option<AdminPort>,
    /// What is told to balancers above before it finishes.
    pub leave: Leave,
}

/// A socket that takes HAProxy's runtime commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSocket {
    /// Its path.
    pub path: PathBuf,
    /// Its permissions; `None`: those of the process.
    pub mode: Option<u32>,
    /// Its group; `None`: that of the process.
    pub group: Option<Arc<str>>,
    /// Its owner; `None`: the process's.
    pub user: Option<Arc<str>>,
    /// What whoever connects may do.
    pub level: Level,
    /// For how long a connection may be silent.
    pub timeout: Duration,
    /// Connections at once.
    pub connections: u32,
}

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Look at what gives nothing away.
    User,
    /// Look at everything.
    Operator,
    /// Change it.
    Admin,
}

impl Level {
    /// As HAProxy calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// HAProxy's `stats timeout`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// HAProxy's `stats maxconn`.
const CONNECTIONS: u32 = 10;

/// More than anybody needs, and few enough to cost nothing.
const MOST_CONNECTIONS: u32 = 1000;

/// Nobody but the owner, where no group is named; that group, too, where one is.
const MODES: [u32; 2] = [0o600, 0o660];

impl AdminSocket {
    /// One with HAProxy's limits, for its owner alone, who may do everything.
    pub fn new(path: PathBuf) -> Self {
        let (timeout, connections, level) = (TIMEOUT, CONNECTIONS, Level::Admin);
        Self { path, mode: Some(MODES[0]), group: None, user: None, level, timeout, connections }
    }
}

impl Admin {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let path = |key| table.take(key).and_then(|value| value.absolute_path());
        let socket = path("socket").map(AdminSocket::new);
        let words = [("user", Level::User), ("operator", Level::Operator), ("admin", Level::Admin)];
        let group = table.take("group").and_then(|value| value.string()).map(Arc::from);
        let mode = table.field("mode", MODES[usize::from(group.is_some())], mode).copied();
        let level = table.choice("level", Level::Admin, &words).copied();
        let timeout = table.duration("timeout", TIMEOUT).copied();
        let connections = table.number("connections", CONNECTIONS, 1, MOST_CONNECTIONS).copied();
        let socket = socket.map(|socket| AdminSocket {
            mode: Some(mode),
            group,
            level,
            timeout,
            connections,
            ..socket
        });
        Self {
            sockets: socket.into_iter().collect(),
            server_state: path("server_state"),
            keep_changes: path("keep_changes"),
            port: AdminPort::read(table),
            leave: table.section("leave", Leave::read),
        }
    }
}

/// Permissions, as `chmod` writes them.
fn mode(value: &Value<'_>) -> Option<u32> {
    let text = value.string()?;
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| text.len() <= 4 && *mode <= 0o777);
    if mode.is_none() {
        value.wrong("is no file mode", r#"expected octal digits, as in "660""#);
    }
    mode
}
