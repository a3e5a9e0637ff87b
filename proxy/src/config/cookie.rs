//! `cookie`: the cookie that keeps a user on a server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use drain_config::{Mistake, Table, Value};

use super::{
    words::{cookie_attribute, domain, token},
    xxh64::xxh64,
};

/// The persistence cookie.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of HAProxy's, and they combine freely")]
pub struct Cookie {
    /// Its name; a token by RFC 9110.
    pub name: Arc<str>,
    /// Who sets it, and what stands in it.
    pub mode: CookieMode,
    /// It is taken out of the requests before the server sees them (mode insert); a server's own cookie of this name
    /// is not passed to a client that has the right one.
    pub indirect: bool,
    /// A server's own cookie of this name passes as it is, and none is inserted beside it.
    pub preserve: bool,
    /// Only answers to POST get one.
    pub postonly: bool,
    /// Caches are told to keep no response that sets it.
    pub nocache: bool,
    /// How long after its last use it pins nobody any more; whole seconds.
    pub maxidle: Option<Duration>,
    /// How long after it was given first; whole seconds.
    pub maxlife: Option<Duration>,
    /// What stands behind `path=/` in `Set-Cookie`, each attribute with its separator, in HAProxy's order:
    /// `; domain=shop.example; HttpOnly; Secure; SameSite=Lax`. Empty where none is set.
    pub attributes: Arc<str>,
    /// Servers without an id of their own have one made of their address.
    pub dynamic: bool,
    /// Whether a random token behind the server's id tells one user from another; else the source address does.
    pub count_users: bool,
}

/// Who sets the persistence cookie, and what stands in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CookieMode {
    /// The server sets it, with its own id.
    Passive,
    /// The server sets it; its value is replaced by the server's id.
    Rewrite,
    /// The proxy sets it.
    Insert,
    /// The server sets it, for its own use; the server's id and `~` are put before its value, and taken off again.
    Prefix,
}

impl Cookie {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let name = table.require("name", r#""SERVERID""#).and_then(|value| token(&value, "a cookie's name"));
        let modes = [
            ("insert", CookieMode::Insert),
            ("rewrite", CookieMode::Rewrite),
            ("prefix", CookieMode::Prefix),
            ("passive", CookieMode::Passive),
        ];
        let mode = table.choice("mode", CookieMode::Insert, &modes).copied();
        let inserts = mode == CookieMode::Insert;
        // HAProxy refuses some of these beside other modes, and takes no notice of the others.
        let only_inserted = |value: &Value<'_>| {
            if !inserts {
                value.wrong("needs `mode = \"insert\"`", "expected it to be left out: no cookie is inserted");
            }
            inserts.then_some(())
        };
        let inserted = |key| {
            table
                .field(key, false, |value| {
                    value.flag().filter(|&is_on| !is_on || only_inserted(value).is_some())
                })
                .copied()
        };
        let seconds = |key| {
            table
                .field(key, None, |value| {
                    only_inserted(value)?;
                    whole_seconds(value).map(Some)
                })
                .copied()
        };
        let indirect = table.field("indirect", inserts, |value| {
            let is_on = value.flag()?;
            if is_on && mode == CookieMode::Rewrite {
                value.wrong(
                    "contradicts `mode = \"rewrite\"`",
                    "expected the server's cookie to pass, rewritten",
                );
                return None;
            }
            Some(is_on)
        });
        let indirect = indirect.copied();
        let preserve = table.field("preserve", false, |value| {
            let is_on = value.flag()?;
            if is_on && !inserts && !indirect {
                value.wrong(
                    "has no effect in this mode",
                    "expected it with `mode = \"insert\"` or `indirect = true`",
                );
                return None;
            }
            Some(is_on)
        });
        Some(Self {
            mode,
            indirect,
            preserve: preserve.copied(),
            postonly: inserted("postonly"),
            nocache: inserted("nocache"),
            maxidle: seconds("maxidle"),
            maxlife: seconds("maxlife"),
            attributes: attributes(table, &only_inserted).into(),
            dynamic: table.flag("dynamic", false).copied(),
            count_users: inserted("count_users"),
            name: name?,
        })
    }

    /// A cookie of this name in HAProxy's mode `insert indirect`, and nothing else.
    pub fn inserted(name: &str) -> Self {
        Self {
            name: name.into(),
            mode: CookieMode::Insert,
            indirect: true,
            preserve: false,
            postonly: false,
            nocache: false,
            maxidle: None,
            maxlife: None,
            attributes: "".into(),
            dynamic: false,
            count_users: false,
        }
    }
}

