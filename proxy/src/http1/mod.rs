//! HTTP/1.1 messages as bytes: heads, framing, bodies. Pure: no socket, no clock, no allocation beyond the output.
//!
//! A head is found ([`HeadScan`]), checked ([`RequestHead`], [`ResponseHead`]) and written anew into an output buffer
//! with the few edits a proxy owes ([`forward`]); names keep their case, values their bytes, fields their order. No map
//! of headers is built.
//!
//! What holds for every message that passes here, whatever came in:
//! - a line ends with CR LF, and no NUL, bare CR or bare LF is passed on;
//! - there is exactly one way to tell where a body ends, and the next hop is told the same one ([`framing`]);
//! - a chunked body is decoded and framed anew, never passed through unread ([`ChunkedBody`]);
//! - `Connection` never names a field that frames or routes a message.
//!
//! The rules are those of RFC 9110 and RFC 9112, in the reading of HAProxy 2.6, stricter where that is safe.

mod chunked;
mod connection;
pub mod fault;
mod field;
pub mod forward;
pub mod framing;
#[cfg(test)]
mod properties;
mod refusal;
mod request;
mod response;
mod scan;
mod target;
mod websocket;

pub use chunked::{ChunkError, ChunkedBody, Withholds};
pub use connection::ConnectionOptions;
pub use field::{Fields, Kind, Storage};
pub use framing::Framing;
pub use refusal::{BadResponse, Refusal};
pub use request::{Method, RequestHead};
pub use response::ResponseHead;
pub use scan::{HeadScan, ScanError, unfold};

/// Fields that a head may have: HAProxy's `tune.http.maxhdr`.
pub const MAX_FIELDS: usize = 101;

/// The versions of HTTP/1 as they are forwarded; anything above 1.1 is 1.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// HTTP/1.0: a connection closes unless it says otherwise.
    Http10,
    /// HTTP/1.1: a connection stays unless it says otherwise.
    Http11,
}

impl Version {
    /// As it stands in a start line.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http10 => b"HTTP/1.0",
            Self::Http11 => b"HTTP/1.1",
        }
    }

    /// Reads `HTTP/x.y`: 0.9 and lower-case letters are refused, 1.2 and above read as 1.1.
    fn read(text: &[u8]) -> Option<Self> {
        match text {
            b"HTTP/1.0" => Some(Self::Http10),
            b"HTTP/1.1" => Some(Self::Http11),
            [b'H', b'T', b'T', b'P', b'/', major @ b'1'..=b'9', b'.', minor @ b'0'..=b'9'] => {
                Some(if (*major, *minor) == (b'1', b'0') { Self::Http10 } else { Self::Http11 })
            }
            _ => None,
        }
    }
}

/// A byte that may stand in a method or a field name (RFC 9110 5.6.2).
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}
