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
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
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
