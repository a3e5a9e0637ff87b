//! The process at work: one thread per core, each with its own runtime, listeners and idle connections.
//!
//! ```text
//! main ── Stop ────────────────────► worker 0: listeners ─► exchange::serve, a task per connection
//!   └──── Share, for each reload ──► worker 1: …
//! ```
//!
//! | stop | listeners | clients that are idle | requests in flight |
//! |---|---|---|---|
//! | leaving (another process has the listeners) | closed; those that it does not have, as in a soft stop | may send one more request | finished, then closed; the process ends with the last one |
//! | softly (SIGUSR1) | closed, when they have taken who waited in the kernel as far as there is room | closed | finished, then closed; the process ends with the last one |
//! | now (SIGTERM, SIGINT) | closed | closed | cut off |
//!
//! A reload gives each worker a new [`Share`]. Its listeners that stay are not touched; clients that stay connected have
//! their next request served by the new configuration; frontends that are gone finish as in a soft stop, but give each
//! client that is idle its next response, with `connection: close`. Listeners that are gone close when nobody waits in the
//! kernel any more, however long it takes until there is room. A share of the same configuration changes listeners only.

mod acceptor;
mod generation;
mod live;
mod roll;
mod room;

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::acceptor::{Acceptor, Order};
pub use self::generation::{Frontend, Generation};
use self::live::Live;
pub use self::roll::Roll;
pub use self::room::Room;
use crate::backend::{Backend, idle::IdlePool};
use crate::{
    exchange::{
        self,
        sessions::{self, Question},
    },
    served,
};

/// Threads of each core that write to disk what is kept of long requests: one alone would let a single slow write hold
/// up the others.
const DISK_THREADS: usize = 4;

/// What the workers are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub enum Stop {
    /// Work on.
    No,
    /// Finish what is under way, and serve those who are idle once more.
    Leaving,
    /// Finish what is under way.
    Softly,
    /// End now.
    Now,
}

/// One worker's part of a configuration.
#[derive(Debug)]
pub struct Share {
    /// What all workers share.
    pub generation: Arc<Generation>,
    /// What it accepts from, each with the name of its frontend.
    pub listeners: Vec<(Arc<str>, Arc<TcpListener>)>,
}

/// Starts one worker on a thread of its own, and returns when it accepts connections or can't. `shares` brings further
/// configurations, and `questions` what is asked of it; `running` is dropped when it has ended.
pub fn spawn(
    core: usize,
    share: Share,
    (shares, questions): (mpsc::UnboundedReceiver<Share>, mpsc::UnboundedReceiver<Question>),
    stop: watch::Receiver<Stop>,
    running: mpsc::Sender<()>,
) -> io::Result<()> {
    let (report, started) = sync_channel(1);
    thread::Builder::new().name(format!("core {core}")).spawn(move || {
        let _running = running;
        served::count_as(core);
        sessions::number_as(core);
        let ready = report.clone();
        let work = || -> io::Result<()> {
            let mut runtime = Builder::new_current_thread();
            runtime.enable_all().max_blocking_threads(DISK_THREADS);
            let runtime = runtime.build_local(LocalOptions::default())?;
            runtime.block_on(async {
                tokio::task::spawn_local(answer(questions));
                run(share, shares, stop, &ready).await
            })
        };
        if let Err(error) = work() {
            // `spawn` waits for the one report there is.
            let _ = report.send(Err(error));
        }
    })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
}

/// Says what is asked, until nobody is left who might ask.
async fn answer(mut questions: mpsc::UnboundedReceiver<Question>) {
    while let Some(question) = questions.recv().await {
        question.answer();
    }
}

async fn run(
    share: Share,
    mut shares: mpsc::UnboundedReceiver<Share>,
    mut stop: watch::Receiver<Stop>,
    ready: &SyncSender<io::Result<()>>,
) -> io::Result<()> {
    let mut worker = Worker::default();
    worker.take(share)?;
    // `spawn` waits for it.
    let _ = ready.send(Ok(()));
    loop {
        tokio::select! {
            Some(share) = shares.recv() => {
                worker.follow(share);
            }
            // An error means that main has gone, which is a reason to end as well.
            _ = stop.wait_for(|&stop| stop >= Stop::Leaving) => break,
        }
    }
    let order = *stop.borrow();
    if order == Stop::Now {
        return Ok(());
    }
    // What was said before the stop comes before it.
    while let Ok(share) = shares.try_recv() {
        worker.follow(share);
    }
    drop(shares);
    // Let the acceptors take what is in their backlogs before idle connections are closed.
    worker.close_listeners(order).await;
    if order == Stop::Leaving {
        worker.cores().for_each(|core| core.close_after_responses());
        worker.pools.values().for_each(|(backend, pool)| pool.make_way(backend));
        tokio::select! {
            () = worker.live.ended() => return Ok(()),
            _ = stop.wait_for(|&stop| stop >= Stop::Softly) => {}
        }
    }
    worker.cores().for_each(|core| core.stop());
    tokio::select! {
        () = worker.live.ended() => {}
        _ = stop.wait_for(|&stop| stop == Stop::Now) => {}
    }
    Ok(())
}

