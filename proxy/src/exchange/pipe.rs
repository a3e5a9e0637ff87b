//! One direction of an exchange: bytes from one socket to the other, framed anew, with backpressure.
//!
//! Nothing is read while something waits to be written, so that a slow reader costs one buffer and no more. An empty
//! buffer is given back before waiting. A long body of known length does not come through a buffer at all ([`super::splice`]).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

use super::{
    body::Body,
    buffer::{Buffer, Output, Pool, Size, poll_fill},
    replay::Kept,
    splice::Bypass,
};
use crate::http1::{ChunkError, Framing, Withholds};

/// Bodies up to this size are copied behind their head: cheaper than a gathering write.
const COPIED: usize = 8 * 1_024;

/// From this many bytes to come on, a body is not copied; where there is no pipe for it, it gets the long buffer.
const LONG_BODY: u64 = 96 * 1_024;

/// Bytes on their way from a source to a sink.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Read, not used yet.
    pub(super) input: Option<Buffer>,
    /// To be written first.
    pub(super) output: Output,
    /// So many bytes of the input follow the output as they are.
    direct: usize,
    /// What follows that without having been read here.
    bypass: Bypass,
    body: Body,
    /// The output is kept after it was written: it is the whole message, and can be written again.
    rewindable: bool,
    /// All that was sent, where it does not lie in the output.
    kept: Option<Box<Kept>>,
    /// Nothing is kept any more from when what was kept has been sent again.
    is_last: bool,
    /// The source waits to be asked for the body.
    held_back: bool,
    read: u64,
    written: u64,
    pool: Rc<Pool>,
}

/// Why a body has not come through.
#[derive(Debug)]
pub(super) enum Broken {
    /// The source closed too early, or failed.
    Source,
    /// The sink takes no more.
    Sink,
    /// The source's chunks are malformed.
    Chunks(ChunkError),
    /// What was kept of it can't be read again.
    Kept(io::Error),
}

impl Pipe {
    /// A pipe with nothing in it but what was read before, and what is to be written first.
    pub(super) fn new(pool: &Rc<Pool>, input: Option<Buffer>, output: Output) -> Self {
        Self {
            input: input.filter(|input| !input.is_empty()),
            output,
            direct: 0,
            bypass: Bypass::Open,
            body: Body::Done,
            rewindable: false,
            kept: None,
            is_last: false,
            held_back: false,
            read: 0,
            written: 0,
            pool: pool.clone(),
        }
    }

    /// From here on everything passes until the source closes: a tunnel.
    pub(super) fn open(&mut self) {
        self.body = Body::UntilClose;
        self.kept = None;
        if std::mem::take(&mut self.rewindable) && self.output.is_sent() {
            self.output.clear();
        }
    }

    /// A body of this kind follows, whose trailers do not have these fields.
    pub(super) fn expect(&mut self, framing: Framing, withheld: Option<&Rc<dyn Withholds>>) {
        self.body = Body::of(framing, withheld);
    }

    /// The source sends the body when it is asked for it (`Expect: 100-continue`), unless it has begun already.
    pub(super) const fn hold_back(&mut self) {
        self.held_back = self.input.is_none();
    }

    /// The source has been asked for the body.
    pub(super) const fn ask(&mut self) {
        self.held_back = false;
    }

    /// The source has not been asked for the body, and has sent nothing of it.
    pub(super) const fn is_held_back(&self) -> bool {
        self.held_back && self.read == 0
    }

    /// The sink has all that has come, and the source owes the rest.
    pub(super) fn waits_for_source(&self) -> bool {
        !self.is_read() && !self.is_pending() && !self.is_held_back() && !self.is_sent_again()
    }

    /// Frames what has been read already; a message that is complete by then can be written again.
    pub(super) fn begin(&mut self) -> Result<(), ChunkError> {
        self.take_in(usize::MAX)?;
        self.rewindable = self.is_read();
        Ok(())
    }

