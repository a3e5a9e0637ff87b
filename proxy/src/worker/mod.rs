//! The process at work: one thread per core, each with its own runtime, listeners and idle connections.
//!
//! ```text
//! signals ──► main ── watch ──► worker 0: listeners ─► exchange::serve, a task per connection
//!                        └────► worker 1: …
//! ```
//!
//! | stop | listeners | clients that are idle | requests in flight |
//! |---|---|---|---|
//! | softly (SIGUSR1) | closed, when they have taken who waited in the kernel as far as there is room | closed | finished, then closed; the process ends with the last one |
//! | now (SIGTERM, SIGINT) | closed | closed | cut off |

mod acceptor;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use self::acceptor::Acceptor;
use crate::admin::log::{CoreLog, Feed};
use crate::backend::{Backend, idle::IdlePool};
use crate::config::{self, Config};
use crate::exchange::{self, OpenCounts, Sink};

/// What the workers are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub enum Stop {
    /// Work on.
    No,
    /// Finish what is under way.
    Softly,
    /// End now.
    Now,
}

/// A frontend as all workers share it.
#[derive(Clone, Debug)]
pub struct Frontend {
    settings: config::Frontend,
    backend: Arc<Backend>,
    open: OpenCounts,
    /// Connections that may still be accepted.
    room: Arc<Semaphore>,
    log: Option<Feed>,
}

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    limits: config::Limits,
    backends: Vec<Arc<Backend>>,
    frontends: Vec<Frontend>,
    /// Connections that may still be accepted by the whole process.
    room: Arc<Semaphore>,
}

