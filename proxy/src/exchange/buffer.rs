//! Buffers of one core, handed round among its connections.
//!
//! A connection takes one when there is something to read and gives it back when it is empty, so that an idle one holds
//! none. Nothing here is shared between cores.

use std::{
    cell::RefCell,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::splice::Pipes;

/// Room for a head that is as long as it may be; what else a client sent with it fits beside it.
const BESIDE_HEAD: usize = 1_024;

/// An answer of 16 KiB and its head fit: larger reads make fewer calls (see the measurements in `tests/bench`).
const RELAY_BYTES: usize = 64 * 1_024;

/// For bodies that are known to be long.
const LONG_BYTES: usize = 256 * 1_024;

/// What a core keeps of each kind: as much as a few hundred busy connections use at once, at most 4 MiB a kind.
const KEPT: [usize; 3] = [256, 64, 16];

/// Outputs that are kept, and the largest of them: one that had to grow for a burst of chunks is not.
const KEPT_OUTPUTS: usize = 256;
const KEPT_OUTPUT_BYTES: usize = 128 * 1_024;

/// What a buffer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Size {
    /// A request's head, and a small body.
    Head,
    /// Whatever a server sends.
    Relay,
    /// Long bodies.
    Long,
}

/// The buffers of one core.
#[derive(Debug)]
pub(super) struct Pool {
    head_bytes: usize,
    free: [RefCell<Vec<Vec<u8>>>; 3],
    outputs: RefCell<Vec<Vec<u8>>>,
    /// For what needs no buffer.
    pub(super) pipes: Rc<Pipes>,
}

/// Bytes that were read and not used yet.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    size: Size,
    pool: Rc<Pool>,
}

/// Reads once into the buffer that is there, or into a new one of this size; 0 is the end.
///
/// While there is nothing to read, no empty buffer is held.
pub(super) fn poll_fill(
    cx: &mut Context<'_>,
    source: &mut TcpStream,
    input: &mut Option<Buffer>,
    pool: &Rc<Pool>,
    size: Size,
) -> Poll<io::Result<usize>> {
    if input.as_ref().is_none_or(|input| input.is_empty() && input.size != size) {
        *input = None;
        ready!(source.poll_read_ready(cx))?;
    }
    let buffer = input.get_or_insert_with(|| pool.buffer(size));
    let (polled, count) = buffer.fill(|room| Pin::new(source).poll_read(cx, room));
    if buffer.is_empty() {
        *input = None;
    }
    ready!(polled)?;
    Poll::Ready(Ok(count))
}

/// Bytes that are to be written.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    pool: Rc<Pool>,
}

impl Pool {
    /// Buffers for heads of at most `head_bytes`.
    pub(super) fn new(head_bytes: usize) -> Rc<Self> {
        Rc::new(Self {
            head_bytes,
            free: Default::default(),
            outputs: RefCell::default(),
            pipes: Rc::default(),
        })
    }

    /// An empty buffer.
    pub(super) fn buffer(self: &Rc<Self>, size: Size) -> Buffer {
        let bytes = self.free[size as usize].borrow_mut().pop();
        let bytes = bytes.unwrap_or_else(|| vec![0; self.bytes_of(size)]);
        Buffer { bytes, start: 0, end: 0, size, pool: self.clone() }
    }

    /// An empty output.
    pub(super) fn output(self: &Rc<Self>) -> Output {
        let bytes = self.outputs.borrow_mut().pop().unwrap_or_default();
        Output { bytes, sent: 0, pool: self.clone() }
    }

    fn bytes_of(&self, size: Size) -> usize {
        match size {
            Size::Head => self.head_bytes + BESIDE_HEAD,
            Size::Relay => RELAY_BYTES.max(self.head_bytes + BESIDE_HEAD),
            Size::Long => LONG_BYTES.max(self.head_bytes + BESIDE_HEAD),
        }
    }
}

impl Buffer {
    /// What is in it.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// What is in it, to be changed in place.
    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Nothing is in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Makes it as large as another pool's buffers, if those are larger.
    pub(super) fn enlarge_for(&mut self, pool: &Rc<Pool>) {
        if pool.bytes_of(self.size) > self.bytes.len() {
            let mut larger = pool.buffer(self.size);
            let filled = self.filled();
            larger.bytes[..filled.len()].copy_from_slice(filled);
            larger.end = filled.len();
            *self = larger;
        }
    }

    /// The first `count` bytes have been used.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "more was used than was there");
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Lets `read` append to it; gives back how much that was.
    pub(super) fn fill<P>(&mut self, read: impl FnOnce(&mut ReadBuf<'_>) -> P) -> (P, usize) {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let result = read(&mut room);
        let count = room.filled().len();
        self.end += count;
        (result, count)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.pool.free[self.size as usize].borrow_mut();
        if free.len() < KEPT[self.size as usize] {
            free.push(mem::take(&mut self.bytes));
        }
    }
}

impl Output {
    /// Where to append.
    pub(super) const fn append(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What has not been written yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// All that was appended, written or not.
    pub(super) fn whole(&self) -> &[u8] {
        &self.bytes
    }

    /// All has been written.
    pub(super) const fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Nothing of it has been written.
    pub(super) const fn is_untouched(&self) -> bool {
        self.sent == 0
    }

    /// `count` bytes more have been written.
    pub(super) const fn sent(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.bytes.len(), "more was written than was there");
    }

    /// Begins anew, with nothing written.
    pub(super) const fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Forgets what was written.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut outputs = self.pool.outputs.borrow_mut();
        if outputs.len() < KEPT_OUTPUTS && self.bytes.capacity() <= KEPT_OUTPUT_BYTES {
            self.bytes.clear();
            outputs.push(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_handed_out_again() {
        let pool = Pool::new(100);
        let first = pool.buffer(Size::Head);
        let address = first.bytes.as_ptr();
        drop(first);
        assert_eq!(pool.buffer(Size::Head).bytes.as_ptr(), address);
    }

    #[test]
    fn a_buffer_makes_room_by_moving_what_is_left() {
        let pool = Pool::new(100);
        let mut buffer = pool.buffer(Size::Head);
        let capacity = buffer.bytes.len();
        buffer.fill(|room| room.put_slice(&vec![b'a'; capacity]));
        buffer.consume(capacity - 1);
        buffer.fill(|room| room.put_slice(b"bc"));
        assert_eq!(buffer.filled(), b"abc");
    }
}
