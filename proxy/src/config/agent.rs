//! `agent_check` of a server: the agent that speaks for it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use drain_config::Table;

use super::lookup::Lookup;

/// Whom to ask what is wanted for a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// Where it listens; at the server's own host unless set.
    pub address: SocketAddr,
    /// What it is sent first; empty: nothing.
    pub send: Arc<str>,
    /// From the end of one answer to the next question, and for an answer at most.
    pub inter: Duration,
}

impl Agent {
    /// `inter` where neither this nor the server's check has one: HAProxy's.
    pub(super) const INTER: Duration = Duration::from_secs(2);

    /// `host` is the server's, `inter` that of its check.
    pub(super) fn read(
        table: &Table<'_>,
        host: IpAddr,
        inter: Duration,
        lookup: &Lookup<'_>,
    ) -> Option<Self> {
        let port = table.require("port", "8405").and_then(|value| value.number(1, u16::MAX));
        let address = match (table.take("address"), port) {
            (Some(value), port) => lookup.address(&value, Some(port.unwrap_or(1))).filter(|address| {
                let is_one = port.is_none_or(|port| address.port() == port);
                if !is_one {
                    value.wrong("has another port than `port`", "expected an address without a port");
                }
                is_one
            }),
            (None, port) => port.map(|port| SocketAddr::new(host, port)),
        };
        let send = table.take("send").map_or(Some(""), |value| value.string());
        let inter = table.duration("inter", inter).copied();
        port?;
        Some(Self { address: address?, send: send?.into(), inter })
    }
}