    /// Keeps the message while it is sent, so that it can be written again.
    pub(super) fn keep(&mut self, mut kept: Box<Kept>) {
        debug_assert!(self.is_untouched() && self.direct == 0, "what has gone out is not kept");
        kept.append(self.output.rest());
        self.kept = Some(kept);
    }

    /// It will not be written again. What is being written again is so to its end, and given up then.
    pub(super) fn forget(&mut self) {
        self.is_last = self.is_sent_again();
        if !self.is_last {
            self.kept = None;
        }
    }

    /// The whole message has been read, and can be written again whatever happens.
    pub(super) const fn is_whole(&self) -> bool {
        self.rewindable
    }

    /// The whole message, as far as it has been read, can be written again.
    pub(super) fn is_rewindable(&self) -> bool {
        self.rewindable || self.kept.as_ref().is_some_and(|kept| kept.is_whole())
    }

    /// Nothing has been written yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.written == 0 && self.output.is_untouched()
    }

    /// Begins to write the message anew.
    pub(super) fn rewind(&mut self) {
        debug_assert!(self.is_rewindable(), "what was written is gone");
        if let Some(kept) = &mut self.kept {
            // What has been read and not written has been kept as well.
            self.output.clear();
            let direct = std::mem::take(&mut self.direct);
            if let Some(input) = &mut self.input {
                input.consume(direct);
            }
            kept.rewind();
        } else {
            self.output.rewind();
        }
        self.written = 0;
    }

    /// What was kept is being written again.
    fn is_sent_again(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_sent_again())
    }

    /// Forgets what was read and not taken for a part of the message.
    pub(super) fn forget_input(&mut self) {
        debug_assert!(!self.is_pending(), "what belongs to the message goes out first");
        self.input = None;
    }

    /// Bytes of the body that have not come, where its length is known.
    pub(super) const fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// The body has been read to its end.
    pub(super) const fn is_read(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// Something waits for the sink.
    pub(super) const fn is_pending(&self) -> bool {
        self.direct > 0 || !self.output.is_sent() || matches!(self.bypass, Bypass::Busy(_))
    }

    /// Bytes written so far.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Grows with each byte that moves.
    pub(super) const fn moved(&self) -> u64 {
        self.read + self.written
    }

    /// Something was read that is not part of the message.
    pub(super) fn has_unread(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.filled().len() > self.direct)
    }

    /// What was read beyond the end of the message. Bytes of the body that nobody took are no part of it, and there is
    /// no telling what follows a message that has not been read to its end.
    pub(super) fn take_rest(&mut self) -> Option<Buffer> {
        let mut input = self.input.take().filter(|_| matches!(self.body, Body::Done))?;
        input.consume(self.direct);
        Some(input).filter(|input| !input.is_empty())
    }

    /// Moves what can be moved; ready when the message has been read and written to its end.
    pub(super) fn poll_transfer(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        sink: &mut TcpStream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            match &mut self.kept {
                Some(kept) if kept.is_sent_again() => {
                    // What is left of the block before goes out first.
                    if self.output.is_sent()
                        && !ready!(kept.poll_next(cx, self.output.append())).map_err(Broken::Kept)?
                        && self.is_last
                    {
                        self.kept = None;
                    }
                }
                _ => self.take_in(COPIED).map_err(Broken::Chunks)?,
            }
            ready!(self.poll_flush(cx, sink)).map_err(|_| Broken::Sink)?;
            if self.is_sent_again() {
                continue;
            }
            if self.is_read() {
                return Poll::Ready(Ok(()));
            }
            if let Some(kept) = &mut self.kept {
                ready!(kept.poll_room(cx));
            }
            if self.input.as_ref().is_some_and(|input| !input.is_empty()) {
                continue;
            }
            let long = matches!(self.body, Body::Length(left) if left >= LONG_BODY);
            // What is kept must come through here.
            let passes = long && !self.kept.as_ref().is_some_and(|kept| kept.is_whole());
            let filled = match passes.then(|| self.poll_splice(cx, source)).flatten() {
                Some(spliced) => spliced,
                None => self.poll_fill(cx, source, if long { Size::Long } else { Size::Relay }),
            };
            match ready!(filled) {
                Ok(0) if matches!(self.body, Body::UntilClose) => {
                    self.body = Body::Done;
                    return Poll::Ready(Ok(()));
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Source)),
                Ok(_) => {}
            }
        }
    }

    /// Reads the whole message, of a known length, which then lies in the output; false: it does not come.
    pub(super) fn poll_whole(&mut self, cx: &mut Context<'_>, source: &mut TcpStream) -> Poll<bool> {
        loop {
            if self.take_in(usize::MAX).is_err() {
                return Poll::Ready(false);
            }
            if self.is_read() {
                return Poll::Ready(true);
            }
            if !ready!(self.poll_fill(cx, source, Size::Relay)).is_ok_and(|count| count > 0) {
                return Poll::Ready(false);
            }
        }
    }

    /// Writes what waits for the sink.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut TcpStream) -> Poll<io::Result<()>> {
        while self.direct > 0 || !self.output.is_sent() {
            let sink = Pin::new(&mut *sink);
            let head = self.output.rest();
            let body = match &self.input {
                Some(input) => &input.filled()[..self.direct],
                None => &[],
            };
            let count = match (head.is_empty(), body.is_empty()) {
                (_, true) => ready!(sink.poll_write(cx, head))?,
                (true, false) => ready!(sink.poll_write(cx, body))?,
                _ => ready!(sink.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]))?,
            };
            self.count_written(count)?;
        }
        while let Bypass::Busy(conduit) = &mut self.bypass {
            let count = ready!(conduit.poll_give(cx, sink))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count as u64;
            if !conduit.holds_bytes() {
                self.bypass = if conduit.is_slow() { Bypass::Closed } else { Bypass::Open };
            }
        }
        if !self.rewindable {
            self.output.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        size: Size,
    ) -> Poll<io::Result<usize>> {
        let count = ready!(poll_fill(cx, source, &mut self.input, &self.pool, size))?;
        self.read += count as u64;
        Poll::Ready(Ok(count))
    }

    /// Takes some of a long body, nothing of which is here, past the buffers; `None`: there is no pipe.
    fn poll_splice(&mut self, cx: &mut Context<'_>, source: &TcpStream) -> Option<Poll<io::Result<usize>>> {
        let left = self.body.left().filter(|_| matches!(self.bypass, Bypass::Open))?;
        let mut conduit = self.pool.pipes.lend()?;
        let polled = conduit.poll_take(cx, source, left);
        if let Poll::Ready(Ok(count)) = polled {
            self.body.take(count);
            self.read += count as u64;
        }
        if conduit.holds_bytes() {
            self.bypass = Bypass::Busy(conduit);
        }
        Some(polled)
    }

    /// Frames what has been read, unless something waits to be written.
    fn take_in(&mut self, copied: usize) -> Result<(), ChunkError> {
        let Some(input) = self.input.as_mut().filter(|input| !input.is_empty() && self.direct == 0) else {
            return Ok(());
        };
        if let Body::Chunked(chunks) = &mut self.body {
            let framed = self.output.append().len();
            let taken = chunks.advance(input.filled(), self.output.append())?;
            if chunks.is_done() {
                self.body = Body::Done;
            }
            input.consume(taken);
            if let Some(kept) = &mut self.kept {
                kept.append(&self.output.append()[framed..]);
            }
            return Ok(());
        }
        let count = self.body.take(input.filled().len());
        if count == 0 {
            return Ok(());
        }
        let bytes = &input.filled()[..count];
        if let Some(kept) = &mut self.kept {
            kept.append(bytes);
        }
        if count <= copied {
            self.output.append().extend_from_slice(bytes);
            input.consume(count);
        } else {
            self.direct = count;
        }
        Ok(())
    }

    fn count_written(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let from_output = count.min(self.output.rest().len());
        self.output.sent(from_output);
        if let Some(input) = self.input.as_mut().filter(|_| count > from_output) {
            input.consume(count - from_output);
            self.direct -= count - from_output;
        }
        self.written += count as u64;
        Ok(())
    }
}