/// What one worker has at present.
#[derive(Default)]
struct Worker {
    live: Rc<Live>,
    generation: Option<Arc<Generation>>,
    /// The newest of each backend, by name.
    pools: HashMap<Arc<str>, (Arc<Backend>, Rc<IdlePool>)>,
    /// The newest of each frontend, by name.
    frontends: HashMap<Arc<str>, Rc<exchange::Core>>,
    /// All that may still have connections.
    cores: Vec<Weak<exchange::Core>>,
    acceptors: Vec<Accepting>,
    /// Those whose listeners are gone, and where somebody may still wait.
    emptying: Vec<Ordered>,
}

/// A listener that is accepted from.
struct Accepting {
    frontend: Arc<str>,
    listener: Arc<TcpListener>,
    ordered: Ordered,
}

/// A task that accepts, and what it is told.
struct Ordered {
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Takes one that comes later.
    fn follow(&mut self, share: Share) {
        // A socket that main has just opened, or this runtime has had before: only want of memory fails it.
        if let Err(error) = self.take(share) {
            tracing::error!("a core can't accept from a listener: {error}");
        }
    }

    /// Works by this configuration from now on.
    fn take(&mut self, share: Share) -> io::Result<()> {
        let Share { generation, listeners } = share;
        self.cores.retain(|core| core.strong_count() > 0);
        let is_same = self.generation.as_ref().is_some_and(|known| Arc::ptr_eq(known, &generation));
        let gone = if is_same {
            Vec::new()
        } else {
            self.renew_pools(&generation);
            self.renew_frontends(&generation)
        };
        self.generation = Some(generation.clone());
        let stays = |accepting: &Accepting| {
            let is_same = |(frontend, listener): &(Arc<str>, Arc<TcpListener>)| {
                *frontend == accepting.frontend && Arc::ptr_eq(listener, &accepting.listener)
            };
            listeners.iter().any(is_same)
        };
        let (kept, closing): (Vec<_>, Vec<_>) = self.acceptors.drain(..).partition(stays);
        self.acceptors = kept;
        let is_new = |listener: &Arc<TcpListener>| {
            !self.acceptors.iter().any(|known| Arc::ptr_eq(listener, &known.listener))
        };
        let new: Vec<_> = listeners.into_iter().filter(|(_, listener)| is_new(listener)).collect();
        for (name, listener) in new {
            self.accept(&generation, name, listener)?;
        }
        for core in gone {
            core.close_after_responses();
        }
        self.emptying.retain(|ordered| !ordered.task.is_finished());
        for Accepting { ordered, .. } in closing {
            ordered.orders.send_replace(Order::Empty);
            self.emptying.push(ordered);
        }
        Ok(())
    }

    fn accept(
        &mut self,
        generation: &Generation,
        name: Arc<str>,
        listener: Arc<TcpListener>,
    ) -> io::Result<()> {
        let settings = generation.frontend(&name).expect("a listener's frontend is in its configuration");
        let rooms = [settings.room.clone(), generation.room.clone()];
        let core = self.frontends[&name].clone();
        let acceptor = Acceptor::new(listener.clone(), core, rooms, self.live.clone())?;
        let (orders, to_follow) = watch::channel(Order::Accept);
        let task = tokio::task::spawn_local(acceptor.run(to_follow));
        self.acceptors.push(Accepting { frontend: name, listener, ordered: Ordered { orders, task } });
        Ok(())
    }

    fn renew_pools(&mut self, generation: &Generation) {
        let mut before = std::mem::take(&mut self.pools);
        for backend in &generation.backends {
            let name = backend.settings().name.clone();
            let pool = IdlePool::new(backend);
            pool.follow(backend);
            if let Some((older, of_older)) = before.remove(&name) {
                of_older.bequeath(&older, Some((pool.clone(), backend)));
            }
            self.pools.insert(name, (backend.clone(), pool));
        }
        for (older, of_older) in before.into_values() {
            of_older.bequeath(&older, None);
        }
    }

