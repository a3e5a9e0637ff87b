//! The readiness probe: whether the server answers as its configuration says it should.
//!
//! One probe is one fresh connection; how often it is made and how many in a row change the verdict is the
//! business of the life cycle. The connections are entered as the agent's own, so that they are no traffic.
//!
//! A server in another network namespace is probed in there: by a thread of its own with a runtime of its own, because
//! a socket belongs to the namespace of the thread that makes it.

mod http;
mod tcp;
mod unix;
mod warm_up;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rustix::io::Errno;
use thiserror::Error;

pub use self::warm_up::Warmer;

use self::http::Http;
use crate::{
    config,
    fetch::ClientError,
    traffic::sockets::{Namespace, NamespaceError, Own},
};

/// Asks a server whether it is ready.
#[derive(Clone, Debug)]
pub struct Prober {
    probe: Arc<Probe>,
    timeout: Duration,
    namespace: Namespace,
    own: Own,
}

#[derive(Debug)]
enum Probe {
    Http(Http),
    Tcp(SocketAddr),
    Unix(Box<Path>),
}

impl Prober {
    /// The probe that `ready` describes of a server in `namespace`; its connections are entered in `own`.
    pub fn new(ready: &config::Ready, namespace: Namespace, own: Own) -> Result<Self, ClientError> {
        let probe = match &ready.probe {
            config::Probe::Http { url, status, body } => {
                Probe::Http(Http::new(url.clone(), status.clone(), body.clone(), &own)?)
            }
            config::Probe::Tcp(address) => Probe::Tcp(*address),
            config::Probe::Unix(path) => Probe::Unix(path.as_path().into()),
        };
        Ok(Self { probe: Arc::new(probe), timeout: ready.timeout, namespace, own })
    }

    /// Asks once. It takes no longer than the configured timeout.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let prober = self.clone();
        self.namespace.run(move || async move { prober.probe_here().await }).await?
    }

    async fn probe_here(&self) -> Result<(), ProbeError> {
        let probe = async {
            match &*self.probe {
                Probe::Http(http) => http.probe().await,
                Probe::Tcp(address) => tcp::probe(*address, &self.own).await,
                Probe::Unix(path) => unix::probe(path, &self.own).await,
            }
        };
        tokio::time::timeout(self.timeout, probe).await.unwrap_or(Err(ProbeError::TimedOut(self.timeout)))
    }
}

/// Why a server is not ready.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Nothing listens there.
    #[error("expected a server at {at}, found the connection refused")]
    Refused {
        /// Where it was tried.
        at: String,
    },
    /// The server does not take its connections.
    #[error("expected the server at {at} to take connections, found its backlog full")]
    Full {
        /// Where it was tried.
        at: String,
    },
    /// The agent can't ask, which says nothing about the server.
    #[error("the server at {at} can't be asked: {error}")]
    Unasked {
        /// Where it was tried.
        at: String,
        /// What the system said.
        error: io::Error,
    },
    /// No connection for another reason.
    #[error("no connection to {at}: {error}")]
    Unreachable {
        /// Where it was tried.
        at: String,
        /// What the system said.
        error: io::Error,
    },
    /// No complete answer in time.
    #[error("expected an answer within {0:?}, found none")]
    TimedOut(Duration),
    /// A whole answer with a status that is not right.
    #[error("expected a status of {expected}, found {found}")]
    Status {
        /// The statuses that are right.
        expected: String,
        /// The status that came.
        found: u16,
    },
    /// The answer's body does not hold what it should.
    #[error("expected a body with {expected:?} in its first {searched} bytes, found none")]
    Body {
        /// What should stand in it.
        expected: String,
        /// How much of it was searched.
        searched: usize,
    },
    /// The server's network namespace can't be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The answer broke off, or was no HTTP.
    #[error("the answer is broken: {0}")]
    Broken(String),
}

impl ProbeError {
    /// Whether the server was not asked, so that nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unasked { .. }
                | Self::Namespace(NamespaceError::Forbidden { .. } | NamespaceError::Thread(_))
        )
    }

    fn unconnected(at: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { at },
            _ if is_ours(&error) => Self::Unasked { at, error },
            _ => Self::Unreachable { at, error },
        }
    }
}

/// Whether what the system said is about the agent, which may not connect there or has no descriptor left for it.
fn is_ours(error: &io::Error) -> bool {
    let own = [Errno::ACCESS, Errno::PERM, Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|error| own.contains(&error))
}

#[cfg(test)]
mod tests;
