//! A configured source of traffic that is read.

use super::{
    Reading,
    access_log::{AccessLog, Journal},
    gauge::Gauge,
    sockets::{Namespace, Own},
    sources::Kind,
};
use crate::{
    config::{self, Lines, Traffic},
    fetch::ClientError,
};

/// Reads one configured source.
#[derive(Debug)]
pub enum Reader {
    /// A file or a FIFO.
    Log(AccessLog),
    /// The journal of a unit.
    Journal(Journal),
    /// A number over HTTP.
    Gauge(Gauge),
}

impl Reader {
    /// What reads `traffic` of a server in `namespace`; connections that it opens are entered in `own`.
    pub fn new(traffic: &Traffic, namespace: &Namespace, own: &Own) -> Result<Self, ClientError> {
        Ok(match traffic {
            Traffic::AccessLog(config::AccessLog { lines: Lines::File(path), ignore }) => {
                Self::Log(AccessLog::new(path.clone(), ignore.clone()))
            }
            Traffic::AccessLog(config::AccessLog { lines: Lines::Journal(unit), ignore }) => {
                Self::Journal(Journal::new(unit.clone(), ignore.clone()))
            }
            Traffic::Gauge(gauge) => Self::Gauge(Gauge::new(gauge.clone(), namespace.clone(), own)?),
        })
    }

    /// Reads it once; it takes some seconds at most.
    pub async fn read(&self) -> Result<Reading, String> {
        match self {
            Self::Log(log) => log.read().await.map_err(|error| error.to_string()),
            Self::Journal(journal) => journal.read().await.map_err(|error| error.to_string()),
            Self::Gauge(gauge) => gauge.read().await.map_err(|error| error.to_string()),
        }
    }
}

impl From<&Traffic> for Kind {
    fn from(traffic: &Traffic) -> Self {
        match traffic {
            Traffic::AccessLog(_) => Self::Ends,
            Traffic::Gauge(_) => Self::InFlight,
        }
    }
}
