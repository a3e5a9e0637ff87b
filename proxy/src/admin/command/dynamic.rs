//! Servers that come, move and go at run time, until the configuration is read again.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::super::edits::Made;
use super::{Desk, Named, Session, find_backend};
use crate::backend::{Administration, Backend, Server};
use crate::config::{self, Config};
use crate::worker::Generation;

const BY: &str = "by 'stats socket command'\n";

/// What is said of the first of two that are ordered at once.
const EXISTS: &str = "Already exists a server with the same name in backend.\n";

/// Has the process change its configuration; what is said of that is said when it has.
fn edit(
    desk: &Desk,
    session: &mut Session,
    change: impl FnOnce(&mut Config) -> Result<Made, String> + Send + 'static,
) -> String {
    session.later = Some(desk.edits.order(change));
    String::new()
}

/// `add server BACKEND/SERVER ADDRESS [KEYWORD…]`
pub(super) fn add(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    let generation = desk.statistics.generation();
    match Named::find(&generation, words.first()) {
        Ok(_) => return EXISTS.to_owned(),
        Err(wrong) if wrong.starts_with("No such server") => {}
        // These two of HAProxy's messages have no end of their own.
        Err(wrong) => return wrong.trim_end().to_owned(),
    }
    let (of, name) = words[0].split_once('/').unwrap_or_default();
    let Some(backend) = find_backend(&generation, of) else { return "No such backend.".to_owned() };
    if backend.is_static() {
        return "Backend must use a dynamic load balancing to support dynamic servers.".to_owned();
    }
    let is_wrong = |letter: &char| !(letter.is_ascii_alphanumeric() || "-_.:".contains(*letter));
    if name.is_empty() || words.len() < 2 {
        return "'server' expects <name> and <addr>[:<port>] as arguments.\n".to_owned();
    }
    if let Some(wrong) = name.chars().find(is_wrong) {
        return format!("character '{wrong}' is not permitted in server name '{name}'.\n");
    }
    let server = match described(backend.settings(), name, &words[1..]) {
        Ok(server) => server,
        Err(wrong) => return wrong,
    };
    let (of, name) = (backend.name().to_owned(), name.to_owned());
    edit(desk, session, move |config| {
        possible(config, server.address)?;
        let servers = servers_of(config, &of)?;
        if servers.iter().any(|known| *known.name == *name) {
            return Err(EXISTS.to_owned());
        }
        servers.push(server);
        let maintain = prepared(of, name, |backend, index| {
            backend.set_ordered(index, Administration::Maintenance);
        });
        Ok(Made { said: "New server registered.\n".to_owned(), prepare: maintain })
    })
}

/// Whether a server may be there.
fn possible(config: &Config, address: SocketAddr) -> Result<(), String> {
    if address.port() == 0 {
        return Err(format!(
            "expected an address with a port above 0, found '{address}': nothing is changed\n"
        ));
    }
    if config.is_own(address) {
        return Err(format!("{address} is the proxy itself: nothing is changed\n"));
    }
    Ok(())
}

/// Does that with the new server of this backend and name.
fn prepared(
    of: String,
    name: String,
    then: impl FnOnce(&Arc<Backend>, usize) + Send + 'static,
) -> Box<dyn FnOnce(&Generation) + Send> {
    Box::new(move |generation| {
        let backend = generation.backends().iter().find(|backend| backend.name() == of);
        let Some(backend) = backend else { return };
        if let Some(server) = backend.servers().iter().find(|server| server.name() == name) {
            then(backend, server.index());
        }
    })
}

/// A server as these words describe it: its address, and HAProxy's keywords.
fn described(backend: &config::Backend, name: &str, words: &[&str]) -> Result<config::Server, String> {
    let address: SocketAddr = words[0].parse().map_err(|_| {
        format!("expected an address with a port, such as 10.0.0.11:80, found '{}'\n", words[0])
    })?;
    let mut server = config::Server {
        name: name.into(),
        address,
        cookie: None,
        force_persist: config::Condition::Never,
        weight: 1,
        maxconn: None,
        minconn: None,
        maxqueue: None,
        slowstart: Duration::ZERO,
        backup: false,
        disabled: false,
        send_proxy: None,
        check: None,
        agent: None,
        passive: config::Passive::default(),
    };
    let mut words = words[1..].iter();
    while let Some(&word) = words.next() {
        let mut number = |most: u32| {
            let word_behind = words.next().copied().unwrap_or_default();
            let number = word_behind.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("'{word}' expects a number up to {most}, found '{word_behind}'\n"))
        };
        match word {
            "weight" => server.weight = number(config::Server::MAX_WEIGHT.into())? as u16,
            "maxconn" => server.maxconn = NonZeroU32::new(number(u32::MAX)?),
            "maxqueue" => server.maxqueue = NonZeroU32::new(number(u32::MAX)?),
            "backup" => server.backup = true,
            "check" => server.check = Some(check_like_others(backend, address)?),
            "cookie" => return Err("'cookie' option is not accepted for dynamic server\n".to_owned()),
            unknown => return Err(format!("unknown keyword '{unknown}'.\n")),
        }
    }
    Ok(server)
}

