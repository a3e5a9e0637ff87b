//! The way of log lines from the cores to a target.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{CoreLog, Rules, Several};
use super::target::{Lost, Target};
use crate::clock;
use crate::config::{Log, LogTarget, Logging};
use crate::exchange::Sink;

/// Memory of lines that may wait for a slow target: some seconds of them at full speed, and a restart of the target at
/// any other.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How often losses are reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Lines of one core, ready to be written.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

impl Chunk {
    /// The memory that it takes while it waits.
    const fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Writes the lines of all cores to one target, on a thread of its own. It ends with [`Writer::close`], or when the last [`Feed`]
/// and this are gone.
#[derive(Debug)]
pub(super) struct Writer {
    feed: Feed,
    ended: Receiver<()>,
}

impl Writer {
    /// Opens the target, and starts to write to it.
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        Self::start(name(target), Target::open(target)?)
    }

    fn start(name: String, mut target: Target) -> io::Result<Self> {
        let (sender, chunks) = channel::<Chunk>();
        let (end, ended) = sync_channel(0);
        let losses = Arc::new(Losses::new(name));
        let shared = losses.clone();
        thread::Builder::new().name("access log".to_owned()).spawn(move || {
            // Dropped at the end: this is what `close` waits for.
            let _end: SyncSender<()> = end;
            while let Ok(chunk) = chunks.recv() {
                shared.reopen_where_asked(&mut target);
                let result = target.write(&chunk.bytes);
                shared.waiting_bytes.fetch_sub(chunk.memory(), Ordering::Relaxed);
                shared.waiting.fetch_sub(chunk.lines, Ordering::Relaxed);
                if let Err(Lost { lines, error }) = result {
                    shared.add(lines, Some(error));
                }
                shared.report();
                if shared.closing.load(Ordering::Acquire) && shared.waiting.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
        })?;
        Ok(Self { feed: Feed { sender, losses }, ended })
    }

    /// The part of a core.
    pub(super) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Opens the target's path anew before the next line: it has been moved away.
    pub(super) fn reopen(&self) {
        self.feed.losses.reopen.store(true, Ordering::Release);
    }

    /// Takes no new feeds: it ends with those that are there.
    pub(super) fn leave(self) -> Leaving {
        let Self { feed: Feed { losses, .. }, ended } = self;
        Leaving { losses, ended }
    }

    /// Waits until everything has been written, but not longer than this. What comes later is lost.
    pub(super) fn close(self, limit: Duration) {
        self.feed.losses.closing.store(true, Ordering::Release);
        // Wakes the thread if it waits. Where it has ended there is nothing to wake.
        let _ = self.feed.sender.send(Chunk { bytes: Vec::new(), lines: 0 });
        self.leave().close(limit);
    }
}

/// A writer that ends with the last of its feeds: its target is not in the configuration any more.
#[derive(Debug)]
pub(super) struct Leaving {
    losses: Arc<Losses>,
    ended: Receiver<()>,
}

impl Leaving {
    /// Its target is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Waits until everything has been written, but not longer than this.
    pub(super) fn close(self, limit: Duration) {
        // Both outcomes mean that there is nothing to wait for any more.
        let _ = self.ended.recv_timeout(limit);
        self.losses.add(self.losses.waiting.swap(0, Ordering::Relaxed), None);
        self.losses.report_now();
    }
}

/// Takes lines for one target, and never waits; can be sent to other threads.
#[derive(Clone, Debug)]
pub struct Feed {
    sender: Sender<Chunk>,
    losses: Arc<Losses>,
}

impl Feed {
    /// Hands on whole lines. Where there is no room they are lost, and their memory is given back.
    pub(super) fn send(&self, bytes: Vec<u8>, lines: u64) -> Result<(), Vec<u8>> {
        let chunk = Chunk { bytes, lines };
        let memory = chunk.memory();
        self.losses.waiting.fetch_add(lines, Ordering::Relaxed);
        let waiting = self.losses.waiting_bytes.fetch_add(memory, Ordering::Relaxed) + memory;
        let refused = if waiting > MAX_WAITING_BYTES { Some(chunk) } else { self.hand_on(chunk) };
        let Some(chunk) = refused else { return Ok(()) };
        self.losses.waiting_bytes.fetch_sub(memory, Ordering::Relaxed);
        self.losses.waiting.fetch_sub(lines, Ordering::Relaxed);
        self.losses.add(lines, None);
        self.losses.report();
        Err(chunk.bytes)
    }

    /// Gives it back where nobody writes any more.
    fn hand_on(&self, chunk: Chunk) -> Option<Chunk> {
        self.sender.send(chunk).err().map(|refused| refused.0)
    }
}

/// What of a frontend's requests is written where; can be sent to the core's thread.
#[derive(Clone, Debug, Default)]
pub struct Feeds(Vec<(Feed, Log, Rules)>);

impl Feeds {
    /// Where it is written.
    pub(super) fn targets(&self) -> impl Iterator<Item = &LogTarget> {
        self.0.iter().map(|(_, log, _)| &log.target)
    }

    /// A core's part of it, to be called on its runtime; `None`: nothing is written.
    pub fn sink(&self) -> Option<Rc<dyn Sink>> {
        let core_log = |(feed, log, rules): &(Feed, Log, Rules)| CoreLog::new(feed.clone(), log, *rules);
        let mut logs: Vec<_> = self.0.iter().map(core_log).collect();
        match logs.len() {
            0 | 1 => Some(logs.pop()?),
            _ => Some(Rc::new(Several(logs))),
        }
    }

