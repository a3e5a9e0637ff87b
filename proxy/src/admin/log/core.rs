//! A core's part of a log.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::Notify;

use super::{line::LineWriter, writer::Feed};
use crate::config::{Level, Log, Logging};
use crate::exchange::{Record, Sink};

/// A core hands its lines on when there are so many bytes of them: few system calls at full speed.
const CHUNK_BYTES: usize = 32 * 1024;

/// Room for the last line of a chunk, unless it is longer than lines usually may be.
const LAST_LINE_BYTES: usize = 2 * 1024;

/// A line is handed on after this at the latest, so that people see it soon.
pub(super) const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// A core's part of a log.
#[derive(Debug)]
pub(super) struct CoreLog {
    feed: Feed,
    rules: Rules,
    line: RefCell<LineWriter>,
    buffer: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    /// Rung by the first line after a flush, and at the end.
    filled: Rc<Notify>,
}

/// Which requests have a line, and of what level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// None of connections on which nothing came.
    dontlognull: bool,
    /// None of requests that went well.
    dontlog_normal: bool,
    /// Those that went wrong have a level of their own.
    separate_errors: bool,
    /// Less urgent lines are not written.
    least_urgent: Level,
}

impl CoreLog {
    /// To be called on the core's runtime.
    pub(super) fn new(feed: Feed, log: &Log, rules: Rules) -> Rc<Self> {
        let filled = Rc::new(Notify::new());
        let log = Rc::new(Self {
            feed,
            rules,
            line: RefCell::new(LineWriter::new(log, &TimeZone::system())),
            buffer: RefCell::new(Vec::with_capacity(CHUNK_BYTES)),
            lines: Cell::new(0),
            filled: filled.clone(),
        });
        tokio::task::spawn_local(Self::flush_soon(Rc::downgrade(&log), filled));
        log
    }

    async fn flush_soon(log: Weak<Self>, filled: Rc<Notify>) {
        loop {
            filled.notified().await;
            tokio::time::sleep(FLUSH_AFTER).await;
            match log.upgrade() {
                Some(log) => log.flush(),
                None => return,
            }
        }
    }

    pub(super) fn flush(&self) {
        let lines = self.lines.replace(0);
        if lines == 0 {
            return;
        }
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() < CHUNK_BYTES / 4 {
            // Few lines wait for their target without the room for many.
            let _ = self.feed.send(buffer.to_vec(), lines);
            return buffer.clear();
        }
        let bytes = std::mem::replace(&mut *buffer, Vec::with_capacity(CHUNK_BYTES));
        if let Err(mut bytes) = self.feed.send(bytes, lines) {
            // Its memory serves on.
            bytes.clear();
            *buffer = bytes;
        }
    }
}

impl Sink for CoreLog {
    fn record(&self, record: &Record<'_>) {
        let Some(level) = self.rules.level(record) else { return };
        let length = {
            let mut buffer = self.buffer.borrow_mut();
            self.line.borrow_mut().write(record, level, &mut buffer);
            buffer.len()
        };
        let lines = self.lines.get() + 1;
        self.lines.set(lines);
        if length >= CHUNK_BYTES - LAST_LINE_BYTES {
            self.flush();
        } else if lines == 1 {
            self.filled.notify_one();
        }
    }
}

impl Drop for CoreLog {
    fn drop(&mut self) {
        self.flush();
        self.filled.notify_one();
    }
}

impl Rules {
    pub(super) fn new(logging: &Logging, log: &Log) -> Self {
        let Logging { dontlognull, dontlog_normal, separate_errors, .. } = *logging;
        let least_urgent = log.syslog.as_ref().map_or(Level::Debug, |syslog| syslog.level);
        Self { dontlognull, dontlog_normal, separate_errors, least_urgent }
    }

    /// The level of this request's line; `None`: it has none.
    fn level(self, record: &Record<'_>) -> Option<Level> {
        let is_error = record.is_error();
        if (self.dontlognull && record.silent) || (self.dontlog_normal && !is_error) {
            return None;
        }
        let usual = if self.separate_errors && is_error { Level::Err } else { Level::Info };
        let level = record.level.unwrap_or(usual);
        (level <= self.least_urgent).then_some(level)
    }
}

/// Passes each record to several logs.
#[derive(Debug)]
pub(super) struct Several(pub(super) Vec<Rc<CoreLog>>);

impl Sink for Several {
    fn record(&self, record: &Record<'_>) {
        self.0.iter().for_each(|log| log.record(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::log::line::tests::{log, record, syslog};
    use crate::config::LogFormat;

    #[test]
    fn each_request_has_the_level_that_haproxy_gives_it() {
        let quiet =
            Logging { dontlognull: true, dontlog_normal: true, separate_errors: true, ..Logging::default() };
        let separate = Logging { separate_errors: true, ..Logging::default() };
        let stdout = log(LogFormat::Http);
        let notices = Log {
            syslog: Some(crate::config::Syslog { level: Level::Notice, ..syslog() }),
            ..stdout.clone()
        };
        let good = record();
        let failed = Record { status: Some(502), termination: *b"SH--", ..record() };
        let boo = Record { status: Some(500), ..record() };
        let again = Record { retries: 1, ..record() };
        let moved = Record { redispatched: true, termination: *b"LR--", ..record() };
        let own = Record { retries: 1, termination: *b"LR--", ..record() };
        let silent = Record { silent: true, termination: *b"CR--", ..record() };
        let level =
            |logging: &Logging, log: &Log, record: &Record<'_>| Rules::new(logging, log).level(record);
        for record in [&good, &failed, &silent] {
            assert_eq!(level(&Logging::default(), &stdout, record), Some(Level::Info));
            assert_eq!(level(&Logging::default(), &notices, record), None);
        }
        for record in [&failed, &boo, &again, &moved] {
            assert_eq!(level(&separate, &stdout, record), Some(Level::Err));
            assert_eq!(level(&separate, &notices, record), Some(Level::Err));
            assert_eq!(level(&quiet, &stdout, record), Some(Level::Err));
        }
        for record in [&good, &own] {
            assert_eq!(level(&separate, &stdout, record), Some(Level::Info));
            assert_eq!(level(&quiet, &stdout, record), None);
        }
        assert_eq!(level(&quiet, &stdout, &silent), None);
        let said = |said, record| Record { level: Some(said), ..record };
        let debug = said(Level::Debug, Record { status: Some(502), termination: *b"SH--", ..record() });
        assert_eq!(level(&separate, &stdout, &debug), Some(Level::Debug));
        assert_eq!(level(&separate, &notices, &debug), None);
        let notice = said(Level::Notice, record());
        assert_eq!(level(&separate, &notices, &notice), Some(Level::Notice));
        assert_eq!(level(&quiet, &notices, &notice), None, "it went well");
    }
}
