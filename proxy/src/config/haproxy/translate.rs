//! Sections become tables of TOML.

use std::collections::HashMap;

use super::{
    directives::{self, Does, SECTIONS},
    global::Global,
    message::{Messages, Place},
    nearest::did_you_mean,
    proxy,
    section::{Directive, Section, Sections},
    settings::{ForwardFor, Kind, LogLines, LogTo, Mode, Reading, Settings, Side},
    time,
    toml::{self, Origin, Piece, Rendered, Table},
};
use crate::config::admin::AdminSocket;

/// A frontend, backend or listen.
struct Proxy<'s> {
    kind: Kind,
    name: &'s str,
    head: &'s Directive,
    settings: Settings,
}

/// Translates all sections; what is wrong is said.
pub(super) fn translate(sections: &Sections, messages: &mut Messages) -> (Rendered, Vec<AdminSocket>) {
    let mut global = Global::default();
    let mut named: HashMap<String, Settings> = HashMap::new();
    // Those that a section without `from` inherits.
    let mut latest = Settings::default();
    let mut proxies: Vec<Proxy<'_>> = Vec::new();
    for section in &sections.sections {
        if messages.is_hopeless() {
            break;
        }
        let Some(kind) = kind_of(section, messages) else { continue };
        let mut words = section.head.words[1..].iter();
        let name = if kind == Kind::Global { None } else { words.next() };
        // `defaults from x` has no name.
        let (name, from) = match (name.map(String::as_str), words.next().map(String::as_str), words.next()) {
            (Some("from"), Some(from), None) if kind == Kind::Defaults => ("", Some(from)),
            (name, Some("from"), Some(from)) => (name.unwrap_or(""), Some(from.as_str())),
            (name, None, _) => (name.unwrap_or(""), None),
            (_, Some(further), _) => {
                let text = if further.contains(':') {
                    format!("please use the 'bind' keyword for listening addresses: '{further}'.")
                } else {
                    format!(
                        "'{}' expects an <id> argument and optionally supports 'from <name>', but '{further}' follows.",
                        kind.word()
                    )
                };
                messages.alert(&section.head.place, text);
                continue;
            }
        };
        if name.is_empty() && !matches!(kind, Kind::Global | Kind::Defaults) {
            let text =
                format!("'{}' expects an <id> argument and optionally supports 'from <name>'.", kind.word());
            messages.alert(&section.head.place, text);
            continue;
        }
        let mut settings = match from {
            _ if kind == Kind::Global => Settings::default(),
            Some(from) => {
                let Some(settings) = named.get(from) else {
                    let text = format!("no 'defaults' section of the name '{from}' stands above.");
                    messages.alert(&section.head.place, text);
                    continue;
                };
                settings.inherited()
            }
            // A section of defaults starts anew.
            None if kind == Kind::Defaults => Settings::default(),
            None => latest.inherited(),
        };
        read(section, kind, name, &mut settings, &mut global, messages);
        match kind {
            Kind::Global => {}
            Kind::Defaults => {
                if !name.is_empty() {
                    named.insert(name.to_owned(), settings.clone());
                }
                latest = settings;
            }
            Kind::Frontend | Kind::Backend | Kind::Listen => {
                let proxy = Proxy { kind, name, head: &section.head, settings };
                refuse_twice(&proxy, &proxies, messages);
                proxies.push(proxy);
            }
        }
    }
    let tables = tables(&proxies, &global, messages);
    (Rendered::of(&tables, &sections.trailer), global.all_sockets())
}

fn kind_of(section: &Section, messages: &mut Messages) -> Option<Kind> {
    let word = section.head.words[0].as_str();
    let kinds = [Kind::Global, Kind::Defaults, Kind::Frontend, Kind::Backend, Kind::Listen];
    let kind = kinds.into_iter().find(|kind| kind.word() == word);
    if kind.is_none() {
        let why = SECTIONS.iter().find(|(name, _)| *name == word).map_or("", |(_, why)| why);
        messages.alert(&section.head.place, format!("a section '{word}' is not supported: {why}"));
    }
    kind
}

