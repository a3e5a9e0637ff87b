//! `show servers state`, and the file that is made of it: written when the proxy ends, read when it starts.

use std::collections::HashMap;

use tokio::time::Instant;

use super::super::stats::{Facts, Statistics, proxies};
use crate::backend::{Administration, Backend, Operation, Server};
use crate::config;
use crate::upgrade::message::{Administered, Health, Known, Name, Orders, Standing};
use crate::worker::Generation;

/// The version of the format, and its columns.
const HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                      srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
                      srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                      srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

/// Columns of a line.
const COLUMNS: usize = 25;

/// HAProxy's bits of `srv_admin_state`.
const MAINTENANCE: u8 = 1;
/// The configuration has it begin in maintenance.
const DISABLED: u8 = 4;
const DRAIN: u8 = 8;

/// HAProxy's bits of `srv_check_state` and `srv_agent_state`.
const CONFIGURED: u8 = 2;
const ENABLED: u8 = 4;
const PAUSED: u8 = 8;
const AGENT: u8 = 16;

/// What HAProxy calls `Initializing`.
const INITIALIZING: u8 = 1;

/// Whose word about a server is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// Everybody's, its agent's too.
    Every,
    /// Its checks' and the operators'. Its agent says again what it wants, and may want something else by then.
    Ordered,
}

/// All servers' state, or that of one backend's.
pub(super) fn written(
    generation: &Generation,
    of: Option<&Backend>,
    word: Word,
    facts: &Facts,
    now: Instant,
) -> String {
    let mut text = HEADER.to_owned();
    for proxy in proxies(generation) {
        let Some(backend) = proxy.backend else { continue };
        if of.is_some_and(|of| of.name() != backend.name()) {
            continue;
        }
        for server in backend.servers() {
            text.push_str(&format!("{} {} ", proxy.number, backend.name()));
            text.push_str(&line(server, word, facts, now));
        }
    }
    text
}

/// That of all servers, for a file.
pub fn all_states(statistics: &Statistics, now: Instant) -> String {
    written(&statistics.generation(), None, Word::Ordered, &statistics.facts, now)
}

/// A server's line, from its number on.
fn line(server: &Server, word: Word, facts: &Facts, now: Instant) -> String {
    let (settings, history, forced) = (server.settings(), server.history(), server.forced());
    let (administration, operation) = match (word, server.ordered()) {
        (Word::Every, _) => (server.administration(), server.operation()),
        (Word::Ordered, ordered @ Administration::Maintenance) => (ordered, Operation::Down),
        (Word::Ordered, ordered) => (ordered, server.checks()),
    };
    let (is_maintained, is_drained) = match administration {
        Administration::Ready => (false, false),
        Administration::Drain => (false, true),
        Administration::Maintenance => (true, false),
    };
    let operation = match operation {
        Operation::Down => 0,
        Operation::Soft if server.checks() == Operation::Soft => 3,
        _ if server.slow_for(now).is_some() => 1,
        _ => 2,
    };
    let bits = [(is_maintained, MAINTENANCE), (settings.disabled, DISABLED), (is_drained, DRAIN)];
    let admin: u8 = bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
    let since = now.saturating_duration_since(history.changed.unwrap_or(facts.started)).as_secs();
    let paused = if is_maintained { PAUSED } else { 0 };
    let check = settings.check.as_ref();
    let check_state = match (check, forced.is_unchecked()) {
        // As HAProxy leaves it for good.
        (None, _) if settings.disabled => PAUSED,
        (None, _) => 0,
        (Some(_), true) => CONFIGURED,
        (Some(_), false) => CONFIGURED + ENABLED + paused,
    };
    let agent_state = match (&settings.agent, forced.is_unasked()) {
        (None, _) => 0,
        (Some(_), true) => CONFIGURED + AGENT,
        (Some(_), false) => CONFIGURED + ENABLED + AGENT + paused,
    };
    let last = history.check.as_ref().filter(|_| !is_maintained);
    let result = match last {
        None => 0,
        Some(check) if check.status == "L7OKC" => 4,
        Some(check) => 2 + u8::from(check.passed),
    };
    let health = match check {
        _ if is_maintained || operation == 0 && check.is_none() => 0,
        Some(check) => server.health().unwrap_or(check.rise.get()),
        None if settings.disabled => 0,
        None => 2,
    };
    let address = settings.address;
    let check_port = check.map_or(0, |check| check.address.port());
    let check_port = if check_port == address.port() { 0 } else { check_port };
    let other = |ip: Option<std::net::IpAddr>| {
        ip.filter(|&ip| ip != address.ip()).map_or_else(|| "-".to_owned(), |ip| ip.to_string())
    };
    format!(
        "{} {} {} {operation} {admin} {} {} {since} {} {result} {health} {check_state} {agent_state} 0 0 - {} - 0 \
         {check_port} {} {} {}\n",
        server.index() + 1,
        server.name(),
        address.ip(),
        server.weight(),
        settings.weight,
        last.map_or(INITIALIZING, |check| check.number),
        address.port(),
        other(check.map(|check| check.address.ip())),
        other(settings.agent.as_ref().map(|agent| agent.address.ip())),
        settings.agent.as_ref().map_or(0, |agent| agent.address.port()),
    )
}

