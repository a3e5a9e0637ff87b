//! Checks one server for as long as it is in the configuration.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::answer::{Report, Status};
use super::machine::Machine;
use super::running::Running;
use super::spread::spread;
use super::turns::Turns;
use super::{notice, probe, request, servers};
use crate::backend::{Administration, Backend, Operation, Server, Told, observed::Observed};
use crate::{clock, config};

/// When a first check for which there was no socket is made again: some connection may have ended by then.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Checks the servers of these backends from now on, and no others.
pub(super) fn follow(
    running: &mut Running<Task>,
    backends: &[Arc<Backend>],
    node: &Arc<str>,
    turns: &Rc<Turns>,
) {
    let intervals: Vec<Duration> = tasks(backends).map(|task| task.check.inter).collect();
    running.follow(tasks(backends).zip(spread(&intervals)).map(|(task, offset)| {
        let (node, turns) = (node.clone(), turns.clone());
        (task.server.identity(), task, move |task, tasks| Checker::new(task, node, offset, turns).run(tasks))
    }));
}

/// One for each server that is checked, in configuration order.
fn tasks(backends: &[Arc<Backend>]) -> impl Iterator<Item = Task> {
    servers(backends).filter_map(|(backend, server)| {
        let check = server.settings().check.clone()?;
        Some(Task { backend: backend.clone(), server: server.clone(), check })
    })
}

/// What is to be checked, by the newest configuration.
#[derive(Clone, Debug)]
pub(super) struct Task {
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
    turns: Rc<Turns>,
}

impl Checker {
    fn new(task: Task, node: Arc<str>, offset: Duration, turns: Rc<Turns>) -> Self {
        let Task { server, check, .. } = &task;
        let machine = Machine::resumed(check.rise, check.fall, server.checks(), server.health());
        Self { task, machine, node, offset, turns }
    }

    /// Until `tasks` ends: the server is not checked any more.
    async fn run(mut self, mut tasks: watch::Receiver<Task>) {
        let is_starting = self.task.server.checks() == Operation::Starting;
        // It has served without a check until now.
        let is_unknown = !is_starting && self.task.server.health().is_none();
        if is_starting {
            // A server that is gone is nobody's concern, whatever its first check would have said.
            tokio::select! {
                () = self.first() => {}
                () = ended(tasks.clone()) => return,
            }
        }
        let mut last = clock::now();
        let mut at_most = if self.offset.is_zero() { Duration::MAX } else { self.offset };
        if is_unknown {
            at_most = self.look_now();
        }
        loop {
            let pause = self.machine.interval(&self.task.check).min(at_most);
            let server = self.task.server.clone();
            tokio::select! {
                () = sleep_until(last + pause) => {}
                observed = server.errors().too_many() => {
                    self.take_in_errors(observed);
                    at_most = at_most.min(clock::now().duration_since(last) + self.task.check.fastinter);
                    continue;
                }
                told = server.forced().told() => {
                    match told {
                        Told::Health(operation) => self.obey(operation),
                        Told::Look => at_most = self.look_now(),
                    }
                    continue;
                }
                changed = tasks.changed() => match changed {
                    Ok(()) => {
                        self.turn_to(tasks.borrow_and_update().clone());
                        continue;
                    }
                    Err(_) => return,
                },
            }
            at_most = Duration::MAX;
            let server = &self.task.server;
            if server.administration() == Administration::Maintenance || server.forced().is_unchecked() {
                last = clock::now();
                continue;
            }
            let report = tokio::select! {
                report = self.ask() => report,
                () = ended(tasks.clone()) => return,
            };
            if tasks.has_changed().unwrap_or(false) {
                self.turn_to(tasks.borrow_and_update().clone());
            }
            self.take_in(&report);
            last = clock::now();
        }
    }

    /// Checks by new settings from now on.
    fn turn_to(&mut self, task: Task) {
        self.machine.adapt(task.check.rise, task.check.fall);
        self.task = task;
    }

    async fn first(&mut self) {
        let turns = self.turns.clone();
        let mut turn = pin!(turns.next());
        // Nobody waits longer than `inter` for the turn, either.
        if timeout_at(clock::now() + self.task.check.inter, &mut turn).await.is_err() {
            self.stop_waiting();
            turn.await;
        }
        let (check, connect_limit) = (self.task.check.clone(), self.connect_limit());
        let request = self.request(clock::now());
        self.first_by(async |start| probe::ask(&check, start, connect_limit, &request).await).await;
    }

    /// Nobody is sent to the server before its first check has come back, but once it has begun nobody waits longer than
    /// `inter`; twice that where there was no socket to ask with, which is tried for `inter`.
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
                    self.turns.next().await;
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
        self.turns.next().await;
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
        self.task.server.note_check(report.checked(), false);
        self.machine.step(report.finding());
        self.publish(report, report.drain.is_some());
    }

    /// Users found too many errors in a row; this was the last one.
    fn take_in_errors(&mut self, last: Observed) {
        let Some(settings) = self.task.server.settings().passive.observe else { return };
        self.machine.observe(settings.on_error);
        let info = format!("Detected {} consecutive errors, last one was: {last}", settings.error_limit);
        let drains = self.task.server.is_draining();
        let report = Report::without_answer(Status::Observed, info);
        self.task.server.note_check(report.checked(), true);
        self.publish(&report, drains);
    }

    /// An operator says what the server's health is; the next check may say otherwise.
    fn obey(&mut self, operation: Operation) {
        let Task { backend, server, check } = &self.task;
        self.machine = Machine::resumed(check.rise, check.fall, operation, None);
        server.note_health(self.machine.health());
        if operation != server.checks() {
            // A check that was under way has said something else meanwhile.
            backend.set_operation(server.index(), operation, false);
        }
    }

    /// What was found of it is old: it is checked at once. Gives the longest pause before that.
    fn look_now(&mut self) -> Duration {
        self.machine.doubt();
        self.task.server.note_health(self.machine.health());
        Duration::ZERO
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

#[cfg(test)]
mod tests;
