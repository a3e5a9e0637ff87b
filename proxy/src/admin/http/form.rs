//! The form of HAProxy's statistics page: what it orders, and HAProxy's word for what has become of that.

use std::sync::Arc;

use super::order::{self, Order};
use crate::{
    admin::{gate::Gate, stats::Statistics},
    backend::{Administration, Operation},
};

/// HAProxy's words, what is ordered by them, and how they are written in the list. The last four are older, and programs
/// send them: they are in no list.
pub(super) const WORDS: [(&str, Order, &str); 17] = [
    ("ready", Order::State(Administration::Ready), "Set state to READY"),
    ("drain", Order::State(Administration::Drain), "Set state to DRAIN"),
    ("maint", Order::State(Administration::Maintenance), "Set state to MAINT"),
    ("dhlth", Order::Checks(false), "Health: disable checks"),
    ("ehlth", Order::Checks(true), "Health: enable checks"),
    ("hrunn", Order::Health(Operation::Up), "Health: force UP"),
    ("hnolb", Order::Health(Operation::Soft), "Health: force NOLB"),
    ("hdown", Order::Health(Operation::Down), "Health: force DOWN"),
    ("dagent", Order::Agent(false), "Agent: disable checks"),
    ("eagent", Order::Agent(true), "Agent: enable checks"),
    ("arunn", Order::AgentSays { down: false }, "Agent: force UP"),
    ("adown", Order::AgentSays { down: true }, "Agent: force DOWN"),
    ("shutdown", Order::ShutDown, "Kill Sessions"),
    // They change one thing, and leave what is otherwise.
    ("enable", Order::Change(Some(Administration::Maintenance), Administration::Ready), ""),
    ("disable", Order::Change(None, Administration::Maintenance), ""),
    ("stop", Order::Change(Some(Administration::Ready), Administration::Drain), ""),
    ("start", Order::Change(Some(Administration::Drain), Administration::Ready), ""),
];

/// Servers in one form: as many as anybody ticks.
const MOST_SERVERS: usize = 1000;

/// In which a browser says whether a page of another site sends the form. Only browsers have it, and no page can set it.
const SITE: &str = "sec-fetch-site";

/// Whether a form comes from the page itself, or from a program. A browser adds the password to whatever a page sends
/// here, whose ever page it is; so it must not be another's. Programs say neither. `field` gives a request's field.
pub(super) fn is_own(field: &dyn Fn(&str) -> Option<String>) -> bool {
    if let Some(site) = field(SITE) {
        return site == "same-origin" || site == "none";
    }
    // A browser that is spoken to without TLS says only where its page is from.
    field("origin").is_none_or(|origin| {
        let origin = origin.to_ascii_lowercase();
        let place = origin.split_once("://").map(|(_, place)| place);
        place.is_some() && place == field("host").map(|host| host.to_ascii_lowercase()).as_deref()
    })
}

/// Does what a form says: `s=NAME` for each server, `action`, and `b=#NUMBER` or a name. Gives HAProxy's word for what has
/// become of it.
pub(super) fn obey(statistics: &Arc<Statistics>, gate: &Gate, form: &str) -> &'static str {
    let fields: Vec<_> = form.split('&').filter_map(|field| field.split_once('=')).map(decoded).collect();
    // Of what is said twice the last one counts.
    let value = |name: &str| fields.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let generation = statistics.generation();
    let backend = value("b").filter(|backend| order::find_backend(&generation, backend).is_ok());
    let action = value("action").map(|action| WORDS.iter().find(|(word, ..)| *word == action));
    let (backend, order) = match (value("b"), backend, action) {
        (Some(_), None, _) | (_, _, Some(None)) => return "ERRP",
        (_, Some(backend), Some(Some((_, order, _)))) => (backend, *order),
        _ => return "NONE",
    };
    let servers = fields.iter().filter(|(name, _)| name == "s").take(MOST_SERVERS);
    let (mut altered, mut total) = (0, 0);
    for (_, server) in servers {
        let found = order::find(&generation, backend, server);
        match found.and_then(|named| order::carry_out(gate, &named, order)) {
            Ok(true) => (altered, total) = (altered + 1, total + 1),
            // Nothing to do there.
            Ok(false) => {}
            Err(_) => total += 1,
        }
    }
    match altered {
        _ if total == 0 => "NONE",
        0 => "ERRP",
        all if all == total => "DONE",
        _ => "PART",
    }
}

/// Without the escapes of a form.
fn decoded((name, value): (&str, &str)) -> (String, String) {
    (unescaped(name), unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match (byte, code.and_then(|code| u8::from_str_radix(code, 16).ok())) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_sites_page_is_denied() {
        let own = |pairs: &[(&str, &str)]| {
            is_own(&|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let host = ("host", "lb1:8404");
        assert!(own(&[host]), "a program");
        assert!(own(&[host, ("origin", "http://LB1:8404")]) && own(&[host, ("sec-fetch-site", "none")]));
        assert!(
            own(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://lb1.example")]),
            "behind TLS"
        );
        for site in ["cross-site", "same-site", ""] {
            assert!(!own(&[host, ("sec-fetch-site", site), ("origin", "http://lb1:8404")]), "{site}");
        }
        for origin in ["null", "http://evil.example", "http://lb1", "http://lb1:8404.evil.example", ""] {
            assert!(!own(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!own(&[("origin", "null")]), "without a host");
    }

    #[test]
    fn a_form_is_read_without_its_escapes() {
        assert_eq!(unescaped("a%2Fb+c%zz%4"), "a/b c%zz%4");
        assert_eq!(unescaped("%"), "%");
        assert_eq!(unescaped("%C3%A9%ff"), "é\u{fffd}");
        assert_eq!(decoded(("s", "p%31")), ("s".to_owned(), "p1".to_owned()));
    }
}
