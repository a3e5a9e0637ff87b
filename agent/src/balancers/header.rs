//! `X-Haproxy-Server-State`: what a balancer says of this server with each check.
//!
//! ```text
//! UP 1/3; address=127.0.0.1; port=80; name=bk/s1; node=lb1; weight=10/40; scur=1/4; qcur=0; throttle=6%; users=3; idle=2
//! ```
//!
//! From HAProxy's `http-check send-state`; drain-proxy appends `users` and `idle`. It tells the state *before* the
//! check that carries it.

use serde::{Deserialize, Serialize};

/// What the header says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The server's state in the balancer's eyes.
    pub state: State,
    /// Consecutive checks that still miss to the other state, and how many it takes: the `1/3` of `UP 1/3`.
    pub progress: Option<(u32, u32)>,
    /// `name=BACKEND/SERVER`.
    pub name: Option<String>,
    /// `node=`, by default the balancer's host name.
    pub node: Option<String>,
    /// `weight=OWN/TOTAL`: TOTAL is what takes new users, this server included where it does.
    pub weight: Option<(u32, u32)>,
    /// `scur=OWN/BACKEND`: sessions on this server.
    pub scur: Option<u32>,
    /// `users=`: holders of a cookie that names this server.
    pub users: Option<u32>,
    /// `idle=`: open connections of the balancer without a request.
    pub idle: Option<u32>,
}

/// A server's state in a balancer's eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Takes everybody, also while it fails checks but not enough of them.
    Up,
    /// Takes pinned users only.
    Nolb,
    /// Takes nobody.
    Down,
    /// The balancer does not check it.
    Unchecked,
}

/// The longest name of a node or server that is kept: host names have at most 253 bytes.
const NAME_BYTES: usize = 256;

impl Header {
    /// Reads the header's value; `None` where its first word is no state that is known.
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let (state, progress) = state(parts.next()?)?;
        let mut header = Self {
            state,
            progress,
            name: None,
            node: None,
            weight: None,
            scur: None,
            users: None,
            idle: None,
        };
        for part in parts {
            let Some((key, value)) = part.split_once('=') else { continue };
            match key.trim() {
                "name" => header.name = name(value),
                "node" => header.node = name(value),
                "weight" => header.weight = ratio(value),
                "scur" => header.scur = value.split('/').next().and_then(|own| own.trim().parse().ok()),
                "users" => header.users = value.trim().parse().ok(),
                "idle" => header.idle = value.trim().parse().ok(),
                _ => {}
            }
        }
        Some(header)
    }

    /// The state as the balancer wrote it.
    pub fn view(&self) -> String {
        let word = match self.state {
            State::Up => "UP",
            State::Nolb => "NOLB",
            State::Down => "DOWN",
            State::Unchecked => "no check",
        };
        self.progress.map_or_else(|| word.to_owned(), |(n, of)| format!("{word} {n}/{of}"))
    }
}

fn state(text: &str) -> Option<(State, Option<(u32, u32)>)> {
    if text == "no check" {
        return Some((State::Unchecked, None));
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let state = match word {
        "UP" => State::Up,
        "NOLB" => State::Nolb,
        "DOWN" => State::Down,
        _ => return None,
    };
    // "DOWN 3/2" comes when an agent check holds a healthy server down: numbers are taken as they are.
    Some((state, ratio(rest)))
}

fn ratio(text: &str) -> Option<(u32, u32)> {
    let (own, total) = text.trim().split_once('/')?;
    Some((own.trim().parse().ok()?, total.trim().parse().ok()?))
}

fn name(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= NAME_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_as_haproxy_sends_it_is_read_whole() {
        let header = Header::parse(
            "UP; address=127.0.0.1; port=8601; name=bk/s1; node=lbnode1; weight=10/40; scur=1/4; qcur=0",
        )
        .unwrap();
        assert_eq!((header.state, header.progress), (State::Up, None));
        assert_eq!(header.name.as_deref(), Some("bk/s1"));
        assert_eq!(header.node.as_deref(), Some("lbnode1"));
        assert_eq!((header.weight, header.scur, header.users), (Some((10, 40)), Some(1), None));
    }

    #[test]
    fn drain_proxy_appends_users_and_idle() {
        let header =
            Header::parse("NOLB; weight=1/2; scur=0/0; qcur=0; throttle=6%; users=3; idle=2").unwrap();
        assert_eq!((header.users, header.idle), (Some(3), Some(2)));
    }

    #[test]
    fn every_state_is_read() {
        let read = |text: &str| Header::parse(text).map(|header| (header.state, header.progress));
        assert_eq!(read("UP 1/3; x=y"), Some((State::Up, Some((1, 3)))));
        assert_eq!(read("NOLB 1/3"), Some((State::Nolb, Some((1, 3)))));
        assert_eq!(read("DOWN"), Some((State::Down, None)));
        assert_eq!(read("DOWN 3/2"), Some((State::Down, Some((3, 2)))));
        assert_eq!(read("no check; weight=1/1"), Some((State::Unchecked, None)));
        assert_eq!(read("MAYBE"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_is_garbled_is_unknown_and_not_zero() {
        let header = Header::parse("UP; weight=x/3; scur=; users=-1; node=; name").unwrap();
        assert_eq!((header.weight, header.scur, header.users), (None, None, None));
        assert_eq!((header.node, header.name), (None, None));
    }

    #[test]
    fn the_state_is_shown_as_it_was_written() {
        for text in ["UP", "UP 1/3", "NOLB", "DOWN 3/2", "no check"] {
            assert_eq!(Header::parse(text).unwrap().view(), text);
        }
    }
}