fn refuse_twice(proxy: &Proxy<'_>, others: &[Proxy<'_>], messages: &mut Messages) {
    let clashes = |other: &&Proxy<'_>| {
        other.name == proxy.name
            && [Side::Front, Side::Back].into_iter().any(|side| other.kind.has(side) && proxy.kind.has(side))
    };
    if let Some(other) = others.iter().find(clashes) {
        let text = format!(
            "{} '{}' has the same name as {} '{}' declared at {}.",
            proxy.kind.word(),
            proxy.name,
            other.kind.word(),
            other.name,
            other.head.place
        );
        messages.alert(&proxy.head.place, text);
    }
}

/// Reads a section's directives, one after the other.
fn read(
    section: &Section,
    kind: Kind,
    name: &str,
    settings: &mut Settings,
    global: &mut Global,
    messages: &mut Messages,
) {
    for directive in &section.directives {
        if messages.is_hopeless() {
            return;
        }
        let negated = directive.words[0] == "no" && directive.words.len() > 1;
        let mut without = directive.clone();
        if negated {
            without.words.remove(0);
        }
        let directive = &without;
        let mut reading = Reading {
            kind,
            name,
            settings: &mut *settings,
            messages: &mut *messages,
            global: &mut *global,
            words: 1,
            negated,
        };
        obey(&mut reading, directive);
        if kind == Kind::Global {
            // `[limits]` has few lines: comments stand above them.
            global.comments.extend(directive.comments.iter().cloned());
        }
    }
}

/// Does what a directive says, or says why not.
fn obey(reading: &mut Reading<'_>, directive: &Directive) {
    let kind = reading.kind;
    let Some((known, words)) = directives::find(&directive.words, kind) else {
        return unknown(reading, directive);
    };
    reading.words = words;
    let name = known.name;
    let takes_no = matches!(known.does, Does::Flag(..) | Does::Ignored(_) | Does::Nothing)
        || name.starts_with("option ")
        || name == "log";
    if reading.negated && !takes_no {
        let text = format!("'no' is only supported before 'option' and 'log', not before '{name}'.");
        return reading.alert(&directive.place, text);
    }
    if !known.stands_in(kind) {
        // HAProxy warns of a time that the section has no use for, and refuses the rest.
        if let Does::Time(..) | Does::Flag(..) | Does::Number(..) | Does::Words(..) = known.does
            && kind != Kind::Global
            && !known.sections.contains('G')
        {
            let lacks = if kind == Kind::Frontend { "backend" } else { "frontend" };
            let text = format!(
                "'{name}' will be ignored because {} '{}' has no {lacks} capability",
                kind.word(),
                reading.name
            );
            return reading.messages.warn(&directive.place, text);
        }
        let text = format!("'{name}' not allowed in '{}' section.", kind.word());
        return reading.alert(&directive.place, text);
    }
    match known.does {
        Does::Reads(read) => read(reading, directive),
        Does::Time(side, key) => proxy::time(reading, directive, side, key),
        Does::Number(side, key) => proxy::number(reading, directive, side, key),
        Does::Words(side, key) => proxy::words(reading, directive, side, key),
        Does::Flag(side, key) => proxy::flag(reading, directive, side, key),
        Does::Nothing => {}
        // What is not wanted is not there.
        Does::Ignored(_) | Does::Refused(_) if reading.negated => {}
        Does::Ignored(why) => {
            let name = directive.words[..words].join(" ");
            reading.messages.warn(&directive.place, format!("'{name}' is ignored: {why}."));
        }
        Does::Refused(why) => {
            let name = directive.words[..words].join(" ");
            reading.alert(&directive.place, format!("'{name}' is not supported: {why}."));
        }
    }
}

fn unknown(reading: &mut Reading<'_>, directive: &Directive) {
    let kind = reading.kind;
    let here = || directives::DIRECTIVES.iter().filter(|known| known.stands_in(kind));
    let first = directive.words[0].as_str();
    // Of a directive of several words the first may be right.
    let second = directive.word(1).unwrap_or("");
    let prefix = format!("{first} ");
    let behind: Vec<&str> = here().filter_map(|known| known.name.strip_prefix(&prefix)).collect();
    let text = if behind.is_empty() {
        let names = here().map(|known| known.name.split(' ').next().unwrap_or(known.name));
        format!("unknown keyword '{first}' in '{}' section{}", kind.word(), did_you_mean(first, names))
    } else if first == "option" {
        format!("unknown option '{second}'{}", did_you_mean(second, behind))
    } else {
        format!(
            "'{first}' supports '{}' (got '{second}'){}",
            behind.join("', '"),
            did_you_mean(second, behind.iter().copied())
        )
    };
    reading.alert(&directive.place, text);
}

