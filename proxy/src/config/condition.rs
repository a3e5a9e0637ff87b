//! Conditions on requests: which of them a setting holds for. A form of HAProxy's `if { path_beg … } or { src … }`.

use std::{net::IpAddr, sync::Arc};

use drain_config::{Table, Value};
use ipnet::IpNet;

/// Requests that a setting holds for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// None of them.
    Never,
    /// All of them.
    Always,
    /// Those of which one of these is true.
    Any(Matches),
}

/// What a request may have for a condition to hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matches {
    /// Its path is one of these.
    pub path: Vec<Arc<str>>,
    /// Its path begins with one of these.
    pub path_beg: Vec<Arc<str>>,
    /// Its path ends with one of these.
    pub path_end: Vec<Arc<str>>,
    /// Its client's address is in one of these networks.
    pub source: Vec<IpNet>,
}

impl Condition {
    /// `true` or `false`, or a table of what is looked at.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        if value.is_flag() {
            return value.flag().map(|is_on| if is_on { Self::Always } else { Self::Never });
        }
        let matches = value.section(Matches::read)?;
        if matches == Matches::default() {
            value.wrong(
                "holds for no request",
                "expected `path`, `path_beg`, `path_end` or `source` in it, or `true`",
            );
            return None;
        }
        Some(Self::Any(matches))
    }

    /// Whether it holds for a request of this target, which came from there.
    pub fn holds(&self, target: &[u8], client: IpAddr) -> bool {
        let matches = match self {
            Self::Never => return false,
            Self::Always => return true,
            Self::Any(matches) => matches,
        };
        let path = path_of(target);
        let client = client.to_canonical();
        matches.path.iter().any(|wanted| wanted.as_bytes() == path)
            || matches.path_beg.iter().any(|wanted| path.starts_with(wanted.as_bytes()))
            || matches.path_end.iter().any(|wanted| path.ends_with(wanted.as_bytes()))
            || matches.source.iter().any(|network| network.contains(&client))
    }
}

impl Matches {
    fn read(table: &Table<'_>) -> Self {
        let texts = |key| {
            let text = |value: &Value<'_>| value.text().map(Arc::from);
            table.field(key, Vec::new(), |value| value.each_once(text)).into_inner()
        };
        Self {
            path: texts("path"),
            path_beg: texts("path_beg"),
            path_end: texts("path_end"),
            source: table.field("source", Vec::new(), |value| value.each_once(Value::network)).into_inner(),
        }
    }
}

/// A target's path, without query: HAProxy's `path`. Empty where it has none.
fn path_of(target: &[u8]) -> &[u8] {
    let path = if target.starts_with(b"/") {
        target
    } else {
        let authority = memchr::memmem::find(target, b"://").map_or(&b""[..], |at| &target[at + 3..]);
        &authority[authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len())..]
    };
    &path[..memchr::memchr(b'?', path).unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_match_is_enough() {
        let condition = Condition::Any(Matches {
            path: vec!["/exact".into()],
            path_beg: vec!["/static/".into()],
            path_end: vec![".png".into()],
            source: vec!["10.0.0.0/8".parse().unwrap()],
        });
        for (target, client, expected) in [
            ("/exact", "192.0.2.1", true),
            ("/exact?query", "192.0.2.1", true),
            ("/exactly", "192.0.2.1", false),
            ("/static/a", "192.0.2.1", true),
            ("/static", "192.0.2.1", false),
            ("/a/b.png?x=.gif", "192.0.2.1", true),
            ("/a?x=.png", "192.0.2.1", false),
            ("http://h/static/a", "192.0.2.1", true),
            ("http://h", "192.0.2.1", false),
            ("http://h?/static/", "192.0.2.1", false),
            ("*", "192.0.2.1", false),
            ("/", "10.1.2.3", true),
            ("/", "::ffff:10.1.2.3", true),
        ] {
            let holds = condition.holds(target.as_bytes(), client.parse().unwrap());
            assert_eq!(holds, expected, "{target} from {client}");
        }
        assert!(Condition::Always.holds(b"*", "192.0.2.1".parse().unwrap()));
    }
}
