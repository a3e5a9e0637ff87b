//! A frontend's table: where requests come in, and what becomes of them there.

use super::{
    global::Global,
    message::Messages,
    nearest::did_you_mean,
    settings::{Kind, LogLines, LogTo, Side},
    toml::{self, Piece, Table},
    translate::Proxy,
};

/// `[frontend.NAME]`.
pub(super) fn table(
    proxy: &Proxy<'_>,
    proxies: &[Proxy<'_>],
    global: &Global,
    messages: &mut Messages,
) -> Table {
    let settings = &proxy.settings;
    let place = &proxy.head.place;
    let head = format!("[frontend.{}]", toml::key(proxy.name));
    let mut table = Table::new(head, Some(proxy.origin()), proxy.head.comments.clone());
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
    proxy.missing_timeouts(Side::Front, &["timeout.client"], true, &mut table, messages);
    refuse_unknown(proxy, proxies, messages);
    unique_id(proxy, &mut table, messages);
    proxy.rules(&mut table);
    logs(proxy, global, &mut table, messages);
    table
}

/// Backends that are named in `use_backend` and are not there.
fn refuse_unknown(proxy: &Proxy<'_>, proxies: &[Proxy<'_>], messages: &mut Messages) {
    let backends = || proxies.iter().filter(|other| other.kind.has(Side::Back) && !other.settings.disabled);
    for (name, origin) in &proxy.settings.used {
        if !backends().any(|other| other.name == name) {
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
        if proxy.is_alone()
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
        Some(_) => {}
        None => {
            let near = did_you_mean(name, backends().map(|other| other.name));
            messages.alert(&origin.place, format!("unable to find required default_backend: '{name}'{near}"));
        }
    }
    Piece { value: toml::text(name), origin: Some(origin.clone()), comments: Vec::new() }
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
    if !targets.is_empty() {
        let lines = settings.log_lines.clone().unwrap_or_else(|| {
            let text = format!(
                "{} '{}' has 'log' without 'option httplog': lines are those of 'option httplog', not HAProxy's short ones.",
                proxy.kind.word(),
                proxy.name
            );
            messages.warn(&proxy.head.place, text);
            LogLines::Http
        });
        let pieces = targets.iter().map(|target| target.piece(&lines, global, settings.log_tag.as_ref()));
        table.list("log", pieces.collect());
    }
    table.list("capture_request_headers", settings.captured_request.clone());
    table.list("capture_response_headers", settings.captured_response.clone());
}

/// `unique_id`: the format, and who is told.
fn unique_id(proxy: &Proxy<'_>, table: &mut Table, messages: &mut Messages) {
    match &proxy.settings.unique_id {
        [Some(format), header] => {
            let mut keys = vec![("format", format.value.clone())];
            keys.extend(header.as_ref().map(|header| ("header", header.value.clone())));
            table.one("unique_id", Piece { value: toml::table(&keys), ..format.clone() });
        }
        [None, Some(Piece { origin: Some(origin), .. })] => {
            let text = "'unique-id-header' has no effect without 'unique-id-format'";
            messages.warn(&origin.place, text);
        }
        [None, _] => {}
    }
}
