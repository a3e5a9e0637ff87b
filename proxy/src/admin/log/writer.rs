//! The way of log lines from the cores to a file.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{date::DateCache, line};
use crate::clock;
use crate::config::LogTarget;
use crate::exchange::{Record, Sink};

/// A core hands its lines on when there are so many bytes of them: few system calls at full speed.
const CHUNK_BYTES: usize = 32 * 1024;

/// A line is handed on after this at the latest, so that people see it soon.
const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// Chunks that may wait for a slow target: 4 MiB, some seconds of lines at full speed.
const MAX_CHUNKS: usize = 128;

/// How often losses are reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Lines of one core, ready to be written.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// What cores and writer share.
#[derive(Debug, Default)]
struct Shared {
    lost: AtomicU64,
    reopen: AtomicBool,
}

/// Writes the lines of all cores to one target, on a thread of its own. It ends when the last [`CoreLog`] and this
/// are gone.
#[derive(Debug)]
pub struct Writer {
    sender: SyncSender<Chunk>,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl Writer {
    /// Opens the target, and starts to write to it.
    pub fn open(target: &LogTarget) -> io::Result<Self> {
        let output = Output::open(target)?;
        Self::start(output)
    }

    fn start(output: Output) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(MAX_CHUNKS);
        let (end, ended) = sync_channel(0);
        let shared = Arc::new(Shared::default());
        let mut thread =
            WriterThread { output, shared: shared.clone(), failure: None, reported: clock::now() };
        thread::Builder::new().name("access log".to_owned()).spawn(move || {
            // Dropped at the end: this is what `close` waits for.
            let _end: SyncSender<()> = end;
            while let Ok(chunk) = chunks.recv() {
                thread.write(&chunk);
            }
            thread.report(clock::now());
        })?;
        Ok(Self { sender, shared, ended })
    }

    /// The part of a core.
    pub fn feed(&self) -> Feed {
        Feed { sender: self.sender.clone(), shared: self.shared.clone() }
    }

    /// Opens the target's path anew before the next line: it has been moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
    }

    /// Waits until everything has been written, but not longer than this. All cores must have ended.
    pub fn close(self, limit: Duration) {
        drop(self.sender);
        // Both outcomes mean that there is nothing to wait for any more.
        let _ = self.ended.recv_timeout(limit);
    }
}

/// What a core needs for its part; can be sent to its thread.
#[derive(Clone, Debug)]
pub struct Feed {
    sender: SyncSender<Chunk>,
    shared: Arc<Shared>,
}

/// A core's part of the access log.
#[derive(Debug)]
pub struct CoreLog {
    feed: Feed,
    buffer: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    dates: RefCell<DateCache>,
    /// Rung by the first line after a flush, and at the end.
    filled: Rc<Notify>,
}