/// The tables of all proxies.
fn tables(proxies: &[Proxy<'_>], global: &Global, messages: &mut Messages) -> Vec<Table> {
    let mut tables: Vec<Table> = global.table(messages).into_iter().chain(global.admin()).collect();
    for proxy in proxies.iter().filter(|proxy| !proxy.settings.disabled) {
        if proxy.settings.mode == Mode::Tcp {
            let text = format!(
                "{} '{}' is in mode tcp, which is HAProxy's where nothing is said: connections are proxied as HTTP only. Write `mode http`.",
                proxy.kind.word(),
                proxy.name
            );
            messages.alert(&proxy.head.place, text);
            continue;
        }
        if proxy.kind.has(Side::Front) {
            tables.push(frontend(proxy, proxies, global, messages));
            if is_alone(proxy) {
                tables.push(nowhere(proxy));
            }
        }
        if proxy.kind.has(Side::Back) && has_backend(proxy) {
            tables.extend(backend(proxy, messages));
        }
    }
    tables
}

/// A `listen` that only sends on to another backend has none of its own.
fn has_backend(proxy: &Proxy<'_>) -> bool {
    proxy.kind == Kind::Backend
        || !proxy.settings.servers.is_empty()
        || proxy.settings.default_backend.is_none()
}

/// Whether its requests go nowhere, but for those that a rule sends or answers.
fn is_alone(proxy: &Proxy<'_>) -> bool {
    proxy.kind == Kind::Frontend && proxy.settings.default_backend.is_none()
}

/// The backend of a frontend that has none: 503.
fn nowhere(proxy: &Proxy<'_>) -> Table {
    let head = format!("[backend.{}]", toml::key(proxy.name));
    let comments = vec!["No server: what no rule takes is answered 503.".to_owned()];
    let mut table = Table::new(head, Some(head_origin(proxy)), comments);
    table.one("server", Piece::default("[]"));
    table
}

fn head_origin(proxy: &Proxy<'_>) -> Origin {
    Origin::of(proxy.head, 2)
}

fn warn_missing(proxy: &Proxy<'_>, side: Side, keys: &[&'static str], messages: &mut Messages) {
    let missing: Vec<_> = keys.iter().filter(|key| proxy.settings.value(side, key).is_none()).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|key| key.replace('.', " ")).collect();
        let text = format!(
            "missing timeouts for {} '{}': without '{}' a peer that is gone is waited for {}.",
            proxy.kind.word(),
            proxy.name,
            names.join("', '"),
            "24 days"
        );
        messages.warn(&proxy.head.place, text);
    }
}

fn forever() -> Piece {
    Piece::default(format!("\"{}\"", time::FOREVER))
}

fn frontend(proxy: &Proxy<'_>, proxies: &[Proxy<'_>], global: &Global, messages: &mut Messages) -> Table {
    let settings = &proxy.settings;
    let place = &proxy.head.place;
    let head = format!("[frontend.{}]", toml::key(proxy.name));
    let mut table = Table::new(head, Some(head_origin(proxy)), proxy.head.comments.clone());
    if settings.binds.is_empty() {
        let text = format!(
            "{} '{}' has no 'bind' line, and so takes no connections.",
            proxy.kind.word(),
            proxy.name
        );
        messages.alert(place, text);
    }
    table.list("bind", settings.binds.clone());
    if let Some(piece) = &settings.accept_proxy {
        table.one("accept_proxy", Piece { comments: Vec::new(), ..piece.clone() });
    }
    table.one("backend", backend_of(proxy, proxies, messages));
    for (key, piece) in front_values(proxy) {
        if key == "maxconn"
            && let (Some(most), Ok(wanted)) = (global.connections, piece.value.parse::<u64>())
            && wanted > most
        {
            if let Some(origin) = &piece.origin {
                let text = format!("'maxconn' {wanted} can't be reached: the global section has {most}.");
                messages.warn(&origin.place, text);
            }
            table.one(key, Piece { value: most.to_string(), ..piece });
            continue;
        }
        table.one(key, piece);
    }
    warn_missing(proxy, Side::Front, &["timeout.client"], messages);
    if settings.value(Side::Front, "timeout.client").is_none() {
        table.one("timeout.client", forever());
    }
    if let Some(forward_for) = &settings.forward_for {
        table.one("forward_for", forwarded(forward_for));
    }
    refuse_unknown(proxy, proxies, messages);
    let mut requests = settings.request_rules.clone();
    requests.extend(settings.redirects.iter().cloned());
    table.list("acl", settings.acls.clone());
    table.list("http_request", requests);
    table.list("use_backend", settings.use_backend.clone());
    table.list("http_response", settings.response_rules.clone());
    table.list("monitor_fail", settings.monitor_fail.clone());
    error_files(settings, &mut table);
    logs(proxy, global, &mut table, messages);
    table
}

