//! Long bodies without a copy: from socket to socket through a pipe of the kernel.
//!
//! The bytes of a long body of known length are not looked at, so they need not come through here: `splice(2)` moves the
//! kernel's pages from one socket into a pipe and from there to the other socket. A pipe is lent as long as something
//! is in it. Where none can be had, bodies are copied as the short ones are.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
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

/// The pipes of one core.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    free: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
    /// The kernel gave none when it was last asked.
    refused: Cell<Option<Refused>>,
}

/// It is not asked for a while.
#[derive(Clone, Copy, Debug)]
struct Refused {
    until: Instant,
    pause: Duration,
}

/// A pipe that is lent.
#[derive(Debug)]
pub(super) struct Conduit {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    held: usize,
    pipes: Rc<Pipes>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// An empty pipe, if there is one.
    pub(super) fn lend(self: &Rc<Self>) -> Option<Conduit> {
        if self.lent.get() >= MOST_PIPES {
            return None;
        }
        let free = self.free.borrow_mut().pop();
        let ends = free.or_else(|| self.open())?;
        self.lent.set(self.lent.get() + 1);
        Some(Conduit { ends: Some(ends), held: 0, pipes: Rc::clone(self) })
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
    pub(super) const fn holds_bytes(&self) -> bool {
        self.held > 0
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
        let ends = self.ends();
        let count = loop {
            ready!(source.poll_read_ready(cx))?;
            match source.try_io(Interest::READABLE, || move_pages(source, &ends.write, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break result?,
            }
        };
        self.held = count;
        Poll::Ready(Ok(count))
    }

    /// Gives of what is in it to the socket, once; how much that was.
    pub(super) fn poll_give(&mut self, cx: &mut Context<'_>, sink: &TcpStream) -> Poll<io::Result<usize>> {
        let ends = self.ends();
        let count = loop {
            ready!(sink.poll_write_ready(cx))?;
            match sink.try_io(Interest::WRITABLE, || move_pages(&ends.read, sink, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break result?,
            }
        };
        self.held -= count;
        Poll::Ready(Ok(count))
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("it has its ends until it is dropped")
    }
}

fn move_pages(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

impl Drop for Conduit {
    fn drop(&mut self) {
        self.pipes.lent.set(self.pipes.lent.get() - 1);
        // What is left in one belongs to nobody else.
        if let Some(ends) = self.ends.take().filter(|_| self.held == 0) {
            self.pipes.free.borrow_mut().push(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        let ((mut server, source), (sink, mut client)) = (pair().await, pair().await);
        server.write_all(b"hello, world").await.unwrap();
        let mut conduit = Rc::<Pipes>::default().lend().unwrap();
        let taken = poll_fn(|cx| conduit.poll_take(cx, &source, 5)).await.unwrap();
        assert_eq!((taken, conduit.holds_bytes()), (5, true));
        let given = poll_fn(|cx| conduit.poll_give(cx, &sink)).await.unwrap();
        assert_eq!((given, conduit.holds_bytes()), (5, false));
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
    }

    #[tokio::test]
    async fn the_end_of_the_source_is_no_bytes() {
        let (server, source) = pair().await;
        drop(server);
        let mut conduit = Rc::<Pipes>::default().lend().unwrap();
        assert_eq!(poll_fn(|cx| conduit.poll_take(cx, &source, 5)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_pipe_with_something_in_it_is_not_lent_again() {
        let (mut server, source) = pair().await;
        server.write_all(b"another's").await.unwrap();
        let pipes = Rc::<Pipes>::default();
        let mut conduit = pipes.lend().unwrap();
        poll_fn(|cx| conduit.poll_take(cx, &source, 9)).await.unwrap();
        drop(conduit);
        assert!(pipes.free.borrow().is_empty());
        drop(pipes.lend().unwrap());
        assert_eq!(pipes.free.borrow().len(), 1);
    }

    #[tokio::test]
    async fn there_are_only_so_many() {
        let pipes = Rc::<Pipes>::default();
        let lent: Vec<_> = std::iter::from_fn(|| pipes.lend()).collect();
        assert_eq!(lent.len(), MOST_PIPES);
        drop(lent);
        assert!(pipes.lend().is_some());
    }

    #[test]
    fn a_refusal_holds_for_a_while_and_longer_each_time() {
        let pipes = Pipes::default();
        let refuse = || Err(io::Error::from(rustix::io::Errno::MFILE));
        let unasked = || panic!("the kernel is asked too soon");
        let mut now = clock::now();
        for pause in [100, 200, 400] {
            assert!(pipes.open_by(now, refuse).is_none());
            now += Duration::from_millis(pause);
            assert!(pipes.open_by(now.checked_sub(Duration::from_millis(1)).unwrap(), unasked).is_none());
        }
        for _ in 0..20 {
            assert!(pipes.open_by(now, refuse).is_none());
            now += LONGEST_PAUSE;
        }
        assert!(pipes.open_by(now, Ends::open).is_some());
        assert!(pipes.open_by(now, refuse).is_none(), "it is asked at once after a success");
        assert!(pipes.open_by(now + FIRST_PAUSE, Ends::open).is_some(), "and the first pause is short again");
    }
}
