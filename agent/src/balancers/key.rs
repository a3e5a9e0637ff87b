//! By what balancers are told apart.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::health::Way;

/// By what a balancer is told from others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Where its checks come from.
    pub source: IpAddr,
    /// What it calls itself.
    pub node: Option<String>,
    /// What it calls this server; of one that does not say, how it asks.
    pub name: Option<String>,
}

/// What stands in place of a name for who asks by HAProxy's agent protocol, which knows no names.
const AGENT_CHECK: &str = "agent-check";

impl Key {
    /// Who asks from `source` in this way, and says nothing of themselves. `asks`: what is asked for, by which the
    /// backends of one balancer can be told apart that ask for different things.
    pub fn nameless(source: IpAddr, way: Way, asks: Option<&str>) -> Self {
        let name = if way == Way::AgentCheck { Some(AGENT_CHECK) } else { asks };
        Self { source, node: None, name: name.map(ToOwned::to_owned) }
    }

    pub(super) fn is_agent_check(&self) -> bool {
        self.node.is_none() && self.name.as_deref() == Some(AGENT_CHECK)
    }
}
