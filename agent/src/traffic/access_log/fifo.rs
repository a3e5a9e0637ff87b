//! A log that is written to a FIFO.
//!
//! It is read all the time: a writer whose FIFO is full waits, and its users with it.

use std::{
    future, io, mem,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{OpenOptions, Receiver},
    task::JoinHandle,
    time,
};

use super::{Seen, lines::Lines};
use crate::{clock::Moment, config::Pattern};

/// How much a FIFO shall hold, if the kernel allows it: with [`PAUSE`] it takes 10 MB a second, 50,000 lines, before a
/// writer waits.
const CAPACITY: usize = 1024 * 1024;
/// After each reading: a server that writes each line by itself must not wake the agent for each.
const PAUSE: Duration = Duration::from_millis(100);
/// How much one system call reads.
const CHUNK: usize = 64 * 1024;

/// How often it is looked whether another FIFO has taken its place: whoever opens that to write waits until it is read.
const REPLACED: Duration = Duration::from_secs(1);

/// A FIFO that is read.
#[derive(Debug)]
pub(super) struct Fifo {
    read: Arc<Mutex<Read>>,
    reader: JoinHandle<()>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct Read {
    seen: Seen,
    failed: Option<String>,
}

/// One end of a FIFO, and which one it is.
#[derive(Debug)]
struct End {
    fifo: Receiver,
    id: (u64, u64),
    lines: Lines,
}

impl End {
    fn open(path: &Path) -> io::Result<Self> {
        // Open for writing as well: it never ends, whoever comes and goes at its other end.
        let fifo = OpenOptions::new().read_write(true).open_receiver(path)?;
        // It holds 64 KiB where the kernel allows no more.
        let _as_it_is = rustix::pipe::fcntl_setpipe_size(&fifo, CAPACITY);
        let id = rustix::fs::fstat(&fifo)?;
        Ok(Self { id: (id.st_dev, id.st_ino), fifo, lines: Lines::default() })
    }

    /// Waits for what comes next: so many bytes, with which so many requests end.
    async fn take(&mut self, chunk: &mut [u8], ignore: Option<&Pattern>) -> io::Result<(usize, u64)> {
        let count = self.fifo.read(chunk).await?;
        Ok((count, self.lines.take(&chunk[..count], ignore)))
    }

    /// The one that is at `path` now, where that is another.
    fn successor(&self, path: &Path) -> Option<Self> {
        let there = std::fs::metadata(path).ok()?;
        let is_other = there.file_type().is_fifo() && (there.dev(), there.ino()) != self.id;
        // One that can't be opened is tried again, and told by the next reading.
        if is_other { Self::open(path).ok() } else { None }
    }
}

impl Fifo {
    /// Begins to read what is written to `path` from now on, and to what takes its place.
    pub(super) fn open(path: &Path, ignore: Option<Pattern>) -> io::Result<Self> {
        let end = End::open(path)?;
        let read = Arc::<Mutex<Read>>::default();
        let reader = tokio::spawn(follow(end, path.to_owned(), ignore, Arc::clone(&read)));
        Ok(Self { read, reader })
    }

    /// What was read until now.
    pub(super) fn seen(&self) -> Result<Seen, String> {
        let read = lock(&self.read);
        match &read.failed {
            Some(why) => Err(why.clone()),
            None => Ok(read.seen),
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn follow(mut end: End, path: PathBuf, ignore: Option<Pattern>, read: Arc<Mutex<Read>>) {
    let mut chunks = [vec![0; CHUNK], vec![0; CHUNK]];
    // A server that has the one before still open goes on to write there until it opens its log anew.
    let mut before: Option<End> = None;
    let mut look = time::interval(REPLACED);
    loop {
        let [chunk, other] = &mut chunks;
        let came = tokio::select! {
            came = end.take(chunk, ignore.as_ref()) => came,
            came = take_of(&mut before, other, ignore.as_ref()) => came,
            _ = look.tick() => {
                if let Some(successor) = end.successor(&path) {
                    before = Some(mem::replace(&mut end, successor));
                }
                continue;
            }
        };
        match came {
            Ok((count, requests)) => {
                lock(&read).seen.add(requests, Moment::now());
                if count < CHUNK {
                    time::sleep(PAUSE).await;
                }
            }
            Err(error) => {
                lock(&read).failed = Some(error.to_string());
                return;
            }
        }
    }
}

/// What comes of an end, if there is one.
async fn take_of(
    end: &mut Option<End>,
    chunk: &mut [u8],
    ignore: Option<&Pattern>,
) -> io::Result<(usize, u64)> {
    match end {
        Some(end) => end.take(chunk, ignore).await,
        None => future::pending().await,
    }
}

fn lock(read: &Mutex<Read>) -> MutexGuard<'_, Read> {
    // Each change is one call, so it is whole even if a thread has died.
    read.lock().unwrap_or_else(PoisonError::into_inner)
}