/// What stands behind `path=/`, in HAProxy's order whatever the file's is.
fn attributes(table: &Table<'_>, only_inserted: &impl Fn(&Value<'_>) -> Option<()>) -> String {
    let mut attributes = String::new();
    let domains = table.field("domain", Vec::new(), |value| {
        only_inserted(value)?;
        value.each_once(domain)
    });
    for domain in domains.as_inner() {
        attributes.push_str("; domain=");
        attributes.push_str(domain);
    }
    for (key, attribute) in [("httponly", "; HttpOnly"), ("secure", "; Secure")] {
        let flag = table.field(key, false, |value| {
            value.flag().filter(|&is_on| !is_on || only_inserted(value).is_some())
        });
        if flag.copied() {
            attributes.push_str(attribute);
        }
    }
    let further = table.field("attr", Vec::new(), |value| {
        only_inserted(value)?;
        value.each(cookie_attribute)
    });
    for attribute in further.as_inner() {
        attributes.push_str("; ");
        attributes.push_str(attribute);
    }
    attributes
}

/// A time that the dates in a cookie, which count four seconds, can tell.
fn whole_seconds(value: &Value<'_>) -> Option<Duration> {
    let time = value.duration()?;
    if time.subsec_nanos() > 0 {
        value.wrong(
            "is not a whole number of seconds",
            "expected such as \"30m\": dates in cookies have no parts of seconds",
        );
        return None;
    }
    Some(time)
}

/// HAProxy's `dynamic-cookie-key`: what the cookies of servers that have none of their own are made from.
#[derive(Clone, Debug)]
pub(super) struct DynamicKey(Arc<str>);

impl DynamicKey {
    /// `dynamic_cookie_key` of a backend with this cookie. It and `cookie.dynamic` need each other.
    pub(super) fn read(table: &Table<'_>, cookie: Option<&Cookie>) -> Option<Self> {
        let key = table.take("dynamic_cookie_key");
        match (key, cookie.is_some_and(|cookie| cookie.dynamic)) {
            (Some(key), true) => key.text().map(|key| Self(key.into())),
            (Some(key), false) => {
                key.wrong("has no effect", "expected `dynamic = true` in `cookie` beside it");
                None
            }
            (None, true) => {
                let help = r#"write `dynamic_cookie_key = "a secret of yours"` in the backend"#;
                let title = "`cookie.dynamic` needs a key";
                table.report(Mistake::new(table.place(), title, "").help(help));
                None
            }
            (None, false) => None,
        }
    }

    /// The cookie of a server: sixteen hexadecimal digits, the same as HAProxy's for the same key and address.
    pub(super) fn cookie_of(&self, server: SocketAddr) -> Arc<str> {
        let mut bytes = self.0.as_bytes().to_vec();
        match server {
            SocketAddr::V4(server) => bytes.extend_from_slice(&server.ip().octets()),
            SocketAddr::V6(server) => bytes.extend_from_slice(&server.ip().octets()),
        }
        bytes.extend_from_slice(&u32::from(server.port()).to_be_bytes());
        format!("{:016x}", xxh64(&bytes)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_cookies_are_haproxys() {
        let key = DynamicKey("secret".into());
        for (server, expected) in
            [("10.0.0.11:80", "740bd84721579167"), ("[fd00::11]:80", "2813062d17ef0afd")]
        {
            assert_eq!(&*key.cookie_of(server.parse().unwrap()), expected);
        }
    }
}
