//! What people order on the port: by the live page's buttons, and by the form of HAProxy's page.

use std::{fmt, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;

use super::routes::Desk;
use crate::{
    admin::stats::{self, Proxy},
    backend::Administration,
    check,
    config::PortLevel,
};

/// A header that no form of another page can send: a browser asks first, and is not answered.
const PROOF: (&str, &str) = ("x-drain-proxy", "act");

/// HAProxy's words in its form, what is ordered by them, and how they are written in the list. `None`: it is not here.
pub(super) const FORM_WORDS: [(&str, Order, &str); 5] = [
    ("ready", Order::State(Administration::Ready), "Set state to READY"),
    ("drain", Order::State(Administration::Drain), "Set state to DRAIN"),
    ("maint", Order::State(Administration::Maintenance), "Set state to MAINT"),
    ("dhlth", Order::Health(false), "Health: disable checks"),
    ("ehlth", Order::Health(true), "Health: enable checks"),
];

/// Older words of the form, which programs send.
const OLDER_WORDS: [(&str, Order); 4] = [
    ("enable", Order::State(Administration::Ready)),
    ("disable", Order::State(Administration::Maintenance)),
    ("stop", Order::State(Administration::Drain)),
    ("start", Order::State(Administration::Ready)),
];

/// Servers in one form: as many as anybody ticks.
const MOST_SERVERS: usize = 1000;

/// What is ordered for a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// `set server … state`
    State(Administration),
    /// `enable health`, `disable health`
    Health(bool),
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::State(Administration::Ready) => "up",
            Self::State(Administration::Drain) => "soft",
            Self::State(Administration::Maintenance) => "hard",
            Self::Health(true) => "checked",
            Self::Health(false) => "unchecked",
        })
    }
}

/// What a button orders.
#[derive(Debug, Deserialize)]
pub(super) struct Pressed {
    backend: String,
    server: String,
    to: To,
}

/// What a button says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    Soft,
    Hard,
    Up,
}

impl To {
    const fn order(self) -> Order {
        Order::State(match self {
            Self::Soft => Administration::Drain,
            Self::Hard => Administration::Maintenance,
            Self::Up => Administration::Ready,
        })
    }
}

/// A button of the live page was pressed.
pub(super) async fn by_button(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(pressed): Json<Pressed>,
) -> (StatusCode, String) {
    if desk.settings.level < PortLevel::Operate {
        return (StatusCode::FORBIDDEN, "this port may be looked at only (admin.level)\n".to_owned());
    }
    if headers.get(PROOF.0).is_none_or(|value| value != PROOF.1) {
        return (StatusCode::FORBIDDEN, format!("expected the header {}: {}\n", PROOF.0, PROOF.1));
    }
    let Pressed { backend, server, to } = pressed;
    match obey(&desk, &backend, &server, to.order()) {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(refusal) => (StatusCode::CONFLICT, refusal),
    }
}

/// The form of HAProxy's page: `s=NAME` for each server, `action`, and `b=#NUMBER` or a name. Gives HAProxy's word for
/// what has become of it.
pub(super) fn by_form(desk: &Desk, form: &str) -> &'static str {
    let fields: Vec<_> = form.split('&').filter_map(|field| field.split_once('=')).map(decoded).collect();
    let value = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let (Some(backend), Some(action)) = (value("b"), value("action")) else { return "ERRP" };
    let words = FORM_WORDS.iter().map(|(word, order, _)| (*word, *order));
    let Some((_, order)) = words.chain(OLDER_WORDS).find(|(word, _)| *word == action) else { return "ERRP" };
    let servers: Vec<_> = fields.iter().filter(|(name, _)| name == "s").take(MOST_SERVERS).collect();
    let done = servers.iter().filter(|(_, server)| obey(desk, backend, server, order).is_ok()).count();
    match done {
        0 if servers.is_empty() => "NONE",
        0 => "ERRP",
        all if all == servers.len() => "DONE",
        _ => "PART",
    }
}

/// As the runtime commands do it, with their log lines. `backend` is a name, or `#` and HAProxy's number.
fn obey(desk: &Desk, backend: &str, server: &str, order: Order) -> Result<(), String> {
    let generation = desk.subject.statistics.generation();
    let is_meant = |proxy: &Proxy<'_>| match backend.strip_prefix('#') {
        Some(number) => number.parse() == Ok(proxy.number),
        None => proxy.name == backend,
    };
    let proxies = stats::proxies(&generation);
    let found = proxies.iter().filter(|proxy| is_meant(proxy)).find_map(|proxy| proxy.backend);
    let backend = found.ok_or_else(|| format!("there is no backend {backend}\n"))?;
    let found = backend.servers().iter().find(|known| known.name() == server);
    let server = found.ok_or_else(|| format!("there is no server {server} in {}\n", backend.name()))?;
    tracing::info!("on the admin port: {}/{} is ordered to be {order}", backend.name(), server.name());
    if matches!(order, Order::Health(_)) && server.settings().check.is_none() {
        return Err(format!("{} has no checks\n", server.name()));
    }
    let carry_out = || match order {
        Order::State(administration) => check::order(backend, server, administration),
        Order::Health(is_checked) => server.forced().pause_checks(!is_checked),
    };
    desk.subject.gate.pass(carry_out).map_err(str::to_owned)
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
    fn a_form_is_read_without_its_escapes() {
        assert_eq!(unescaped("a%2Fb+c%zz%4"), "a/b c%zz%4");
        assert_eq!(unescaped("%"), "%");
        assert_eq!(unescaped("%C3%A9%ff"), "é\u{fffd}");
        assert_eq!(decoded(("s", "p%31")), ("s".to_owned(), "p1".to_owned()));
    }
}
