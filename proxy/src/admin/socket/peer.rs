//! Whoever gives commands over a socket.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// A connection, of whatever family.
pub(super) type Stream = Box<dyn Wire>;

/// What can be read from and written to.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// A process of this machine, with its user; 0 where it has gone already.
    Process { uid: u32, pid: i32 },
    /// Somebody at this address, who has proved nothing.
    At(SocketAddr),
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let (uid, pid) = stream.peer_cred().map(|peer| (peer.uid(), peer.pid())).unwrap_or_default();
        Self::Process { uid, pid: pid.unwrap_or_default() }
    }

    /// Where that is no process of this machine.
    pub(super) const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Process { .. } => None,
            Self::At(address) => Some(address),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid } => write!(out, "user {uid} (process {pid})"),
            Self::At(address) => write!(out, "somebody at {address}"),
        }
    }
}
