//! Agent checks: what a server's agent asks for it, by HAProxy's protocol.
//!
//! Every `inter` its agent is asked by a connection of its own, and answers with a line ([`Reply`]). What it asks lasts
//! until it asks for something else: an agent that can't be reached, or says what nobody understands, changes nothing.

mod reply;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::reply::{Health, MAX_LINE_BYTES, Reply, Unusable};
use super::answer::{Report, Status};
use super::running::Running;
use super::turns::Turns;
use super::{notice, servers};
use crate::backend::{Asked, Backend, Checked, Server};
use crate::{clock, config};

/// Asks the agents of these backends' servers from now on, and no others; new ones at once. What was asked by one that is
/// gone holds no more.
pub(super) fn follow(running: &mut Running<Task>, backends: &[Arc<Backend>], turns: &Rc<Turns>) {
    for (backend, server) in servers(backends) {
        if server.settings().agent.is_none() && running.has(server.identity()) {
            backend.forget_agent(server.index());
        }
    }
    running.follow(servers(backends).filter_map(|(backend, server)| {
        let agent = server.settings().agent.clone()?;
        let task = Task { backend: backend.clone(), server: server.clone(), agent };
        let turns = turns.clone();
        Some((server.identity(), task, move |task, tasks| Asker { task, noted: None }.run(tasks, turns)))
    }));
}

/// Who is to be asked, by the newest configuration.
#[derive(Clone, Debug)]
pub(super) struct Task {
    backend: Arc<Backend>,
    server: Arc<Server>,
    agent: config::Agent,
}

/// Asks one agent.
#[derive(Debug)]
struct Asker {
    task: Task,
    /// What was logged of its last answer beside changes: it is not said again until it is another.
    noted: Option<String>,
}

impl Asker {
    /// Until `tasks` ends: the agent is not asked any more.
    async fn run(mut self, mut tasks: watch::Receiver<Task>, turns: Rc<Turns>) {
        loop {
            if self.task.server.forced().is_unasked() {
                tokio::select! {
                    () = sleep(self.task.agent.inter) => {}
                    changed = tasks.changed() => match changed {
                        Ok(()) => self.task = tasks.borrow_and_update().clone(),
                        Err(_) => return,
                    },
                }
                continue;
            }
            turns.next().await;
            let began = clock::now();
            let answer = tokio::select! {
                // Whoever is not to be asked any more is not obeyed, either.
                biased;
                changed = tasks.changed() => match changed {
                    // Perhaps it is another agent now.
                    Ok(()) => {
                        self.task = tasks.borrow_and_update().clone();
                        continue;
                    }
                    Err(_) => return,
                },
                answer = ask(&self.task.agent, began) => answer,
            };
            let ended = clock::now();
            self.take_in(answer, ended.duration_since(began));
            loop {
                tokio::select! {
                    () = sleep_until(ended + self.task.agent.inter) => break,
                    changed = tasks.changed() => match changed {
                        Ok(()) => self.task = tasks.borrow_and_update().clone(),
                        Err(_) => return,
                    },
                }
            }
        }
    }

    fn take_in(&mut self, answer: Result<Reply, Unusable>, took: Duration) {
        self.task.server.note_agent(checked(&answer, took), answer.is_ok());
        let note = match answer {
            Ok(reply) => self.obey(&reply, took),
            Err(unusable) => Some(format!("{unusable}; nothing changes")),
        };
        if let Some(note) = note.as_ref().filter(|_| note != self.noted) {
            let (backend, server) = (self.task.backend.name(), self.task.server.name());
            tracing::warn!("agent of {backend}/{server}: {note}");
        }
        self.noted = note;
    }

    /// In HAProxy's order: administration, weight, `maxconn`, health. Gives back what can't be obeyed.
    fn obey(&self, reply: &Reply, took: Duration) -> Option<String> {
        let Task { backend, server, .. } = &self.task;
        let index = server.index();
        let wanted = reply.over(server.asked());
        let before = (server.administration(), server.operation());
        let administered = Asked { administration: wanted.administration, ..server.asked() };
        if administered != server.asked() {
            notice::watching(backend, || {
                let moved = backend.set_asked(index, administered);
                let line = notice::administration(backend, server, before, moved)?;
                Some((config::Level::Notice, line))
            });
        }
        let mut refused = None;
        if let Some(weight) = reply.weight(server.settings().weight).filter(|&it| it != server.weight()) {
            refused = backend.set_weight(index, weight).err().map(|why| why.to_string());
        }
        if let Some(most) = reply.maxconn.filter(|&most| server.maxconn_asked() != Some(most)) {
            backend.set_maxconn(index, Some(most));
        }
        let operation = server.operation();
        if wanted != server.asked() {
            notice::watching(backend, || {
                let moved = backend.set_asked(index, wanted);
                let status = if wanted.down { Status::Unexpected } else { Status::Passed };
                let report = Report {
                    code: Some(0),
                    duration: took,
                    ..Report::without_answer(status, reply.info().unwrap_or_default())
                };
                notice::change(backend, server, operation, &report, moved)
            });
        }
        refused
    }
}

/// For the statistics, in HAProxy's words.
fn checked(answer: &Result<Reply, Unusable>, took: Duration) -> Checked {
    let (status, code, info) = match answer {
        Ok(Reply { health: Some(Health::Up), description, .. }) => {
            (Status::Passed, Some(0), description.clone())
        }
        Ok(Reply { health: Some(Health::Down(_)), description, .. }) => {
            (Status::Unexpected, Some(0), description.clone())
        }
        Ok(Reply { description, .. }) => {
            let (status, description) = ("CHECKED", description.clone());
            let sentence = "No status change";
            return Checked {
                status,
                description: sentence,
                number: 3,
                info: description,
                duration: took,
                passed: true,
                ..Checked::default()
            };
        }
        Err(Unusable::Silent(error)) => (Status::ConnectFailed, None, error.clone()),
        Err(error) => (Status::BadAnswer, None, error.to_string()),
    };
    Report { code, duration: took, ..Report::without_answer(status, info) }.checked()
}

/// What the agent says; asked at `start`, it has `inter` for all of it.
async fn ask(agent: &config::Agent, start: Instant) -> Result<Reply, Unusable> {
    match timeout_at(start + agent.inter, exchange(agent)).await {
        Ok(Ok(line)) => Reply::read(&line),
        Ok(Err(error)) => Err(Unusable::Silent(error.to_string())),
        Err(_) => Err(Unusable::Silent("no answer within `inter`".to_owned())),
    }
}

/// The first line that it sends, or what there was of it when it closed.
async fn exchange(agent: &config::Agent) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(agent.address).await?;
    stream.write_all(agent.send.as_bytes()).await?;
    let mut line = Vec::with_capacity(64);
    while !line.contains(&b'\n') && !line.contains(&b'\r') && line.len() < MAX_LINE_BYTES {
        match stream.read_buf(&mut line).await {
            Ok(0) => break,
            Ok(_) => {}
            // It may have closed with what it was sent unread; what has come counts.
            Err(_) if !line.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
