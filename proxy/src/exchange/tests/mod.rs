//! Exchanges over real loopback sockets: a client's bytes in, a scripted server's bytes out, one claim per test.

mod bodies;
mod connections;
mod farm;
mod framing;
mod health;
mod owners;
mod pages;
mod pauses;
mod proxy_protocol;
mod replays;
mod responses;
mod resumes;
mod retries;
mod sessions;
mod timeouts;

use std::{
    cell::RefCell, future::Future, net::SocketAddr, num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{LocalSet, spawn_local},
};

use super::{Budget, Core, OpenCounts, Record, Sink, serve};
use crate::{
    backend::{Backend, fixture, idle::IdlePool},
    config,
};

/// What a test waits for at most; nothing here takes that long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Longer than a connection on this machine takes.
const SOON: Duration = Duration::from_millis(200);

/// Runs a test on one core, as connections run.
fn on_a_core<F: Future>(test: F) -> F::Output {
    run(false, test)
}

/// The same with time that stands still while something runs, and leaps when nothing does.
fn with_paused_time<F: Future>(test: F) -> F::Output {
    run(true, test)
}

fn run<F: Future>(paused: bool, test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    let deadline = if paused { Duration::from_hours(24) } else { DEADLINE };
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(deadline, test).await.expect("the test ends within its deadline")
    })
}

/// A proxy with these servers behind it.
struct Proxy {
    core: Rc<Core>,
    backend: Arc<Backend>,
    address: SocketAddr,
    log: Rc<Log>,
    budget: Arc<Budget>,
}

/// One line for each request: status, termination, retries, request line; how long its phases took, and how long its
/// connection had been idle, where that is noted.
#[derive(Default)]
struct Log(RefCell<Vec<String>>, RefCell<Vec<[Option<Duration>; 4]>>, RefCell<Vec<Duration>>);

impl Sink for Log {
    fn record(&self, record: &Record<'_>) {
        let redispatched = if record.redispatched { "+" } else { "" };
        self.0.borrow_mut().push(format!(
            "{} {} {redispatched}{} {}",
            record.status.map_or(-1, i32::from),
            String::from_utf8_lossy(&record.termination),
            record.retries,
            record.line.map_or("<BADREQ>".into(), String::from_utf8_lossy),
        ));
        self.1.borrow_mut().push(record.phases);
        self.2.borrow_mut().extend(record.notes.map(|notes| notes.idle));
    }
}

impl Proxy {
    async fn before(servers: &[&Server]) -> Self {
        Self::with(servers, |_, _| {}).await
    }

    async fn with(
        servers: &[&Server],
        adapt: impl FnOnce(&mut config::Frontend, &mut config::Backend),
    ) -> Self {
        let servers = servers.iter().enumerate().map(|(index, server)| config::Server {
            address: server.address,
            ..fixture::server(["a", "b", "c"][index])
        });
        let mut backend = fixture::settings(servers.collect());
        let second = Duration::from_secs(1);
        let mut frontend = config::Frontend {
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
                client: 9 * second,
                http_request: 5 * second,
                http_keep_alive: 7 * second,
                client_fin: None,
                tarpit: None,
            },
            maxconn: NonZeroUsize::MAX,
        };
        backend.timeout.server = 11 * second;
        adapt(&mut frontend, &mut backend);
        let limits = config::Limits {
            connections: NonZeroUsize::MAX,
            head_bytes: 15_360,
            threads: NonZeroUsize::MIN,
            finish: Duration::MAX,
            replay: KEPT,
        };
        let budget = Budget::new(limits.replay);
        let backend = Backend::new(backend);
        let idle = IdlePool::new(&backend);
        idle.follow(&backend);
        let log = Rc::new(Log::default());
        let core = Core::new(
            frontend,
            backend.clone(),
            idle,
            &limits,
            Some(log.clone() as Rc<dyn Sink>),
            OpenCounts::default(),
            budget.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = core.clone();
        spawn_local(async move {
            while let Ok((stream, client)) = listener.accept().await {
                spawn_local(serve(accepting.clone(), stream, client, ()));
            }
        });
        Self { core, backend, address, log, budget }
    }

    async fn client(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a request on a connection of its own.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> Wire {
        let mut client = self.client().await;
        client.send(bytes).await;
        client
    }

    /// A client that this server has answered, and the server's end: both connections are idle.
    async fn idle(&self, server: &Server) -> (Wire, Wire) {
        let mut client = self.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
        (client, wire)
    }

    fn log(&self) -> Vec<String> {
        self.log.0.borrow().clone()
    }

    /// TR, Tw, Tc and Tr of each request, in whole seconds.
    fn phases(&self) -> Vec<[Option<u64>; 4]> {
        let in_seconds = |phases: &[Option<Duration>; 4]| phases.map(|phase| Some(phase?.as_secs()));
        self.log.1.borrow().iter().map(in_seconds).collect()
    }

    /// The log once it has so many lines.
    async fn logged(&self, lines: usize) -> Vec<String> {
        while self.log().len() < lines {
            tokio::task::yield_now().await;
        }
        self.log()
    }
}

/// A server whose connections the test plays by hand.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
    /// Holds the port of one that refuses.
    _silent: Option<TcpSocket>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address, _silent: None }
    }

    /// One that refuses connections: its port is taken, but nobody listens.
    async fn dead() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        // Its own listener is never connected to.
        Self { address, _silent: Some(socket), ..Self::start().await }
    }

    /// One whose backlog is full, so that no further connection comes about; and those that are in it.
    async fn full() -> (Self, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = tokio::time::timeout(SOON, TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        (Self { listener, address, _silent: None }, queued)
    }

    async fn accept(&self) -> Wire {
        Wire(self.listener.accept().await.unwrap().0)
    }

    /// A connection and the first head on it.
    async fn request(&self) -> (Wire, String) {
        let mut wire = self.accept().await;
        let head = wire.head().await;
        (wire, head)
    }

    /// Nobody has connected, though everything that could has run.
    async fn is_left_alone(&self) -> bool {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            _ = self.listener.accept() => false,
            () = tokio::task::yield_now() => true,
        }
    }
}

/// One end of a connection.
struct Wire(TcpStream);

impl Wire {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Up to and with an empty line.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.0.read_u8().await;
            head.push(byte.unwrap_or_else(|error| {
                panic!("expected a head, found {error} after {}", head.escape_ascii())
            }));
        }
        String::from_utf8(head).unwrap()
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// These bytes come next.
    async fn expect(&mut self, expected: &str) {
        let found = self.bytes(expected.len()).await;
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    /// All that comes until the other end closes.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        drop(self.0.read_to_end(&mut rest).await);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// The other end has closed, and said nothing more.
    async fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).await.map_or(true, |count| count == 0)
    }

    /// Closes so that the other end finds its connection reset.
    fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }

    async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
/// What is never sent again.
const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";

/// What may be kept of all requests.
const KEPT: config::Replay = config::Replay { memory: 1 << 20, disk: 20 << 20 };
