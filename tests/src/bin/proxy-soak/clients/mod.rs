//! Those who use the proxy, each in a thread of its own.

mod asked;
mod habits;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use drain_tests::{
    client::{Connection, Failure, Response},
    clock,
};
use fastrand::Rng;

use self::{asked::Asked, wire::Wire};
use crate::{
    ledger::{End, Ended, Kind, Ledger},
    rule::Rule,
};

/// How many of each: three to four hundred requests a second together, where the machine is fast.
const CROWD: [(Kind, usize); 8] = [
    (Kind::Page, 4),
    (Kind::Alone, 2),
    (Kind::Order, 3),
    (Kind::Pipelined, 1),
    (Kind::Slow, 2),
    (Kind::Aborted, 1),
    (Kind::Tunnel, 2),
    (Kind::User, 5),
];

/// All of them.
#[derive(Debug)]
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Lets them come.
    pub(crate) fn start(to: SocketAddr, ledger: &Arc<Ledger>, random: &mut Rng) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let kinds = CROWD.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count));
        let threads = kinds.map(|kind| {
            let (ledger, over) = (Arc::clone(ledger), Arc::clone(&over));
            let mut client = Client { to, kind, ledger, over, random: random.fork(), connection: None };
            thread::spawn(move || {
                while client.goes_on() {
                    client.live();
                }
            })
        });
        let threads = threads.collect();
        Self { over, threads }
    }

    /// Lets them finish what they are at.
    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client's thread");
        }
    }
}

/// One of them.
#[derive(Debug)]
struct Client {
    to: SocketAddr,
    kind: Kind,
    ledger: Arc<Ledger>,
    over: Arc<AtomicBool>,
    random: Rng,
    connection: Option<Open>,
}

/// A connection that is kept.
#[derive(Debug)]
struct Open {
    connection: Connection<Wire>,
    hung: Arc<AtomicBool>,
}

impl From<Wire> for Open {
    fn from(wire: Wire) -> Self {
        let hung = wire.hung();
        Self { connection: Connection::over(wire), hung }
    }
}

impl Client {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn think(&mut self, most_ms: u64) {
        clock::pause(Duration::from_millis(self.random.u64(..most_ms)));
    }

    /// The connection that was kept, or a new one.
    fn open(&mut self) -> Result<Open, Failure> {
        let kept = self.connection.take();
        kept.map_or_else(|| Wire::open(self.to).map(Open::from).map_err(Failure::Connect), Ok)
    }

    /// Sends a request, reads its answer and judges both; gives the answer if it is a server's.
    fn ask(&mut self, asked: &Asked) -> Option<Response> {
        let from = clock::now();
        let answer = self.open().and_then(|mut open| {
            let answer = exchange(&mut open, asked, &mut self.random);
            self.look(&open.hung, asked);
            let answer = answer?;
            self.connection = (answer.keeps && asked.keep).then_some(open);
            Ok(answer)
        });
        self.settle(asked, from, &answer).then(|| answer.ok()).flatten()
    }

    /// Whether the connection has been waited for in vain.
    fn look(&self, hung: &AtomicBool, asked: &Asked) {
        if hung.swap(false, Ordering::Relaxed) {
            let what = format!("{}: nothing moved for {:?}", asked.what(), wire::PATIENCE);
            self.ledger.violation(Rule::Hung, &what);
        }
    }

    /// Writes down how a request has ended; true: with a server's whole answer.
    fn settle(&mut self, asked: &Asked, from: Instant, answer: &Result<Response, Failure>) -> bool {
        let (end, mistake) = asked.judge(answer);
        if let Some((rule, what)) = mistake {
            self.ledger.violation(rule, &format!("{}: {what}", asked.what()));
            self.connection = None;
        }
        let whole = matches!(end, End::Whole(_));
        self.end(asked, from, end);
        whole
    }

    fn end(&self, asked: &Asked, from: Instant, end: End) {
        let ended = Ended {
            kind: self.kind,
            id: asked.id,
            what: &asked.what(),
            is_post: asked.method == "POST",
            pinned: asked.cookie.as_deref(),
            from,
        };
        self.ledger.ended(ended, end);
    }
}

/// Sends and reads. Whoever can't send all of it may have an answer all the same.
fn exchange(open: &mut Open, asked: &Asked, random: &mut Rng) -> Result<Response, Failure> {
    let sent = open.connection.send(&asked.bytes(random));
    let answer = open.connection.receive(asked.method);
    match (sent, answer) {
        (Err(error), Err(_)) => Err(Failure::NoAnswer(error)),
        (Err(_), Ok(answer)) => Ok(Response { keeps: false, ..answer }),
        (Ok(()), answer) => answer,
    }
}
