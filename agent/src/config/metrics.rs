//! `[metrics]`: where the numbers can be asked for.

use std::net::SocketAddr;

use drain_config::{Table, Value};

/// Where the numbers can be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// An address with a port; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Metrics {
    /// `own` are the addresses on which health checks are answered.
    pub(super) fn read(table: &Table<'_>, own: &[SocketAddr]) -> Self {
        let listen = |value: &Value<'_>| {
            let address = value.address()?;
            if own.contains(&address) {
                value.wrong(
                    "is where health checks are answered",
                    "expected another port: there every path answers with the server's state",
                );
                return None;
            }
            Some(Some(address))
        };
        Self { listen: table.field("listen", None, listen).into_inner() }
    }
}
