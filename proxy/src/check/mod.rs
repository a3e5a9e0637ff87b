//! Health checks: who is asked when, and what becomes of the answers.
//!
//! All checks of the process run on one thread with a runtime of its own, so that a busy core never delays them; each
//! server has a task, which owns its [`Machine`] and publishes what it comes to by
//! [`Backend::set_operation`](crate::backend::Backend::set_operation).
//!
//! What servers' agents ask for them is the business of [`agent`]; servers in maintenance are not checked.
//!
//! The first check of each server is due at once, because requests wait for it. The later ones are spread over the
//! interval as HAProxy spreads its first ones. How many begin at once is the business of [`turns`].

mod agent;
mod answer;
mod checker;
mod machine;
mod notice;
mod probe;
mod request;
mod running;
mod spread;
mod turns;
mod verdict;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::LocalSet;

pub use machine::Machine;

use self::running::Running;
use self::turns::Turns;
use crate::backend::{Administration, Asked, Backend, Operation, Server};
use crate::config;

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
                let turns = Rc::<Turns>::default();
                let (mut checkers, mut askers) = (Running::default(), Running::default());
                loop {
                    checker::follow(&mut checkers, &backends, &node, &turns);
                    agent::follow(&mut askers, &backends, &turns);
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

/// Says what an operator orders for a server, and tells of it.
pub fn order(backend: &Arc<Backend>, server: &Server, ordered: Administration) {
    let before = (server.administration(), server.operation());
    notice::watching(backend, || {
        let moved = backend.set_ordered(server.index(), ordered);
        Some((config::Level::Notice, notice::administration(backend, server, before, moved)?))
    });
}

/// Says what a server's agent is taken to ask for it until it says something else, and tells of it.
pub fn ask(backend: &Arc<Backend>, server: &Server, asked: Asked) {
    let before = server.operation();
    notice::watching(backend, || {
        let moved = backend.set_asked(server.index(), asked);
        notice::forced(backend, server, before, moved)
    });
}

/// Makes a server what an operator says that its checks find, until the next one, and tells of it.
pub fn force(backend: &Arc<Backend>, server: &Server, operation: Operation) {
    let before = server.operation();
    notice::watching(backend, || {
        let moved = backend.set_operation(server.index(), operation, false);
        notice::forced(backend, server, before, moved)
    });
    server.forced().set_health(operation);
}

fn servers(backends: &[Arc<Backend>]) -> impl Iterator<Item = (&Arc<Backend>, &Arc<Server>)> {
    backends.iter().flat_map(|backend| backend.servers().iter().map(move |server| (backend, server)))
}
