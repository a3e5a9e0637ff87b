//! Health checks: who is asked when, and what becomes of the answers.
//!
//! All checks of the process run on one thread with a runtime of its own, so that a busy core never delays them; each
//! server has a task, which owns its [`Machine`] and publishes what it comes to by
//! [`Backend::set_operation`](crate::backend::Backend::set_operation).
//!
//! The first check of each server is made at once, because requests wait for it. The later ones are spread over the
//! interval as HAProxy spreads its first ones.

mod answer;
mod machine;
mod notice;
mod probe;
mod request;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout_at};

pub use answer::{Report, Status};
pub use machine::{Finding, Machine};

use crate::backend::{Backend, Operation, Server};
use crate::{clock, config};

use notice::Level;

/// Shorter intervals do not take part in choosing the smallest one over which checks are spread (HAProxy).
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// When a first check for which there was no socket is made again: some connection may have ended by then.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Checks the servers of these backends for as long as the process lives. `node` is this machine's name.
pub fn spawn(backends: Vec<Arc<Backend>>, node: String) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("checks".to_owned()).spawn(move || {
        runtime.block_on(async {
            let tasks = LocalSet::new();
            for checker in Checker::of_all(&backends, &Arc::from(node)) {
                tasks.spawn_local(checker.run());
            }
            tasks.await;
        });
    })?;
    Ok(())
}

/// Checks one server.
#[derive(Debug)]
struct Checker {
    backend: Arc<Backend>,
    server: Arc<Server>,
    check: config::Check,
    machine: Machine,
    node: Arc<str>,
    /// When its second check is due after its first, at the latest: this spreads the checks of the process.
    offset: Duration,
}

impl Checker {
    /// One for each server that is checked, in configuration order.
    fn of_all(backends: &[Arc<Backend>], node: &Arc<str>) -> Vec<Self> {
        let mut checkers: Vec<Self> = backends
            .iter()
            .flat_map(|backend| backend.servers().iter().map(move |server| (backend, server)))
            .filter_map(|(backend, server)| {
                let check = server.settings().check.clone()?;
                let machine = Machine::new(check.rise, check.fall);
                let (backend, server, node) = (backend.clone(), server.clone(), node.clone());
                Some(Self { backend, server, check, machine, node, offset: Duration::ZERO })
            })
            .collect();
        let intervals: Vec<Duration> = checkers.iter().map(|checker| checker.check.inter).collect();
        for (checker, offset) in checkers.iter_mut().zip(spread(&intervals)) {
            checker.offset = offset;
        }
        checkers
    }

    async fn run(mut self) {
        self.first().await;
        let mut pause = self.machine.interval(&self.check);
        if !self.offset.is_zero() {
            pause = pause.min(self.offset);
        }
        loop {
            sleep(pause).await;
            let report = self.ask().await;
            self.take_in(&report);
            pause = self.machine.interval(&self.check);
        }
    }

    async fn first(&mut self) {
        let (check, connect_limit) = (self.check.clone(), self.connect_limit());
        let request = self.request(clock::now());
        self.first_by(async |start| probe::ask(&check, start, connect_limit, &request).await).await;
    }

    /// Nobody is sent to the server before its first check has come back, but nobody waits longer than `inter`; twice
    /// that where there was no socket to ask with, which is tried for `inter`.
    async fn first_by(&mut self, ask: impl AsyncFn(Instant) -> Report) {
        let inter = self.check.inter;
        let mut start = clock::now();
        let last = start + inter;
        loop {
            let mut asking = pin!(ask(start));
            // A check that ends with `inter` ends at this very moment, and is looked at first.
            match timeout_at(start + inter, &mut asking).await {
                Ok(report) if report.status == Status::SocketError && clock::now() < last => {
                    sleep(AGAIN_AFTER).await;
                    start = clock::now();
                }
                Ok(report) => {
                    self.take_in(&report);
                    return self.stop_waiting();
                }
                Err(_) => {
                    self.stop_waiting();
                    return self.take_in(&asking.await);
                }
            }
        }
    }

