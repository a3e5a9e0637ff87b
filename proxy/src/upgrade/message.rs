//! What two processes say to each other during an upgrade.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::backend::{Administration, Operation};

/// Of the protocol.
pub const VERSION: u32 = 1;

/// The new process has read its configuration.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// It keeps to limits on servers' connections together with the old one.
    #[serde(default)]
    pub joins: bool,
}

/// What the old process gives away. The sockets follow in the order of `listeners`, then what counts for `joint`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Offer {
    /// [`VERSION`].
    pub version: u32,
    /// Where it listens.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// What it knows of its servers.
    #[serde(default)]
    pub servers: Vec<Known>,
    /// How many connections it takes.
    #[serde(default)]
    pub rooms: Rooms,
    /// Servers whose limit on connections both keep together.
    #[serde(default)]
    pub joint: Vec<Name>,
}

/// How many connections are taken, at run time and by the configuration from which that began.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rooms {
    /// Of the process; `None`: an earlier version does not say.
    #[serde(default)]
    pub process: Option<[usize; 2]>,
    /// Of frontends.
    #[serde(default)]
    pub frontends: Vec<FrontendRoom>,
}

/// How many connections a frontend takes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FrontendRoom {
    /// Its name.
    pub name: String,
    /// At run time and by the configuration.
    pub connections: [usize; 2],
    /// None, by an operator's order.
    #[serde(default)]
    pub paused: bool,
}

/// An address that is listened on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listener {
    /// As the configuration has it.
    pub configured: SocketAddr,
    /// The frontend's name.
    pub frontend: String,
    /// Its sockets.
    pub sockets: usize,
}

/// Which server is spoken of: another address makes another server.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Name {
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What is known of a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Known {
    /// The server.
    #[serde(flatten)]
    pub name: Name,
    /// What it is by its checks and by what is asked for it.
    #[serde(default)]
    pub standing: Standing,
    /// Both apart; `None`: an earlier version does not say.
    #[serde(default)]
    pub orders: Option<Orders>,
    /// It drains on purpose.
    #[serde(default)]
    pub draining: bool,
    /// Of its check machine, which has these counts.
    #[serde(default)]
    pub health: Option<Health>,
    /// Its weight at run time, and that of the configuration from which it began.
    #[serde(default)]
    pub weights: Option<[u16; 2]>,
    /// How many milliseconds ago its slow start began, while that lasts.
    #[serde(default)]
    pub slow_ms: Option<u64>,
    /// Its users: a key, and how many seconds ago each was seen.
    #[serde(default)]
    pub users: Vec<(u64, u32)>,
}

/// What checks say of a server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes everything.
    Up,
    /// It takes no new user.
    Soft,
    /// It takes nobody.
    Down,
    /// Nothing: it has no checks, and takes everything.
    Unchecked,
    /// Nothing yet, or something that a later version says.
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<Operation> for Standing {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Up => Self::Up,
            Operation::Soft => Self::Soft,
            Operation::Down => Self::Down,
            Operation::Unchecked => Self::Unchecked,
            Operation::Starting => Self::Unknown,
        }
    }
}

/// What is asked for a server, and what its checks say beside that.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Orders {
    /// What its checks say.
    #[serde(default)]
    pub checks: Standing,
    /// What becomes of its users.
    #[serde(default)]
    pub administration: Administered,
    /// It is down, whatever its checks find.
    #[serde(default)]
    pub down: bool,
    /// What an operator has ordered; the other two are its agent's.
    #[serde(default)]
    pub ordered: Administered,
    /// The configuration had it begin in maintenance; `None`: an earlier version does not say.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// It is not checked, and its agent is not asked, by an operator's order.
    #[serde(default)]
    pub paused: [bool; 2],
    /// Requests that it may have at once, 0 being any number; `None`: as the configuration says.
    #[serde(default)]
    pub maxconn: Option<u32>,
}

