//! What an agent says of its server, in HAProxy's agent-check protocol. Pure.
//!
//! One line, up to CR or LF: words between blanks, tabs or commas, in any case; of each kind the last one counts, and
//! `#` at the beginning of a word makes the rest a description.
//!
//! | word | kind | meaning |
//! |---|---|---|
//! | `75%` | weight | of the configured one, rounded down |
//! | `ready`, `drain`, `maint` | administration | takes everything; no new users; nobody, and no checks |
//! | `maxconn:30` | limit | requests at once, 0 being any number; above the configuration's, too |
//! | `up`, `down`, `fail`, `stopped` | health | ends the agent's own down; down |

use thiserror::Error;

use crate::backend::{Administration, Asked};
use crate::config;

/// The longest line: HAProxy's buffer would hold more, but nobody says so much.
pub(super) const MAX_LINE_BYTES: usize = 4 * 1024;

/// No weight is more than so many hundredths of the least one.
const MOST_PERCENT: u32 = 100 * config::Server::MAX_WEIGHT as u32;

/// Characters of a description that are logged, about HAProxy's limit.
const MAX_DESCRIPTION: usize = 110;

/// What an agent asks for its server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Reply {
    pub(super) administration: Option<Administration>,
    /// In hundredths of the configured weight.
    pub(super) weight_percent: Option<u32>,
    /// Requests that it may have at once; 0: any number.
    pub(super) maxconn: Option<u32>,
    pub(super) health: Option<Health>,
    /// Behind `#`.
    pub(super) description: String,
}

/// How the agent finds the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Health {
    /// As the checks find it.
    #[default]
    Up,
    /// Down, with the agent's word for it.
    Down(&'static str),
}

/// Why a reply changes nothing. The texts are HAProxy's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum Unusable {
    /// Nothing was said.
    #[error("expected a line, found none")]
    Empty,
    /// There was no connection, or no answer on it in time.
    #[error("can't be asked: {0}")]
    Silent(String),
    /// The line has no end.
    #[error("Ignoring incomplete line from agent")]
    Incomplete,
    /// No word of the protocol.
    #[error("agent reports an error : {0}")]
    Unknown(String),
}

