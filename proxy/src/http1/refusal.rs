//! Why a message is not taken.

use thiserror::Error;

use super::{ScanError, framing::LengthError};

/// Why a request is refused before any server is asked; each maps to one status (in `exchange::answer`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// 400: lines.
    #[error(transparent)]
    Lines(#[from] ScanError),
    /// 400: the first line.
    #[error("expected a request line METHOD TARGET HTTP/1.x, found something else")]
    RequestLine,
    /// 400: field names or values.
    #[error("expected fields NAME: VALUE, found a malformed one")]
    Field,
    /// 400: the target.
    #[error(
        "expected a path, an absolute URI, an authority (for CONNECT) or *, found another request target"
    )]
    Target,
    /// 400: two hosts.
    #[error("expected one host, found different ones in Host fields or request target")]
    Host,
    /// 400: lengths.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// 400: codings that can't tell where the body ends.
    #[error("expected the transfer coding chunked, once and last, found another")]
    TransferEncoding,
    /// 400: an upgrade to WebSocket without its key.
    #[error("expected a Sec-WebSocket-Key with Upgrade: websocket, found none")]
    WebSocketKey,
    /// 400: the first chunk and so on.
    #[error(transparent)]
    Chunk(#[from] super::ChunkError),
    /// 413: a body on an HTTP/1.0 method that has none.
    #[error("expected no body with this method in HTTP/1.0, found one")]
    UnexpectedBody,
    /// 414.
    #[error("expected a request line within `limits.head_bytes`, found a longer one")]
    TargetTooLong,
    /// 422: codings before chunked.
    #[error("expected the transfer coding chunked alone, found others before it")]
    UnknownCoding,
    /// 431.
    #[error("expected a head within `limits.head_bytes` and {} fields, found more", super::MAX_FIELDS)]
    HeadTooLarge,
}

/// Why a server's response is not passed on; the client gets 502.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadResponse {
    /// Lines.
    #[error(transparent)]
    Lines(#[from] ScanError),
    /// The first line.
    #[error("expected a status line HTTP/1.x STATUS REASON, found something else")]
    StatusLine,
    /// Field names or values.
    #[error("expected fields NAME: VALUE, found a malformed one")]
    Field,
    /// Lengths.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// Codings.
    #[error("expected the transfer coding chunked alone, found another")]
    TransferEncoding,
    /// More than fits.
    #[error("expected a head within `limits.head_bytes` and {} fields, found more", super::MAX_FIELDS)]
    HeadTooLarge,
    /// 101 where none was asked for, or without its fields.
    #[error("expected 101 only after a request to upgrade and with Connection: upgrade, found another")]
    Upgrade,
    /// A rule of the configuration.
    #[error("expected a response that `http_response` lets pass, found one that it denies")]
    Denied,
    /// 101 to WebSocket with another `Sec-WebSocket-Accept` than belongs to the request's key, or none.
    #[error("expected the Sec-WebSocket-Accept that belongs to the request's key, found another or none")]
    WebSocketAccept,
}
