//! A `server` line, with what `default-server` lines give it.

use std::time::Duration;

use super::file::Line;

/// One server, as far as its checks matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Server {
    pub(super) name: String,
    /// Its line.
    pub(super) number: usize,
    /// Its address with its port, as it is written.
    pub(super) address: String,
    /// Its own port; nothing where that is a variable, or the client's.
    pub(super) port: Option<u16>,
    pub(super) check: bool,
    /// `track`: whose checks count for this one, `BACKEND/SERVER` or `SERVER`.
    pub(super) tracks: Option<String>,
    /// Asked in the words of HAProxy's agent protocol.
    pub(super) agent_check: bool,
    /// `agent-port`: where.
    pub(super) agent_port: Option<u16>,
    pub(super) agent_inter: Option<Duration>,
    /// `port`: where the checks go.
    pub(super) check_port: Option<u16>,
    pub(super) inter: Option<Duration>,
    pub(super) fastinter: Option<Duration>,
    pub(super) fall: Option<u32>,
    /// Where `on-marked-down shutdown-sessions` stands.
    pub(super) shuts_down: Option<usize>,
    /// `proto`: what its requests are sent by, where that is said, and with nothing else said its checks.
    proto: Option<String>,
    /// `check-proto`: the same of checks.
    check_proto: Option<String>,
}

/// HAProxy's own `inter`.
const INTER: Duration = Duration::from_secs(2);

/// HAProxy's own `fall`.
const FALL: u32 = 3;

impl Server {
    /// What `defaults` lines give, in their order, and then the `server` line itself.
    pub(super) fn read<'a>(defaults: impl Iterator<Item = &'a Line>, line: &Line) -> Option<Self> {
        let [_, name, address, rest @ ..] = line.words.as_slice() else { return None };
        let mut server = Self::default();
        for line in defaults {
            server.take(line.number, &line.words[1..]);
        }
        server.take(line.number, rest);
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(Self { name: name.clone(), number: line.number, address: address.clone(), port, ..server })
    }

    fn take(&mut self, number: usize, words: &[String]) {
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "check" => self.check = true,
                "no-check" => self.check = false,
                "track" => self.tracks = words.next().map(str::to_owned),
                "agent-check" => self.agent_check = true,
                "no-agent-check" => self.agent_check = false,
                "agent-port" => self.agent_port = words.next().and_then(|port| port.parse().ok()),
                "agent-inter" => self.agent_inter = words.next().and_then(time),
                "port" => self.check_port = words.next().and_then(|port| port.parse().ok()),
                "addr" => {
                    let port = words.next().and_then(|at| at.rsplit_once(':')?.1.parse().ok());
                    self.check_port = port.or(self.check_port);
                }
                "inter" => self.inter = words.next().and_then(time),
                "fastinter" => self.fastinter = words.next().and_then(time),
                "fall" => self.fall = words.next().and_then(|fall| fall.parse().ok()),
                "proto" => self.proto = words.next().map(str::to_owned),
                "check-proto" => self.check_proto = words.next().map(str::to_owned),
                "on-marked-down" => {
                    self.shuts_down =
                        words.next().filter(|what| *what == "shutdown-sessions").map(|_| number);
                }
                _ => {}
            }
        }
    }

    /// Where its checks go.
    pub(super) fn asks(&self) -> Option<u16> {
        self.check_port.or(self.port)
    }

    /// Whether its checks come over HTTP/2.
    pub(super) fn checks_by_h2(&self) -> bool {
        self.check_proto.as_ref().or(self.proto.as_ref()).is_some_and(|proto| proto == "h2")
    }

    /// How long it takes at most from the first `down` until it is taken out: HAProxy believes one.
    pub(super) fn is_told_within(&self) -> Duration {
        self.agent_inter.unwrap_or(INTER)
    }

    /// How often it is checked.
    pub(super) fn inter(&self) -> Duration {
        self.inter.unwrap_or(INTER)
    }

    /// How long it takes at most from the first answer of 500 until it is taken out.
    pub(super) fn acknowledges_within(&self) -> Duration {
        let fall = self.fall.unwrap_or(FALL);
        let further = self.fastinter.unwrap_or(self.inter()).saturating_mul(fall.saturating_sub(1));
        self.inter().saturating_add(further)
    }
}

/// A time as HAProxy writes it: milliseconds, unless a unit follows.
pub(super) fn time(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, text: &str) -> Line {
        Line { number, words: text.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn a_server_takes_from_default_server_what_it_does_not_say() {
        let defaults =
            [line(1, "default-server inter 500 fastinter 100 fall 2 on-marked-down shutdown-sessions check")];
        let server =
            Server::read(defaults.iter(), &line(2, "server web1 10.0.0.1:80 port 8404 fall 4")).unwrap();
        assert_eq!((server.port, server.asks(), server.check), (Some(80), Some(8404), true));
        assert_eq!((server.fall, server.shuts_down), (Some(4), Some(1)));
        assert_eq!(server.acknowledges_within(), Duration::from_millis(800));
    }

    #[test]
    fn without_a_port_of_its_own_the_check_goes_to_the_server() {
        let server = Server::read([].iter(), &line(1, "server a [::1]:81 check")).unwrap();
        assert_eq!(server.asks(), Some(81));
        let server =
            Server::read([].iter(), &line(1, "server a 10.0.0.1:80 check addr 10.0.0.1:8404")).unwrap();
        assert_eq!(server.asks(), Some(8404));
        assert_eq!(Server::read([].iter(), &line(1, "server a ${HOST}")).unwrap().asks(), None);
        assert!(Server::read([].iter(), &line(1, "server a")).is_none());
    }

    #[test]
    fn an_agent_check_is_told_from_a_check() {
        let read = |text: &str| Server::read([].iter(), &line(1, text)).unwrap();
        let server = read("server a 10.0.0.1:80 agent-check agent-port 8405 agent-inter 1s");
        assert_eq!((server.check, server.agent_check, server.agent_port), (false, true, Some(8405)));
        assert_eq!(server.is_told_within(), Duration::from_secs(1));
        assert!(!read("server a 10.0.0.1:80 agent-check no-agent-check").agent_check);
    }

    #[test]
    fn times_are_milliseconds_unless_they_say_otherwise() {
        assert_eq!(time("500"), Some(Duration::from_millis(500)));
        assert_eq!(time("2s"), Some(Duration::from_secs(2)));
        assert_eq!(time("1m"), Some(Duration::from_mins(1)));
        assert_eq!((time("x"), time("5y"), time("")), (None, None, None));
    }
}
