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
                Content::Piped { ends, held } => sink
                    .try_io(Interest::WRITABLE, || move_pages(&ends.read, sink, *held))
                    .inspect(|count| *held -= count),
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
mod tests {
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::yield_now,
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

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        /// Waits until it has been woken so often in all.
        async fn becomes(&self, count: usize) {
            let woken = async {
                while self.0.load(Ordering::SeqCst) < count {
                    yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_mins(2), woken).await.expect("it is woken");
        }

        /// It is not woken, however often the runtime looks at its sockets.
        async fn stays(&self, count: usize) {
            for _ in 0..1000 {
                yield_now().await;
                assert_eq!(self.0.load(Ordering::SeqCst), count, "woken, and nothing has changed");
            }
        }
    }

    #[tokio::test]
    async fn a_source_that_has_nothing_wakes_once_when_something_comes() {
        let ((mut server, source), pipes) = (pair().await, Rc::<Pipes>::default());
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        let cx = &mut Context::from_waker(&waker);
        // The runtime takes it for readable, and somebody else has read all.
        server.write_all(b"gone").await.unwrap();
        source.readable().await.unwrap();
        assert_eq!(rustix::io::read(&source, &mut [0; 9]).unwrap(), 4);
        let mut conduit = pipes.lend().unwrap();
        assert!(conduit.poll_take(cx, &source, 5).is_pending());
        woken.stays(0).await;
        server.write_all(b"hello").await.unwrap();
        woken.becomes(1).await;
        assert!(matches!(conduit.poll_take(cx, &source, 5), Poll::Ready(Ok(5))));
    }

    #[tokio::test]
    async fn a_sink_that_takes_nothing_wakes_when_it_takes_more() {
        let ((mut server, source), (sink, mut client)) = (pair().await, pair().await);
        let (woken, pipes) = (Arc::<Woken>::default(), Rc::<Pipes>::default());
        let waker = Waker::from(woken.clone());
        let cx = &mut Context::from_waker(&waker);
        let (mut conduit, block) = (pipes.lend().unwrap(), vec![0; 64 * 1_024]);
        let mut given = 0;
        // The kernel may still make room for some time.
        loop {
            server.write_all(b"hello").await.unwrap();
            poll_fn(|cx| conduit.poll_take(cx, &source, 5)).await.unwrap();
            // The runtime takes it for writable, and somebody else has filled it.
            sink.writable().await.unwrap();
            while let Ok(count) = rustix::io::write(&sink, &block) {
                given += count;
            }
            let before = woken.0.load(Ordering::SeqCst);
            if conduit.poll_give(cx, &sink).is_pending() {
                client.read_exact(&mut vec![0; given]).await.unwrap();
                woken.becomes(before + 1).await;
                break;
            }
            given += 5;
        }
        assert!(matches!(conduit.poll_give(cx, &sink), Poll::Ready(Ok(5))));
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

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_a_slow_client_holds_goes_to_who_needs_it_and_the_client_has_its_bytes() {
        let ((mut server, source), (sink, mut client)) = (pair().await, pair().await);
        let pipes = Rc::<Pipes>::default();
        let mut slow = Vec::new();
        for number in 0..MOST_PIPES as u8 {
            server.write_all(&[number; 100]).await.unwrap();
            let mut conduit = pipes.lend().unwrap();
            assert_eq!(poll_fn(|cx| conduit.poll_take(cx, &source, 100)).await.unwrap(), 100);
            slow.push(conduit);
        }
        assert_eq!(poll_fn(|cx| slow[0].poll_give(cx, &sink)).await.unwrap(), 100);
        server.write_all(&[99; 100]).await.unwrap();
        assert_eq!(poll_fn(|cx| slow[0].poll_take(cx, &source, 100)).await.unwrap(), 100);
        assert!(pipes.lend().is_none(), "none is slow so far");
        tokio::time::advance(PATIENCE).await;
        let quick = pipes.lend().unwrap();
        assert_eq!([slow[0].is_slow(), slow[1].is_slow()], [true, false]);
        assert_eq!((pipes.set_aside.get(), pipes.lent.borrow().len()), (100, MOST_PIPES));
        for conduit in &mut slow {
            assert_eq!(poll_fn(|cx| conduit.poll_give(cx, &sink)).await.unwrap(), 100);
            assert!(!conduit.holds_bytes());
        }
        let mut bytes = [0; 100 * (MOST_PIPES + 1)];
        client.read_exact(&mut bytes).await.unwrap();
        let seen: Vec<u8> = bytes.chunks(100).map(|chunk| chunk[0]).collect();
        let expected: Vec<u8> = [0, 99].into_iter().chain(1..MOST_PIPES as u8).collect();
        assert_eq!(seen, expected);
        drop((slow, quick));
        assert_eq!((pipes.set_aside.get(), pipes.lent.borrow().len()), (0, 0));
        assert_eq!(pipes.free.borrow().len(), MOST_PIPES);
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
        let refuse = || Err(io::Error::from(Errno::MFILE));
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
