//! A log that is written to a FIFO.
//!
//! It is read all the time: a writer whose FIFO is full waits, and its users with it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::Path,
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

/// A FIFO that is read.
#[derive(Debug)]
pub(super) struct Fifo {
    id: (u64, u64),
    read: Arc<Mutex<Read>>,
    reader: JoinHandle<()>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct Read {
    seen: Seen,
    failed: Option<String>,
}

impl Fifo {
    /// Begins to read what is written to `path` from now on.
    pub(super) fn open(path: &Path, ignore: Option<Pattern>) -> io::Result<Self> {
        // Open for writing as well: it never ends, whoever comes and goes at its other end.
        let fifo = OpenOptions::new().read_write(true).open_receiver(path)?;
        let metadata = std::fs::metadata(path)?;
        // It holds 64 KiB where the kernel allows no more.
        let _as_it_is = rustix::pipe::fcntl_setpipe_size(&fifo, CAPACITY);
        let read = Arc::<Mutex<Read>>::default();
        let reader = tokio::spawn(follow(fifo, ignore, Arc::clone(&read)));
        Ok(Self { id: (metadata.dev(), metadata.ino()), read, reader })
    }

    /// Whether it is still the one that is at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id)
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

async fn follow(mut fifo: Receiver, ignore: Option<Pattern>, read: Arc<Mutex<Read>>) {
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        match fifo.read(&mut chunk).await {
            Ok(count) => {
                let requests = lines.take(&chunk[..count], ignore.as_ref());
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

fn lock(read: &Mutex<Read>) -> MutexGuard<'_, Read> {
    // Each change is one call, so it is whole even if a thread has died.
    read.lock().unwrap_or_else(PoisonError::into_inner)
}
