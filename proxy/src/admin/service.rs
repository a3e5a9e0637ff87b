//! The thread that answers whoever looks at the proxy or commands it. No core and no check waits for it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::command::Desk;
use super::socket::{self, Bound, SocketError};
use super::stats::Statistics;
use crate::config;

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
    settings: config::Admin,
    statistics: Arc<Statistics>,
    newer: Option<mpsc::UnboundedSender<Doors>>,
}

/// What it listens on.
struct Doors {
    desk: Desk,
    sockets: Vec<Bound>,
}

impl Doors {
    fn open(settings: &config::Admin, statistics: &Arc<Statistics>) -> Result<Self, SocketError> {
        let sockets = settings.sockets.iter().map(Bound::open).collect::<Result<_, _>>()?;
        let named = settings.sockets.iter().map(|socket| (socket.path.clone(), socket.level)).collect();
        Ok(Self { desk: Desk { statistics: statistics.clone(), sockets: named }, sockets })
    }
}

impl Service {
    /// Listens as the configuration says. Without anything to listen on there is no thread.
    pub fn start(settings: &config::Admin, statistics: Arc<Statistics>) -> Result<Self, AdminError> {
        let mut service = Self { settings: config::Admin::default(), statistics, newer: None };
        service.follow(settings)?;
        Ok(service)
    }

    /// Listens as a newer configuration says. Nothing has changed where it fails.
    pub fn follow(&mut self, settings: &config::Admin) -> Result<(), AdminError> {
        if *settings == self.settings {
            return Ok(());
        }
        let doors = Doors::open(settings, &self.statistics)?;
        let newer = match &self.newer {
            Some(newer) => newer,
            None => self.newer.insert(spawn(self.statistics.clone()).map_err(AdminError::Thread)?),
        };
        // The thread reads as long as there is a sender.
        let _ = newer.send(doors);
        self.settings = settings.clone();
        Ok(())
    }

    /// Listens anew: another process may have put its sockets in the place of these, and has gone.
    pub fn reopen(&mut self) -> Result<(), AdminError> {
        let settings = std::mem::take(&mut self.settings);
        let opened = self.follow(&settings);
        self.settings = settings;
        opened
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
            while let Some(Doors { desk, sockets }) = newer.recv().await {
                // Whoever is connected is served to the end.
                serving.shutdown().await;
                let desk = Rc::new(desk);
                for bound in sockets {
                    serving.spawn_local(socket::serve(bound, desk.clone()));
                }
            }
        };
        runtime.block_on(LocalSet::new().run_until(work));
    })?;
    Ok(sender)
}