impl Reply {
    /// Reads what an agent has sent until it closed, or as much of it as there may be.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unusable> {
        if bytes.is_empty() {
            return Err(Unusable::Empty);
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Unusable::Incomplete)?;
        let line = String::from_utf8_lossy(&bytes[..end]);
        let mut reply = Self::default();
        let mut rest = &*line;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if let Some(description) = rest.strip_prefix('#') {
                description.trim().clone_into(&mut reply.description);
                return Ok(reply);
            }
            if rest.is_empty() {
                return Ok(reply);
            }
            let (word, behind) = rest.split_at(rest.find([' ', '\t', ',']).unwrap_or(rest.len()));
            reply.take_in(word)?;
            rest = behind;
        }
    }

    /// What is asked for the server now; what is not spoken of stays.
    pub(super) fn over(&self, before: Asked) -> Asked {
        Asked {
            administration: self.administration.unwrap_or(before.administration),
            down: self.health.map_or(before.down, |health| health != Health::Up),
        }
    }

    /// A weight by what the configuration says; HAProxy's bound and rounding.
    pub(super) fn weight(&self, configured: u16) -> Option<u16> {
        let percent = self.weight_percent?.min(MOST_PERCENT);
        let weight = u32::from(configured) * percent / 100;
        Some(weight.min(u32::from(config::Server::MAX_WEIGHT)) as u16)
    }

    /// As it stands in logs: `via agent : down (too busy)`.
    pub(super) fn info(&self) -> Option<String> {
        let word = match self.health? {
            Health::Up => "up",
            Health::Down(word) => word,
        };
        let mut info = format!("via agent : {word}");
        if !self.description.is_empty() {
            info.push_str(" (");
            info.extend(self.description.chars().take(MAX_DESCRIPTION));
            info.push(')');
        }
        Some(info)
    }

    fn take_in(&mut self, word: &str) -> Result<(), Unusable> {
        const DOWN: [&str; 3] = ["down", "fail", "stopped"];
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "up" => self.health = Some(Health::Up),
            "ready" => self.administration = Some(Administration::Ready),
            "drain" => self.administration = Some(Administration::Drain),
            "maint" => self.administration = Some(Administration::Maintenance),
            _ => {
                if let Some(&down) = DOWN.iter().find(|&&down| down == lower) {
                    self.health = Some(Health::Down(down));
                } else if let Some(percent) = lower.strip_suffix('%').and_then(|number| number.parse().ok()) {
                    self.weight_percent = Some(percent);
                } else if let Some(most) =
                    lower.strip_prefix("maxconn:").and_then(|number| number.parse().ok())
                {
                    self.maxconn = Some(most);
                } else {
                    return Err(Unusable::Unknown(word.to_owned()));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Operation;

    fn reply(
        administration: Option<Administration>,
        weight_percent: Option<u32>,
        health: Option<Health>,
        description: &str,
    ) -> Reply {
        let description = description.to_owned();
        Reply { administration, weight_percent, maxconn: None, health, description }
    }

    #[test]
    fn words_are_haproxys() {
        let down = |word| Some(Health::Down(word));
        for (line, expected) in [
            ("up\n", Ok(reply(None, None, Some(Health::Up), ""))),
            ("DOWN\r\n", Ok(reply(None, None, down("down"), ""))),
            ("fail too busy", Err(Unusable::Incomplete)),
            ("fail\n", Ok(reply(None, None, down("fail"), ""))),
            ("stopped\n", Ok(reply(None, None, down("stopped"), ""))),
            ("down # too busy\n", Ok(reply(None, None, down("down"), "too busy"))),
            ("down #too busy\nup\n", Ok(reply(None, None, down("down"), "too busy"))),
            ("ready,up 75%\n", Ok(reply(Some(Administration::Ready), Some(75), Some(Health::Up), ""))),
            ("drain\tmaint\n", Ok(reply(Some(Administration::Maintenance), None, None, ""))),
            ("200% 50%\n", Ok(reply(None, Some(50), None, ""))),
            ("up down\n", Ok(reply(None, None, down("down"), ""))),
            ("maxconn:30\n", Ok(Reply { maxconn: Some(30), ..Reply::default() })),
            ("\n", Ok(reply(None, None, None, ""))),
            ("75\n", Err(Unusable::Unknown("75".to_owned()))),
            ("fail#x\n", Err(Unusable::Unknown("fail#x".to_owned()))),
            ("up foo\n", Err(Unusable::Unknown("foo".to_owned()))),
            ("maxconn:x\n", Err(Unusable::Unknown("maxconn:x".to_owned()))),
            ("", Err(Unusable::Empty)),
        ] {
            assert_eq!(Reply::read(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_asked_lasts_until_the_agent_asks_for_something_else() {
        use Operation::{Down, Soft, Starting, Unchecked, Up};
        let mut asked = Asked::default();
        // What the agent says, and what the server is then where checks say up, down, soft, starting, nothing.
        for (line, becomes) in [
            ("up", [Up, Down, Soft, Starting, Unchecked]),
            ("75%", [Up, Down, Soft, Starting, Unchecked]),
            ("drain", [Soft, Down, Soft, Starting, Soft]),
            ("up", [Soft, Down, Soft, Starting, Soft]),
            ("down", [Down; 5]),
            ("ready", [Down; 5]),
            ("maint", [Down; 5]),
            ("up", [Down; 5]),
            ("drain", [Soft, Down, Soft, Starting, Soft]),
            ("ready", [Up, Down, Soft, Starting, Unchecked]),
            ("stopped drain", [Down; 5]),
            ("up ready", [Up, Down, Soft, Starting, Unchecked]),
        ] {
            asked = Reply::read(format!("{line}\n").as_bytes()).unwrap().over(asked);
            assert_eq!(
                [Up, Down, Soft, Starting, Unchecked].map(|checks| asked.over(checks)),
                becomes,
                "{line}"
            );
        }
    }

    #[test]
    fn weights_are_hundredths_of_the_configured_one() {
        for (line, configured, weight) in [
            ("75%", 10, Some(7)),
            ("0%", 10, Some(0)),
            ("200%", 200, Some(256)),
            ("4294967295%", 256, Some(256)),
            ("50%", 1, Some(0)),
            ("up", 10, None),
        ] {
            let reply = Reply::read(format!("{line}\n").as_bytes()).unwrap();
            assert_eq!(reply.weight(configured), weight, "{line} of {configured}");
        }
    }
}
