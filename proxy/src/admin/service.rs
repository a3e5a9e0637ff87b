//! The thread that answers whoever looks at the proxy or commands it. No core and no check waits for it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use super::command::Desk;
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
    /// As long as nothing is listened on.
    desk: Desk,
    newer: Option<mpsc::UnboundedSender<Doors>>,
}

/// What it listens on.
struct Doors {
    desk: Desk,
    sockets: Vec<Bound>,
}

impl Service {
    /// Listens as the configuration says. Without anything to listen on there is no thread. `beside`: an earlier process
    /// may listen there, and is about to go.
    pub fn start(settings: &config::Admin, desk: Desk, beside: bool) -> Result<Self, AdminError> {
        let mut service = Self { sockets: Vec::new(), desk, newer: None };
        if !settings.sockets.is_empty() {
            service.listen(&settings.sockets, beside)?;
            service.sockets.clone_from(&settings.sockets);
        }
        Ok(service)
    }

    /// Listens as a newer configuration says. Nothing has changed where it fails. Where something changes, whoever is
    /// connected has to come anew, at the level that holds then.
    pub fn follow(&mut self, settings: &config::Admin) -> Result<(), AdminError> {
        if settings.sockets != self.sockets {
            self.listen(&settings.sockets, false)?;
            self.sockets.clone_from(&settings.sockets);
        }
        Ok(())
    }

    /// Listens anew: another process may have put its sockets in the place of these, and has gone.
    pub fn reopen(&mut self) -> Result<(), AdminError> {
        if self.sockets.is_empty() { Ok(()) } else { self.listen(&self.sockets.clone(), true) }
    }

    /// Another process takes the orders from now on: who is connected here finds it by connecting again.
    pub fn close(&self) {
        if let Some(newer) = &self.newer {
            let _ = newer.send(self.doors(Vec::new()));
        }
    }

    fn listen(&mut self, sockets: &[AdminSocket], beside: bool) -> Result<(), AdminError> {
        let open = |socket: &AdminSocket| {
            let mut own = self.sockets.iter();
            Bound::open(socket, beside || own.any(|known| known.at.is_in_the_way_of(&socket.at)))
        };
        let bound = sockets.iter().map(open).collect::<Result<_, _>>()?;
        let doors = self.doors(bound);
        for socket in sockets.iter().filter(|socket| socket.at.is_exposed()) {
            tracing::warn!(
                "whoever reaches {} may give commands as {}, without a password: listen on 127.0.0.1 or at a path, unless \
                 nobody else can reach it",
                socket.at,
                socket.level.word()
            );
        }
        let newer = match &self.newer {
            Some(newer) => newer,
            None => self.newer.insert(spawn(self.desk.statistics.clone()).map_err(AdminError::Thread)?),
        };
        // The thread reads as long as there is a sender.
        let _ = newer.send(doors);
        Ok(())
    }

    fn doors(&self, sockets: Vec<Bound>) -> Doors {
        let named = sockets.iter().map(|bound| (bound.name(), bound.settings.level)).collect();
        Doors { desk: Desk { sockets: named, ..self.desk.clone() }, sockets }
    }

    /// What is counted.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.desk.statistics
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
