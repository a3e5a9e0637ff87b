//! `[server]`: the web server that is guarded, and how it says that it is ready.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use reqwest::Url;

/// The web server that is guarded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name: in logs, in the paths of the state file and of the control socket, for `drainctl -n`.
    pub name: Arc<str>,
    /// The TCP ports on which it listens, whose sockets are its traffic; at least one, none twice.
    pub ports: Vec<NonZeroU16>,
    /// How it says that it is ready.
    pub ready: Ready,
}

/// The readiness probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// What is asked.
    pub probe: Probe,
    /// So many answers in a row that are right make the server ready.
    pub rise: NonZeroU32,
    /// So many in a row that are not make it unready.
    pub fall: NonZeroU32,
    /// From one probe's start to the next one's.
    pub interval: Duration,
    /// How long one probe may take; at most `deadline`.
    pub timeout: Duration,
    /// How long after its restart the server may take to become ready, before the restart has failed.
    pub deadline: Duration,
}

/// What a readiness probe asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// An HTTP GET.
    Http {
        /// Where; always `http`.
        url: Url,
        /// The answers that are right.
        status: StatusSet,
        /// What must stand in the body; `None`: the body is not read.
        body: Option<Arc<str>>,
    },
    /// A TCP connection that is accepted.
    Tcp(SocketAddr),
}

/// A set of HTTP status codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusSet(pub(super) Vec<RangeInclusive<u16>>);

impl StatusSet {
    /// Whether `status` is in it.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}
