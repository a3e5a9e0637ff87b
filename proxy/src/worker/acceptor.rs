//! Accepting: only when there is room.
//!
//! Who finds no room waits in the kernel's backlog. So nobody holds room of the process while the frontend is full,
//! and a stop never finds a client that is accepted and not served.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep};

use super::{Live, Room};
use crate::{clock, exchange};

/// How long a listener accepts nothing after it has failed: long enough for some connections to end where file
/// descriptors or memory have run out, and no load where the failure stays.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// How often a listener complains at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// What a listener is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Accept whoever comes.
    Accept,
    /// The same until nobody waits there, then close: its address is no longer one of the configuration's.
    Empty,
    /// Accept who has come as far as there is room now, then close.
    Close,
    /// Close: another process accepts who has come.
    Leave,
}

/// Accepts the connections of one listener.
pub(super) struct Acceptor {
    listener: AsyncFd<Arc<TcpListener>>,
    /// The newest that is known.
    core: RefCell<Rc<exchange::Core>>,
    /// Of the frontend, then of the process: taken in this order, so that a full frontend holds nothing of the others.
    rooms: [Arc<Room>; 2],
    live: Rc<Live>,
    complained: Cell<Option<Instant>>,
}

impl Acceptor {
    /// `rooms` are the frontend's and the process's. Must be called on the core's runtime.
    pub(super) fn new(
        listener: Arc<TcpListener>,
        core: Rc<exchange::Core>,
        rooms: [Arc<Room>; 2],
        live: Rc<Live>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "sound for a TcpListener, which keeps its descriptor; what replaces it is unsafe for others' sake"
        )]
        let listener = AsyncFd::new(listener)?;
        Ok(Self { listener, core: RefCell::new(core), rooms, live, complained: Cell::default() })
    }

    /// Until an order that has it close, and closes it.
    pub(super) async fn run(self, mut orders: watch::Receiver<Order>) {
        tokio::select! {
            () = self.accept_all() => {}
            _ = orders.wait_for(|&order| order != Order::Accept) => {}
        }
        let order = *orders.borrow();
        if order == Order::Empty {
            tokio::select! {
                () = self.accept_waiting() => return,
                _ = orders.wait_for(|&order| order != Order::Empty) => {}
            }
        }
        if *orders.borrow() == Order::Leave {
            return;
        }
        loop {
            let [Some(frontend), Some(process)] = self.rooms.each_ref().map(|room| room.try_take()) else {
                return;
            };
            match accept(self.listener.get_ref()) {
                Ok((stream, client)) => self.serve(stream, client, [frontend, process]),
                Err(error) if is_of_the_client(&error) => {}
                Err(_) => return,
            }
        }
    }

    async fn accept_all(&self) {
        loop {
            let mut ready = self.listener.readable().await.expect("the runtime lives as long as its tasks");
            let room = self.room().await;
            match ready.try_io(|listener| accept(listener.get_ref())) {
                Ok(Ok((stream, client))) => self.serve(stream, client, room),
                // Whoever it was has gone meanwhile.
                Err(_) => {}
                Ok(Err(error)) if is_of_the_client(&error) => tracing::debug!(%error, "accept"),
                Ok(Err(error)) => {
                    drop(room);
                    self.complain(&error);
                    sleep(FAILED_PAUSE).await;
                }
            }
        }
    }

    /// Until nobody waits in the kernel. Closing would reset who does, so that whoever finds no room waits on, but where
    /// there never may be any.
    async fn accept_waiting(&self) {
        while is_waited_at(self.listener.get_ref()) && !self.rooms.iter().any(|room| room.is_shut()) {
            let room = self.room().await;
            match accept(self.listener.get_ref()) {
                Ok((stream, client)) => self.serve(stream, client, room),
                // Whoever it was has gone meanwhile, or to another core.
                Err(error) if is_of_the_client(&error) || error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    drop(room);
                    self.complain(&error);
                    sleep(FAILED_PAUSE).await;
                }
            }
        }
    }

    async fn room(&self) -> [OwnedSemaphorePermit; 2] {
        let [frontend, process] = &self.rooms;
        [frontend.take().await, process.take().await]
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr, room: [OwnedSemaphorePermit; 2]) {
        tokio::task::spawn_local(self.task(stream, client, room));
    }

    fn task(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        room: [OwnedSemaphorePermit; 2],
    ) -> impl Future<Output = ()> + use<> {
        // Without it an answer in two parts waits for the client's acknowledgement; failing means the client has gone.
        let _ = stream.set_nodelay(true);
        if let Some(newest) = { self.core.borrow().newest() } {
            self.core.replace(newest);
        }
        let (core, counted) = (self.core.borrow().clone(), Live::count(&self.live));
        exchange::serve(core, stream, client, (counted, room))
    }

    fn complain(&self, error: &io::Error) {
        let now = clock::now();
        if self.complained.get().is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY) {
            self.complained.set(Some(now));
            tracing::warn!(
                "no connection can be accepted for now, tried again every {FAILED_PAUSE:?}: {error}"
            );
        }
    }
}

/// Does not wait.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, client) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.and_then(|client| client.try_into().ok());
    let client = client.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((TcpStream::from_std(socket.into())?, client))
}

