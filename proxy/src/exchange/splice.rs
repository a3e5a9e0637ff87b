//! Long bodies without a copy: from socket to socket through a pipe of the kernel.
//!
//! The bytes of a long body of known length are not looked at, so they need not come through here: `splice(2)` moves the
//! kernel's pages from one socket into a pipe and from there to the other socket. A pipe is lent as long as something
//! is in it; who is slow to take that loses it to the next body that needs one, and the rest of a slow client's body is
//! copied. Where none can be had, bodies are copied as the short ones are.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use tokio::{io::Interest, net::TcpStream, time::Instant};

use crate::clock;

/// What a pipe may hold: the most that the kernel lets anybody have (`fs.pipe-max-size`). Each of its 256 places takes
/// a page or a run of pages, so this decides how much one call moves.
const PIPE_BYTES: usize = 1 << 20;

/// Pipes that a core has at once: only those with a client that takes its time hold one for longer than a call, and
/// the kernel lets a user have 64 MiB of them (`fs.pipe-user-pages-soft`).
const MOST_PIPES: usize = 16;

/// For how long bodies are copied when the kernel has given no pipe: others may give back descriptors at any moment, and
/// asking costs less than copying a body does.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// It doubles up to this, because a limit that holds for good (`fs.pipe-max-size`) looks the same.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// For how long a pipe may hold what its client does not take, while another body needs one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Memory of one core for what slow clients have not taken, once their pipes are wanted by others. Beyond it they keep
/// their pipes, and the others' bodies are copied.
const MOST_SET_ASIDE: usize = 16 << 20;

/// What has come so to whom it was for, since the process began: one addition for many pages.
static GIVEN_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that have gone through a pipe of the kernel to clients and servers, since the process began.
pub fn spliced_bytes() -> u64 {
    GIVEN_BYTES.load(Ordering::Relaxed)
}

/// The pipes of one core.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    free: RefCell<Vec<Ends>>,
    /// The oldest first.
    lent: RefCell<Vec<Rc<Lent>>>,
    /// Bytes that lie in memory because their pipes were wanted.
    set_aside: Cell<usize>,
    /// The kernel gave none when it was last asked.
    refused: Cell<Option<Refused>>,
}

/// It is not asked for a while.
#[derive(Clone, Copy, Debug)]
struct Refused {
    until: Instant,
    pause: Duration,
}

/// A pipe that is lent, or what was in it.
#[derive(Debug)]
pub(super) struct Conduit {
    lent: Rc<Lent>,
    pipes: Rc<Pipes>,
}

/// One body's way past the buffers.
#[derive(Debug)]
pub(super) enum Bypass {
    Open,
    /// Something is on it.
    Busy(Conduit),
    /// The sink has been so slow that the way was taken from it: all else comes through the buffers.
    Closed,
}

/// What a conduit has.
#[derive(Debug)]
struct Lent {
    since: Instant,
    content: RefCell<Content>,
}

#[derive(Debug)]
enum Content {
    Piped {
        ends: Ends,
        held: usize,
    },
    /// In memory, because somebody else needed the pipe.
    SetAside {
        bytes: Vec<u8>,
        given: usize,
    },
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// An empty pipe, if there is one.
    pub(super) fn lend(self: &Rc<Self>) -> Option<Conduit> {
        let now = clock::now();
        let ends = if self.lent.borrow().len() < MOST_PIPES {
            let free = self.free.borrow_mut().pop();
            free.or_else(|| self.open())?
        } else {
            self.take_back(now)?
        };
        let lent = Rc::new(Lent { since: now, content: RefCell::new(Content::Piped { ends, held: 0 }) });
        self.lent.borrow_mut().push(lent.clone());
        Some(Conduit { lent, pipes: Rc::clone(self) })
    }

    /// Takes the pipe that has been lent for the longest from a client that takes its time.
    fn take_back(&self, now: Instant) -> Option<Ends> {
        let mut all = self.lent.borrow_mut();
        let oldest = all.first().filter(|oldest| now.duration_since(oldest.since) >= PATIENCE)?;
        let mut content = oldest.content.borrow_mut();
        let Content::Piped { ends, held } = &*content else { return None };
        if self.set_aside.get() + held > MOST_SET_ASIDE {
            return None;
        }
        let mut bytes = vec![0; *held];
        let mut read = 0;
        while read < bytes.len() {
            match rustix::io::read(&ends.read, &mut bytes[read..]) {
                Ok(count) if count > 0 => read += count,
                Err(Errno::INTR) => {}
                // It holds what was counted.
                found => unreachable!("expected {held} bytes in the pipe, found {found:?} after {read}"),
            }
        }
        self.set_aside.set(self.set_aside.get() + bytes.len());
        let before = std::mem::replace(&mut *content, Content::SetAside { bytes, given: 0 });
        drop(content);
        all.remove(0);
        match before {
            Content::Piped { ends, .. } => Some(ends),
            Content::SetAside { .. } => None,
        }
    }

