//! Commands that only look.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::super::stats::{Filter, Hide, VERSION, format, proxies};
use super::{Desk, Session, find_backend, state};
use crate::backend::{Administration, Backend};
use crate::clock;
use crate::config::AdminLevel;
use crate::worker::Generation;

/// The header of `show servers conn`, up to the number of threads.
const CONNECTIONS: &str = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb \
                           idle_lim idle_cur idle_per_thr";

/// What `show stat` and `show info` are to be like.
#[derive(Clone, Copy, Default)]
struct Look {
    typed: bool,
    json: bool,
    described: bool,
}

impl Look {
    fn of(words: &[&str]) -> Self {
        let has = |word| words.contains(&word);
        Self { typed: has("typed"), json: has("json"), described: has("desc") }
    }
}

pub(super) fn info(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    let info = desk.statistics.info(clock::now());
    match Look::of(words) {
        Look { json: true, .. } => format::info_json(&info),
        Look { typed: true, described, .. } => format::info_typed(&info, described),
        Look { described, .. } => format::info(&info, described),
    }
}

pub(super) fn statistics(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    let mut filter = Filter { discreet: session.level < AdminLevel::Operator, ..Filter::default() };
    let is_look = |word: &&str| ["typed", "json", "desc", "up", "no-maint"].contains(word);
    if let Some(&name) = words.first().filter(|word| !is_look(word)) {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
        // HAProxy takes two of three for none.
        if let [_, _, _, ..] = words {
            let generation = desk.statistics.generation();
            let proxy = match name.parse::<i64>() {
                Ok(number) => u32::try_from(number).ok(),
                Err(_) => match proxies(&generation).iter().find(|proxy| proxy.name == name) {
                    Some(proxy) => Some(proxy.number),
                    None => return "No such proxy.\n".to_owned(),
                },
            };
            filter.proxy = proxy;
            filter.kinds = number(1).and_then(|kinds| u32::try_from(kinds).ok()).unwrap_or(0);
            filter.server = number(2).and_then(|server| u32::try_from(server).ok());
        }
    }
    if words.contains(&"up") {
        filter.hide = Hide::Down;
    } else if words.contains(&"no-maint") {
        filter.hide = Hide::Maintenance;
    }
    let rows = filter.rows(&desk.statistics.snapshot(clock::now()));
    match Look::of(words) {
        Look { json: true, .. } => format::json(&rows),
        Look { typed: true, described, .. } => format::typed(&rows, described),
        Look { .. } => format::csv(&rows),
    }
}

pub(super) fn schema(_: &Desk, _: &mut Session, _: &[&str]) -> String {
    format::SCHEMA.to_owned()
}

pub(super) fn version(_: &Desk, _: &mut Session, _: &[&str]) -> String {
    format!("{VERSION}\n")
}

pub(super) fn backends(desk: &Desk, _: &mut Session, _: &[&str]) -> String {
    let generation = desk.statistics.generation();
    let names = proxies(&generation).into_iter().filter(|proxy| proxy.backend.is_some());
    let names: String = names.map(|proxy| format!("{}\n", proxy.name)).collect();
    format!("# name\n{names}")
}

/// The backend that the first word names; `None`: all are wanted.
fn wanted(generation: &Generation, words: &[&str]) -> Result<Option<Arc<Backend>>, String> {
    let named = |name: &&str| find_backend(generation, name).ok_or("Can't find backend.\n".to_owned());
    words.first().map(named).transpose()
}

pub(super) fn states(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    let generation = desk.statistics.generation();
    let of = match wanted(&generation, words) {
        Ok(of) => of,
        Err(wrong) => return wrong,
    };
    state::written(&generation, of.as_deref(), state::Word::Every, &desk.statistics.facts, clock::now())
}

pub(super) fn connections(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    let generation = desk.statistics.generation();
    let of = match wanted(&generation, words) {
        Ok(of) => of,
        Err(wrong) => return wrong,
    };
    let mut text = format!("{CONNECTIONS}[1]\n");
    for proxy in proxies(&generation) {
        let Some(backend) = proxy.backend else { continue };
        if of.as_ref().is_some_and(|of| of.name() != backend.name()) {
            continue;
        }
        for server in backend.servers() {
            let (address, idle) = (server.settings().address, server.idle());
            let used = server.open().saturating_sub(idle);
            text.push_str(&format!(
                "{}/{} {}/{} {} {} - 5000 {used} {} {used} {idle} 0 -1 {idle} {idle}\n",
                backend.name(),
                server.name(),
                proxy.number,
                server.index() + 1,
                address.ip(),
                address.port(),
                server.most_in_flight().highest(),
            ));
        }
    }
    text
}

pub(super) fn tables(_: &Desk, _: &mut Session, words: &[&str]) -> String {
    if words.is_empty() { String::new() } else { "No such table\n".to_owned() }
}

pub(super) fn environment(_: &Desk, _: &mut Session, words: &[&str]) -> String {
    let all = std::env::vars_os();
    let all =
        all.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let lines: String = all
        .filter(|(name, _)| words.first().is_none_or(|wanted| wanted == name))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    if lines.is_empty() && !words.is_empty() { "Variable not found\n".to_owned() } else { lines }
}

pub(super) fn level(_: &Desk, session: &mut Session, _: &[&str]) -> String {
    format!("{}\n", session.level.word())
}

pub(super) fn sockets(desk: &Desk, _: &mut Session, _: &[&str]) -> String {
    let lines = desk.sockets.iter().map(|(name, level)| format!("{name} {} all\n", level.word()));
    format!("# socket lvl processes\n{}", lines.collect::<String>())
}

pub(super) fn all_changes(desk: &Desk, _: &mut Session, _: &[&str]) -> String {
    changes(&desk.statistics.generation())
}

/// What was set at run time and differs from the configuration, as the commands that set it, a line each. What servers'
/// agents ask is nobody's setting, and they will ask it again.
pub fn changes(generation: &Generation) -> String {
    let mut lines = Vec::new();
    if generation.limit() != generation.configured_limit() {
        lines.push(format!("set maxconn global {}", generation.limit()));
    }
    for frontend in generation.frontends() {
        let name = &frontend.settings.name;
        if frontend.limit() != frontend.settings.maxconn.get() {
            lines.push(format!("set maxconn frontend {name} {}", frontend.limit()));
        }
        if frontend.is_paused() {
            lines.push(format!("disable frontend {name}"));
        }
    }
    for backend in generation.backends() {
        for server in backend.servers() {
            let (name, settings) = (format!("{}/{}", backend.name(), server.name()), server.settings());
            match server.ordered() {
                ordered if ordered == Administration::configured(settings) => {}
                Administration::Ready => lines.push(format!("set server {name} state ready")),
                Administration::Drain => lines.push(format!("set server {name} state drain")),
                Administration::Maintenance => lines.push(format!("set server {name} state maint")),
            }
            let by_agent = settings.agent.is_some() && server.history().agent_spoke;
            if !by_agent && server.weight() != settings.weight {
                lines.push(format!("set server {name} weight {}", server.weight()));
            }
            let configured = settings.maxconn.map_or(0, NonZeroU32::get);
            if let Some(most) = server.maxconn_asked().filter(|&most| !by_agent && most != configured) {
                lines.push(format!("set maxconn server {name} {most}"));
            }
            if server.forced().is_unchecked() {
                lines.push(format!("disable health {name}"));
            }
            if server.forced().is_unasked() {
                lines.push(format!("disable agent {name}"));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}
