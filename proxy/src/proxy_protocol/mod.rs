//! The PROXY protocol, versions 1 and 2: who a connection comes from, said by the balancer that passes it on, before
//! anything else (HAProxy's `doc/proxy-protocol.txt`; keywords `accept-proxy`, `send-proxy`, `send-proxy-v2`). Pure.
//!
//! | version | what is said | what it means here |
//! |---|---|---|
//! | 1 | `TCP4`, `TCP6` | these addresses |
//! | 1 | `UNKNOWN`, whatever follows | the connection's own addresses |
//! | 2 | command `PROXY`, TCP over IPv4 or IPv6 | these addresses |
//! | 2 | command `PROXY`, unspecified, UDP or a unix socket | the connection's own addresses |
//! | 2 | command `LOCAL` | the connection's own addresses: the balancer speaks for itself, such as to check |
//!
//! Whatever else is said, reserved values included, is refused: who can't say who it is must not be taken for another.
//! Extensions of version 2 (TLVs) must be well-formed and are skipped.

mod read;
mod write;

use std::net::SocketAddr;

pub use read::{HeaderError, Read, read};
pub use write::{local, write};

/// The longest line of version 1: two full IPv6 addresses, their ports, and the words between them.
pub const MAX_V1_BYTES: usize = 107;

/// The longest header of version 2 that is taken: addresses, and extensions beyond what any balancer sends (certificate
/// names are the longest). It must fit into the buffer of the smallest head that can be configured.
pub const MAX_V2_BYTES: usize = 2_048;

/// The version that is spoken to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// From where to where a connection goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passage {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// What a header of version 2 begins with. No request of any HTTP begins so.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, as it stands in the upper half of the byte behind the signature.
const VERSION_2: u8 = 0x20;

/// Its command `LOCAL`.
const LOCAL: u8 = 0x0;

/// Its command `PROXY`.
const PROXY: u8 = 0x1;

/// TCP over IPv4.
const TCP4: u8 = 0x11;

/// TCP over IPv6.
const TCP6: u8 = 0x21;