    fn open(&self) -> Option<Ends> {
        self.open_by(clock::now(), Ends::open)
    }

    fn open_by(&self, now: Instant, open: impl FnOnce() -> io::Result<Ends>) -> Option<Ends> {
        let before = self.refused.get();
        if before.is_some_and(|refused| now < refused.until) {
            return None;
        }
        match open() {
            Ok(ends) => {
                self.refused.set(None);
                Some(ends)
            }
            Err(error) => {
                if before.is_none() {
                    tracing::info!(%error, "long bodies are copied: the kernel gives no pipe of {PIPE_BYTES} bytes");
                }
                let pause = before.map_or(FIRST_PAUSE, |refused| (2 * refused.pause).min(LONGEST_PAUSE));
                self.refused.set(Some(Refused { until: now + pause, pause }));
                None
            }
        }
    }
}

impl Ends {
    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, PIPE_BYTES)?;
        Ok(Self { read, write })
    }
}

impl Conduit {
    /// Something is in it.
    pub(super) fn holds_bytes(&self) -> bool {
        match &*self.lent.content.borrow() {
            Content::Piped { held, .. } => *held > 0,
            Content::SetAside { bytes, given } => *given < bytes.len(),
        }
    }

    /// Its client has taken so much time that somebody else has its pipe now.
    pub(super) fn is_slow(&self) -> bool {
        matches!(&*self.lent.content.borrow(), Content::SetAside { .. })
    }

    /// Takes at most `most` bytes from the socket; 0 is the end. It must be empty: a full pipe would look as if the
    /// socket had nothing.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(!self.holds_bytes(), "what is in it goes first");
        let most = usize::try_from(most).unwrap_or(PIPE_BYTES).min(PIPE_BYTES);
        let mut content = self.lent.content.borrow_mut();
        let Content::Piped { ends, held } = &mut *content else { return Poll::Ready(Ok(0)) };
        *held = loop {
            ready!(source.poll_read_ready(cx))?;
            // What the call says of the pipe counts for the socket: it is empty, so that it has room.
            match source.try_io(Interest::READABLE, || move_pages(source, &ends.write, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break result?,
            }
        };
        Poll::Ready(Ok(*held))
    }

    /// Gives of what is in it to the socket, once; how much that was.
    pub(super) fn poll_give(&mut self, cx: &mut Context<'_>, sink: &TcpStream) -> Poll<io::Result<usize>> {
        let mut content = self.lent.content.borrow_mut();
        loop {
            ready!(sink.poll_write_ready(cx))?;
            let given = match &mut *content {
                Content::Piped { ends, held } => {
                    sink.try_io(Interest::WRITABLE, || move_pages(&ends.read, sink, *held)).inspect(|count| {
                        *held -= count;
                        GIVEN_BYTES.fetch_add(*count as u64, Ordering::Relaxed);
                    })
                }
                Content::SetAside { bytes, given } => {
                    sink.try_write(&bytes[*given..]).inspect(|count| *given += count)
                }
            };
            match given {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

fn move_pages(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    // A signal that comes first keeps it from moving anything, even where it would not wait (`splice_from_pipe_next`).
    let moved =
        retry_on_intr(|| splice(&from, None, &to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE));
    Ok(moved?)
}

impl Drop for Conduit {
    fn drop(&mut self) {
        let mut all = self.pipes.lent.borrow_mut();
        if let Some(at) = all.iter().position(|lent| Rc::ptr_eq(lent, &self.lent)) {
            all.remove(at);
        }
        let nothing = Content::SetAside { bytes: Vec::new(), given: 0 };
        match self.lent.content.replace(nothing) {
            Content::Piped { ends, held: 0 } => self.pipes.free.borrow_mut().push(ends),
            // What is left in one belongs to nobody else.
            Content::Piped { .. } => {}
            Content::SetAside { bytes, .. } => {
                self.pipes.set_aside.set(self.pipes.set_aside.get() - bytes.len());
            }
        }
    }
}

#[cfg(test)]
mod tests;
