//! Who listens on the server's doors.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use super::{
    Doors,
    diag::State,
    table::{LookError, Table},
    unix,
};

/// A socket that waits for connections at one of the server's doors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Where it listens.
    pub place: Place,
    /// Its inode, by which the processes that hold it are found.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
}

/// Where somebody listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Listener {
    /// All that listen at these `doors`. Blocking: for a thread that may wait.
    pub fn all(doors: &Doors) -> Result<Vec<Self>, LookError> {
        let mut table = Table::new(doors.namespace.clone());
        let mut all = table.fold(&doors.ports, &[State::Listen], Vec::new, |all, socket| {
            all.push(Self { place: Place::Tcp(socket.local), inode: socket.inode, uid: socket.uid });
        })?;
        all.extend(unix::listeners(&mut table, &doors.paths)?);
        Ok(all)
    }

    /// Where a program in the same namespace connects to it by TCP.
    pub const fn reachable_at(&self) -> Option<SocketAddr> {
        let Place::Tcp(address) = &self.place else { return None };
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Some(SocketAddr::new(ip, address.port()))
    }
}