    pub(super) fn add(&mut self, feed: Feed, log: &Log, logging: &Logging) {
        self.0.push((feed, log.clone(), Rules::new(logging, log)));
    }
}

/// What has become of the lines of one target, and what it is asked to do.
#[derive(Debug)]
struct Losses {
    name: String,
    /// Lines on their way to the target.
    waiting: AtomicU64,
    /// The memory of these.
    waiting_bytes: AtomicUsize,
    /// Lines that were lost and not reported yet.
    lost: AtomicU64,
    reopen: AtomicBool,
    /// Nothing more will come.
    closing: AtomicBool,
    /// Held for an instant, and only where lines are lost.
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    last: Option<Instant>,
    /// What the target said last, if it could not be written.
    error: Option<io::Error>,
}

impl Losses {
    fn new(name: String) -> Self {
        let told = Mutex::new(Told { last: None, error: None });
        let (waiting, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        let (reopen, closing) = (AtomicBool::new(false), AtomicBool::new(false));
        let waiting_bytes = AtomicUsize::new(0);
        Self { name, waiting, waiting_bytes, lost, reopen, closing, told }
    }

    fn add(&self, lines: u64, error: Option<io::Error>) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        if error.is_some() {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).error = error;
        }
    }

    /// Reports what was lost, unless that was done just before.
    fn report(&self) {
        if self.lost.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = clock::now();
        let is_due = |last: Instant| now.duration_since(last) >= REPORT_EVERY;
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).last.is_none_or(is_due) {
            self.report_now();
        }
    }

    fn report_now(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last = Some(clock::now());
        let reason = told.error.take().map_or("it is too slow".to_owned(), |error| error.to_string());
        drop(told);
        let lines_are = if lost == 1 { "line of the access log is" } else { "lines of the access log are" };
        tracing::error!("{lost} {lines_are} lost at {}: {reason}", self.name);
    }

    fn reopen_where_asked(&self, target: &mut Target) {
        if self.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = target.reopen()
        {
            let name = &self.name;
            tracing::error!(
                "the access log {name} can't be opened anew, the old file is written on: {error}"
            );
        }
    }
}

/// The target as it is configured.
pub(super) fn name(target: &LogTarget) -> String {
    match target {
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::Stderr => "stderr".to_owned(),
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Udp(address) => format!("syslog://{address}"),
        LogTarget::Unix(path) => format!("syslog://{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::log::core::FLUSH_AFTER;
    use crate::admin::log::line::tests::{log, record};
    use crate::admin::log::target::Gate;
    use crate::config::LogFormat;

    fn writer(gate: Gate) -> (Writer, Rc<CoreLog>) {
        let writer = Writer::start("test".to_owned(), Target::Test(gate)).unwrap();
        let log = log(LogFormat::Http);
        let core = CoreLog::new(writer.feed(), &log, Rules::new(&Logging::default(), &log));
        (writer, core)
    }

    #[tokio::test(flavor = "local")]
    async fn a_line_is_written_soon_and_the_rest_at_the_end() {
        let (sender, seen) = channel();
        let (writer, log) = writer(Gate(Arc::default(), sender));
        log.record(&record());
        log.record(&record());
        tokio::time::sleep(2 * FLUSH_AFTER).await;
        let first = String::from_utf8(seen.recv_timeout(Duration::from_secs(20)).unwrap()).unwrap();
        assert_eq!(first.lines().count(), 2);
        log.record(&record());
        drop(log);
        writer.close(Duration::from_secs(20));
        assert_eq!(seen.try_recv().unwrap().last(), Some(&b'\n'));
    }

    #[tokio::test(flavor = "local")]
    async fn a_target_that_hangs_costs_lines_and_no_time() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, seen) = channel();
        let (writer, log) = writer(Gate(gate.clone(), sender));
        let losses = writer.feed.losses.clone();
        // What is reported is not counted here any more: nothing is, however long this takes.
        losses.told.lock().unwrap().last = Some(clock::now() + Duration::from_hours(1));
        let closed = gate.lock().unwrap();
        let lines = 100 * 1000;
        for _ in 0..lines {
            log.record(&record());
        }
        log.flush();
        let lost = losses.lost.load(Ordering::Relaxed);
        assert!(lost > 0 && lost < lines, "{lost}");
        assert_eq!(losses.waiting.load(Ordering::Relaxed) + lost, lines);
        drop(closed);
        let mut written = 0;
        while written + lost < lines {
            let chunk = seen.recv_timeout(Duration::from_secs(20)).unwrap();
            written += memchr::memchr_iter(b'\n', &chunk).count() as u64;
        }
        assert_eq!(written + lost, lines);
    }

    #[tokio::test(flavor = "local")]
    async fn a_target_that_hangs_for_a_while_costs_no_lines_that_come_one_by_one() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, seen) = channel();
        let (writer, log) = writer(Gate(gate.clone(), sender));
        let closed = gate.lock().unwrap();
        for _ in 0..2_000 {
            log.record(&record());
            log.flush();
        }
        drop(closed);
        drop(log);
        writer.close(Duration::from_mins(1));
        let written: usize = seen.try_iter().map(|chunk| memchr::memchr_iter(b'\n', &chunk).count()).sum();
        assert_eq!(written, 2_000);
    }

    #[tokio::test(flavor = "local")]
    async fn a_target_that_hangs_does_not_hold_up_the_end() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, _seen) = channel();
        let (writer, log) = writer(Gate(gate.clone(), sender));
        let losses = writer.feed.losses.clone();
        let _closed = gate.lock().unwrap();
        log.record(&record());
        drop(log);
        writer.close(Duration::from_millis(1));
        assert_eq!(losses.waiting.load(Ordering::Relaxed), 0, "what it did not take is reported as lost");
    }
}
