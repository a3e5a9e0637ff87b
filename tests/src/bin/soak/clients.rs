//! Users of the shop, and those who check its health besides HAProxy.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use drain_tests::{
    client::{Connection, Response},
    clock,
};
use socket2::{Domain, Socket, Type};

/// Users at a time, each with a session after the other: a hundred requests a second.
const USERS: u32 = 6;
/// Requests of a session, all on one connection and with the cookie that the first one was given.
const SESSION: u32 = 12;
/// Between two requests of a user.
const THINK: Duration = Duration::from_millis(50);
/// Those who check, each from an address of its own: some 300 checks a second.
const CHECKERS: u8 = 3;
/// Between two checks of one of them.
const CHECK_EVERY: Duration = Duration::from_millis(9);
/// A balancer gives up earlier.
const CHECK_WITHIN: Duration = Duration::from_secs(5);
/// So many failures are told; all are counted.
const TOLD: usize = 20;

/// All clients, in threads of their own.
#[derive(Debug)]
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(balancer: SocketAddr, agent: SocketAddr) -> Self {
        let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let each = || (Arc::clone(&over), Arc::clone(&counts));
        let users =
            (0..USERS).map(|user| repeat(each(), move |over, counts| session(user, balancer, over, counts)));
        let mut threads: Vec<_> = users.collect();
        threads.extend((0..CHECKERS).map(|checker| {
            let from = Ipv4Addr::new(127, 0, 0, 10 + checker);
            repeat(each(), move |_, counts| {
                counts.check(check(from, agent));
                clock::pause(CHECK_EVERY);
            })
        }));
        Self { over, counts, threads }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Lets them finish what they are at.
    pub(crate) fn end(self) -> Arc<Counts> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client's thread");
        }
        self.counts
    }
}

/// What was asked, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: AtomicU64,
    requests_failed: AtomicU64,
    checks: AtomicU64,
    checks_failed: AtomicU64,
    slowest_check_micros: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Counts {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn requests_failed(&self) -> u64 {
        self.requests_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    pub(crate) fn checks_failed(&self) -> u64 {
        self.checks_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn slowest_check(&self) -> Duration {
        Duration::from_micros(self.slowest_check_micros.load(Ordering::Relaxed))
    }

    /// The first ones.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn request(&self, outcome: Result<(), String>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.failed(&self.requests_failed, "a request", outcome.err());
    }

    fn check(&self, outcome: Result<Duration, String>) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if let Ok(took) = &outcome {
            self.slowest_check_micros.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
        }
        self.failed(&self.checks_failed, "a check", outcome.err());
    }

    fn failed(&self, count: &AtomicU64, what: &str, why: Option<String>) {
        let Some(why) = why else { return };
        count.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < TOLD {
            failures.push(format!("{what}: {why}"));
        }
    }
}

/// Does this again and again until it is over, in a thread of its own.
fn repeat(
    (over, counts): (Arc<AtomicBool>, Arc<Counts>),
    work: impl Fn(&AtomicBool, &Counts) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            work(&over, &counts);
        }
    })
}

/// One user, from the first request to the last.
fn session(user: u32, balancer: SocketAddr, over: &AtomicBool, counts: &Counts) {
    let mut connection = match Connection::open(balancer) {
        Ok(connection) => connection,
        Err(failure) => return counts.request(Err(failure.to_string())),
    };
    let mut cookie = None;
    for number in 0..SESSION {
        let query = format!("{user}-{number}");
        let headers: Vec<&str> = cookie.iter().map(String::as_str).collect();
        let answer = connection.fetch("GET", &format!("/?{query}"), &headers, b"");
        let answer = answer.map_err(|failure| failure.to_string());
        let judged = answer.as_ref().map_err(Clone::clone).and_then(|answer| judge(&query, answer));
        let failed = judged.is_err();
        counts.request(judged);
        let Ok(answer) = answer else { return };
        if failed || !answer.keeps {
            return;
        }
        if let Some(set) = answer.header("set-cookie") {
            cookie = set.split(';').next().map(|cookie| format!("Cookie: {cookie}"));
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        clock::pause(THINK);
    }
}

/// Whether this is the whole of what was asked for.
fn judge(query: &str, answer: &Response) -> Result<(), String> {
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let body = String::from_utf8_lossy(&answer.body);
    if body == format!("GET {query}\n") { Ok(()) } else { Err(format!("wrong body {body:?}")) }
}

/// One check, as a balancer without a state header makes it; gives how long the answer took.
fn check(from: Ipv4Addr, agent: SocketAddr) -> Result<Duration, String> {
    let start = clock::now();
    let ask = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&agent.into(), CHECK_WITHIN)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(CHECK_WITHIN))?;
        stream.write_all(b"OPTIONS / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    let text = ask().map_err(|error| error.to_string())?;
    let known = ["200", "404", "500"].iter().any(|status| text.starts_with(&format!("HTTP/1.1 {status} ")));
    if known && text.contains("x-drain-state: ") {
        Ok(start.elapsed())
    } else {
        Err(format!("answered {text:?}"))
    }
}
