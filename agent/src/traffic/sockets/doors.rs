//! Where users come into a server.

use std::{fmt, num::NonZeroU16, path::Path, sync::Arc};

use super::Namespace;
use crate::config;

/// All the doors of a server: what it listens on, and in which network namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doors {
    /// TCP ports.
    pub ports: Arc<[NonZeroU16]>,
    /// Unix sockets, by their paths.
    pub paths: Arc<[Arc<Path>]>,
    /// Where these are.
    pub namespace: Namespace,
}

impl Doors {
    /// The `ports` in the agent's own namespace.
    pub fn at_ports(ports: &[NonZeroU16]) -> Self {
        Self { ports: ports.into(), ..Self::default() }
    }

    /// Each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = Door> {
        let ports = self.ports.iter().copied().map(Door::Port);
        ports.chain((0..self.paths.len()).map(Door::Path))
    }
}

impl From<&config::Server> for Doors {
    fn from(server: &config::Server) -> Self {
        Self {
            ports: server.ports.as_slice().into(),
            paths: server.unix.iter().map(|path| path.as_path().into()).collect(),
            namespace: Namespace::at(server.netns.as_deref()),
        }
    }
}

/// As messages list them.
impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.ports.iter().map(ToString::to_string);
        let paths = self.paths.iter().map(|path| path.display().to_string());
        f.write_str(&ports.chain(paths).collect::<Vec<_>>().join(", "))
    }
}

/// One of a server's doors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// This TCP port.
    Port(NonZeroU16),
    /// The unix socket at this place of `server.unix`, counted from 0.
    Path(usize),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Path(place) => write!(f, "server.unix[{place}]"),
        }
    }
}
