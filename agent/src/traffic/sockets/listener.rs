//! Who listens on the server's ports.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
};

use super::{
    diag::State,
    table::{LookError, Table},
};

/// A socket that waits for connections on one of the server's ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its inode, by which the processes that hold it are found.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
}

impl Listener {
    /// All that listen on `ports`. Blocking: for a thread that may wait.
    pub fn all(ports: &[NonZeroU16]) -> Result<Vec<Self>, LookError> {
        Table::new().fold(ports, &[State::Listen], Vec::new, |all, socket| {
            all.push(Self { address: socket.local, inode: socket.inode, uid: socket.uid });
        })
    }

    /// Where a program on the same host connects to it.
    pub const fn reachable_at(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }
}
