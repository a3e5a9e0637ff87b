//! `[balancers]`: who asks for the server's health.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

/// Who asks for the server's health.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Balancers {
    /// Those that must have acknowledged a drain, even if they have never asked.
    pub expect: Vec<Expected>,
    /// Networks whose state header is believed; empty: all.
    pub trust: Vec<IpNet>,
    /// Networks whose questions are answered but count for nothing.
    pub ignore: Vec<IpNet>,
}

/// How a balancer is named in the configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expected {
    /// By the address from which it asks.
    Address(IpAddr),
    /// By the node name in its state header.
    Node(Arc<str>),
}