/// The check that the backend's other servers have.
fn check_like_others(backend: &config::Backend, address: SocketAddr) -> Result<config::Check, String> {
    let other = backend.servers.iter().find_map(|server| Some((server, server.check.as_ref()?)));
    let (other, check) = other.ok_or_else(|| {
        format!("'check' takes the check of another server, and none of backend '{}' has one\n", backend.name)
    })?;
    Ok(config::Check { address: moved(check.address, other.address, address), ..check.clone() })
}

/// `del server BACKEND/SERVER`
pub(super) fn remove(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    let named = match removable(&desk.statistics.generation(), words.first()) {
        Ok(named) => named,
        Err(wrong) => return wrong,
    };
    let (of, name) = (named.backend.name().to_owned(), named.server().name().to_owned());
    let statistics = desk.statistics.clone();
    edit(desk, session, move |config| {
        // It may have been told to serve since this was ordered.
        removable(&statistics.generation(), Some(&&*format!("{of}/{name}")))?;
        servers_of(config, &of)?.retain(|server| *server.name != *name);
        Ok(Made::new("Server deleted."))
    })
}

/// A server that serves nobody, and is told to.
fn removable(generation: &Generation, word: Option<&&str>) -> Result<Named, String> {
    let named = Named::find(generation, word).map_err(|wrong| wrong.trim_end().to_owned())?;
    if named.server().ordered() != Administration::Maintenance {
        return Err("Only servers in maintenance mode can be deleted.".to_owned());
    }
    if named.server().in_flight() > 0 {
        return Err("Server still has connections attached to it, cannot remove it.".to_owned());
    }
    Ok(named)
}

/// `set server BACKEND/SERVER addr ADDRESS [port PORT]`. HAProxy's answer has a part for the address and one for the port.
pub(super) fn address(desk: &Desk, session: &mut Session, named: &Named, words: &[&str]) -> String {
    let Some(word) = words.first() else {
        return "set server <b>/<s> addr requires an address and optionally a port.\n".to_owned();
    };
    let Ok(ip) = word.parse::<IpAddr>() else { return format!("Invalid addr '{word}' {BY}") };
    let (old, mut new) = (named.server().settings().address, named.server().settings().address);
    new.set_ip(ip);
    let mut said = if ip == old.ip() {
        "no need to change the addr".to_owned()
    } else {
        format!("IP changed from '{}' to '{ip}'", old.ip())
    };
    if words.get(1) == Some(&"port") {
        let word = words.get(2).copied().unwrap_or_default();
        match word.parse::<u16>() {
            _ if word.starts_with(['+', '-']) => {
                return format!(
                    "{said}, can't change <port> to port map: the servers here have a port of their own {BY}"
                );
            }
            Err(_) => return format!("{said}, problem converting port '{word}' to an int {BY}"),
            Ok(port) if port == old.port() => said.push_str(", no need to change the port"),
            Ok(port) => {
                new.set_port(port);
                said.push_str(&format!(", port changed from '{}' to '{port}'", old.port()));
            }
        }
    }
    said.push_str(&format!(" {BY}"));
    if new == old {
        return said;
    }
    let server = named.server();
    let (weight, maxconn) = (server.weight(), server.maxconn_asked());
    let (of, name) = (named.backend.name().to_owned(), server.name().to_owned());
    edit(desk, session, move |config| {
        possible(config, new)?;
        let server = server_of(config, &of, &name)?;
        if let Some(check) = &mut server.check {
            check.address = moved(check.address, server.address, new);
        }
        if let Some(agent) = &mut server.agent {
            agent.address.set_ip(other_or(agent.address.ip(), server.address.ip(), new.ip()));
        }
        server.address = new;
        let keep = prepared(of, name, move |backend, index| {
            // It was valid before.
            let _ = backend.set_weight(index, weight);
            backend.set_maxconn(index, maxconn);
        });
        Ok(Made { said, prepare: keep })
    })
}

