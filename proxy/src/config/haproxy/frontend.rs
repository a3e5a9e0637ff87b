//! A frontend's table: where requests come in, and what becomes of them there.

use super::{
    global::Global,
    message::Messages,
    nearest::did_you_mean,
    settings::{ForwardFor, Kind, LogLines, LogTo, Side},
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
    if let Some(forward_for) = &settings.forward_for {
        table.one("forward_for", forwarded(forward_for));
    }
    refuse_unknown(proxy, proxies, messages);
    proxy.rules(&mut table);
    logs(proxy, global, &mut table, messages);
    table
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
    let Some(asked) = &backend.settings.forward_for else { return };
    let text = match &proxy.settings.forward_for {
        None => format!(
            "'option forwardfor' stands in the backend, but frontend '{}' does not have it: write it there.",
            proxy.name
        ),
        Some(own) if !own.is_like(asked) => format!(
            "'option forwardfor' says another thing than in frontend '{}', which counts here: write it there alone.",
            proxy.name
        ),
        Some(_) => return,
    };
    messages.alert(&asked.directive.place, text);
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
