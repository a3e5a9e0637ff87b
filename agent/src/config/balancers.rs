//! `[balancers]`: who asks for the server's health.

use std::{net::IpAddr, sync::Arc};

use drain_config::{Table, Value};
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

impl Balancers {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let networks = |key| table.field(key, Vec::new(), |value| value.each(Value::network));
        let (trust, ignore) = (networks("trust"), networks("ignore"));
        let expected = |value: &Value<'_>| {
            let text = value.text()?;
            let expected = text.parse().map_or_else(|_| Expected::Node(text.into()), Expected::Address);
            if let Expected::Address(address) = expected
                && ignore.as_inner().iter().any(|network| network.contains(&address))
            {
                value.wrong("can't be ignored and expected", "it lies in a network of `balancers.ignore`");
                return None;
            }
            Some(expected)
        };
        let expect = table.field("expect", Vec::new(), |value| value.each(expected));
        Self { expect: expect.into_inner(), trust: trust.into_inner(), ignore: ignore.into_inner() }
    }
}
