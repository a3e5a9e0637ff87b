//! The thread that answers whoever looks at the proxy or commands it. No core and no check waits for it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use super::command::Desk;
use super::edits::Edits;
use super::gate::Gate;
use super::socket::{self, Bound, SocketError};
use super::stats::Statistics;
use crate::config::{self, AdminSocket};

/// Why the proxy can't be commanded.
#[derive(Debug, Error)]
pub enum AdminError {
    /// A socket can't be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// No thread for it.
    #[error("can't start the thread that answers commands: {0}")]
    Thread(io::Error),
}

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Service {
    sockets: Vec<AdminSocket>,
    statistics: Arc<Statistics>,
    gate: Arc<Gate>,
    edits: Edits,
    newer: Option<mpsc::UnboundedSender<Doors>>,
}

/// What it listens on.
struct Doors {
    desk: Desk,
    sockets: Vec<Bound>,
}

impl Service {
    /// Listens as the configuration says. Without anything to listen on there is no thread.
    pub fn start(
        settings: &config::Admin,
        statistics: Arc<Statistics>,
        gate: Arc<Gate>,
        edits: Edits,
    ) -> Result<Self, AdminError> {
        let mut service = Self { sockets: Vec::new(), statistics, gate, edits, newer: None };
        service.follow(settings)?;
        Ok(service)
    }

    /// Listens as a newer configuration says. Nothing has changed where it fails. Where something changes, whoever is
    /// connected has to come anew, at the level that holds then.
    pub fn follow(&mut self, settings: &config::Admin) -> Result<(), AdminError> {
        if settings.sockets != self.sockets {
            self.listen(&settings.sockets)?;
            self.sockets.clone_from(&settings.sockets);
        }
        Ok(())
    }

    /// Listens anew: another process may have put its sockets in the place of these, and has gone.
    pub fn reopen(&mut self) -> Result<(), AdminError> {
        if self.sockets.is_empty() { Ok(()) } else { self.listen(&self.sockets.clone()) }
    }

    /// Another process takes the orders from now on: who is connected here finds it by connecting again.
    pub fn close(&self) {
        if let Some(newer) = &self.newer {
            let _ = newer.send(self.doors(Vec::new()));
        }
    }

    fn listen(&mut self, sockets: &[AdminSocket]) -> Result<(), AdminError> {
        let doors = self.doors(sockets.iter().map(Bound::open).collect::<Result<_, _>>()?);
        let newer = match &self.newer {
            Some(newer) => newer,
            None => self.newer.insert(spawn(self.statistics.clone()).map_err(AdminError::Thread)?),
        };
        // The thread reads as long as there is a sender.
        let _ = newer.send(doors);
        Ok(())
    }

    fn doors(&self, sockets: Vec<Bound>) -> Doors {
        let named = sockets.iter().map(|bound| (bound.settings.path.clone(), bound.settings.level)).collect();
        let (statistics, gate, edits) = (self.statistics.clone(), self.gate.clone(), self.edits.clone());
        let desk = Desk { statistics, gate, edits, sockets: named };
        Doors { desk, sockets }
    }

    /// What is counted.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }
}

fn spawn(statistics: Arc<Statistics>) -> io::Result<mpsc::UnboundedSender<Doors>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, mut newer) = mpsc::unbounded_channel::<Doors>();
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let work = async {
            let mut serving = JoinSet::new();
            let mut watching = JoinSet::new();
            watching.spawn_local(async move { statistics.watch().await });
            let mut earlier = None;
            while let Some(Doors { desk, sockets }) = newer.recv().await {
                serving.shutdown().await;
                let desk = Rc::new(desk);
                let (open, closed) = watch::channel(());
                for bound in sockets {
                    serving.spawn_local(socket::serve(bound, desk.clone(), closed.clone()));
                }
                // Whoever is connected to those before has to come anew.
                drop(earlier.replace(open));
            }
        };
        runtime.block_on(LocalSet::new().run_until(work));
    })?;
    Ok(sender)
}
