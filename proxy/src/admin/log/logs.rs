//! All logs of the process.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::writer::{CoreLog, Feed, Writer};
use crate::config::{Config, LogTarget};
use crate::exchange::Sink;

/// All logs of the process. What goes to the same target goes through the same [`Writer`].
#[derive(Debug)]
pub struct Logs {
    writers: Vec<(LogTarget, Writer)>,
    feeds: Vec<Feeds>,
}

/// Why a log can't be written.
#[derive(Debug, thiserror::Error)]
#[error("expected to open the access log {target:?} of frontend {frontend}, found: {source}")]
pub struct OpenError {
    frontend: String,
    target: LogTarget,
    source: io::Error,
}

/// What of a frontend's requests is written.
#[derive(Clone, Debug, Default)]
pub struct Feeds(Option<Feed>);

impl Feeds {
    /// A core's part. To be called on the core's runtime.
    pub fn sink(&self) -> Option<Rc<dyn Sink>> {
        self.0.clone().map(|feed| CoreLog::new(feed) as Rc<dyn Sink>)
    }
}

impl Logs {
    /// Opens the logs of all frontends.
    ///
    /// # Errors
    /// A file can't be opened.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_beside(config, &Self { writers: Vec::new(), feeds: Vec::new() })
    }

    /// Opens the logs of a newer configuration. Targets that are open in `older` are not opened twice: it must
    /// [make way](Self::make_way_for) for this, or this be dropped.
    ///
    /// # Errors
    /// A file can't be opened.
    pub fn open_beside(config: &Config, older: &Self) -> Result<Self, OpenError> {
        let mut logs = Self { writers: Vec::new(), feeds: Vec::new() };
        for frontend in &config.frontends {
            let Some(log) = &frontend.log else {
                logs.feeds.push(Feeds::default());
                continue;
            };
            let mut open = older.writers.iter().chain(&logs.writers);
            let feed = if let Some((_, writer)) = open.find(|(target, _)| *target == log.target) {
                writer.feed()
            } else {
                let writer = Writer::open(&log.target).map_err(|source| OpenError {
                    frontend: frontend.name.to_string(),
                    target: log.target.clone(),
                    source,
                })?;
                let feed = writer.feed();
                logs.writers.push((log.target.clone(), writer));
                feed
            };
            logs.feeds.push(Feeds(Some(feed)));
        }
        Ok(logs)
    }

    /// Becomes `newer`, which was opened beside this. Targets that only this has are kept for what is under way.
    pub fn make_way_for(&mut self, newer: Self) {
        self.writers.extend(newer.writers);
        self.feeds = newer.feeds;
    }

    /// What of each frontend's requests is written, in the order of the configuration.
    pub fn feeds(&self) -> Vec<Feeds> {
        self.feeds.clone()
    }

    /// Opens files anew before their next line: they have been moved away.
    pub fn reopen(&self) {
        self.writers.iter().for_each(|(_, writer)| writer.reopen());
    }

    /// Waits until everything has been written, but not longer than this for each. What comes later is lost.
    pub fn close(self, limit: Duration) {
        self.writers.into_iter().for_each(|(_, writer)| writer.close(limit));
    }
}
