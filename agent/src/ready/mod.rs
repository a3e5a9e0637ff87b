//! The readiness probe: whether the server answers as its configuration says it should.
//!
//! One probe is one fresh connection; how often it is made and how many in a row change the verdict is the
//! business of the life cycle. The connections are entered as the agent's own, so that they are no traffic.

mod http;
mod tcp;

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;

use self::http::Http;
use crate::{config, traffic::sockets::Own};

/// Asks a server whether it is ready.
#[derive(Debug)]
pub struct Prober {
    probe: Probe,
    timeout: Duration,
    own: Own,
}

#[derive(Debug)]
enum Probe {
    Http(Http),
    Tcp(SocketAddr),
}

impl Prober {
    /// The probe that `ready` describes; its connections are entered in `own`.
    pub fn new(ready: &config::Ready, own: Own) -> Result<Self, ClientError> {
        let probe = match &ready.probe {
            config::Probe::Http { url, status, body } => {
                Probe::Http(Http::new(url.clone(), status.clone(), body.clone(), &own)?)
            }
            config::Probe::Tcp(address) => Probe::Tcp(*address),
        };
        Ok(Self { probe, timeout: ready.timeout, own })
    }

    /// Asks once. It takes no longer than the configured timeout.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let probe = async {
            match &self.probe {
                Probe::Http(http) => http.probe().await,
                Probe::Tcp(address) => tcp::probe(*address, &self.own).await,
            }
        };
        tokio::time::timeout(self.timeout, probe).await.unwrap_or(Err(ProbeError::TimedOut(self.timeout)))
    }
}

/// The HTTP client could not be made.
#[derive(Debug, Error)]
#[error("the HTTP client for the readiness probe could not be made: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// Why a server is not ready.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Nothing listens there.
    #[error("expected a server at {at}, found the connection refused")]
    Refused {
        /// Where it was tried.
        at: String,
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
    /// The answer broke off, or was no HTTP.
    #[error("the answer is broken: {0}")]
    Broken(String),
}

impl ProbeError {
    fn unconnected(at: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { at },
            _ => Self::Unreachable { at, error },
        }
    }
}

#[cfg(test)]
mod tests;
