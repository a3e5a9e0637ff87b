//! The PROXY protocol: from whom it is accepted, and to whom it is sent.

use std::net::IpAddr;

use drain_config::{Table, Value};
use ipnet::IpNet;

use crate::proxy_protocol::Version;

/// From whom a PROXY protocol header is accepted (HAProxy: `accept-proxy`). It must be there, and comes first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptProxy {
    /// Balancers in these networks; clients from elsewhere speak for themselves. Empty: everybody sends it.
    pub from: Vec<IpNet>,
}

impl AcceptProxy {
    /// Whether a connection from this address begins with a header.
    pub fn expects(&self, from: IpAddr) -> bool {
        self.from.is_empty() || self.from.iter().any(|net| net.contains(&from.to_canonical()))
    }

    /// `true`, `false` or a table.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        if !value.is_table() {
            return value.flag()?.then(|| Self { from: Vec::new() });
        }
        value.section(|table| {
            let networks = table.require("from", r#"["10.0.0.0/8"]"#)?;
            let from = networks.each(Value::network)?;
            if from.is_empty() {
                networks.wrong("is empty", "expected networks, or `accept_proxy = true` for everybody");
            }
            Some(Self { from })
        })?
    }
}

/// `send_proxy` of a server.
pub(super) fn send_proxy(table: &Table<'_>) -> Option<Version> {
    let words = [("v1", Version::V1), ("v2", Version::V2)];
    table.take("send_proxy").and_then(|value| value.choice(&words))
}

/// `check_send_proxy` of a server, which speaks the version that its requests are sent with.
pub(super) fn check_send_proxy(table: &Table<'_>, version: Option<Version>) -> bool {
    let Some(value) = table.take("check_send_proxy") else { return false };
    let wanted = value.flag().unwrap_or(false);
    if wanted && version.is_none() {
        value.wrong("says no version", r#"expected `send_proxy = "v1"` or "v2" beside it"#);
    }
    wanted
}
