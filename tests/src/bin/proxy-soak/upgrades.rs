//! Connections at an even rate while one process of the proxy after the other takes over: none may be refused or reset.
//!
//! Each client has its times at which it connects, whatever became of the connection before: one that was held up does
//! not make fewer of them. A machine that can't keep the rate is found out by it.

use std::{
    fs,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use drain_tests::{
    Place, Proxy,
    client::{Connection, Failure},
    clock, scripted,
};

/// So many can be under way at once: at 1,000 a second each may take 128 ms on average.
const CLIENTS: u32 = 128;
/// Between two upgrades: connections come before, in and after each.
const PAUSE: Duration = Duration::from_secs(1);
/// Numbers of the proxy's threads, one after the other.
const THREADS: [u8; 4] = [1, 3, 2, 4];
/// Failures that are told.
const TOLD: usize = 20;
/// A rate below this share of what was asked says that the machine can't.
const RATE_PERCENT: u64 = 95;

/// What became of the connections.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
    wrong: AtomicU64,
    slowest_us: AtomicU64,
    told: Mutex<Vec<String>>,
}

impl Counts {
    /// Connects, asks, and reads the answer to its end.
    fn ask(&self, to: SocketAddr) {
        let begun = clock::now();
        let answer = Connection::open(to)
            .and_then(|mut connection| connection.fetch("GET", "/", &["Connection: close"], b""));
        let took = begun.elapsed();
        self.slowest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
        let counter = match &answer {
            Ok(answer) if answer.status == 200 && answer.body == b"ok\n" => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(Failure::Connect(_)) => &self.refused,
            Err(Failure::NoAnswer(_) | Failure::Truncated { .. }) => &self.reset,
            Ok(_) | Err(Failure::Malformed(_)) => &self.wrong,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD {
            told.push(format!("after {took:?}: {answer:?}"));
        }
    }

    /// Prints what was counted.
    fn judge(&self, upgrades: u32, rate: u32, took: Duration) -> ExitCode {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [answered, refused, reset, wrong] =
            [&self.answered, &self.refused, &self.reset, &self.wrong].map(of);
        let per_second = (answered as f64 / took.as_secs_f64()) as u64;
        for failure in self.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            println!("FAILED: {failure}");
        }
        println!(
            "{upgrades} upgrades in {:.0} s: {answered} connections answered, {per_second} a second; {refused} refused, \
             {reset} reset, {wrong} answered wrongly; the slowest took {:.0} ms",
            took.as_secs_f64(),
            of(&self.slowest_us) as f64 / 1e3,
        );
        if refused + reset + wrong > 0 {
            return ExitCode::FAILURE;
        }
        if per_second * 100 < u64::from(rate) * RATE_PERCENT {
            println!("{rate} a second were asked for: this machine is too slow or too busy for that");
            return ExitCode::FAILURE;
        }
        println!("nobody was refused or reset");
        ExitCode::SUCCESS
    }
}

/// Has so many processes take over while so many connections come a second.
pub(crate) fn run(upgrades: u32, rate: u32) -> ExitCode {
    let place = Place::new("proxy-upgrades");
    let mut proxy = Proxy::new(&place, "lb");
    for name in ["a", "b"] {
        let address = scripted::start(|request, connection| {
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").ok()?;
            // A check's connection is not used again.
            (!request.line().starts_with("OPTIONS")).then_some(())
        });
        proxy = proxy.server(name, address, None);
    }
    let mut proxy = proxy.start();
    let file = proxy.config_file();
    let text = fs::read_to_string(&file).expect("read proxy.toml");
    let (counts, over) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let start = clock::now();
    let every = Duration::from_secs(1) * CLIENTS / rate;
    let clients = (0..CLIENTS).map(|number| {
        let (counts, over, to) = (Arc::clone(&counts), Arc::clone(&over), proxy.address());
        let first = start + every * number / CLIENTS;
        thread::spawn(move || client(&counts, to, first, every, &over))
    });
    let clients: Vec<_> = clients.collect();
    for number in 0..upgrades {
        clock::pause(PAUSE);
        let threads = THREADS[number as usize % THREADS.len()];
        fs::write(&file, format!("{text}\n[limits]\nthreads = {threads}\n")).expect("write proxy.toml");
        proxy.upgrade();
    }
    clock::pause(PAUSE);
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client's thread");
    }
    let code = counts.judge(upgrades, rate, start.elapsed());
    proxy.end_newest();
    code
}

/// Connects at its times until it is over.
fn client(counts: &Counts, to: SocketAddr, first: Instant, every: Duration, over: &AtomicBool) {
    let mut next = first;
    while !over.load(Ordering::Relaxed) {
        clock::pause(next.saturating_duration_since(clock::now()));
        counts.ask(to);
        next += every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_that_was_reset_or_a_rate_that_was_not_reached_fails() {
        let counts = Counts::default();
        counts.answered.store(1_000, Ordering::Relaxed);
        assert_eq!(counts.judge(1, 1_000, SECOND), ExitCode::SUCCESS);
        assert_eq!(counts.judge(1, 1_000, 2 * SECOND), ExitCode::FAILURE);
        counts.reset.store(1, Ordering::Relaxed);
        assert_eq!(counts.judge(1, 1_000, SECOND), ExitCode::FAILURE);
    }
}
