//! Addresses of servers, of which a host's name is looked up once, when the configuration is read.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

use drain_config::Value;

/// How the addresses of a host are found.
pub(super) struct Lookup<'r>(pub(super) &'r dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>);

/// Asks the system's resolver; it may wait for name servers.
pub(super) fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

impl Lookup<'_> {
    /// An address with a port, a host's name with one, or, where there is a `default` port, either without. A name
    /// stands for the first of its addresses.
    pub(super) fn address(&self, value: &Value<'_>, default: Option<u16>) -> Option<SocketAddr> {
        self.address_of(value, value.text()?, default)
    }

    /// The same for `text`, a part of `value`.
    pub(super) fn address_of(
        &self,
        value: &Value<'_>,
        text: &str,
        default: Option<u16>,
    ) -> Option<SocketAddr> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address);
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = default.map(|port| SocketAddr::new(ip, port));
            if address.is_none() {
                let example = SocketAddr::new(ip, 80);
                value.wrong("has no port", format!(r#"expected such as "{example}""#));
            }
            return address;
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, default),
        };
        match port {
            Some(port) if is_host_name(host) => self.named(value, host, port),
            _ => {
                value.wrong(
                    "is not an address with a port",
                    r#"expected such as "10.0.0.11:80", "[fd00::11]:80" or "pool1.example:80""#,
                );
                None
            }
        }
    }

    fn named(&self, value: &Value<'_>, host: &str, port: u16) -> Option<SocketAddr> {
        let (matter, why) = match (self.0)(host, port) {
            Ok(addresses) => match addresses.first() {
                Some(address) => return Some(*address),
                None => ("has no address", "its name is known, but without an address".to_owned()),
            },
            Err(error) => ("can't be looked up", error.to_string()),
        };
        value.wrong(matter, format!("{why}; expected a known host or an address such as \"10.0.0.11:80\""));
        None
    }
}

/// Whether `host` may be asked for: RFC 1123, and `_`, which hosts' names have all the same.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}
