//! The endpoint that balancers ask.

use std::net::SocketAddr;

use crate::{clock::Moment, lifecycle::Phase};

/// What the endpoint says until the next one is published. The owner of the life cycle publishes it in a
/// `tokio::sync::watch`; `None` means that no verdict about the server is known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 200, 404 or 500, or what `answers` in the configuration puts in their place.
    pub status: u16,
    /// What `x-drain-state` begins with.
    pub phase: Phase,
    /// One line for people.
    pub reason: String,
    /// When this phase began, in seconds since 1970.
    pub since_unix: u64,
    /// Counts the changes of the answer: a [`Check`] names the one it was given.
    pub generation: u64,
}

/// One health check that was answered completely (the bytes were handed to the kernel without an error).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// When the answer was sent.
    pub at: Moment,
    /// Who asked.
    pub source: SocketAddr,
    /// The value of `X-Haproxy-Server-State`, as it came, if it came.
    pub state: Option<String>,
    /// The status that was answered.
    pub status: u16,
    /// The generation of the [`Answer`] that was given.
    pub generation: u64,
}
