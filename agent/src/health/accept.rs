//! Taking connections in, and what all of them share.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time,
};
use tracing::{debug, warn};

use super::{Answer, Check, Counters, connection, held::Held};
use crate::{
    clock::{self, Moment},
    lifecycle::Phase,
};

/// How many connections may be held whose request is not answered. A thousand checks a second, each of which takes less
/// than a millisecond, need a handful; with 4 KiB of head each this is the most that a flood can make the agent store.
const INCOMPLETE: usize = 256;

/// How many connections may be held that were answered and not closed by the other side. They store nothing.
const ANSWERED: usize = 128;

/// How many of either may belong to one source: a quarter, so that one host alone can't push the others out.
const SHARE_DIVISOR: usize = 4;

/// How long to wait when the kernel has no descriptor or memory for a new connection: long enough not to burn the
/// processor, short enough for a check with a timeout of 100 ms.
const BACK_OFF: Duration = Duration::from_millis(20);

/// How long a check waits for the first verdict (DESIGN: "at most 300 ms").
const VERDICT: Duration = Duration::from_millis(300);

/// Accepts on all listeners until `stopped`.
pub(super) async fn all(listeners: Vec<TcpListener>, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    for listener in listeners {
        tokio::spawn(accept(listener, Arc::clone(&shared)));
    }
    // The sender is dropped, not used.
    let _dropped = stopped.await;
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => shared.admit(stream, source),
            Err(error) => {
                if Counters::one(&shared.counters.accept_errors) {
                    warn!(%error, "a health check's connection could not be accepted");
                }
                if !of_the_connection(&error) {
                    shared.make_room();
                    time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Whether an error of accept(2) concerns the one connection only, so that the next may be well. Linux passes pending
/// network errors of the new socket on.
fn of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// What all connections share.
pub(super) struct Shared {
    answer: watch::Receiver<Option<Answer>>,
    checks: mpsc::Sender<Check>,
    counters: Arc<Counters>,
    next_id: AtomicU64,
    tables: Mutex<Tables>,
}

struct Tables {
    incomplete: Held<AbortHandle>,
    answered: Held<AbortHandle>,
}

impl Shared {
    pub(super) fn new(
        answer: watch::Receiver<Option<Answer>>,
        checks: mpsc::Sender<Check>,
        counters: Arc<Counters>,
    ) -> Self {
        let tables = Tables {
            incomplete: Held::new(INCOMPLETE, INCOMPLETE / SHARE_DIVISOR),
            answered: Held::new(ANSWERED, ANSWERED / SHARE_DIVISOR),
        };
        Self { answer, checks, counters, next_id: AtomicU64::new(0), tables: Mutex::new(tables) }
    }

    /// Takes a connection in; the oldest that has not been answered goes where there is no room.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream, source: SocketAddr) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { id, shared: Arc::clone(self) };
        // On this runtime the task does not run before the table knows it.
        let task = tokio::spawn(connection::serve(stream, source, ticket)).abort_handle();
        let out = self.tables(|tables| tables.incomplete.admit(id, source.ip(), task));
        self.push_out(out);
    }

    /// Gives a descriptor back, of a connection that was answered if there is one.
    fn make_room(&self) {
        let out = self.tables(|tables| tables.answered.oldest().or_else(|| tables.incomplete.oldest()));
        self.push_out(out);
    }

    fn push_out(&self, task: Option<AbortHandle>) {
        if let Some(task) = task {
            task.abort();
            if Counters::one(&self.counters.pushed_out) {
                debug!("a health connection was closed to make room for a newer one");
            }
        }
    }

    fn tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        // Whole at every moment: a panic elsewhere does not spoil it.
        f(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What to say now; waits for the first verdict, but not for long.
    pub(super) async fn verdict(&self) -> Option<Answer> {
        let mut answer = self.answer.clone();
        let known = time::timeout(VERDICT, answer.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(answer)) => (*answer).clone(),
            // Too late, or nobody is left to give one.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Tells the owner about a check that was answered.
    pub(super) fn report(&self, source: SocketAddr, state: Option<String>, given: &Answer) {
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        let check =
            Check { at: Moment::now(), source, state, status: given.status, generation: given.generation };
        if self.checks.try_send(check).is_err() && Counters::one(&self.counters.unreported) {
            warn!("health checks come faster than they are counted; some acknowledgements will be seen late");
        }
    }
}

/// What is said while there is no verdict.
pub(super) fn no_verdict() -> Answer {
    Answer {
        status: 500,
        phase: Phase::Down,
        reason: "no verdict yet".to_owned(),
        since_unix: clock::unix_now(),
        generation: 0,
    }
}

/// A connection's place in the tables; given back when it is dropped.
pub(super) struct Ticket {
    id: u64,
    pub(super) shared: Arc<Shared>,
}

impl Ticket {
    /// The answer is sent: from now on the connection counts among those.
    pub(super) fn answered(&self) {
        let out = self.shared.tables(|tables| {
            let (source, task) = tables.incomplete.release(self.id)?;
            tables.answered.admit(self.id, source, task)
        });
        self.shared.push_out(out);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.tables(|tables| {
            if tables.incomplete.release(self.id).is_none() {
                tables.answered.release(self.id);
            }
        });
    }
}
