//! `cookie`: the cookie that keeps a user at a server.

use std::sync::Arc;

use drain_config::Table;

use super::words::{cookie_attribute, later_words, token};

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

impl Cookie {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
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
