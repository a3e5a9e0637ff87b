//! Taking connections in, and what all of them share.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, AbortHandle},
    time,
};
use tracing::{debug, warn};

use super::{
    Answer, Check, Counters, Way,
    answered::Answered,
    at_once::{self, Served},
    connection,
    held::Held,
    listener::{Listener, next, of_the_connection},
    request::Request,
    sweep::{SWEEP, Sweep},
    ticket::Ticket,
};
use crate::{
    agent_check::Speaker,
    clock::{self, Moment},
    lifecycle::Phase,
    systemd::watchdog::Pulse,
};

/// How many connections may be held whose request is not answered. A thousand checks a second, each of which takes less
/// than a millisecond, need a handful; with 4 KiB of head each this is the most that a flood can make the agent store.
const INCOMPLETE: usize = 256;

/// How many connections may be held that were answered, for a second or two each. They store nothing.
const ANSWERED: usize = 128;

/// How many of either may belong to one source: a quarter, so that one host alone can't push the others out.
const SHARE_DIVISOR: usize = 4;

/// So many may be pushed out before they give back what they hold, which they do when this task lets others run: 64 KiB.
const AT_ONCE: usize = 16;

/// How long to wait when the kernel has no descriptor or memory for a new connection: long enough not to burn the
/// processor, short enough for a check with a timeout of 100 ms.
const BACK_OFF: Duration = Duration::from_millis(20);

/// How long a check waits for the first verdict (DESIGN: "at most 300 ms").
const VERDICT: Duration = Duration::from_millis(300);

/// How long the end may wait for checks that were begun: longer than for a first verdict, so that each of them is
/// answered, and short beside what people and service managers wait for a program that they stop.
const FINISH: Duration = Duration::from_millis(500);

/// How often it is looked whether they are answered. Before the first time all that had come was read.
const FINISH_LOOK: Duration = Duration::from_millis(10);

/// Accepts on all listeners until `stopped`; then answers what was read. Until then `pulse` beats.
pub(super) async fn all(
    listeners: Vec<(Listener, Speaks)>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
    pulse: Pulse,
) {
    tokio::spawn(Arc::clone(&shared).tidy(pulse));
    let accepting = listeners
        .into_iter()
        .map(|(listener, speaks)| tokio::spawn(accept(listener, speaks, Arc::clone(&shared))));
    let accepting: Vec<_> = accepting.collect();
    // The sender is dropped, not used.
    let _dropped = stopped.await;
    for task in accepting {
        task.abort();
        // Its listener closes with it.
        let _aborted = task.await;
    }
    let _given_up = time::timeout(FINISH, shared.finish()).await;
}

/// What is spoken on a listener.
#[derive(Clone, Debug)]
pub(super) enum Speaks {
    Http,
    Words(Arc<Speaker>),
}

