//! Sections become tables of TOML.

use std::collections::HashMap;

use super::{
    backend,
    directives::SECTIONS,
    frontend,
    global::Global,
    message::Messages,
    numbers, obey, rules,
    section::{Directive, Section, Sections},
    settings::{Kind, Mode, Settings, Side},
    time,
    toml::{Origin, Piece, Rendered, Table},
};

/// A frontend, backend or listen.
pub(super) struct Proxy<'s> {
    pub(super) kind: Kind,
    pub(super) name: &'s str,
    pub(super) head: &'s Directive,
    pub(super) settings: Settings,
}

/// A section that others name.
const ERROR_GROUP: &str = "http-errors";

/// Translates all sections; what is wrong is said.
pub(super) fn translate(sections: &Sections, messages: &mut Messages) -> Rendered {
    let mut global = Global::default();
    let mut named: HashMap<String, Settings> = HashMap::new();
    // Those that a section without `from` inherits.
    let mut latest = Settings::default();
    let mut proxies: Vec<Proxy<'_>> = Vec::new();
    let (groups, others): (Vec<_>, Vec<_>) =
        sections.sections.iter().partition(|section| section.head.words[0] == ERROR_GROUP);
    global.error_groups =
        groups.into_iter().filter_map(|group| rules::error_group(group, messages)).collect();
    for section in others {
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
        obey::section(section, kind, name, &mut settings, &mut global, messages);
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
                if is_new(&proxy, &proxies, messages) {
                    proxies.push(proxy);
                }
            }
        }
    }
    let tables = tables(&proxies, &global, messages);
    Rendered::of(&tables, &sections.trailer)
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

/// Whether no other one has its name; refuses it otherwise.
fn is_new(proxy: &Proxy<'_>, others: &[Proxy<'_>], messages: &mut Messages) -> bool {
    let clashes = |other: &&Proxy<'_>| {
        other.name == proxy.name
            && [Side::Front, Side::Back].into_iter().any(|side| other.kind.has(side) && proxy.kind.has(side))
    };
    let other = others.iter().find(clashes);
    if let Some(other) = other {
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
    other.is_none()
}

/// The tables of all proxies.
fn tables(proxies: &[Proxy<'_>], global: &Global, messages: &mut Messages) -> Vec<Table> {
    let mut tables: Vec<Table> = global.table(messages).into_iter().chain(global.sockets.table()).collect();
    let backends = proxies.iter().filter(|proxy| proxy.kind.has(Side::Back) && !proxy.settings.disabled);
    global.state_files.warn_of_unused(backends.map(|proxy| &proxy.settings.state_file), messages);
    let ids = numbers::ids(proxies);
    for (proxy, id) in proxies.iter().zip(ids).filter(|(proxy, _)| !proxy.settings.disabled) {
        if proxy.settings.mode == Mode::Tcp {
            let text = format!(
                "{} '{}' is in mode tcp, which is HAProxy's where nothing is said: connections are proxied as HTTP only. Write `mode http`.",
                proxy.kind.word(),
                proxy.name
            );
            messages.alert(&proxy.head.place, text);
        }
        let first = tables.len();
        if proxy.kind.has(Side::Front) {
            tables.push(frontend::table(proxy, proxies, global, messages));
            if proxy.is_alone() {
                tables.push(backend::nowhere(proxy));
            }
        }
        if proxy.kind.has(Side::Back) && proxy.has_backend() {
            tables.extend(backend::tables(proxy, global, messages));
        }
        if let (Some(table), Some(id)) = (tables.get_mut(first), id) {
            table.one("id", id);
        }
    }
    tables
}

impl Proxy<'_> {
    /// A `listen` that only sends on to another backend has none of its own.
    fn has_backend(&self) -> bool {
        self.kind == Kind::Backend
            || !self.settings.servers.is_empty()
            || self.settings.default_backend.is_none()
    }

    /// Whether its requests go nowhere, but for those that a rule sends or answers.
    pub(super) fn is_alone(&self) -> bool {
        self.kind == Kind::Frontend && self.settings.default_backend.is_none()
    }

    /// Its section's head, where what is said of the whole stands.
    pub(super) fn origin(&self) -> Origin {
        Origin::of(self.head, 2)
    }

    /// Sets those of these timeouts that nobody has set, and warns of them unless nobody would wait.
    pub(super) fn missing_timeouts(
        &self,
        side: Side,
        keys: &[&'static str],
        waits: bool,
        table: &mut Table,
        messages: &mut Messages,
    ) {
        let missing: Vec<_> = keys.iter().filter(|key| self.settings.value(side, key).is_none()).collect();
        if missing.is_empty() {
            return;
        }
        if waits {
            let names: Vec<_> = missing.iter().map(|key| key.replace('.', " ")).collect();
            let text = format!(
                "missing timeouts for {} '{}': without '{}' a peer that is gone is waited for 24 days.",
                self.kind.word(),
                self.name,
                names.join("', '"),
            );
            messages.warn(&self.head.place, text);
        }
        for key in missing {
            table.one(*key, Piece::default(format!("\"{}\"", time::FOREVER)));
        }
    }

    /// The rules on requests, `redirect` behind all others.
    pub(super) fn rules(&self, table: &mut Table) {
        let settings = &self.settings;
        let requests = settings.request_rules.iter().chain(&settings.redirects).cloned().collect();
        table.list("acl", settings.acls.clone());
        table.list("http_request", requests);
        table.list("use_backend", settings.use_backend.clone());
        table.list("http_response", settings.response_rules.clone());
        table.list("http_after_response", settings.after_rules.clone());
        table.list("monitor_fail", settings.monitor_fail.clone());
        if let Some(piece) = settings.statistics.piece() {
            table.one("statistics", piece);
        }
        for (status, key, piece) in &settings.error_pages {
            table.one(format!("{key}.{status}"), piece.clone());
        }
    }
}
