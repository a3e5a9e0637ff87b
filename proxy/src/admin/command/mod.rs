//! HAProxy's runtime commands: what they say, what they change, and who may give them.
//!
//! | level | may |
//! |---|---|
//! | user | look at what gives nothing away: statistics, states, weights |
//! | operator | look at everything, and begin counts of what was highest anew |
//! | admin | change it |
//!
//! Texts, and the order of commands in `help`, are HAProxy 2.6's. What it has and this proxy has not, is
//! refused with the reason ([`WITHOUT`]).

mod dynamic;
mod errors;
mod list;
mod servers;
mod sessions;
mod set;
mod show;
mod state;
mod without;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::edits::Edits;
use super::gate::Gate;
use super::stats::{Statistics, proxies};
use crate::backend::{Backend, Server};
use crate::config::AdminLevel;
use crate::worker::{Generation, Roll};

pub use self::list::COMMANDS;
pub use self::show::changes;
pub use self::state::{all_states, restored};
pub use self::without::WITHOUT;
pub use self::words::commands;

/// What commands act on.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The running proxy, and what is counted of it.
    pub statistics: Arc<Statistics>,
    /// Where orders pass.
    pub gate: Arc<Gate>,
    /// Where changes of the configuration are ordered.
    pub edits: Edits,
    /// Who may be asked for requests that are under way.
    pub roll: Roll,
    /// Sockets that commands come from, as HAProxy calls them, and what may be done there.
    pub sockets: Vec<(String, AdminLevel)>,
}

/// One who gives commands.
#[derive(Debug)]
pub struct Session {
    /// What they may.
    pub level: AdminLevel,
    /// They are asked for the next one, until they have enough.
    pub interactive: bool,
    /// For how long they may be silent.
    pub timeout: Duration,
    /// They have had enough.
    pub ended: bool,
    /// Where they are, where that is not on this machine's file system.
    pub(super) from: Option<SocketAddr>,
    /// What will be said to the command that was obeyed last, instead of what was said.
    pub(super) later: Option<oneshot::Receiver<String>>,
}

impl Session {
    /// One who begins with this level and this patience.
    pub fn new(level: AdminLevel, timeout: Duration) -> Self {
        Self { level, interactive: false, timeout, ended: false, from: None, later: None }
    }

    /// Whether the command that was obeyed last orders a change of the configuration, which nobody waits for then.
    pub(crate) fn orders_an_edit(&mut self) -> bool {
        self.later.take().is_some()
    }
}

/// Does what one command says; gives what there is to say. An empty line follows it on the socket.
pub fn obey(desk: &Desk, session: &mut Session, words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found = COMMANDS.iter().find(|command| words.starts_with(command.words));
    match found {
        Some(command) if session.level < command.level => "Permission denied\n".to_owned(),
        Some(command) => {
            let mut run = || (command.run)(desk, session, &words[command.words.len()..]);
            // What only an admin may, changes something.
            match command.level {
                AdminLevel::Admin => desk.gate.pass(run).unwrap_or_else(str::to_owned),
                AdminLevel::User | AdminLevel::Operator => run(),
            }
        }
        None => list::unknown(&words),
    }
}

/// A server that is named `backend/server`, or by numbers behind `#`.
struct Named {
    backend: Arc<Backend>,
    index: usize,
}

impl Named {
    fn server(&self) -> &Arc<Server> {
        &self.backend.servers()[self.index]
    }

    /// # Errors
    /// HAProxy's words for what is wrong with it.
    fn find(generation: &Generation, word: Option<&&str>) -> Result<Self, String> {
        let (of, name) = word
            .and_then(|word| word.split_once('/'))
            .ok_or_else(|| "Require 'backend/server'.\n".to_owned())?;
        let backend = find_backend(generation, of).ok_or_else(|| "No such backend.\n".to_owned())?;
        let number = name.strip_prefix('#').and_then(|number| number.parse::<usize>().ok());
        let index = backend
            .servers()
            .iter()
            .position(|server| number.map_or(server.name() == name, |number| server.index() + 1 == number));
        let index = index.ok_or_else(|| "No such server.\n".to_owned())?;
        Ok(Self { backend, index })
    }
}

/// A backend that is named, or given by its number behind `#`.
fn find_backend(generation: &Generation, name: &str) -> Option<Arc<Backend>> {
    let number = name.strip_prefix('#').and_then(|number| number.parse::<u32>().ok());
    let mut all = proxies(generation).into_iter().filter(|proxy| proxy.backend.is_some());
    let found = all.find(|proxy| number.map_or(proxy.name == name, |number| proxy.number == number));
    found.and_then(|proxy| proxy.backend).cloned()
}

#[cfg(test)]
mod tests;
