//! One request as it was sent so far.

use std::{
    fs::File,
    future::Future,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Budget,
    budget::{Kind, Lost, Share},
    file,
};
use crate::config;

/// What is written to a file at once, and read from it: large enough that the hand-over to another thread is nothing
/// beside it.
const BLOCK_BYTES: usize = 64 * 1_024;

/// One request as it was sent so far.
///
/// ```text
/// 0 ────────────── filed ── being written ──────── memory ── the next byte to be sent
///     in the file            in neither's hands     in `memory`
/// ```
#[derive(Debug)]
pub(in crate::exchange) struct Kept {
    limits: config::Replay,
    budget: Arc<Budget>,
    /// All that is not in the file.
    memory: Vec<u8>,
    memory_share: Share,
    disk_share: Share,
    file: Option<Arc<File>>,
    /// Bytes in the file.
    filed: u64,
    writing: Option<JoinHandle<io::Result<Written>>>,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// It has outgrown the memory: what comes goes to the file, block by block.
    spills: bool,
    /// It is no longer whole.
    lost: bool,
    /// How far it has been sent again; `None`: as far as it was kept.
    sent_again: Option<u64>,
}

/// A block that has come into the file.
#[derive(Debug)]
struct Written {
    file: Arc<File>,
    bytes: u64,
}

impl Kept {
    /// Nothing so far.
    pub(in crate::exchange) fn new(budget: &Arc<Budget>, limits: config::Replay) -> Box<Self> {
        let share = |kind| Share::empty(budget.clone(), kind);
        Box::new(Self {
            limits,
            budget: budget.clone(),
            memory: Vec::new(),
            memory_share: share(Kind::Memory),
            disk_share: share(Kind::Disk),
            file: None,
            filed: 0,
            writing: None,
            reading: None,
            spills: false,
            lost: false,
            sent_again: None,
        })
    }

    /// Whether it can be sent again.
    pub(in crate::exchange) const fn is_whole(&self) -> bool {
        !self.lost
    }

    /// Keeps what is sent next.
    pub(in crate::exchange) fn append(&mut self, bytes: &[u8]) {
        if self.lost {
            return;
        }
        match self.room(bytes.len()) {
            Ok(()) => self.memory.extend_from_slice(bytes),
            Err(why) => self.lose(&why),
        }
    }

