//! The endpoint that balancers ask.
//!
//! ```text
//!                         request is there: at once
//!  balancer ──► accept ──┬───────────────────────────┬──► answer (watch) ──► write ──► answered ──► close
//!                        └──► connection: head ──────┘    or words (agent_check)        │ bounded,
//!                             bounded table, 4 KiB, 5 s   Check (mpsc)                  │ a second or two
//! ```
//!
//! It runs on a thread of its own, with a runtime of its own, and shares nothing with the rest of the agent but the
//! [`Answer`] that it reads and the [`Check`]s that it reports: it answers whatever the others wait for. Nobody can keep
//! a balancer waiting by opening connections: those that have not sent a whole request are held in a bounded table
//! ([`held`]), from which the oldest goes when a new one comes.
//!
//! When it is told to end, its listeners close first, and checks that have come are answered.
//!
//! A check is reported after its answer was handed to the kernel without an error, and not at all when the owner
//! does not keep up: an acknowledgement that is counted too late only costs time.

mod accept;
mod answered;
mod at_once;
mod connection;
mod held;
mod listener;
mod request;
mod response;
mod sweep;
mod ticket;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::{agent_check::Speaker, clock::Moment, lifecycle::Phase, systemd::watchdog::Pulse};

/// What the endpoint says until the next one is published. The owner of the life cycle publishes it in a
/// `tokio::sync::watch`; `None` means that no verdict about the server is known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 200, 404 or 500, or what `answers` in the configuration puts in their place.
    pub status: u16,
    /// What `x-drain-state` begins with.
    pub phase: Phase,
    /// One line for people.
    pub reason: String,
    /// When this phase began, in seconds since 1970.
    pub since_unix: u64,
    /// Counts the changes of the answer: a [`Check`] names the one it was given.
    pub generation: u64,
}

/// One health check that was answered completely (the bytes were handed to the kernel without an error).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// When the answer was sent.
    pub at: Moment,
    /// Who asked.
    pub source: SocketAddr,
    /// The value of `X-Haproxy-Server-State`, as it came, if it came.
    pub state: Option<String>,
    /// What was asked for, where no state came: see `request::Request::asks`.
    pub asks: Option<Box<str>>,
    /// The status that was answered.
    pub status: u16,
    /// The generation of the [`Answer`] that was given.
    pub generation: u64,
    /// How it was asked.
    pub way: Way,
}

/// How a balancer asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// By HTTP.
    Http,
    /// By HAProxy's agent protocol.
    AgentCheck,
}

/// How many connections may wait in the kernel until they are accepted. While a flood fills this queue, a balancer's
/// first packet is dropped and comes again a second later; 4096 is what `net.core.somaxconn` allows since Linux 5.4,
/// and accepting them takes less than 100 ms.
const BACKLOG: i32 = 4096;

/// Stack of the endpoint's thread: it calls nothing deep, and the default of 2 MiB shows in the agent's memory map.
const STACK_BYTES: usize = 256 * 1024;

/// Why the endpoint could not start.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// An address could not be listened on.
    #[error(
        "can't listen for health checks on {address}: {source}; is another agent or server using this address?"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A listener, the runtime or the thread could not be set up.
    #[error("can't start the health endpoint: {0}")]
    Start(#[from] io::Error),
}

/// Listens on `address` in the way that the endpoint needs: with a long queue, and at once after a restart of the agent.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|source| Error::Bind { address, source })
}

/// The running endpoint. Dropping it ends it, and waits until what was read is answered, for half a second at most.
#[derive(Debug)]
pub struct Endpoint {
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
    counters: Arc<Counters>,
}

impl Endpoint {
    /// Starts to answer on `listeners` with what `answer` holds, and to report to `checks`.
    pub fn start(
        listeners: Vec<TcpListener>,
        answer: watch::Receiver<Option<Answer>>,
        checks: mpsc::Sender<Check>,
    ) -> Result<Self, Error> {
        Self::start_with(listeners, None, answer, checks, Pulse::default())
    }

    /// The same, with listeners on which HAProxy's agent protocol is spoken; as long as its thread lives, `pulse` beats.
    pub fn start_with(
        listeners: Vec<TcpListener>,
        agent_check: Option<(Vec<TcpListener>, Speaker)>,
        answer: watch::Receiver<Option<Answer>>,
        checks: mpsc::Sender<Check>,
        pulse: Pulse,
    ) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let shared = Arc::new(accept::Shared::new(answer, checks, Arc::clone(&counters)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let listeners = {
            let _entered = runtime.enter();
            let mut all = Vec::new();
            for listener in listeners {
                all.push((listener::adopt(listener)?, accept::Speaks::Http));
            }
            if let Some((listeners, speaker)) = agent_check {
                let speaker = Arc::new(speaker);
                for listener in listeners {
                    all.push((listener::adopt(listener)?, accept::Speaks::Words(Arc::clone(&speaker))));
                }
            }
            all
        };
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread =
            thread::Builder::new().name("health".to_owned()).stack_size(STACK_BYTES).spawn(move || {
                runtime.block_on(accept::all(listeners, shared, stopped, pulse));
                drop(end);
            })?;
        Ok(Self { stop: Some(stop), ended, thread: Some(thread), counters })
    }

    /// Comes back when the endpoint has ended, which without a [`drop`] it does only by a fault of its own.
    pub async fn ended(&mut self) {
        // The sender is dropped at the thread's end, also where that is a panic.
        let _dropped = (&mut self.ended).await;
    }

    /// What it has counted since its start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the health endpoint's thread panicked");
        }
    }
}

/// What the endpoint counts.
#[derive(Debug, Default)]
pub struct Counters {
    answered: AtomicU64,
    unreported: AtomicU64,
    pushed_out: AtomicU64,
    accept_errors: AtomicU64,
}

impl Counters {
    /// Health checks that were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Of these, those that the owner did not hear of, because its channel was full.
    pub fn unreported(&self) -> u64 {
        self.unreported.load(Ordering::Relaxed)
    }

    /// Connections that were closed to make room for newer ones.
    pub fn pushed_out(&self) -> u64 {
        self.pushed_out.load(Ordering::Relaxed)
    }

    /// Failures to accept a connection.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Counts one, and says whether it is time to tell (the first, second, fourth, eighth …).
    fn one(counter: &AtomicU64) -> bool {
        (counter.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two()
    }
}