    /// Without a verdict the server is taken for up.
    fn stop_waiting(&mut self) {
        self.machine.stop_waiting();
        if self.server.operation() == Operation::Starting {
            self.backend.set_operation(self.server.index(), self.machine.operation(), false);
        }
    }

    async fn ask(&self) -> Report {
        let now = clock::now();
        probe::ask(&self.check, now, self.connect_limit(), &self.request(now)).await
    }

    fn connect_limit(&self) -> Duration {
        self.backend.settings().timeout.connect
    }

    fn request(&self, now: Instant) -> Vec<u8> {
        let state = self
            .check
            .send_state
            .then(|| request::state(&self.backend, &self.server, &self.machine, &self.node, now));
        request::bytes(&self.check, state.as_deref())
    }

    fn take_in(&mut self, report: &Report) {
        // Not having had a socket says nothing about the server.
        if report.status == Status::SocketError {
            tracing::warn!("check of {}/{}: {report}; asked again", self.backend.name(), self.server.name());
            return;
        }
        let before = self.server.operation();
        self.machine.step(report.finding());
        let operation = self.machine.operation();
        let drains = report.drain.is_some();
        if operation == before && drains == self.server.is_draining() {
            return;
        }
        let had_servers = self.has_servers();
        let moved = self.backend.set_operation(self.server.index(), operation, drains);
        match notice::change(&self.backend, &self.server, before, report, moved) {
            Some((Level::Alert, line)) => tracing::error!("{line}"),
            Some((Level::Notice, line)) => tracing::info!("{line}"),
            None => {}
        }
        if had_servers && !self.has_servers() {
            tracing::error!("{}", notice::nobody_left(&self.backend));
        }
    }

    fn has_servers(&self) -> bool {
        let usable = self.backend.usable();
        usable.active + usable.backup > 0
    }
}