/// `set server … check-addr`, `check-port`, `agent-addr`, `agent-port`: where `what` stands.
pub(super) fn own_address(
    desk: &Desk,
    session: &mut Session,
    named: &Named,
    what: &str,
    words: &[&str],
) -> String {
    let wants_port = what.ends_with("-port");
    let Some(&word) = words.first() else {
        let wanted = if wants_port { "a port" } else { "an address and optionally a port" };
        return format!("set server <b>/<s> {what} requires {wanted}.\n");
    };
    let known = match is_there(named.server(), what) {
        Ok(known) => known,
        Err(wrong) => return wrong,
    };
    let mut new = known;
    let port = if wants_port { Some(word) } else { words.get(2).copied().filter(|_| words[1] == "port") };
    if !wants_port {
        let Ok(ip) = word.parse() else { return format!("invalid addr '{word}'") };
        new.set_ip(ip);
    }
    match port.map(str::parse) {
        None => {}
        Some(Ok(port)) => new.set_port(port),
        Some(Err(_)) => return "provided port is not an integer".to_owned(),
    }
    if new == known {
        return String::new();
    }
    let is_check = what.starts_with("check");
    change_server(desk, session, named, move |server| {
        if is_check {
            server.check.iter_mut().for_each(|check| check.address = new);
        } else {
            server.agent.iter_mut().for_each(|agent| agent.address = new);
        }
    })
}

/// `set server … agent-send TEXT`
pub(super) fn agent_send(desk: &Desk, session: &mut Session, named: &Named, words: &[&str]) -> String {
    if let Err(wrong) = is_there(named.server(), "agent") {
        return wrong + "\n";
    }
    let Some(&text) = words.first() else {
        return "set server <b>/<s> agent-send requires a string.\n".to_owned();
    };
    let text = Arc::<str>::from(text);
    change_server(desk, session, named, move |server| {
        server.agent.iter_mut().for_each(|agent| agent.send = text.clone());
    })
}

/// Changes a server's settings, of which nothing is said.
fn change_server(
    desk: &Desk,
    session: &mut Session,
    named: &Named,
    change: impl FnOnce(&mut config::Server) + Send + 'static,
) -> String {
    let (of, name) = (named.backend.name().to_owned(), named.server().name().to_owned());
    edit(desk, session, move |config| {
        change(server_of(config, &of, &name)?);
        Ok(Made::new(""))
    })
}

/// Whether the check or the agent that is spoken of is there; if not, HAProxy's words for that.
fn is_there(server: &Server, what: &str) -> Result<SocketAddr, String> {
    let settings = server.settings();
    let (address, name) = if what.starts_with("check") {
        (settings.check.as_ref().map(|check| check.address), "health")
    } else {
        (settings.agent.as_ref().map(|agent| agent.address), "agent")
    };
    address.ok_or_else(|| format!("{name} checks are not enabled on this server"))
}

/// Where something is asked that belongs to a server at `old`, when that is at `new`: what it shared goes along.
fn moved(asked: SocketAddr, old: SocketAddr, new: SocketAddr) -> SocketAddr {
    let port = if asked.port() == old.port() { new.port() } else { asked.port() };
    SocketAddr::new(other_or(asked.ip(), old.ip(), new.ip()), port)
}

fn other_or(asked: IpAddr, old: IpAddr, new: IpAddr) -> IpAddr {
    if asked == old { new } else { asked }
}

fn servers_of<'c>(config: &'c mut Config, backend: &str) -> Result<&'c mut Vec<config::Server>, String> {
    let found = config.backends.iter_mut().find(|known| *known.name == *backend);
    found.map(|backend| &mut backend.servers).ok_or_else(|| "No such backend.\n".to_owned())
}

fn server_of<'c>(
    config: &'c mut Config,
    backend: &str,
    name: &str,
) -> Result<&'c mut config::Server, String> {
    let found = servers_of(config, backend)?.iter_mut().find(|known| *known.name == *name);
    found.ok_or_else(|| "No such server.\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_at_the_servers_own_address_goes_along() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (old, new) = (at("10.0.0.1:80"), at("10.0.0.2:81"));
        assert_eq!(moved(old, old, new), new);
        assert_eq!(moved(at("10.0.0.1:8404"), old, new), at("10.0.0.2:8404"));
        assert_eq!(moved(at("10.0.0.9:8404"), old, new), at("10.0.0.9:8404"));
    }
}
