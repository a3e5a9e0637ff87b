//! All logs of the process.

use std::io;
use std::time::Duration;

use super::notices::Notices;
use super::writer::{Feed, Feeds, Leaving, Writer, name};
use crate::config::{BackendIndex, Config, LogTarget};

/// All logs of the process. What goes to the same target goes through the same [`Writer`].
#[derive(Debug, Default)]
pub struct Logs {
    writers: Vec<(LogTarget, Writer)>,
    /// Those whose targets only older configurations have: each ends with the last request of these.
    leaving: Vec<Leaving>,
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
        Self::open_beside(config, &Self::default())
    }

    /// Opens the logs of a newer configuration. Targets that are open in `older` are not opened twice: it must
    /// [make way](Self::make_way_for) for this, or this be dropped.
    ///
    /// # Errors
    /// A file can't be opened.
    pub fn open_beside(config: &Config, older: &Self) -> Result<Self, OpenError> {
        let mut logs = Self {
            feeds: vec![Feeds::default(); config.frontends.len()],
            notices: vec![Notices::default(); config.backends.len()],
            ..Self::default()
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

    /// Becomes `newer`, which was opened beside this. Targets that only this has are closed when what is under way has been
    /// written.
    pub fn make_way_for(&mut self, newer: Self) {
        self.feeds = newer.feeds;
        self.notices = newer.notices;
        self.writers.extend(newer.writers);
        let is_in_use =
            |target: &LogTarget| self.feeds.iter().flat_map(Feeds::targets).any(|used| used == target);
        let gone = self.writers.extract_if(.., |(target, _)| !is_in_use(target));
        self.leaving.extend(gone.map(|(_, writer)| writer.leave()));
        self.leaving.retain(|writer| !writer.has_ended());
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
        self.leaving.into_iter().for_each(|writer| writer.close(limit));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::admin::log::line::tests::record;

    fn config(path: &Path) -> Config {
        let text = format!(
            "[frontend.web]\nbind = ['127.0.0.1:8000']\nbackend = 'shop'\nlog = {{ target = '{}' }}\n\
             [[backend.shop.server]]\nname = 'a'\naddress = '127.0.0.1:1'\n",
            path.display()
        );
        Config::parse("test.toml", &text, &|_, _| Ok(Vec::new())).unwrap()
    }

    #[tokio::test(flavor = "local")]
    async fn a_target_that_a_reload_removes_is_closed_with_its_last_request_and_does_not_come_back() {
        let directory = std::env::temp_dir().join(format!("drain-proxy-logs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let [old, new] = ["old.log", "new.log"].map(|name| directory.join(name));
        let mut logs = Logs::open(&config(&old)).unwrap();
        let under_way = logs.feeds()[0].sink().unwrap();
        let newer = Logs::open_beside(&config(&new), &logs).unwrap();
        logs.make_way_for(newer);
        under_way.record(&record());
        drop(under_way);
        // What waits for a writer's end sees it as the end of a channel.
        let leaving = logs.leaving.pop().unwrap();
        leaving.close(Duration::from_mins(1));
        assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 1);
        std::fs::remove_file(&old).unwrap();
        logs.reopen();
        logs.feeds()[0].sink().unwrap().record(&record());
        logs.close(Duration::from_mins(1));
        assert!(!old.exists(), "it is in no configuration any more");
        assert_eq!(std::fs::read_to_string(&new).unwrap().lines().count(), 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