/// Whether somebody waits in the kernel.
fn is_waited_at(listener: &TcpListener) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// It concerns one client, and says nothing of the next.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::os::fd::OwnedFd;

    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::{spawn_local, yield_now};
    use tokio::time::timeout;

    use super::*;
    use crate::backend::{Backend, fixture, idle::IdlePool};
    use crate::config;

    /// What a test waits for at most; nothing here takes that long.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn acceptor(listener: TcpListener, rooms: [&Arc<Room>; 2]) -> Acceptor {
        let frontend = config::Frontend {
            name: "web".into(),
            bind: Vec::new(),
            accept_proxy: None,
            backend: config::BackendIndex(0),
            forward_for: None,
            original_to: None,
            rules: crate::rules::Rules::default().into(),
            descriptors: Vec::new(),
            logging: config::Logging::default(),
            timeout: config::FrontendTimeout {
                client: DEADLINE,
                http_request: DEADLINE,
                http_keep_alive: DEADLINE,
                client_fin: None,
                tarpit: None,
            },
            maxconn: NonZeroUsize::MAX,
        };
        let limits = config::Limits {
            connections: NonZeroUsize::MAX,
            head_bytes: 15_360,
            threads: NonZeroUsize::MIN,
            finish: Duration::MAX,
            replay: config::Replay::NOTHING,
        };
        let backend = Backend::new(fixture::settings(vec![fixture::server("a")]));
        let idle = IdlePool::new(&backend);
        let (open, budget) = (exchange::OpenCounts::default(), exchange::Budget::new(limits.replay));
        let core = exchange::Core::new(frontend, backend, idle, &limits, None, open, budget);
        Acceptor::new(Arc::new(listener), core, rooms.map(Arc::clone), Rc::default()).unwrap()
    }

    /// A client that asks what is refused without any server; gives the status of the answer.
    async fn refused(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 12];
        timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn room(permits: usize) -> Arc<Room> {
        Room::new(permits)
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// What the runtime adds makes it 512 bytes; the socket's registration has 256 more, and the timer 96.
    const TASK_BYTES: usize = 408;

    #[tokio::test(flavor = "local")]
    async fn a_connection_that_waits_holds_less_than_a_kibibyte() {
        let ((one, address), room) = (listener(), room(2));
        let acceptor = acceptor(one, [&room, &room]);
        let stream = TcpStream::connect(address).await.unwrap();
        let client = stream.local_addr().unwrap();
        let permits = [(), ()].map(|()| room.try_take().unwrap());
        assert!(size_of_val(&acceptor.task(stream, client, permits)) <= TASK_BYTES);
    }

    #[tokio::test(flavor = "local")]
    async fn a_full_frontend_holds_nothing_of_the_others_and_a_stop_finds_its_client_unaccepted() {
        let (process, full, free) = (room(1), room(1), room(1));
        let (of_full, full_address) = listener();
        let (of_free, free_address) = listener();
        let orders = watch::Sender::new(Order::Accept);
        let held = full.try_take().unwrap();
        spawn_local(acceptor(of_full, [&full, &process]).run(orders.subscribe()));
        spawn_local(acceptor(of_free, [&free, &process]).run(orders.subscribe()));
        let waiting = spawn_local(refused(full_address));
        // Several rounds of the runtime's look at its sockets.
        for _ in 0..1000 {
            yield_now().await;
        }
        assert_eq!(process.left(), 1);
        assert_eq!(refused(free_address).await, "HTTP/1.1 400");
        while process.left() == 0 {
            yield_now().await;
        }
        drop(held);
        orders.send_replace(Order::Close);
        assert_eq!(waiting.await.unwrap(), "HTTP/1.1 400");
    }

    #[tokio::test(flavor = "local")]
    async fn who_waits_for_room_at_a_listener_that_goes_is_served_and_then_it_closes() {
        let (full, process, (going, address)) = (room(1), room(2), listener());
        let orders = watch::Sender::new(Order::Accept);
        let held = full.try_take().unwrap();
        let task = spawn_local(acceptor(going, [&full, &process]).run(orders.subscribe()));
        let waiting = [(); 2].map(|()| spawn_local(refused(address)));
        for _ in 0..1000 {
            yield_now().await;
        }
        orders.send_replace(Order::Empty);
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!task.is_finished());
        drop(held);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), "HTTP/1.1 400");
        }
        timeout(DEADLINE, task).await.expect("its end").unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test(flavor = "local")]
    async fn a_listener_that_goes_waits_for_no_room_that_never_comes() {
        let (room, (going, address)) = (room(1), listener());
        let _waiting = TcpStream::connect(address).await.unwrap();
        room.pause(true);
        let orders = watch::Sender::new(Order::Empty);
        timeout(DEADLINE, acceptor(going, [&room, &room]).run(orders.subscribe())).await.expect("its end");
    }

    /// A socket that was never listened on: each accept fails at once, with an error that is no shortage.
    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_failure_that_stays_is_no_load() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        let acceptor = acceptor(OwnedFd::from(socket).into(), [&room(1), &room(1)]);
        // Time goes on only when nothing runs: this would not end if the acceptor never rested.
        assert!(timeout(10 * FAILED_PAUSE, acceptor.accept_all()).await.is_err());
        let complained = acceptor.complained.get().expect("a complaint");
        assert!(clock::now().duration_since(complained) >= 9 * FAILED_PAUSE, "it complains once");
    }
}
