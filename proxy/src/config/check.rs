//! `check`: how a server's health is asked. A backend's holds for its servers, each of which may differ.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

/// How one server's health is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Where; the server's own address unless set.
    pub address: SocketAddr,
    /// What is sent.
    pub request: Arc<CheckRequest>,
    /// The status that means a soft drain, 404; `None`: none does, and it is a failure like others.
    pub soft_drain_on: Option<u16>,
    /// Whether `X-Haproxy-Server-State` is sent along.
    pub send_state: bool,
    /// From a check's end to the next one's start, while nothing changes.
    pub inter: Duration,
    /// The same while the server is between up and down; `inter` where not set.
    pub fastinter: Duration,
    /// The same while it is down; `inter` where not set.
    pub downinter: Duration,
    /// So many good checks bring a server up.
    pub rise: NonZeroU32,
    /// So many bad ones take it down.
    pub fall: NonZeroU32,
    /// For the answer, after the connection, which has the least of `timeout.connect` and `inter`; `None`: the
    /// whole check must end within `inter`.
    pub timeout: Option<Duration>,
}

/// What a health check sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckRequest {
    /// The method; a token by RFC 9110.
    pub method: Arc<str>,
    /// The request target, which begins with `/` or is `*`.
    pub uri: Arc<str>,
    /// The version in the request line.
    pub version: HttpVersion,
    /// The value of `host`; `None`: no such header.
    pub host: Option<Arc<str>>,
}

/// A version of HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}
