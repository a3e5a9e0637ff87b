//! `[frontend.NAME]`: where requests come in.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::BackendIndex;

/// Where requests come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frontend {
    /// Its name in logs and statistics.
    pub name: Arc<str>,
    /// The addresses it listens on; at least one, none twice in the whole file.
    pub bind: Vec<SocketAddr>,
    /// Where its requests go.
    pub backend: BackendIndex,
    /// The header that tells the server the client's address; `None`: none is added.
    pub forward_for: Option<ForwardFor>,
    /// The access log; `None`: nothing is logged.
    pub log: Option<Log>,
    /// Its timeouts.
    pub timeout: FrontendTimeout,
    /// Connections that may be open at once; more wait in the kernel's backlog. At most [`super::Limits::connections`].
    pub maxconn: NonZeroUsize,
}

/// The header that tells the server the client's address (HAProxy: `option forwardfor`). It is added as a line
/// of its own at the end, never appended to one that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForwardFor {
    /// The header's name, as it is sent; `X-Forwarded-For`.
    pub header: Arc<str>,
    /// Clients in these networks get none.
    pub except: Vec<IpNet>,
    /// Whether a request that has such a header already gets none.
    pub if_none: bool,
}

/// An access log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// What a line looks like.
    pub format: LogFormat,
    /// Where it goes.
    pub target: LogTarget,
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// HAProxy's `option httplog`.
    Http,
}

/// Where the access log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file that is appended to; an absolute path.
    File(PathBuf),
}

/// Timeouts towards clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrontendTimeout {
    /// Inactivity of a client that should send or read a body.
    pub client: Duration,
    /// From the first byte of a request to the end of its head, absolute; `client` where not set.
    pub http_request: Duration,
    /// Until the first byte of a connection's next request; `http_request` where not set.
    pub http_keep_alive: Duration,
}
