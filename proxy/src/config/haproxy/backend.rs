//! A backend's tables: how its servers are chosen and asked, and each of them.

use super::{
    global::Global,
    keyword::Key,
    message::Messages,
    settings::{Kind, Side},
    toml::{self, Piece, Table},
    translate::Proxy,
};

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

/// `[backend.NAME]` and its `[[backend.NAME.server]]`.
pub(super) fn tables(proxy: &Proxy<'_>, global: &Global, messages: &mut Messages) -> Vec<Table> {
    let settings = &proxy.settings;
    let head = format!("[backend.{}]", toml::key(proxy.name));
    // In `listen` they stand above the frontend.
    let comments = if proxy.kind == Kind::Backend { proxy.head.comments.clone() } else { Vec::new() };
    let mut table = Table::new(head, Some(proxy.origin()), comments);
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
    if let Some(piece) = settings.state_file.piece(proxy.name, &global.state_files, messages) {
        table.one("load_server_state", piece);
    }
    let timeouts = ["timeout.connect", "timeout.server"];
    proxy.missing_timeouts(Side::Back, &timeouts, !settings.servers.is_empty(), &mut table, messages);
    let checks = settings.servers.iter().any(|server| server.keywords.has(Key::Check));
    if checks {
        settings.check.write(&mut table);
        for origin in settings.check.unused().filter_map(|piece| piece.origin.as_ref()) {
            let text = format!(
                "'{}' will be ignored for {} '{}' (requires 'option httpchk').",
                origin.directive,
                proxy.kind.word(),
                proxy.name
            );
            messages.warn(&origin.place, text);
        }
    }
    // Those of `listen` are its frontend's.
    if proxy.kind == Kind::Backend {
        proxy.rules(&mut table);
    }
    persistence(proxy, &mut table, messages);
    if settings.servers.is_empty() {
        table.one("server", Piece::default("[]"));
    }
    let mut tables = vec![table];
    for server in &settings.servers {
        tables.push(server.table(proxy.name, checks));
    }
    tables
}

/// `force-persist` and `ignore-persist`, with the access lists that they name.
fn persistence(proxy: &Proxy<'_>, table: &mut Table, messages: &mut Messages) {
    let settings = &proxy.settings;
    if settings.value(Side::Back, "cookie").is_none() {
        for origin in settings.persistence.iter().filter_map(|piece| piece.origin.as_ref()) {
            let text = format!("'{}' has no effect without 'cookie'.", origin.directive);
            messages.warn(&origin.place, text);
        }
        return;
    }
    if proxy.kind == Kind::Listen && !settings.persistence.is_empty() {
        let lists = settings.acls.iter().map(|piece| Piece { comments: Vec::new(), ..piece.clone() });
        table.list("acl", lists.collect());
    }
    table.list("persistence", settings.persistence.clone());
}

/// The backend of a frontend that has none: 503.
pub(super) fn nowhere(proxy: &Proxy<'_>) -> Table {
    let head = format!("[backend.{}]", toml::key(proxy.name));
    let comments = vec!["No server: what no rule takes is answered 503.".to_owned()];
    let mut table = Table::new(head, Some(proxy.origin()), comments);
    table.one("server", Piece::default("[]"));
    table
}
