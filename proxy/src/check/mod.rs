//! Health checks: who is asked when, and what becomes of the answers.
//!
//! All checks of the process run on one thread with a runtime of its own, so that a busy core never delays them; each
//! server has a task, which owns its [`Machine`] and publishes what it comes to by
//! [`Backend::set_operation`](crate::backend::Backend::set_operation).
//!
//! What servers' agents ask for them is the business of [`agent`]; servers in maintenance are not checked.
//!
//! The first check of each server is made at once, because requests wait for it. The later ones are spread over the
//! interval as HAProxy spreads its first ones.

mod agent;
mod answer;
mod machine;
mod notice;
mod probe;
mod request;

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub use answer::{Report, Status};
pub use machine::{Finding, Machine};

use crate::backend::{Administration, Backend, Operation, Server, observed::Observed};
use crate::{clock, config};

/// Shorter intervals do not take part in choosing the smallest one over which checks are spread (HAProxy).
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// When a first check for which there was no socket is made again: some connection may have ended by then.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The checks of the process.
#[derive(Debug)]
pub struct Checks {
    backends: mpsc::UnboundedSender<Vec<Arc<Backend>>>,
}

impl Checks {
    /// Checks the servers of these backends until it is dropped. `node` is this machine's name.
    pub fn start(backends: &[Arc<Backend>], node: String) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut newer) = mpsc::unbounded_channel();
        let mut backends = backends.to_vec();
        thread::Builder::new().name("checks".to_owned()).spawn(move || {
            let follow = async {
                let node = Arc::from(node);
                let mut running = Running::default();
                let mut agents = agent::Running::default();
                loop {
                    running.follow(&backends, &node);
                    agents.follow(&backends);
                    match newer.recv().await {
                        Some(next) => backends = next,
                        None => return,
                    }
                }
            };
            runtime.block_on(LocalSet::new().run_until(follow));
        })?;
        Ok(Self { backends: sender })
    }

    /// Checks the servers of these backends from now on. Those that are checked already keep what has been found of
    /// them, and the rhythm of their checks as far as their settings are the same.
    pub fn follow(&self, backends: &[Arc<Backend>]) {
        // The thread reads as long as there is a sender.
        let _ = self.backends.send(backends.to_vec());
    }
}

/// The checkers that run, each with the way to tell it of new settings; without that it ends.
#[derive(Default)]
struct Running(HashMap<usize, watch::Sender<Task>>);

impl Running {
    fn follow(&mut self, backends: &[Arc<Backend>], node: &Arc<str>) {
        let mut before = std::mem::take(&mut self.0);
        for checker in Checker::of_all(backends, node) {
            let identity = checker.task.server.identity();
            let sender = if let Some(sender) = before.remove(&identity) {
                sender.send_replace(checker.task);
                sender
            } else {
                let (sender, tasks) = watch::channel(checker.task.clone());
                tokio::task::spawn_local(checker.run(tasks));
                sender
            };
            self.0.insert(identity, sender);
        }
    }
}

/// What is to be checked, by the newest configuration.
#[derive(Clone, Debug)]
struct Task {
    backend: Arc<Backend>,
    server: Arc<Server>,
    check: config::Check,
}