/// What becomes of a server's users.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Administered {
    /// No new ones.
    Drain,
    /// Nobody, and no checks.
    Maintenance,
    /// Nothing is asked, or something that a later version says.
    #[default]
    #[serde(other)]
    Ready,
}

impl From<Administration> for Administered {
    fn from(administration: Administration) -> Self {
        match administration {
            Administration::Ready => Self::Ready,
            Administration::Drain => Self::Drain,
            Administration::Maintenance => Self::Maintenance,
        }
    }
}

impl From<Administered> for Administration {
    fn from(administered: Administered) -> Self {
        match administered {
            Administered::Ready => Self::Ready,
            Administered::Drain => Self::Drain,
            Administered::Maintenance => Self::Maintenance,
        }
    }
}

/// The state of a check machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Health {
    /// Steps from the worst.
    pub steps: u32,
    /// `rise` of the configuration.
    pub rise: std::num::NonZeroU32,
    /// `fall` of the configuration.
    pub fall: std::num::NonZeroU32,
}

/// The new process accepts.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Ready {
    /// The listeners of the offer, by their places, at which it does not: its configuration has no such address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<usize>,
}

/// What the old process still has. A server that is not in it has nothing.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Servers that have something.
    #[serde(default)]
    pub servers: Vec<Load>,
}

/// What has become of servers since the takeover, from the process that checks them.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct News {
    /// Servers that are not in it are none of the new process's.
    #[serde(default)]
    pub complete: bool,
    /// Servers of which something is another than was said last.
    #[serde(default)]
    pub servers: Vec<Known>,
}

/// What a process has of a server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Load {
    /// The server.
    #[serde(flatten)]
    pub name: Name,
    /// Requests in flight.
    #[serde(default)]
    pub in_flight: u32,
    /// Idle connections.
    #[serde(default)]
    pub idle: u32,
    /// Requests that wait for this very server.
    #[serde(default)]
    pub queued: u32,
    /// Users who were seen since the last report: a key, and how many seconds ago.
    #[serde(default)]
    pub users: Vec<(u64, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_adds_is_ignored_and_what_it_leaves_out_has_a_default() {
        let text = r#"{"version":1,"colour":"red","listeners":[{"configured":"[::]:80","frontend":"web","sockets":2,
            "kind":"quic"}],"servers":[{"backend":"shop","server":"a","address":"10.0.0.1:80","standing":"resting"}]}"#;
        let offer: Offer = serde_json::from_str(text).unwrap();
        let listener =
            Listener { configured: "[::]:80".parse().unwrap(), frontend: "web".into(), sockets: 2 };
        assert_eq!(offer.listeners, [listener]);
        let [server] = &offer.servers[..] else { panic!("{offer:?}") };
        assert_eq!((server.standing, server.health, server.users.len()), (Standing::Unknown, None, 0));
        assert_eq!((server.orders, server.slow_ms), (None, None));
        let orders = r#"{"administration":"holiday","maxconn":3,"mood":"good"}"#;
        let expected = Orders { maxconn: Some(3), ..Orders::default() };
        assert_eq!(serde_json::from_str::<Orders>(orders).unwrap(), expected);
        let report: Report = serde_json::from_str("{}").unwrap();
        assert!(report.servers.is_empty());
    }

    #[test]
    fn what_is_written_is_read() {
        let name =
            Name { backend: "shop".into(), server: "a".into(), address: "10.0.0.1:80".parse().unwrap() };
        let [rise, fall] = [2, 3].map(|count| std::num::NonZeroU32::new(count).unwrap());
        let known = Known {
            name,
            standing: Standing::Soft,
            orders: Some(Orders {
                checks: Standing::Up,
                administration: Administered::Drain,
                down: true,
                ordered: Administered::Maintenance,
                disabled: Some(true),
                paused: [true, false],
                maxconn: Some(0),
            }),
            draining: true,
            health: Some(Health { steps: 4, rise, fall }),
            weights: Some([50, 100]),
            slow_ms: Some(1),
            users: vec![(u64::MAX, 3)],
        };
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Known>(&text).unwrap(), known);
    }
}
