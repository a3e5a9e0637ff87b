//! `[admin]`, what belongs to its `listen`: the port on which people and monitoring look at the proxy.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use drain_config::{Table, Value};

/// The port on which people and monitoring look at the proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminPort {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who is let in; empty: everybody. Health is told to everybody.
    pub auth: Vec<Account>,
    /// What they may do there.
    pub level: PortLevel,
    /// Where HAProxy's statistics are (HAProxy: `stats uri`), a prefix as there.
    pub statistics: Arc<str>,
}

/// What may be done on the port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PortLevel {
    /// Look.
    Look,
    /// Set servers to soft, hard and up, too. Only with `auth`.
    Operate,
}

/// Somebody who is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The name.
    pub user: Arc<str>,
    /// What proves it.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The first line of this file, which not everybody may read.
    File(PathBuf),
    /// This one (HAProxy: `stats auth`).
    Given(Arc<str>),
}

/// A password is in no message.
impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "File({})", path.display()),
            Self::Given(_) => out.write_str("Given(…)"),
        }
    }
}

/// How long the proxy answers what to the balancers above it when it is to finish (SIGUSR1), before it takes no more
/// connections. None: at once.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Leave {
    /// 404: no new users.
    pub soft: Duration,
    /// 500: nobody.
    pub hard: Duration,
}

/// HAProxy's own default.
const STATISTICS: &str = "/haproxy?stats";

/// Paths that are ours.
const TAKEN: [&str; 9] =
    ["/", "/page.css", "/page.js", "/events", "/act", "/metrics", "/healthz", "/readyz", "/stats"];

impl AdminPort {
    /// What `[admin]` says of its port; `None`: it has none, or something is wrong.
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let listen = table.take("listen");
        let auth = table.take("auth");
        let level = table.take("listen_level");
        let statistics = table.take("statistics");
        let Some(listen) = listen else {
            for value in [auth, level, statistics].into_iter().flatten() {
                value.wrong("belongs to a port", r#"but there is none: write `listen = "127.0.0.1:8404"`"#);
            }
            return None;
        };
        let listen = listen.address();
        let accounts = auth.as_ref().map_or(Some(Vec::new()), |value| value.each_once(Account::read));
        let words = [("look", PortLevel::Look), ("operate", PortLevel::Operate)];
        let may = level.as_ref().map_or(Some(PortLevel::Look), |value| value.choice(&words));
        if let (Some(PortLevel::Operate), Some(value), None) = (may, &level, &auth) {
            value.wrong(
                "needs `auth`",
                r#"or every page in a browser on this machine could ask: write `auth = { user = "ops", password_file = "…" }`"#,
            );
        }
        let statistics = statistics.map_or(Some(STATISTICS.into()), |value| uri(&value));
        Some(Self { listen: listen?, auth: accounts?, level: may?, statistics: statistics? })
    }
}

impl Account {
    fn read(value: &Value<'_>) -> Option<Self> {
        value.section(|table| {
            let user = table.require("user", r#""ops""#).and_then(|value| name(&value));
            let file = table
                .require("password_file", r#""/etc/drain-proxy/admin.password""#)
                .and_then(|value| value.absolute_path());
            Some(Self { user: user?, password: Password::File(file?) })
        })?
    }
}

/// RFC 7617: a colon would end it.
fn name(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text.contains(':') || text.chars().any(char::is_control) {
        value.wrong("is no user's name", "expected text without a colon");
        return None;
    }
    Some(text.into())
}

fn uri(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(';') {
        value.wrong("is not a path", format!(r#"expected one that begins with `/`, such as "{STATISTICS}""#));
        return None;
    }
    if TAKEN.contains(&text) && !matches!(text, "/" | "/stats") {
        value.wrong("is taken", "the port has a page of its own there");
        return None;
    }
    Some(text.into())
}

impl Leave {
    /// `[admin.leave]`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let Self { soft, hard } = Self::default();
        Self { soft: table.duration("soft", soft).copied(), hard: table.duration("hard", hard).copied() }
    }
}