/// Checks one server.
#[derive(Debug)]
struct Checker {
    task: Task,
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
                let machine = Machine::resumed(check.rise, check.fall, server.checks(), server.health());
                let task = Task { backend: backend.clone(), server: server.clone(), check };
                Some(Self { task, machine, node: node.clone(), offset: Duration::ZERO })
            })
            .collect();
        let intervals: Vec<Duration> = checkers.iter().map(|checker| checker.task.check.inter).collect();
        for (checker, offset) in checkers.iter_mut().zip(spread(&intervals)) {
            checker.offset = offset;
        }
        checkers
    }

    /// Until `tasks` ends: the server is not checked any more.
    async fn run(mut self, mut tasks: watch::Receiver<Task>) {
        let first = async {
            if self.task.server.checks() == Operation::Starting {
                self.first().await;
            }
            self
        };
        // A server that is gone is nobody's concern, whatever its first check would have said.
        let mut this = tokio::select! {
            this = first => this,
            () = ended(tasks.clone()) => return,
        };
        let mut last = clock::now();
        let mut at_most = if this.offset.is_zero() { Duration::MAX } else { this.offset };
        loop {
            let pause = this.machine.interval(&this.task.check).min(at_most);
            let server = this.task.server.clone();
            tokio::select! {
                () = sleep_until(last + pause) => {}
                observed = server.errors().too_many() => {
                    this.take_in_errors(observed);
                    at_most = at_most.min(clock::now().duration_since(last) + this.task.check.fastinter);
                    continue;
                }
                changed = tasks.changed() => match changed {
                    Ok(()) => {
                        this.turn_to(tasks.borrow_and_update().clone());
                        continue;
                    }
                    Err(_) => return,
                },
            }
            at_most = Duration::MAX;
            if this.task.server.asked().administration == Administration::Maintenance {
                last = clock::now();
                continue;
            }
            let report = tokio::select! {
                report = this.ask() => report,
                () = ended(tasks.clone()) => return,
            };
            if tasks.has_changed().unwrap_or(false) {
                this.turn_to(tasks.borrow_and_update().clone());
            }
            this.take_in(&report);
            last = clock::now();
        }
    }

    /// Checks by new settings from now on.
    fn turn_to(&mut self, task: Task) {
        self.machine.adapt(task.check.rise, task.check.fall);
        self.task = task;
    }

    async fn first(&mut self) {
        let (check, connect_limit) = (self.task.check.clone(), self.connect_limit());
        let request = self.request(clock::now());
        self.first_by(async |start| probe::ask(&check, start, connect_limit, &request).await).await;
    }

    /// Nobody is sent to the server before its first check has come back, but nobody waits longer than `inter`; twice
    /// that where there was no socket to ask with, which is tried for `inter`.
    async fn first_by(&mut self, ask: impl AsyncFn(Instant) -> Report) {
        let inter = self.task.check.inter;
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
        if self.task.server.checks() == Operation::Starting {
            self.task.backend.set_operation(self.task.server.index(), self.machine.operation(), false);
        }
    }

    async fn ask(&self) -> Report {
        let now = clock::now();
        probe::ask(&self.task.check, now, self.connect_limit(), &self.request(now)).await
    }

    fn connect_limit(&self) -> Duration {
        self.task.backend.settings().timeout.connect
    }

    fn request(&self, now: Instant) -> Vec<u8> {
        let state =
            self.task.check.send_state.then(|| {
                request::state(&self.task.backend, &self.task.server, &self.machine, &self.node, now)
            });
        request::bytes(&self.task.check, state.as_deref())
    }

    fn take_in(&mut self, report: &Report) {
        // Not having had a socket says nothing about the server.
        if report.status == Status::SocketError {
            tracing::warn!(
                "check of {}/{}: {report}; asked again",
                self.task.backend.name(),
                self.task.server.name()
            );
            return;
        }
        self.machine.step(report.finding());
        self.publish(report, report.drain.is_some());
    }

    /// Users found too many errors in a row; this was the last one.
    fn take_in_errors(&mut self, last: Observed) {
        let Some(settings) = self.task.server.settings().passive.observe else { return };
        self.machine.observe(settings.on_error);
        let info = format!("Detected {} consecutive errors, last one was: {last}", settings.error_limit);
        let drains = self.task.server.is_draining();
        self.publish(&Report::without_answer(Status::Observed, info), drains);
    }

    /// Lets everybody know what the machine has come to, by this report.
    fn publish(&mut self, report: &Report, drains: bool) {
        let before = self.task.server.operation();
        self.task.server.note_health(self.machine.health());
        let operation = self.machine.operation();
        let Task { backend, server, .. } = &self.task;
        if operation == server.checks() && drains == server.is_draining() {
            return;
        }
        notice::watching(backend, || {
            let moved = backend.set_operation(server.index(), operation, drains);
            notice::change(backend, server, before, report, moved)
        });
    }
}

/// Waits until the server is not checked any more.
async fn ended(mut tasks: watch::Receiver<Task>) {
    while tasks.changed().await.is_ok() {}
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
        let Admission::Queued(ticket) = backend.admit(Wish::ANY) else {
            panic!("a request waits for the first check");
        };
        let attempt = Cell::new(0);
        let ask = async |start: Instant| {
            let (status, after) = script[attempt.replace(attempt.get() + 1).min(script.len() - 1)];
            sleep_until(start + after).await;
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

    #[tokio::test(flavor = "local")]
    async fn newer_settings_reach_a_check_that_goes_on_from_what_it_has_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = config::Check {
            address: listener.local_addr().unwrap(),
            inter: Duration::from_hours(1),
            fastinter: Duration::from_hours(1),
            fall: NonZeroU32::new(2).unwrap(),
            ..fixture::check()
        };
        let settings = |check: &config::Check, rest: Vec<config::Server>| {
            let checked = config::Server { check: Some(check.clone()), ..fixture::server("a") };
            fixture::settings(rest.into_iter().chain([checked]).collect())
        };
        let answer = async |head: &str| {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
        };
        let until = async |server: &Server, health: u32| {
            while server.health() != Some(health) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let backend = fixture::backend_of(settings(&check, Vec::new()));
        let (mut running, node) = (Running::default(), Arc::from("lb1"));
        running.follow(std::slice::from_ref(&backend), &node);
        answer("HTTP/1.0 200 OK\r\n\r\n").await;
        until(&backend.servers()[0], 3).await;
        // The second check would be an hour away, and its failure the first of two.
        let soon = config::Check { inter: Duration::from_millis(1), ..check.clone() };
        let renewed = backend.renewed(settings(&soon, vec![fixture::server("b")]));
        running.follow(std::slice::from_ref(&renewed), &node);
        answer("HTTP/1.0 500 No\r\n\r\n").await;
        until(&renewed.servers()[1], 2).await;
        assert_eq!(renewed.servers()[1].operation(), Operation::Up);
        // Whoever is not checked any more is not asked: its checker has gone.
        let unchecked = renewed.renewed(fixture::settings(vec![fixture::server("a")]));
        running.follow(std::slice::from_ref(&unchecked), &node);
        assert_eq!((running.0.len(), unchecked.servers()[0].operation()), (0, Operation::Unchecked));
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