/// What a file says of the servers of these backends, by their names; what it says of others is passed over. The second
/// is how many lines nobody can read.
pub fn restored(text: &str, backends: &[&config::Backend]) -> (Vec<Known>, usize) {
    let mut unread = 0;
    let mut lines = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && line.contains(' ')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.len() {
            COLUMNS.. => drop(lines.insert((words[1].to_owned(), words[3].to_owned()), words)),
            _ => unread += 1,
        }
    }
    let servers = backends
        .iter()
        .flat_map(|backend| backend.servers.iter().map(move |server| (&*backend.name, server)));
    let mut known = Vec::new();
    for (backend, server) in servers {
        let key = (backend.to_owned(), server.name.to_string());
        let Some(words) = lines.get(&key) else { continue };
        match of_line(words, backend, server) {
            Some(server) => known.push(server),
            None => unread += 1,
        }
    }
    (known, unread)
}

fn of_line(words: &[&str], backend: &str, server: &config::Server) -> Option<Known> {
    let number = |at: usize| words[at].parse::<u32>().ok();
    let (operation, admin) = (number(5)?, number(6)? as u8);
    let weights = [u16::try_from(number(7)?).ok()?, u16::try_from(number(8)?).ok()?];
    let (health, check_state, agent_state) = (number(12)?, number(13)? as u8, number(14)? as u8);
    let ordered = match (admin & MAINTENANCE != 0, admin & DRAIN != 0) {
        (true, _) => Administered::Maintenance,
        (false, true) => Administered::Drain,
        (false, false) => Administered::Ready,
    };
    let checks = match operation {
        // Nobody has asked it in maintenance.
        _ if ordered == Administered::Maintenance => Standing::Unknown,
        0 => Standing::Down,
        3 => Standing::Soft,
        _ => Standing::Up,
    };
    let is_off = |state: u8| state & CONFIGURED != 0 && state & ENABLED == 0;
    let paused = [is_off(check_state), is_off(agent_state)];
    let check = server.check.as_ref().filter(|_| checks != Standing::Unknown);
    Some(Known {
        name: Name { backend: backend.to_owned(), server: server.name.to_string(), address: server.address },
        standing: checks,
        orders: Some(Orders {
            checks,
            ordered,
            disabled: Some(admin & DISABLED != 0),
            paused,
            ..Orders::default()
        }),
        draining: false,
        health: check.map(|check| Health { steps: health, rise: check.rise, fall: check.fall }),
        weights: Some(weights),
        slow_ms: None,
        users: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_haproxys_is_read_by_names() {
        let config = config::Config::parse(
            "test.toml",
            r#"
            frontend.web = { bind = ["127.0.0.1:0"], backend = "shop" }
            backend.shop.check = {}
            [[backend.shop.server]]
            name = "a"
            address = "127.0.0.1:80"
            [[backend.shop.server]]
            name = "b"
            address = "127.0.0.1:81"
            [[backend.shop.server]]
            name = "c"
            address = "127.0.0.1:82"
            "#,
            &|_, _| Ok(Vec::new()),
        )
        .unwrap();
        let text = format!(
            "{HEADER}3 shop 1 a 127.0.0.1 2 8 7 10 53 15 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\
             3 shop 2 b 10.0.0.1 0 0 5 5 54 8 2 0 6 0 0 0 - 81 - 0 0 - - 0\n\
             3 shop 3 c 127.0.0.1 0 5 1 1 54 1 0 0 14 0 0 0 - 82 - 0 0 - - 0\n\
             4 gone 1 s1 127.0.0.1 2 0 3 3 54 1 0 2 0 0 0 0 - 17816 - 0 0 - - 0\nshort line\n"
        );
        let (known, unread) = restored(&text, &config.backends.iter().collect::<Vec<_>>());
        assert_eq!(unread, 1);
        let orders = |at: usize| known[at].orders.unwrap();
        assert_eq!((orders(0).checks, orders(0).ordered), (Standing::Up, Administered::Drain));
        assert_eq!(known[0].weights, Some([7, 10]));
        assert_eq!((orders(1).checks, orders(1).ordered), (Standing::Down, Administered::Ready));
        assert_eq!((orders(2).ordered, orders(2).disabled), (Administered::Maintenance, Some(true)));
        assert_eq!(orders(1).disabled, Some(false));
        assert_eq!(known.len(), 3);
    }
}
