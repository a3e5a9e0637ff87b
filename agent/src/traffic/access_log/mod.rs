//! The log of the requests that a server has answered.
//!
//! A line tells that a request has ended, and no more: it is activity at the time when it is read. Nothing is read
//! between two readings, so that a log costs nothing while nobody wants to know; but for a FIFO, which somebody must
//! read.

mod fifo;
mod files;
mod journal;
mod lines;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{task::spawn_blocking, time::timeout};

pub use journal::{Journal, JournalError};

use self::{fifo::Fifo, files::Files};
use super::{LastWord, Reading};
use crate::{clock::Moment, config::Pattern};

/// A disk that takes longer has gone; a network's file system may never answer.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A log in a file or a FIFO.
#[derive(Debug)]
pub struct AccessLog {
    path: PathBuf,
    ignore: Option<Pattern>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    files: Files,
    fifo: Option<Fifo>,
    seen: Seen,
}

/// What was seen of a log since the agent began to read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    /// How many requests.
    requests: u64,
    /// When the last of them was read.
    last: Option<Moment>,
}

/// Why a log can't be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is none.
    #[error("expected a log at {}, found nothing; correct the path, or let the server write there", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// It can't be opened or read.
    #[error("expected to read {}: {error}; let the agent's user read it, or correct the path", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// It takes too long.
    #[error("expected to read {} within {READ_WITHIN:?}, found its file system hanging", path.display())]
    Hangs {
        /// Where.
        path: PathBuf,
    },
}

impl AccessLog {
    /// The log at `path`, but for the lines that match `ignore`.
    pub fn new(path: PathBuf, ignore: Option<Pattern>) -> Self {
        let files = Files::new(path.clone(), ignore.clone());
        let state = Arc::new(Mutex::new(State { files, fifo: None, seen: Seen::default() }));
        Self { path, ignore, state }
    }

    /// Reads what has been written since the last reading; the first one begins at the end.
    pub async fn read(&self) -> Result<Reading, LogError> {
        let state = Arc::clone(&self.state);
        let path = self.path.clone();
        // In a thread of its own: a disk may be slow.
        let read = spawn_blocking(move || {
            // Whoever holds it hangs in the file system.
            let mut state = match state.try_lock() {
                Ok(state) => state,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => return Err(LogError::Hangs { path }),
            };
            let Some(requests) = state.files.read(Moment::now())? else { return Ok(None) };
            state.seen.add(requests, Moment::now());
            state.fifo = None;
            Ok(Some(state.seen))
        });
        let seen = match timeout(READ_WITHIN, read).await {
            Ok(Ok(read)) => read?,
            Ok(Err(_)) | Err(_) => return Err(LogError::Hangs { path: self.path.clone() }),
        };
        match seen {
            Some(seen) => Ok(seen.reading(Moment::now())),
            None => self.read_fifo().map_err(|error| LogError::Unreadable { path: self.path.clone(), error }),
        }
    }

    fn read_fifo(&self) -> io::Result<Reading> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.fifo.is_none() {
            state.fifo = Some(Fifo::open(&self.path, self.ignore.clone())?);
        }
        let seen = state.fifo.as_ref().map_or(Ok(Seen::default()), Fifo::seen);
        if seen.is_err() {
            // It is opened anew by the next reading.
            state.fifo = None;
        }
        seen.map(|seen| seen.reading(Moment::now())).map_err(io::Error::other)
    }
}

impl Seen {
    fn add(&mut self, requests: u64, now: Moment) {
        self.requests = self.requests.saturating_add(requests);
        if requests > 0 {
            self.last = Some(now);
        }
    }

    fn reading(self, now: Moment) -> Reading {
        let ended = self.last.map(|last| LastWord::Ago(now.since(last)));
        Reading { ended, requests: Some(self.requests), ..Reading::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write, path::Path};

    use rustix::fs::{FileType, Mode, mknodat};

    use super::*;
    use crate::scratch::Scratch;

    fn write(path: &Path, text: &str) {
        let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn a_line_is_activity_when_it_is_read() {
        let scratch = Scratch::new("log_activity");
        let path = scratch.join("access.log");
        write(&path, "before\n");
        let log = AccessLog::new(path.clone(), None);
        let first = log.read().await.unwrap();
        assert_eq!((first.requests, first.ended, first.in_flight()), (Some(0), None, 0));
        write(&path, "1\n2\n");
        let second = log.read().await.unwrap();
        assert_eq!(second.requests, Some(2));
        assert!(second.ended.is_some());
        let third = log.read().await.unwrap();
        assert_eq!(third.requests, Some(2));
        assert!(third.ended >= second.ended, "nothing since");
    }

    /// Reads until it shows `requests`.
    async fn becomes(log: &AccessLog, requests: u64) {
        let becomes = async {
            while log.read().await.unwrap().requests != Some(requests) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), becomes).await.expect("the lines in time");
    }

    #[tokio::test]
    async fn a_fifo_is_read_all_the_time_and_outlives_its_writers() {
        let scratch = Scratch::new("log_fifo");
        let path = scratch.join("access.fifo");
        let make = || mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        make();
        let log = AccessLog::new(path.clone(), None);
        assert_eq!(log.read().await.unwrap().requests, Some(0));
        write(&path, "1\n2\n");
        becomes(&log, 2).await;
        write(&path, "3\n");
        becomes(&log, 3).await;
        std::fs::remove_file(&path).unwrap();
        let error = log.read().await.unwrap_err();
        assert!(matches!(error, LogError::Missing { .. }), "{error}");
        make();
        // Nobody reads the log meanwhile: whoever opens the new one to write waits until it is found.
        let writer = spawn_blocking(move || write(&path, "4\n"));
        timeout(Duration::from_secs(20), writer).await.expect("it is found").unwrap();
        becomes(&log, 4).await;
    }

    #[tokio::test]
    async fn a_writer_of_much_is_not_kept_waiting() {
        let scratch = Scratch::new("log_fifo_much");
        let path = scratch.join("access.fifo");
        mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let log = AccessLog::new(path.clone(), None);
        log.read().await.unwrap();
        let lines = "0123456789abcde\n".repeat(100_000);
        let writer = spawn_blocking(move || write(&path, &lines));
        timeout(Duration::from_secs(30), writer).await.expect("all is read").unwrap();
        becomes(&log, 100_000).await;
    }
}
