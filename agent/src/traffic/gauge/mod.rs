//! A number of requests in flight, which the server tells over HTTP.
//!
//! Apache's `mod_status`, nginx's `stub_status`, a Prometheus metric, a number in JSON, or a page that is a number: see
//! [`number`] for how each is read. What can't be read is never zero.

mod number;

use std::sync::Arc;

use thiserror::Error;

pub use number::NotFound;

use super::{
    Reading,
    sockets::{Namespace, NamespaceError, Own},
};
use crate::{
    config,
    fetch::{ClientError, Fetch, FetchError},
};

/// How much of an answer is read: a page of Prometheus metrics of a large application has a megabyte or two.
const BODY_MAX: usize = 4 * 1024 * 1024;

/// Asks a server how many requests it has in flight.
#[derive(Clone, Debug)]
pub struct Gauge {
    fetch: Arc<Fetch>,
    config: config::Gauge,
    namespace: Namespace,
}

/// Why a gauge can't be read.
#[derive(Debug, Error)]
pub enum GaugeError {
    /// There is nobody to ask, or the answer broke off.
    #[error("expected an answer, found none: {0}; start what answers there, or correct `url`")]
    NoAnswer(#[from] FetchError),
    /// It takes too long.
    #[error("expected an answer within {0:?}, found none; a longer `timeout` lets it take more time")]
    TimedOut(std::time::Duration),
    /// It is refused.
    #[error("expected the status 200, found {0}; let the agent's address read this page, or correct `url`")]
    Status(u16),
    /// It is too long.
    #[error("expected at most {BODY_MAX} bytes, found more; choose a page that is shorter")]
    TooLong,
    /// The server's network namespace can't be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The number is not in it.
    #[error(transparent)]
    NotFound(#[from] NotFound),
}

impl Gauge {
    /// The gauge that `config` describes, of a server in `namespace`; its connections are entered in `own`.
    pub fn new(config: config::Gauge, namespace: Namespace, own: &Own) -> Result<Self, ClientError> {
        let fetch = Arc::new(Fetch::new(config.url.clone(), config.unix.as_deref(), own)?);
        Ok(Self { fetch, config, namespace })
    }

    /// Asks once.
    pub async fn read(&self) -> Result<Reading, GaugeError> {
        let gauge = self.clone();
        self.namespace.run(move || async move { gauge.read_here().await }).await?
    }

    async fn read_here(&self) -> Result<Reading, GaugeError> {
        let config::Gauge { field, zero_at, timeout, .. } = &self.config;
        let answer = tokio::time::timeout(*timeout, self.fetch.get(BODY_MAX)).await;
        let answer = answer.map_err(|_| GaugeError::TimedOut(*timeout))??;
        if answer.status != 200 {
            return Err(GaugeError::Status(answer.status));
        }
        if answer.body.len() >= BODY_MAX {
            return Err(GaugeError::TooLong);
        }
        let count = number::read(&answer.body, field.as_deref())?;
        Ok(Reading { busy: count.saturating_sub(*zero_at), ..Reading::default() })
    }
}

#[cfg(test)]
mod tests;