impl CoreLog {
    /// To be called on the core's runtime.
    pub fn new(feed: Feed) -> Rc<Self> {
        let filled = Rc::new(Notify::new());
        let log = Rc::new(Self {
            feed,
            buffer: RefCell::new(Vec::with_capacity(CHUNK_BYTES)),
            lines: Cell::new(0),
            dates: RefCell::new(DateCache::new(TimeZone::system())),
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

    fn flush(&self) {
        let lines = self.lines.replace(0);
        if lines == 0 {
            return;
        }
        let bytes = std::mem::replace(&mut *self.buffer.borrow_mut(), Vec::with_capacity(CHUNK_BYTES));
        match self.feed.sender.try_send(Chunk { bytes, lines }) {
            Ok(()) => {}
            Err(TrySendError::Full(chunk)) => {
                self.feed.shared.lost.fetch_add(chunk.lines, Ordering::Relaxed);
                // Its memory serves on.
                let mut bytes = chunk.bytes;
                bytes.clear();
                *self.buffer.borrow_mut() = bytes;
            }
            Err(TrySendError::Disconnected(_)) => {
                unreachable!("the thread reads as long as there are senders")
            }
        }
    }
}

impl Sink for CoreLog {
    fn record(&self, record: &Record<'_>) {
        let length = {
            let mut buffer = self.buffer.borrow_mut();
            line::write(record, &mut self.dates.borrow_mut(), &mut buffer);
            buffer.len()
        };
        let lines = self.lines.get() + 1;
        self.lines.set(lines);
        if length >= CHUNK_BYTES - line::MAX_LINE_BYTES {
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

/// Where the lines go.
enum Output {
    Stdout,
    File(std::path::PathBuf, File),
    #[cfg(test)]
    Test(Box<dyn Write + Send>),
}

impl Output {
    fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::File(path) => Self::File(path.clone(), append(path)?),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(_, file) => file.write_all(bytes),
            #[cfg(test)]
            Self::Test(output) => output.write_all(bytes),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(path, file) = self {
            *file = append(path)?;
        }
        Ok(())
    }
}

fn append(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The thread that writes.
struct WriterThread {
    output: Output,
    shared: Arc<Shared>,
    /// What the target said last, if it could not be written.
    failure: Option<io::Error>,
    reported: Instant,
}

impl WriterThread {
    fn write(&mut self, chunk: &Chunk) {
        if self.shared.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.output.reopen()
        {
            tracing::error!("the access log can't be opened anew, the old file is written on: {error}");
        }
        if let Err(error) = self.output.write(&chunk.bytes) {
            self.shared.lost.fetch_add(chunk.lines, Ordering::Relaxed);
            self.failure = Some(error);
        }
        let now = clock::now();
        if now.duration_since(self.reported) >= REPORT_EVERY {
            self.report(now);
        }
    }

    fn report(&mut self, now: Instant) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        self.reported = now;
        let reason =
            self.failure.take().map_or("its target is too slow".to_owned(), |error| error.to_string());
        tracing::error!("{lost} lines of the access log are lost: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    use super::*;

    fn record() -> Record<'static> {
        Record {
            client: "127.0.0.1:1".parse().unwrap(),
            began: clock::wall(),
            frontend: "web",
            backend: "shop",
            server: None,
            phases: [None; 4],
            total: Duration::ZERO,
            status: Some(200),
            bytes: 0,
            termination: *b"----",
            counts: [0; 4],
            retries: 0,
            redispatched: false,
            queued_behind: [0; 2],
            line: Some(b"GET / HTTP/1.1"),
        }
    }

    /// Takes bytes only when it is allowed to.
    struct Gate(Arc<Mutex<()>>, Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.0.lock().unwrap();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_line_is_written_soon_and_the_rest_at_the_end() {
        let (sender, seen) = std::sync::mpsc::channel();
        let writer = Writer::start(Output::Test(Box::new(Gate(Arc::default(), sender)))).unwrap();
        let log = CoreLog::new(writer.feed());
        log.record(&record());
        log.record(&record());
        tokio::time::sleep(2 * FLUSH_AFTER).await;
        let first = String::from_utf8(seen.recv_timeout(Duration::from_secs(5)).unwrap()).unwrap();
        assert_eq!(first.lines().count(), 2);
        log.record(&record());
        drop(log);
        writer.close(Duration::from_secs(5));
        assert_eq!(seen.try_recv().unwrap().last(), Some(&b'\n'));
    }

    #[tokio::test(flavor = "local")]
    async fn a_target_that_hangs_costs_lines_and_no_time() {
        let gate: Arc<Mutex<()>> = Arc::default();
        let (sender, seen) = std::sync::mpsc::channel();
        let writer = Writer::start(Output::Test(Box::new(Gate(gate.clone(), sender)))).unwrap();
        let shared = writer.shared.clone();
        let log = CoreLog::new(writer.feed());
        let closed = gate.lock().unwrap();
        let lines = 100 * 1000;
        for _ in 0..lines {
            log.record(&record());
        }
        log.flush();
        let lost = shared.lost.load(Ordering::Relaxed);
        assert!(lost > 0 && lost < lines, "{lost}");
        drop(closed);
        let mut written = 0;
        while written + lost < lines {
            let chunk = seen.recv_timeout(Duration::from_secs(5)).unwrap();
            written += memchr::memchr_iter(b'\n', &chunk).count() as u64;
        }
        assert_eq!(written + lost, lines);
    }

    #[test]
    fn a_file_that_was_moved_is_opened_anew() {
        let directory = std::env::temp_dir().join(format!("drain-proxy-log-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (path, moved) = (directory.join("access.log"), directory.join("access.log.1"));
        let mut output = Output::open(&LogTarget::File(path.clone())).unwrap();
        output.write(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        output.write(b"two\n").unwrap();
        output.reopen().unwrap();
        output.write(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
