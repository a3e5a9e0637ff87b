//! All logs of the process.

use std::io;
use std::time::Duration;

use super::notices::Notices;
use super::writer::{Feed, Feeds, Writer, name};
use crate::config::{BackendIndex, Config, LogTarget};

/// All logs of the process. What goes to the same target goes through the same [`Writer`].
#[derive(Debug)]
pub struct Logs {
    writers: Vec<(LogTarget, Writer)>,
    feeds: Vec<Feeds>,
    notices: Vec<Notices>,
}

/// Why a log can't be written.
#[derive(Debug, thiserror::Error)]
#[error("expected to open the access log {target} of frontend {frontend}, found: {source}")]
pub struct OpenError {
    frontend: String,
    target: String,
    source: io::Error,
}

impl Logs {
    /// Opens the logs of all frontends.
    ///
    /// # Errors
    /// A file can't be opened. A syslog that is not there is none: its lines are lost until it is.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let older = Self { writers: Vec::new(), feeds: Vec::new(), notices: Vec::new() };
        Self::open_beside(config, &older)
    }

    /// Opens the logs of a newer configuration. Targets that are open in `older` are not opened twice: it must
    /// [make way](Self::make_way_for) for this, or this be dropped.
    ///
    /// # Errors
    /// A file can't be opened.
    pub fn open_beside(config: &Config, older: &Self) -> Result<Self, OpenError> {
        let mut logs = Self {
            writers: Vec::new(),
            feeds: vec![Feeds::default(); config.frontends.len()],
            notices: vec![Notices::default(); config.backends.len()],
        };
        // Each backend's syslogs: where two frontends have the same one, it is told once.
        let mut told = Vec::new();
        for (index, frontend) in config.frontends.iter().enumerate() {
            for log in &frontend.logging.logs {
                let feed = logs.feed(&log.target, older).map_err(|source| OpenError {
                    frontend: frontend.name.to_string(),
                    target: name(&log.target),
                    source,
                })?;
                let BackendIndex(backend) = frontend.backend;
                if let Some(syslog) = &log.syslog
                    && !told.contains(&(backend, &log.target, syslog))
                {
                    logs.notices[backend].add(feed.clone(), syslog, log.length);
                    told.push((backend, &log.target, syslog));
                }
                logs.feeds[index].add(feed, log, &frontend.logging);
            }
        }
        Ok(logs)
    }

    /// Becomes `newer`, which was opened beside this. Targets that only this has are kept for what is under way.
    pub fn make_way_for(&mut self, newer: Self) {
        self.writers.extend(newer.writers);
        self.feeds = newer.feeds;
        self.notices = newer.notices;
    }

    /// The way to a target, which is opened where neither this nor `older` has done so.
    fn feed(&mut self, target: &LogTarget, older: &Self) -> io::Result<Feed> {
        let mut open = older.writers.iter().chain(&self.writers);
        if let Some((_, writer)) = open.find(|(known, _)| known == target) {
            return Ok(writer.feed());
        }
        let writer = Writer::open(target)?;
        let feed = writer.feed();
        self.writers.push((target.clone(), writer));
        Ok(feed)
    }

    /// What of each frontend's requests is written, in the order of the configuration.
    pub fn feeds(&self) -> Vec<Feeds> {
        self.feeds.clone()
    }

    /// Who is told of each backend's changes, in the order of the configuration.
    pub fn notices(&self) -> Vec<Notices> {
        self.notices.clone()
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