fn error_files(settings: &Settings, table: &mut Table) {
    for (status, piece) in &settings.error_files {
        table.one(format!("errorfile.{status}"), piece.clone());
    }
}

/// Backends that are named in `use_backend` and are not there.
fn refuse_unknown(proxy: &Proxy<'_>, proxies: &[Proxy<'_>], messages: &mut Messages) {
    let backends = || proxies.iter().filter(|other| other.kind.has(Side::Back) && !other.settings.disabled);
    for (name, origin) in &proxy.settings.used {
        if let Some(other) = backends().find(|other| other.name == name) {
            from_frontend(proxy, other, messages);
        } else {
            let near = did_you_mean(name, backends().map(|other| other.name));
            messages.alert(&origin.place, format!("unable to find required use_backend: '{name}'{near}"));
        }
    }
}

/// Keys that have no meaning without a log.
const OF_LOGS: [&str; 4] = ["dontlog_normal", "dontlognull", "log_separate_errors", "capture_cookie"];

fn front_values(proxy: &Proxy<'_>) -> Vec<(&'static str, Piece)> {
    let values = proxy.settings.values.iter().filter(|(side, ..)| *side == Side::Front);
    let values = values.map(|(_, key, piece)| (*key, piece.clone()));
    values.filter(|(key, _)| !proxy.settings.logs.is_empty() || !OF_LOGS.contains(key)).collect()
}

/// The backend that a frontend's requests go to.
fn backend_of(proxy: &Proxy<'_>, proxies: &[Proxy<'_>], messages: &mut Messages) -> Piece {
    let Some((name, origin)) = &proxy.settings.default_backend else {
        if is_alone(proxy)
            && proxies.iter().any(|other| other.name == proxy.name && other.kind == Kind::Backend)
        {
            let text = format!(
                "frontend '{0}' has no 'default_backend', and backend '{0}' has its name: name where its requests go.",
                proxy.name
            );
            messages.alert(&proxy.head.place, text);
        }
        return Piece::default(toml::text(proxy.name));
    };
    if proxy.kind == Kind::Listen && !proxy.settings.servers.is_empty() {
        let text = format!(
            "listen '{}' has servers of its own, which nobody reaches beside 'default_backend'.",
            proxy.name
        );
        messages.warn(&origin.place, text);
    }
    let backends = || proxies.iter().filter(|other| other.kind.has(Side::Back));
    match backends().find(|other| other.name == name) {
        Some(other) if other.settings.disabled => {
            messages.alert(&origin.place, format!("backend '{name}' is disabled."));
        }
        Some(other) => from_frontend(proxy, other, messages),
        None => {
            let near = did_you_mean(name, backends().map(|other| other.name));
            messages.alert(&origin.place, format!("unable to find required default_backend: '{name}'{near}"));
        }
    }
    Piece { value: toml::text(name), origin: Some(origin.clone()), comments: Vec::new() }
}

/// Says what a backend asks for that only its frontends do here.
fn from_frontend(proxy: &Proxy<'_>, backend: &Proxy<'_>, messages: &mut Messages) {
    if let (Some(asked), true) = (&backend.settings.forward_for, proxy.settings.forward_for.is_none()) {
        let text = format!(
            "'option forwardfor' stands in the backend, but frontend '{}' does not have it: write it there.",
            proxy.name
        );
        messages.alert(&asked.directive.place, text);
    }
}