    /// Gives back what is gone.
    fn renew_frontends(&mut self, generation: &Generation) -> Vec<Rc<exchange::Core>> {
        let mut before = std::mem::take(&mut self.frontends);
        let all: Rc<[_]> = generation.backends.clone().into();
        for frontend in &generation.frontends {
            let settings = frontend.settings.clone();
            let name = settings.name.clone();
            let (backend, pool) = &self.pools[&frontend.backend.settings().name];
            let (backend, pool, sink) = (backend.clone(), pool.clone(), frontend.log.sink());
            let (open, budget) = (frontend.open.clone(), generation.budget.clone());
            let core = exchange::Core::new(settings, backend, pool, &generation.limits, sink, open, budget);
            let reached = frontend.settings.rules.backends().map(|place| {
                let (backend, pool) = &self.pools[&generation.backends[place].settings().name];
                (place, backend.clone(), pool.clone())
            });
            core.reach(reached, &all, generation.pages());
            self.cores.push(Rc::downgrade(&core));
            if let Some(older) = before.remove(&name) {
                older.succeed(core.clone());
            }
            self.frontends.insert(name, core);
        }
        before.into_values().collect()
    }

    async fn close_listeners(&mut self, order: Stop) {
        let order = if order == Stop::Leaving { Order::Leave } else { Order::Close };
        let all = self.acceptors.drain(..).map(|accepting| (accepting.ordered, order));
        // Nobody else has those of a reload that has been.
        let all: Vec<_> = all.chain(self.emptying.drain(..).map(|ordered| (ordered, Order::Close))).collect();
        for (Ordered { orders, .. }, order) in &all {
            orders.send_replace(*order);
        }
        for (Ordered { task, .. }, _) in all {
            // A panic in it has been reported; it has ended then, too.
            let _ = task.await;
        }
    }

    fn cores(&self) -> impl Iterator<Item = Rc<exchange::Core>> {
        self.cores.iter().filter_map(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::admin::log::Logs;
    use crate::config::Config;

    fn share(listener: TcpListener) -> Share {
        let text = r#"
            frontend.web = { bind = ["127.0.0.1:0"], backend = "shop" }
            [[backend.shop.server]]
            name = "a"
            address = "127.0.0.1:80"
        "#;
        let config = Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap();
        let listeners = vec![(config.frontends[0].name.clone(), Arc::new(listener))];
        let generation = Generation::new(&config, &Logs::open(&config).unwrap());
        Share { generation, listeners }
    }

    #[tokio::test(flavor = "local")]
    async fn who_waits_at_an_address_that_nobody_takes_over_is_accepted() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        // They wait in the kernel.
        let clients = listeners.each_ref().map(|listener| {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(b"nonsense\r\n\r\n").unwrap();
            client.set_nonblocking(true).unwrap();
            client
        });
        let [gone, stays] = listeners.map(share);
        let name = stays.listeners[0].0.clone();
        let both = [gone, stays].map(|share| share.listeners[0].1.clone());
        let generation = share(TcpListener::bind("127.0.0.1:0").unwrap()).generation;
        let of = |listeners: &[Arc<TcpListener>]| Share {
            generation: generation.clone(),
            listeners: listeners.iter().map(|listener| (name.clone(), listener.clone())).collect(),
        };
        let (shares, to_take) = mpsc::unbounded_channel();
        shares.send(of(&both[1..])).unwrap();
        let (_stop, stopped) = watch::channel(Stop::Leaving);
        let (ready, _started) = sync_channel(1);
        run(of(&both), to_take, stopped, &ready).await.unwrap();
        let said = clients.map(|mut client| {
            let mut answer = [0; 12];
            client.read(&mut answer).map(|_| String::from_utf8_lossy(&answer).into_owned())
        });
        assert_eq!(said[0].as_ref().unwrap(), "HTTP/1.1 400");
        assert_eq!(said[1].as_ref().unwrap_err().kind(), io::ErrorKind::WouldBlock, "{said:?}");
    }

    #[test]
    fn a_worker_that_cannot_start_says_so() {
        let stop = watch::Sender::new(Stop::No);
        let (running, mut ended) = mpsc::channel(1);
        let roll = Roll::default();
        let (_shares, [first, second]) = {
            let channels = [mpsc::unbounded_channel::<Share>(), mpsc::unbounded_channel()];
            let [(one, first), (two, second)] = channels;
            ([one, two], [(first, roll.join()), (second, roll.join())])
        };
        // No runtime can wait for a file.
        let file = OwnedFd::from(File::open("/proc/self/cmdline").unwrap());
        assert!(spawn(0, share(file.into()), first, stop.subscribe(), running.clone()).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(spawn(1, share(listener), second, stop.subscribe(), running).is_ok());
        stop.send_replace(Stop::Now);
        assert_eq!(ended.blocking_recv(), None);
    }
}
