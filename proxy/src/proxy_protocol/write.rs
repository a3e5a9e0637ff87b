//! Writing a header.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
};

use super::{LOCAL, PROXY, Passage, SIGNATURE, TCP4, TCP6, VERSION_2, Version};

/// Appends what a server is to know of a client's connection. Addresses of two families can't be said, and are not.
pub fn write(version: Version, passage: Passage, out: &mut Vec<u8>) {
    let [source, destination] = [passage.source, passage.destination].map(canonical);
    match version {
        Version::V1 => {
            let family = match (source.ip(), destination.ip()) {
                (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
                (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
                _ => return out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
            };
            write!(
                out,
                "PROXY {family} {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            )
            .expect("a Vec takes all that is written");
        }
        Version::V2 => {
            let mut addresses = [0; 36];
            let (family, length) = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    addresses[..4].copy_from_slice(&from.octets());
                    addresses[4..8].copy_from_slice(&to.octets());
                    (TCP4, 12)
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    addresses[..16].copy_from_slice(&from.octets());
                    addresses[16..32].copy_from_slice(&to.octets());
                    (TCP6, 36)
                }
                _ => return version_2(PROXY, 0, &[], out),
            };
            addresses[length - 4..length - 2].copy_from_slice(&source.port().to_be_bytes());
            addresses[length - 2..length].copy_from_slice(&destination.port().to_be_bytes());
            version_2(PROXY, family, &addresses[..length], out);
        }
    }
}

/// Appends what a check says: in version 1, which has no word for it, the connection's own addresses, as HAProxy does.
pub fn local(version: Version, own: Passage, out: &mut Vec<u8>) {
    match version {
        Version::V1 => write(version, own, out),
        Version::V2 => version_2(LOCAL, 0, &[], out),
    }
}

fn version_2(command: u8, family: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[VERSION_2 | command, family]);
    let length = u16::try_from(payload.len()).expect("addresses have 36 bytes at most");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

/// An IPv4 address that came in as an IPv6 one is written as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