impl Shared {
    /// What the workers need for this configuration; `logs` has the access log of each frontend.
    pub fn new(config: &Config, backends: Vec<Arc<Backend>>, logs: Vec<Option<Feed>>) -> Self {
        let process = OpenCounts::default().process;
        let frontend = |(settings, log): (&config::Frontend, Option<Feed>)| Frontend {
            settings: settings.clone(),
            backend: backends[settings.backend.0].clone(),
            open: OpenCounts { process: process.clone(), frontend: Arc::default() },
            room: semaphore(settings.maxconn.get()),
            log,
        };
        let frontends = config.frontends.iter().zip(logs).map(frontend).collect();
        let room = semaphore(config.limits.connections.get());
        Self { limits: config.limits, backends, frontends, room }
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// Starts one worker on a thread of its own, and returns when it accepts connections or can't. `listeners` are its
/// own, each with the index of its frontend; `running` is dropped when it has ended.
pub fn spawn(
    core: usize,
    shared: Shared,
    listeners: Vec<(usize, std::net::TcpListener)>,
    stop: watch::Receiver<Stop>,
    running: mpsc::Sender<()>,
) -> io::Result<()> {
    let (report, started) = sync_channel(1);
    thread::Builder::new().name(format!("core {core}")).spawn(move || {
        let _running = running;
        let ready = report.clone();
        let work = || -> io::Result<()> {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
            runtime.block_on(run(&shared, listeners, stop, &ready))
        };
        if let Err(error) = work() {
            // `spawn` waits for the one report there is.
            let _ = report.send(Err(error));
        }
    })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
}

async fn run(
    shared: &Shared,
    listeners: Vec<(usize, std::net::TcpListener)>,
    mut stop: watch::Receiver<Stop>,
    ready: &SyncSender<io::Result<()>>,
) -> io::Result<()> {
    let pools: Vec<Rc<IdlePool>> = shared
        .backends
        .iter()
        .map(|backend| {
            let pool = IdlePool::new(backend);
            pool.follow(backend);
            pool
        })
        .collect();
    let cores: Vec<Rc<exchange::Core>> = shared
        .frontends
        .iter()
        .map(|frontend| {
            let sink = frontend.log.clone().map(|feed| CoreLog::new(feed) as Rc<dyn Sink>);
            let pool = pools[frontend.settings.backend.0].clone();
            let (settings, backend) = (frontend.settings.clone(), frontend.backend.clone());
            exchange::Core::new(settings, backend, pool, &shared.limits, sink, frontend.open.clone())
        })
        .collect();
    let live = Rc::new(Live::default());
    for (index, listener) in listeners {
        let rooms = [shared.frontends[index].room.clone(), shared.room.clone()];
        let acceptor = Acceptor::new(listener, cores[index].clone(), rooms, live.clone())?;
        tokio::task::spawn_local(acceptor.run(stop.clone()));
    }
    // `spawn` waits for it.
    let _ = ready.send(Ok(()));
    // An error means that main has gone, which is a reason to end as well.
    let _ = stop.wait_for(|&stop| stop >= Stop::Softly).await;
    if *stop.borrow() == Stop::Softly {
        // Let the acceptors take what is in their backlogs before idle connections are closed.
        live.acceptors_ended().await;
        for core in &cores {
            core.stop();
        }
        tokio::select! {
            () = live.ended() => {}
            _ = stop.wait_for(|&stop| stop == Stop::Now) => {}
        }
    }
    Ok(())
}

/// What a worker still has to do.
#[derive(Debug, Default)]
struct Live {
    connections: Cell<usize>,
    acceptors: Cell<usize>,
    fewer: Notify,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Connection,
    Acceptor,
}

impl Live {
    fn count(this: &Rc<Self>, kind: Kind) -> Counted {
        let count = this.of(kind);
        count.set(count.get() + 1);
        Counted(this.clone(), kind)
    }

    async fn ended(&self) {
        while self.connections.get() > 0 {
            self.fewer.notified().await;
        }
    }

    async fn acceptors_ended(&self) {
        while self.acceptors.get() > 0 {
            self.fewer.notified().await;
        }
    }

    fn of(&self, kind: Kind) -> &Cell<usize> {
        match kind {
            Kind::Connection => &self.connections,
            Kind::Acceptor => &self.acceptors,
        }
    }
}

/// One thing that is still to be done.
#[derive(Debug)]
struct Counted(Rc<Live>, Kind);

impl Drop for Counted {
    fn drop(&mut self) {
        let count = self.0.of(self.1);
        count.set(count.get() - 1);
        if count.get() == 0 {
            // Only `run` waits, and it looks again.
            self.0.fewer.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::num::NonZeroUsize;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::backend::fixture;

    fn shared() -> Shared {
        let second = std::time::Duration::from_secs(1);
        let frontend = config::Frontend {
            name: "web".into(),
            bind: Vec::new(),
            backend: config::BackendIndex(0),
            forward_for: None,
            log: None,
            timeout: config::FrontendTimeout {
                client: second,
                http_request: second,
                http_keep_alive: second,
            },
            maxconn: NonZeroUsize::MAX,
        };
        let backend = fixture::settings(vec![fixture::server("a")]);
        let limits = config::Limits {
            connections: NonZeroUsize::MAX,
            head_bytes: 15_360,
            threads: NonZeroUsize::MIN,
            replay: config::Replay::NOTHING,
        };
        let config = Config { frontends: vec![frontend], backends: vec![backend.clone()], limits };
        Shared::new(&config, vec![Backend::new(backend)], vec![None])
    }

    #[test]
    fn a_worker_that_cannot_start_says_so() {
        let stop = watch::Sender::new(Stop::No);
        let (running, mut ended) = mpsc::channel(1);
        // No runtime can wait for a file.
        let file = OwnedFd::from(File::open("/proc/self/cmdline").unwrap());
        let listeners = vec![(0, file.into())];
        assert!(spawn(0, shared(), listeners, stop.subscribe(), running.clone()).is_err());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(spawn(1, shared(), vec![(0, listener)], stop.subscribe(), running).is_ok());
        stop.send_replace(Stop::Now);
        assert_eq!(ended.blocking_recv(), None);
    }
}
