//! `server`: one server of a backend.

use super::{
    keyword::{Key, Keywords},
    section::Directive,
    settings::Reading,
    toml::{self, Piece, Table},
};

/// A server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) keywords: Keywords,
    pub(super) directive: Directive,
}

/// `server NAME ADDRESS KEYWORD…`
pub(super) fn server(reading: &mut Reading<'_>, directive: &Directive) {
    let [name, address, keywords @ ..] = reading.arguments(directive) else {
        let text = "'server' expects <name> and <addr>[:<port>] as arguments.";
        return reading.alert(&directive.place, text);
    };
    add(reading, directive, name, address, keywords);
}

/// Servers that a template makes at most: HAProxy's own tests have as many.
const MOST_OF_TEMPLATE: u32 = 1_000;

/// `server-template PREFIX COUNT ADDRESS KEYWORD…`, or a range such as `2-5` in the place of the count.
pub(super) fn template(reading: &mut Reading<'_>, directive: &Directive) {
    let [prefix, numbers, address, keywords @ ..] = reading.arguments(directive) else {
        let text = "'server-template' expects <prefix>, <nb | range> and <addr>[:<port>] as arguments.";
        return reading.alert(&directive.place, text);
    };
    let range = numbers.split_once('-').unwrap_or(("1", numbers));
    let (Ok(first), Ok(last)) = (range.0.parse::<u32>(), range.1.parse::<u32>()) else {
        let text = format!("'server-template' : '{numbers}' is neither a number nor a range such as 1-3.");
        return reading.alert(&directive.place, text);
    };
    if last < first || last - first >= MOST_OF_TEMPLATE {
        let text = format!("'server-template' : '{numbers}' : expected 1 to {MOST_OF_TEMPLATE} servers.");
        return reading.alert(&directive.place, text);
    }
    for number in first..=last {
        // The comments stand above the first.
        let comments = if number == first { directive.comments.clone() } else { Vec::new() };
        let one = Directive { comments, ..directive.clone() };
        add(reading, &one, &format!("{prefix}{number}"), address, keywords);
    }
}

fn add(reading: &mut Reading<'_>, directive: &Directive, name: &str, address: &str, keywords: &[String]) {
    let what = format!("'server {}/{name}'", reading.name);
    let mut own = reading.settings.default_server.clone();
    own.read(keywords, &what, directive, reading);
    if let Some(other) = reading.settings.servers.iter().find(|other| other.name == name) {
        let text =
            format!("{what} : a server of this name is declared at {} already.", other.directive.place);
        return reading.alert(&directive.place, text);
    }
    if let Some(protocol) = own.value(Key::Protocol)
        && protocol != "\"h1\""
    {
        let text =
            format!("{what} : 'proto' : servers are spoken to in HTTP/1: leave it out, or write `proto h1`");
        reading.alert(&directive.place, text);
    }
    let Some(address) = address_of(&what, address, directive, reading) else { return };
    reading.settings.servers.push(Server {
        name: name.to_owned(),
        address,
        keywords: own,
        directive: directive.clone(),
    });
}

/// A server's address, as TOML has it. HAProxy's `*` and families are no part of it.
fn address_of(what: &str, text: &str, directive: &Directive, reading: &mut Reading<'_>) -> Option<String> {
    let refuse = |reading: &mut Reading<'_>, why: &str| {
        reading.alert(&directive.place, format!("{what} : address '{text}' {why}"));
    };
    let bare = ["ipv4@", "ipv6@"].iter().find_map(|family| text.strip_prefix(family)).unwrap_or(text);
    if bare.contains('@') || bare.starts_with('/') {
        refuse(reading, "is not supported: servers are reached by TCP, at an address such as 10.0.0.11:80");
        return None;
    }
    let Some((host, port)) = bare.rsplit_once(':') else {
        refuse(
            reading,
            "has no port: write it, such as 10.0.0.11:80 (here no server listens on the port of its client's connection)",
        );
        return None;
    };
    if port.starts_with(['+', '-']) || !port.bytes().all(|byte| byte.is_ascii_digit()) || port.is_empty() {
        refuse(reading, "has a port that is no number: write it, such as 10.0.0.11:80");
        return None;
    }
    // Without brackets, and with a port behind the last colon.
    let host = host.trim_matches(['[', ']']);
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

impl Server {
    /// Its table. `checks`: the backend says how servers are checked, so one that is not must say so.
    pub(super) fn table(&self, backend: &str, checks: bool) -> Table {
        let origin = toml::Origin::of(&self.directive, 2);
        let head = format!("[[backend.{}.server]]", toml::key(backend));
        let mut table = Table::new(head, Some(origin), self.directive.comments.clone());
        let mut one = |key: &str, value: String| table.one(key, Piece::default(value));
        one("name", toml::text(&self.name));
        one("address", toml::text(&self.address));
        let value = |key| self.keywords.value(key);
        for (key, name) in [
            (Key::Cookie, "cookie"),
            (Key::Weight, "weight"),
            (Key::MaxConn, "maxconn"),
            (Key::MinConn, "minconn"),
            (Key::MaxQueue, "maxqueue"),
            (Key::SlowStart, "slowstart"),
            (Key::Backup, "backup"),
            (Key::Disabled, "disabled"),
        ] {
            if let Some(value) = value(key) {
                one(name, value.to_owned());
            }
        }
        match (value(Key::SendProxyV2), value(Key::SendProxy)) {
            (Some(_), _) => one("send_proxy", "\"v2\"".to_owned()),
            (None, Some(_)) => one("send_proxy", "\"v1\"".to_owned()),
            (None, None) => {}
        }
        if self.keywords.has(Key::Check) {
            if let Some(value) = value(Key::CheckSendProxy) {
                one("check_send_proxy", value.to_owned());
            }
            let keys = [
                (Key::Address, "address"),
                (Key::Port, "port"),
                (Key::Inter, "inter"),
                (Key::FastInter, "fastinter"),
                (Key::DownInter, "downinter"),
                (Key::Rise, "rise"),
                (Key::Fall, "fall"),
            ];
            let entries: Vec<_> =
                keys.into_iter().filter_map(|(key, name)| Some((name, value(key)?.to_owned()))).collect();
            if !entries.is_empty() {
                one("check", toml::table(&entries));
            }
        } else if checks {
            one("check", "{ disabled = true }".to_owned());
        }
        if let Some(observed) = value(Key::Observe) {
            one("observe", observed.to_owned());
            for (key, name) in [(Key::ErrorLimit, "error_limit"), (Key::OnError, "on_error")] {
                if let Some(value) = value(key) {
                    one(name, value.to_owned());
                }
            }
        }
        for (key, name) in [(Key::OnMarkedDown, "on_marked_down"), (Key::OnMarkedUp, "on_marked_up")] {
            if let Some(value) = value(key) {
                one(name, value.to_owned());
            }
        }
        if self.keywords.has(Key::AgentCheck) {
            let keys = [
                (Key::AgentPort, "port"),
                (Key::AgentAddress, "address"),
                (Key::AgentInter, "inter"),
                (Key::AgentSend, "send"),
            ];
            let entries: Vec<_> =
                keys.into_iter().filter_map(|(key, name)| Some((name, value(key)?.to_owned()))).collect();
            one("agent_check", toml::table(&entries));
        }
        table
    }
}