/// When each check starts within its interval (HAProxy's `start_checks`): all of them are spread over the smallest
/// interval that is long enough, or over their own if that is longer.
fn spread(intervals: &[Duration]) -> Vec<Duration> {
    let smallest =
        intervals.iter().copied().filter(|&inter| inter >= SHORTEST_SPREAD).min().unwrap_or_default();
    let count = intervals.len() as u32;
    let place = |(at, &inter): (usize, &Duration)| inter.max(smallest) * at as u32 / count;
    intervals.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;
    use std::num::NonZeroU32;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::backend::{Admission, Wish, fixture};

    /// A checked server whose checks are answered with these heads one after the other, and with the last one for
    /// ever; tells what the server has become after each answer, and what the checks said.
    async fn becomes(answers: &[&str]) -> Vec<(Operation, bool, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let interval = Duration::from_millis(1);
        let check = config::Check {
            address: listener.local_addr().unwrap(),
            inter: Duration::from_secs(5),
            fastinter: interval,
            downinter: interval,
            fall: NonZeroU32::MIN,
            rise: NonZeroU32::MIN,
            ..fixture::check()
        };
        let server = config::Server { check: Some(check), ..fixture::server("a") };
        let backend = fixture::backend_of(fixture::settings(vec![server]));
        let mut checker = Checker::of_all(std::slice::from_ref(&backend), &Arc::from("lb1")).remove(0);
        let mut seen = Vec::new();
        for (number, answer) in answers.iter().enumerate() {
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                request.truncate(length);
                String::from_utf8(request).unwrap()
            };
            let ask = async {
                if number == 0 {
                    checker.first().await;
                } else {
                    let report = checker.ask().await;
                    checker.take_in(&report);
                }
            };
            let (request, ()) = tokio::join!(serve, ask);
            let state = request
                .split("x-haproxy-server-state: ")
                .nth(1)
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let server = &backend.servers()[0];
            seen.push((server.operation(), server.is_draining(), state));
        }
        seen
    }

    #[tokio::test]
    async fn a_server_is_taken_through_its_drain_and_told_how_it_is_seen() {
        let up = "HTTP/1.0 200 OK\r\nx-drain-state: up; since=1\r\n\r\n";
        let soft = "HTTP/1.0 404 Soft\r\nx-drain-state: soft; since=2\r\n\r\n";
        let hard = "HTTP/1.0 500 Hard\r\nx-drain-state: hard; since=3\r\n\r\n";
        assert_eq!(
            becomes(&[up, soft, soft, hard, hard, up, up]).await,
            [
                (Operation::Up, false, "UP".to_owned()),
                (Operation::Soft, true, "UP".to_owned()),
                (Operation::Soft, true, "NOLB".to_owned()),
                (Operation::Down, true, "NOLB".to_owned()),
                (Operation::Down, true, "DOWN".to_owned()),
                (Operation::Up, false, "DOWN".to_owned()),
                (Operation::Up, false, "UP".to_owned()),
            ]
        );
    }

    #[tokio::test]
    async fn a_server_whose_first_answer_is_late_is_taken_for_up_until_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = config::Check {
            address: listener.local_addr().unwrap(),
            inter: Duration::from_millis(20),
            timeout: Some(Duration::from_secs(5)),
            ..fixture::check()
        };
        let server = config::Server { check: Some(check), ..fixture::server("a") };
        let backend = fixture::backend_of(fixture::settings(vec![server]));
        let server = backend.servers()[0].clone();
        let mut checker = Checker::of_all(std::slice::from_ref(&backend), &Arc::from("lb1")).remove(0);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while server.operation() == Operation::Starting {
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(server.operation(), Operation::Up);
            stream.write_all(b"HTTP/1.0 500 No\r\n\r\n").await.unwrap();
            // Closing with the request unread would break the answer off.
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        };
        tokio::join!(serve, checker.first());
        assert_eq!(server.operation(), Operation::Down);
    }

    /// Makes the first check by a script of what each attempt comes to after how long; tells what became of the server,
    /// and of a request that had waited for it.
    async fn first_by(script: &[(Status, Duration)]) -> (Operation, bool) {
        let backend = fixture::backend_of(fixture::settings(vec![fixture::checked("a")]));
        let mut checker = Checker::of_all(std::slice::from_ref(&backend), &Arc::from("lb1")).remove(0);
        let Admission::Queued(ticket) = backend.admit(Wish::Balanced { avoid: None }) else {
            panic!("a request waits for the first check");
        };
        let attempt = Cell::new(0);
        let ask = async |start: Instant| {
            let (status, after) = script[attempt.replace(attempt.get() + 1).min(script.len() - 1)];
            tokio::time::sleep_until(start + after).await;
            Report::without_answer(status, String::new())
        };
        checker.first_by(ask).await;
        (backend.servers()[0].operation(), ticket.await.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_check_that_takes_all_of_its_time_sends_nobody_to_a_dead_server() {
        let inter = fixture::check().inter;
        for status in [Status::ConnectTimeout, Status::AnswerTimeout] {
            assert_eq!(first_by(&[(status, inter)]).await, (Operation::Down, false));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_check_without_a_socket_is_made_again_before_anybody_goes() {
        let none = (Status::SocketError, Duration::ZERO);
        let dead = (Status::ConnectFailed, Duration::ZERO);
        assert_eq!(first_by(&[none, none, dead]).await, (Operation::Down, false));
        let began = clock::now();
        assert_eq!(first_by(&[none]).await, (Operation::Up, true));
        let (waited, inter) = (clock::now().duration_since(began), fixture::check().inter);
        assert!(waited >= inter && waited <= inter + AGAIN_AFTER, "{waited:?}");
    }

    #[test]
    fn checks_are_spread_as_in_haproxy() {
        let spread_ms = |intervals: &[u64]| -> Vec<u128> {
            let intervals: Vec<_> = intervals.iter().map(|&inter| Duration::from_millis(inter)).collect();
            spread(&intervals).iter().map(Duration::as_millis).collect()
        };
        assert_eq!(spread_ms(&[2000, 2000, 1200, 500]), [0, 500, 600, 900]);
        assert_eq!(spread_ms(&[500; 4]), [0, 125, 250, 375]);
        assert_eq!(spread_ms(&[]), [] as [u128; 0]);
    }
}
