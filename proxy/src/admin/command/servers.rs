//! Commands that concern one server.

use super::{Desk, Named, Session, dynamic};
use crate::backend::{Administration, Asked, Operation};
use crate::check;
use crate::config;

/// What `set server` takes, in HAProxy's words.
const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr \
                     | check-port | fqdn | health | ssl | state | weight\n";

/// Does it with the server that the first word names, and the words behind that; says what is wrong with the name.
fn with(desk: &Desk, words: &[&str], then: impl FnOnce(&Named, &[&str]) -> String) -> String {
    match Named::find(&desk.statistics.generation(), words.first()) {
        Ok(named) => then(&named, words.get(1..).unwrap_or_default()),
        Err(wrong) => wrong,
    }
}

pub(super) fn weight(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, _| {
        let server = named.server();
        format!("{} (initial {})\n", server.weight(), server.settings().weight)
    })
}

pub(super) fn set_weight(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, change_weight)
}

fn change_weight(named: &Named, words: &[&str]) -> String {
    let Some(word) = words.first() else { return "Require <weight> or <weight%>.\n".to_owned() };
    let weight = match asked_weight(word, named.server().settings().weight) {
        Ok(weight) => weight,
        Err(wrong) => return wrong.to_owned(),
    };
    match named.backend.set_weight(named.index, weight) {
        Ok(_) => String::new(),
        Err(error) => format!("{error}\n"),
    }
}

/// A weight, or hundredths of the configured one.
fn asked_weight(word: &str, configured: u16) -> Result<u16, &'static str> {
    let (number, behind) = number(word).ok_or("Empty weight string empty or preceded by garbage")?;
    match behind {
        "%" if number < 0 => Err("Relative weight must be positive.\n"),
        "%" => {
            let weight = i64::from(configured).saturating_mul(number) / 100;
            Ok(u16::try_from(weight).unwrap_or(u16::MAX).min(config::Server::MAX_WEIGHT))
        }
        "" => u16::try_from(number)
            .ok()
            .filter(|&weight| weight <= config::Server::MAX_WEIGHT)
            .ok_or("Absolute weight can only be between 0 and 256 inclusive.\n"),
        _ => Err("Trailing garbage in weight string"),
    }
}

/// As C's `strtol` has it: the number at the beginning, and what is behind.
fn number(word: &str) -> Option<(i64, &str)> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    let (number, behind) = word.split_at(word.len() - digits.len() + end);
    Some((number.parse().ok()?, behind))
}

pub(super) fn set_maxconn(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, words| {
        let Some(word) = words.first() else { return "Require <maxconn>.\n".to_owned() };
        match number(word) {
            None => "maxconn string empty or preceded by garbage".to_owned(),
            Some((_, behind)) if !behind.is_empty() => "Trailing garbage in maxconn string".to_owned(),
            Some((most, _)) => {
                // HAProxy takes a number below nothing for the greatest that there is.
                let most = u32::try_from(most).unwrap_or(if most < 0 { 0 } else { u32::MAX });
                named.backend.set_maxconn(named.index, Some(most));
                String::new()
            }
        }
    })
}

pub(super) fn disable(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, _| order(named, Administration::Maintenance))
}

pub(super) fn enable(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, _| order(named, Administration::Ready))
}

fn order(named: &Named, ordered: Administration) -> String {
    check::order(&named.backend, named.server(), ordered);
    String::new()
}

pub(super) fn disable_health(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, Probe::Check, true)
}

pub(super) fn enable_health(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, Probe::Check, false)
}

pub(super) fn disable_agent(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, Probe::Agent, true)
}

pub(super) fn enable_agent(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, Probe::Agent, false)
}

/// By whom a server's state is found.
#[derive(Clone, Copy)]
enum Probe {
    Check,
    Agent,
}

/// No longer has the server probed, or has it again. What it has not can't be had, but well be had no longer.
fn pause(desk: &Desk, words: &[&str], probe: Probe, paused: bool) -> String {
    with(desk, words, |named, _| {
        let (settings, forced) = (named.server().settings(), named.server().forced());
        let (is_there, name) = match probe {
            Probe::Check => (settings.check.is_some(), "Health check"),
            Probe::Agent => (settings.agent.is_some(), "Agent"),
        };
        if !is_there && !paused {
            return format!("{name} was not configured on this server, cannot enable.\n");
        }
        match probe {
            Probe::Check => forced.pause_checks(is_there && paused),
            Probe::Agent => forced.pause_agent(is_there && paused),
        }
        String::new()
    })
}

pub(super) fn shutdown_sessions(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, _| {
        named.server().shut_down_sessions(b'K');
        String::new()
    })
}

pub(super) fn set(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    with(desk, words, |named, words| {
        let (what, words) = words.split_first().map_or(("", words), |(&what, words)| (what, words));
        match what {
            "weight" => change_weight(named, words),
            "state" => match words.first() {
                Some(&"ready") => order(named, Administration::Ready),
                Some(&"drain") => order(named, Administration::Drain),
                Some(&"maint") => order(named, Administration::Maintenance),
                _ => "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n".to_owned(),
            },
            "health" => health(named, words),
            "agent" => agent(named, words),
            "addr" => dynamic::address(desk, session, named, words),
            "check-addr" | "agent-addr" | "check-port" | "agent-port" => {
                dynamic::own_address(desk, session, named, what, words)
            }
            "agent-send" => dynamic::agent_send(desk, session, named, words),
            "fqdn" if words.is_empty() => "set server <b>/<s> fqdn requires a FQDN.\n".to_owned(),
            "fqdn" => "set server <b>/<s> fqdn failed because no resolution is configured.\n".to_owned(),
            "ssl" => "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n"
                .to_owned(),
            _ => USAGE.to_owned(),
        }
    })
}

fn health(named: &Named, words: &[&str]) -> String {
    let is_checked = named.server().settings().check.is_some();
    let operation = match words.first() {
        Some(&"up") if is_checked => Operation::Up,
        Some(&"up") => Operation::Unchecked,
        Some(&"stopping") => Operation::Soft,
        Some(&"down") => Operation::Down,
        _ => return "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n".to_owned(),
    };
    check::force(&named.backend, named.server(), operation);
    String::new()
}

fn agent(named: &Named, words: &[&str]) -> String {
    let server = named.server();
    if server.settings().agent.is_none() {
        return "agent checks are not enabled on this server.\n".to_owned();
    }
    let down = match words.first() {
        Some(&"up") => false,
        Some(&"down") => true,
        _ => return "'set server <srv> agent' expects 'up' or 'down'.\n".to_owned(),
    };
    check::ask(&named.backend, server, Asked { down, ..server.asked() });
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_haproxy_reads_them() {
        for (word, expected) in [
            ("5", Ok(5)),
            ("256", Ok(256)),
            ("50%", Ok(5)),
            ("300%", Ok(30)),
            ("99999%", Ok(256)),
            ("300", Err("Absolute weight can only be between 0 and 256 inclusive.\n")),
            ("-1", Err("Absolute weight can only be between 0 and 256 inclusive.\n")),
            ("-1%", Err("Relative weight must be positive.\n")),
            ("abc", Err("Empty weight string empty or preceded by garbage")),
            ("%", Err("Empty weight string empty or preceded by garbage")),
            ("5x", Err("Trailing garbage in weight string")),
        ] {
            assert_eq!(asked_weight(word, 10), expected, "{word}");
        }
    }
}
