//! HAProxy's statistics where clients come in (HAProxy: `stats uri` and its like, manual 4.2).

use std::{sync::Arc, time::Duration};

use drain_config::{Table, Value};

use super::{Context, condition::Condition};
use crate::config::{Account, Password};

/// HAProxy's statistics, at an address of a frontend or a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// Where they are: a prefix of the target, as in HAProxy.
    pub uri: Arc<str>,
    /// Who is let in; empty: everybody.
    pub auth: Vec<Account>,
    /// What people are asked the password for.
    pub realm: Arc<str>,
    /// How often browsers ask again.
    pub refresh: Option<Duration>,
    /// The version is told to nobody.
    pub hide_version: bool,
    /// The proxies that are shown; empty: all.
    pub scope: Vec<Arc<str>>,
    /// Whoever one of these holds for may order something (HAProxy: `stats admin`).
    pub(super) admin: Vec<Condition>,
}

/// What is asked of them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Asked {
    /// What stands behind the address.
    pub suffix: String,
    /// The `Authorization`.
    pub authorization: Option<String>,
    /// Something is ordered.
    pub is_order: bool,
    /// And may be.
    pub may: bool,
    /// Whose page sends it, as a browser says: `Host`, `Origin`, `Sec-Fetch-Site`.
    pub sender: [Option<String>; 3],
}

/// The fields of [`Asked::sender`].
const SENDER: [&str; 3] = ["host", "origin", "sec-fetch-site"];

impl Asked {
    /// One of the fields that say whose page sends it.
    pub fn field(&self, name: &str) -> Option<String> {
        SENDER.iter().position(|known| *known == name).and_then(|place| self.sender[place].clone())
    }
}

/// HAProxy's.
const URI: &str = "/haproxy?stats";
const REALM: &str = "HAProxy Statistics";

impl Statistics {
    /// `statistics = { uri = "/haproxy?stats" }`
    pub(super) fn read(table: &Table<'_>, admin: impl Fn(&Table<'_>) -> Vec<Condition>) -> Self {
        let text = |key, standard: &str| {
            table.field(key, standard.into(), |value| value.text().map(Into::into)).into_inner()
        };
        let auth = table.field("auth", Vec::new(), |value| value.each(account)).into_inner();
        Self {
            admin: admin(table),
            uri: text("uri", URI),
            auth,
            realm: text("realm", REALM),
            refresh: table.field("refresh", None, |value| value.duration().map(Some)).copied(),
            hide_version: table.flag("hide_version", false).copied(),
            scope: table
                .field("scope", Vec::new(), |value| value.each(|value| value.text().map(Into::into)))
                .into_inner(),
        }
    }

    /// What a request asks of them; `None`: nothing.
    pub(super) fn asked(&self, context: &Context<'_>) -> Option<Asked> {
        let message = context.message;
        let is_order = match &message.method[..] {
            b"GET" | b"HEAD" => false,
            b"POST" => true,
            _ => return None,
        };
        let suffix = super::fetch::path_query(&message.target).strip_prefix(self.uri.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Asked {
            suffix: text(suffix),
            authorization: message.last(b"authorization").map(text),
            is_order,
            may: self.admin.iter().any(|condition| condition.holds(context)),
            sender: SENDER.map(|name| message.last(name.as_bytes()).map(text)),
        })
    }
}

/// `user:password`
fn account(value: &Value<'_>) -> Option<Account> {
    let text = value.text()?;
    let Some((user, password)) = text.split_once(':') else {
        value.wrong("is no account", r#"expected "USER:PASSWORD""#);
        return None;
    };
    Some(Account { user: user.into(), password: Password::Given(password.into()) })
}