fn forwarded(forward_for: &ForwardFor) -> Piece {
    let name = forward_for.header.as_deref().unwrap_or("X-Forwarded-For");
    let mut keys = vec![("header", toml::text(&name.to_ascii_lowercase()))];
    if let Some(except) = &forward_for.except {
        keys.push(("except", toml::texts([except])));
    }
    if forward_for.if_none {
        keys.push(("if_none", "true".to_owned()));
    }
    Piece::of(toml::table(&keys), &forward_for.directive, 2)
}

fn logs(proxy: &Proxy<'_>, global: &Global, table: &mut Table, messages: &mut Messages) {
    let settings = &proxy.settings;
    let mut targets = Vec::new();
    for log in &settings.logs {
        match log {
            LogTo::This(target) => targets.push(target.clone()),
            LogTo::Global(_) => targets.extend(global.logs.iter().cloned()),
        }
    }
    if targets.is_empty() {
        return;
    }
    let lines = settings.log_lines.unwrap_or_else(|| {
        let text = format!(
            "{} '{}' has 'log' without 'option httplog': lines are those of 'option httplog', not HAProxy's short ones.",
            proxy.kind.word(),
            proxy.name
        );
        messages.warn(&proxy.head.place, text);
        LogLines::Http
    });
    let pieces = targets.iter().map(|target| target.piece(lines, global, settings.log_tag.as_ref()));
    table.list("log", pieces.collect());
    table.list("capture_request_headers", settings.captured_request.clone());
    table.list("capture_response_headers", settings.captured_response.clone());
}

/// What HAProxy does where nothing is said, and the TOML would do otherwise.
const HAPROXYS: [(&str, &str); 7] = [
    ("balance", "\"roundrobin\""),
    ("redispatch", "false"),
    ("retry_on", "[\"conn-failure\"]"),
    ("http_reuse", "\"safe\""),
    ("resume", "false"),
    ("when_all_drain", "\"refuse\""),
    ("retries", "3"),
];

fn backend(proxy: &Proxy<'_>, messages: &mut Messages) -> Vec<Table> {
    let settings = &proxy.settings;
    let head = format!("[backend.{}]", toml::key(proxy.name));
    // In `listen` they stand above the frontend.
    let comments = if proxy.kind == Kind::Backend { proxy.head.comments.clone() } else { Vec::new() };
    let mut table = Table::new(head, Some(head_origin(proxy)), comments);
    for (side, key, piece) in &settings.values {
        if *side == Side::Back {
            table.one(*key, piece.clone());
        }
    }
    for (key, value) in HAPROXYS {
        if settings.value(Side::Back, key).is_none() {
            table.one(key, Piece::default(value));
        }
    }
    let timeouts = ["timeout.connect", "timeout.server"];
    if !settings.servers.is_empty() {
        warn_missing(proxy, Side::Back, &timeouts, messages);
    }
    for key in timeouts {
        if settings.value(Side::Back, key).is_none() {
            table.one(key, forever());
        }
    }
    let checks = settings.servers.iter().any(|server| server.keywords.has(super::server::Key::Check));
    if checks {
        settings.check.write(&mut table);
    }
    // Those of `listen` are its frontend's.
    if proxy.kind == Kind::Backend {
        let mut requests = settings.request_rules.clone();
        requests.extend(settings.redirects.iter().cloned());
        table.list("acl", settings.acls.clone());
        table.list("http_request", requests);
        table.list("http_response", settings.response_rules.clone());
        error_files(settings, &mut table);
    }
    if settings.servers.is_empty() {
        table.one("server", Piece::default("[]"));
    }
    let mut tables = vec![table];
    for server in &settings.servers {
        if server.keywords.has(super::server::Key::Disabled) {
            refuse_disabled(&server.directive.place, proxy.name, &server.name, messages);
        }
        tables.push(server.table(proxy.name, checks));
    }
    tables
}

fn refuse_disabled(place: &Place, backend: &str, server: &str, messages: &mut Messages) {
    let text = format!("'server {backend}/{server}' : 'disabled' is not supported: leave the server out.");
    messages.alert(place, text);
}