async fn accept(listener: Listener, speaks: Speaks, shared: Arc<Shared>) {
    let mut pushed_out = 0;
    loop {
        match next(&listener).await {
            Ok((stream, source)) => {
                pushed_out += usize::from(shared.admit(stream, source, &speaks));
                if pushed_out == AT_ONCE {
                    pushed_out = 0;
                    task::yield_now().await;
                }
            }
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

/// What all connections share.
pub(super) struct Shared {
    answer: watch::Receiver<Option<Answer>>,
    checks: mpsc::Sender<Check>,
    counters: Arc<Counters>,
    next_id: AtomicU64,
    tables: Mutex<Tables>,
    /// How many connections have sent something and were not answered.
    pub(super) begun: AtomicUsize,
    pub(super) sweep: Arc<Sweep>,
}

struct Tables {
    incomplete: Held<AbortHandle>,
    answered: Held<Answered>,
    /// Counts the rounds of the sweep.
    round: u64,
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
            round: 0,
        };
        Self {
            answer,
            checks,
            counters,
            next_id: AtomicU64::new(0),
            tables: Mutex::new(tables),
            begun: AtomicUsize::new(0),
            sweep: Arc::default(),
        }
    }

    /// Takes a connection in; the oldest that has not been answered goes where there is no room. Its request has mostly
    /// come with it. Says whether one has to go.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream, source: SocketAddr, speaks: &Speaks) -> bool {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (stream, begun) = match at_once::serve(stream, source, speaks, self) {
            Served::Answered(stream) => {
                self.keep(id, source, stream);
                return false;
            }
            Served::Begun(stream, bytes) => (stream, bytes),
            Served::Gone => return false,
        };
        let mut ticket = Ticket::new(id, Arc::clone(self));
        if !begun.is_empty() {
            ticket.begun();
        }
        // On this runtime the task does not run before the table knows it.
        let serving = connection::serve(stream, source, speaks.clone(), begun, ticket);
        let task = tokio::spawn(serving).abort_handle();
        let out = self.tables(|tables| tables.incomplete.admit(id, source.ip(), task));
        let pushed_out = out.is_some();
        self.push_out(out);
        pushed_out
    }

    /// Keeps a connection that has its answer until its end.
    pub(super) fn keep(&self, id: u64, source: SocketAddr, stream: TcpStream) {
        let out = self.tables(|tables| {
            let answered = Answered::new(stream, tables.round);
            tables.answered.admit(id, source.ip(), answered)
        });
        if out.is_some() {
            self.count_pushed_out();
        }
    }

    /// The place of a connection that has gone, or has its answer.
    pub(super) fn release(&self, id: u64) {
        self.tables(|tables| tables.incomplete.release(id));
    }

    /// Finds deadlines that have passed, and ends connections that were answered a round ago or longer. Each round is a
    /// beat of `pulse` as well: a timer of its own would wake the thread twice a second more, for nothing.
    pub(super) async fn tidy(self: Arc<Self>, pulse: Pulse) {
        loop {
            pulse.beat();
            time::sleep(SWEEP).await;
            self.sweep.round();
            let over = self.tables(|tables| {
                tables.round += 1;
                let round = tables.round;
                tables.answered.take_where(|answered| answered.round + 1 < round)
            });
            drop(over);
        }
    }

    /// Waits until all that was begun is answered.
    async fn finish(&self) {
        loop {
            time::sleep(FINISH_LOOK).await;
            if self.begun.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }

    /// Gives a descriptor back, of a connection that was answered if there is one.
    fn make_room(&self) {
        let answered = self.tables(|tables| tables.answered.oldest());
        if answered.is_some() {
            return self.count_pushed_out();
        }
        let out = self.tables(|tables| tables.incomplete.oldest());
        self.push_out(out);
    }

    fn push_out(&self, task: Option<AbortHandle>) {
        if let Some(task) = task {
            task.abort();
            self.count_pushed_out();
        }
    }

    fn count_pushed_out(&self) {
        if Counters::one(&self.counters.pushed_out) {
            debug!("a health connection was closed to make room for a newer one");
        }
    }

    /// How many connections are kept that have their answer.
    #[cfg(test)]
    pub(super) fn answered(&self) -> usize {
        self.tables(|tables| tables.answered.len())
    }

    fn tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        // Whole at every moment: a panic elsewhere does not spoil it.
        f(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What to say now, if that is known.
    pub(super) fn known(&self) -> Option<Answer> {
        self.answer.borrow().clone()
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
    pub(super) fn report(&self, source: SocketAddr, way: Way, request: Request, given: &Answer) {
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        let Answer { status, generation, .. } = *given;
        let Request { state, asks, .. } = request;
        let check = Check { at: Moment::now(), source, state, asks, status, generation, way };
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        task::JoinHandle,
        time::Instant,
    };

    use super::{super::listener::adopt, *};

    /// An endpoint that knows no verdict, and somebody who has begun to ask it.
    struct Rig {
        address: SocketAddr,
        client: TcpStream,
        stop: oneshot::Sender<()>,
        accepting: JoinHandle<()>,
        _answer: watch::Sender<Option<Answer>>,
    }

    async fn asked(request: &[u8]) -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, answers) = watch::channel(None);
        let shared = Arc::new(Shared::new(answers, mpsc::channel(1).0, Arc::default()));
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(all(
            vec![(adopt(listener).unwrap(), Speaks::Http)],
            Arc::clone(&shared),
            stopped,
            Pulse::default(),
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        while !request.is_empty() && shared.begun.load(Ordering::Relaxed) == 0 {
            task::yield_now().await;
        }
        Rig { address, client, stop, accepting, _answer: answer }
    }

    async fn rest(mut client: TcpStream) -> String {
        let mut text = String::new();
        // What was not answered may be reset.
        let _end = client.read_to_string(&mut text).await;
        text
    }

    #[tokio::test(start_paused = true)]
    async fn the_pulse_beats_as_long_as_it_runs() {
        let shared = Arc::new(Shared::new(watch::channel(None).1, mpsc::channel(1).0, Arc::default()));
        let pulse = Pulse::default();
        let tidy = time::timeout(SWEEP * 5, shared.tidy(pulse.clone())).await;
        assert!(tidy.is_err(), "it never ends");
        assert!(pulse.count() >= 5, "{}", pulse.count());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_was_read_is_answered_before_the_end() {
        let rig = asked(b"OPTIONS / HTTP/1.0\r\n\r\n").await;
        let start = Instant::now();
        drop(rig.stop);
        let text = rest(rig.client).await;
        assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("no verdict yet"), "{text}");
        assert!(TcpStream::connect(rig.address).await.is_err(), "the listener closes first");
        rig.accepting.await.unwrap();
        assert!(start.elapsed() < FINISH, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_come_to_its_end_holds_the_end_for_its_time() {
        let rig = asked(b"OPTIONS / HTTP/1.0\r\n").await;
        let start = Instant::now();
        drop(rig.stop);
        rig.accepting.await.unwrap();
        assert!(start.elapsed() >= FINISH && start.elapsed() < 2 * FINISH, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_sent_nothing_does_not_hold_the_end() {
        let rig = asked(b"").await;
        let start = Instant::now();
        drop(rig.stop);
        rig.accepting.await.unwrap();
        assert!(start.elapsed() < FINISH / 2, "{:?}", start.elapsed());
    }
}
