//! What was left on the server when what was to follow zero began.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// What held a drain when its limit had passed, and was cut.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cut {
    /// When it was looked.
    pub at: f64,
    /// Requests in flight, as the source has counted them that counted most: all see the same requests. With
    /// `long_lived = "wait"` every open connection counts, with "ignore after …" those that were not silent for so long. At least so many where something is unknown; nothing where
    /// nobody could tell.
    pub in_flight: Option<u32>,
    /// By peer, those with the most in flight first; bounded.
    pub peers: Vec<Peer>,
    /// What each source held by, for people; what the sockets show comes first.
    #[serde(default)]
    pub held_by: Vec<String>,
    /// What could not be read, and why.
    pub unknown: Option<String>,
}

/// Open connections that `drain.long_lived` did not wait for. Most are idle; a stream that pauses looks like them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOpen {
    /// On which the server spoke last.
    pub answered: u32,
    /// On which nothing was ever asked.
    pub fresh: u32,
    /// Of which it could not be told whether they carry a request, and which were silent for long enough.
    pub untold: u32,
    /// By which rule: `drain.long_lived`, as it is configured.
    pub long_lived: String,
    /// By peer, those with the most first; bounded, and empty where there was no time to look.
    pub peers: Vec<Peer>,
}

/// One peer's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// The other end's address.
    pub address: IpAddr,
    /// How many with a request in flight, or that count as such.
    pub in_flight: u32,
    /// How many without one.
    #[serde(default)]
    pub idle: u32,
}

impl LeftOpen {
    /// How many.
    pub const fn count(&self) -> u32 {
        self.answered.saturating_add(self.fresh).saturating_add(self.untold)
    }
}

/// For people, without the peers.
impl fmt::Display for LeftOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.answered, "answered"),
            (self.fresh, "never asked anything"),
            (self.untold, "perhaps in flight"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(count, what)| format!("{count} {what}")).collect();
        write!(
            f,
            "{} open, not waited for by drain.long_lived = \"{}\": {}",
            self.count(),
            self.long_lived,
            kinds.join(", ")
        )
    }
}