    /// Ready when more can be kept: a disk that is slower than the client must not fill the memory.
    pub(in crate::exchange) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.spills && !self.lost {
            if self.writing.is_some() {
                match self.poll_written(cx) {
                    Poll::Pending if self.memory.len() >= BLOCK_BYTES => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => self.lose(&Lost::Disk { error }),
                }
            } else if self.memory.len() >= BLOCK_BYTES {
                self.write_block();
            } else {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Begins to send it again.
    pub(in crate::exchange) fn rewind(&mut self) {
        debug_assert!(!self.lost, "what was let go of is gone");
        self.reading = None;
        self.sent_again = Some(0);
    }

    /// Whether there is still some of it to be sent again.
    pub(in crate::exchange) const fn is_sent_again(&self) -> bool {
        self.sent_again.is_some()
    }

    /// Appends the next bytes that are to be sent again; false: that was all.
    pub(in crate::exchange) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<io::Result<bool>> {
        let Some(at) = self.sent_again else { return Poll::Ready(Ok(false)) };
        if self.writing.is_some()
            && let Err(error) = ready!(self.poll_written(cx))
        {
            let again = io::Error::new(error.kind(), error.to_string());
            self.lose(&Lost::Disk { error });
            return Poll::Ready(Err(again));
        }
        let count = if at < self.filed {
            let block = ready!(self.poll_block(cx, at))?;
            out.extend_from_slice(&block);
            block.len()
        } else {
            let from = usize::try_from(at - self.filed).unwrap_or(usize::MAX);
            let rest = self.memory.get(from..).unwrap_or_default();
            let rest = &rest[..rest.len().min(BLOCK_BYTES)];
            out.extend_from_slice(rest);
            rest.len()
        };
        self.sent_again = (count > 0).then_some(at + count as u64);
        Poll::Ready(Ok(count > 0))
    }

    /// Makes room for so many bytes more.
    fn room(&mut self, bytes: usize) -> Result<(), Lost> {
        let in_memory = self.memory.len() + bytes;
        let spills = self.spills || in_memory as u64 > self.limits.memory;
        if spills {
            // What lies in memory will be in the file, too.
            let added = if self.spills { bytes } else { in_memory };
            self.spills = true;
            if self.disk_share.bytes() + added as u64 > self.limits.disk {
                return Err(Lost::TooLong);
            }
            self.disk_share.grow(added)?;
        }
        self.memory_share.grow(bytes)
    }

    fn lose(&mut self, why: &Lost) {
        self.budget.count_lost(why);
        self.lost = true;
        self.memory = Vec::new();
        self.close();
        self.writing = None;
        drop((self.memory_share.split(), self.disk_share.split()));
    }

    /// Closes the file, which frees all that is in it: not on a core's thread.
    fn close(&mut self) {
        if let (Some(file), Ok(runtime)) = (self.file.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }

    /// Hands all that lies in memory over to the file.
    fn write_block(&mut self) {
        let block = std::mem::replace(&mut self.memory, Vec::with_capacity(BLOCK_BYTES));
        // Held until it lies in the file, even if nobody waits for that any more.
        let share = self.memory_share.split();
        let (file, at) = (self.file.clone(), self.filed);
        self.writing = Some(spawn_blocking(move || {
            let _share = share;
            let file = match file {
                Some(file) => file,
                None => Arc::new(file::unnamed(&file::folder())?),
            };
            file.write_all_at(&block, at)?;
            Ok(Written { file, bytes: block.len() as u64 })
        }));
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let written = ready!(Pin::new(writing).poll(cx));
        self.writing = None;
        let Written { file, bytes } = written.map_err(io::Error::from)??;
        self.file = Some(file);
        self.filed += bytes;
        Poll::Ready(Ok(()))
    }

    /// The next bytes of the file.
    fn poll_block(&mut self, cx: &mut Context<'_>, at: u64) -> Poll<io::Result<Vec<u8>>> {
        let (file, left) = (self.file.clone(), self.filed - at);
        let reading = self.reading.get_or_insert_with(|| {
            spawn_blocking(move || {
                let mut block = vec![0; BLOCK_BYTES.min(usize::try_from(left).unwrap_or(BLOCK_BYTES))];
                let file = file.ok_or(io::ErrorKind::NotFound)?;
                file.read_exact_at(&mut block, at)?;
                Ok(block)
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(read.map_err(io::Error::from).flatten())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMITS: config::Replay = config::Replay { memory: 100_000, disk: 1_000_000 };

    /// Of all requests.
    const ALL: config::Replay = config::Replay { memory: 400_000, disk: 2_000_000 };

    /// Bytes that are nowhere the same.
    fn bytes(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
    }

    async fn keep(kept: &mut Kept, total: usize) {
        for from in (0..total).step_by(10_000) {
            poll_fn(|cx| kept.poll_room(cx)).await;
            kept.append(&bytes(from, 10_000.min(total - from)));
        }
    }

    /// What is sent again when it is sent again now.
    async fn sent_again(kept: &mut Kept) -> Vec<u8> {
        let mut found = Vec::new();
        kept.rewind();
        while poll_fn(|cx| kept.poll_next(cx, &mut found)).await.unwrap() {}
        found
    }

    #[tokio::test]
    async fn what_was_kept_can_be_sent_again_more_than_once_and_goes_on_growing() {
        for (total, on_disk) in [(99_999, false), (100_001, true), (700_000, true)] {
            let budget = Budget::new(ALL);
            let mut kept = Kept::new(&budget, LIMITS);
            keep(&mut kept, total).await;
            assert!(kept.is_whole());
            assert_eq!(budget.left().disk < ALL.disk, on_disk, "{total}");
            for _ in 0..2 {
                assert!(sent_again(&mut kept).await == bytes(0, total), "{total}");
            }
            assert!(!kept.is_sent_again());
            kept.append(&bytes(total, 77));
            assert!(sent_again(&mut kept).await == bytes(0, total + 77), "{total}");
            drop(kept);
            assert_eq!(budget.left(), ALL);
        }
    }

    #[tokio::test]
    async fn one_that_stops_half_way_can_be_sent_again_from_its_start() {
        let mut kept = Kept::new(&Budget::new(ALL), LIMITS);
        keep(&mut kept, 400_000).await;
        kept.rewind();
        assert!(poll_fn(|cx| kept.poll_next(cx, &mut Vec::new())).await.unwrap());
        assert!(kept.is_sent_again());
        assert!(sent_again(&mut kept).await == bytes(0, 400_000));
    }

    #[tokio::test]
    async fn memory_holds_no_more_than_its_limit_and_a_few_blocks() {
        let budget = Budget::new(ALL);
        let mut kept = Kept::new(&budget, LIMITS);
        for from in (0..900_000).step_by(10_000) {
            poll_fn(|cx| kept.poll_room(cx)).await;
            kept.append(&bytes(from, 10_000));
            let held = ALL.memory - budget.left().memory;
            // A block in hand and one on its way, each with what the read brought that completed it.
            assert!(held <= LIMITS.memory + BLOCK_BYTES as u64 + 20_000, "{held} bytes");
        }
        assert!(kept.is_whole());
    }

    #[tokio::test]
    async fn beyond_a_limit_nothing_is_kept_and_all_is_given_back() {
        let small = config::Replay { memory: 50_000, disk: 0 };
        for (of_process, of_request, total) in [
            (ALL, LIMITS, 1_000_001),
            (ALL, small, 50_001),
            (small, LIMITS, 60_000),
            (config::Replay { disk: 200_000, ..ALL }, LIMITS, 300_000),
        ] {
            let budget = Budget::new(of_process);
            let mut kept = Kept::new(&budget, of_request);
            keep(&mut kept, total).await;
            assert!(!kept.is_whole(), "{of_process:?} {of_request:?} {total}");
            // A block that is being written is held until it is.
            while budget.left() != of_process {
                tokio::task::yield_now().await;
            }
            assert_eq!(budget.lost(), 1);
        }
    }
}
