//! A web server of the soak's own, which dies, stalls, drains and comes back as it is told.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use drain_tests::{clock, port};
use fastrand::Rng;
use socket2::SockRef;

use crate::{
    history::{History, Trouble},
    ledger::Ledger,
    link::Link,
    serving,
};

/// How long the port of a server that has just died may be in use.
const REBIND_WITHIN: Duration = Duration::from_secs(10);

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    index: usize,
    name: String,
    address: SocketAddr,
    ledger: Arc<Ledger>,
    /// What its checks are answered.
    health: AtomicU16,
    stalled: Mutex<bool>,
    goes_on: Condvar,
    /// Whether it fails in a request now and then.
    is_faulty: AtomicBool,
    life: Mutex<Option<Arc<Life>>>,
    history: Mutex<History>,
    random: Mutex<Rng>,
    deaths: AtomicU64,
}

/// From its start to its death.
#[derive(Debug)]
struct Life {
    listener: TcpListener,
    dead: AtomicBool,
    links: Mutex<Vec<Weak<Link>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of the server of this number.
pub(crate) fn name(index: usize) -> String {
    format!("s{}", index + 1)
}

impl Server {
    /// Starts the server of this number; `random` decides what it does to whom.
    pub(crate) fn start(index: usize, ledger: &Arc<Ledger>, random: Rng) -> io::Result<Arc<Self>> {
        let server = Arc::new(Self {
            index,
            name: name(index),
            address: port::free(),
            ledger: Arc::clone(ledger),
            health: AtomicU16::new(200),
            stalled: Mutex::default(),
            goes_on: Condvar::new(),
            is_faulty: AtomicBool::new(false),
            life: Mutex::default(),
            history: Mutex::default(),
            random: Mutex::new(random),
            deaths: AtomicU64::new(0),
        });
        server.live()?;
        Ok(server)
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// What its checks are answered.
    pub(crate) fn health(&self) -> u16 {
        self.health.load(Ordering::SeqCst)
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::Relaxed)
    }

    /// Whether it fails in a request now and then from now on.
    pub(crate) fn set_faulty(&self, faulty: bool) {
        self.is_faulty.store(faulty, Ordering::Relaxed);
    }

    /// A generator for one connection.
    fn random(&self) -> Rng {
        lock(&self.random).fork()
    }

    /// Announces that new users shall not come: its own users may.
    pub(crate) fn drain_softly(&self) {
        self.health.store(404, Ordering::SeqCst);
    }

    /// Announces that nobody shall come. It still serves whoever does.
    pub(crate) fn drain_hard(&self) {
        self.history().begin(Trouble::Away, clock::now());
        self.health.store(500, Ordering::SeqCst);
    }

    /// Its users may be elsewhere from now on, for a reason that is not its own.
    pub(crate) fn leave(&self) {
        self.history().begin(Trouble::Away, clock::now());
    }

    /// Closes its listener and all its connections; `reset`: by RST, with what was on the way lost.
    pub(crate) fn die(&self, reset: bool) {
        self.history().begin(Trouble::Ill, clock::now());
        let Some(life) = lock(&self.life).take() else { return };
        self.deaths.fetch_add(1, Ordering::Relaxed);
        life.dead.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; connections that wait in the kernel are reset.
        let _ = SockRef::from(&life.listener).shutdown(std::net::Shutdown::Both);
        for link in lock(&life.links).iter().filter_map(Weak::upgrade) {
            link.kill(reset);
        }
        self.wake();
    }

    /// Reads and writes nothing any more, and accepts nothing.
    pub(crate) fn stall(&self) {
        self.history().begin(Trouble::Ill, clock::now());
        *lock(&self.stalled) = true;
    }

    /// Closes connections that wait for another request; one that has served none is spared, as every server gives a
    /// new connection more time.
    pub(crate) fn close_idle(&self, mut which: impl FnMut() -> bool) {
        let Some(life) = lock(&self.life).clone() else { return };
        for link in lock(&life.links).iter().filter_map(Weak::upgrade) {
            if which() {
                link.close_if_idle();
            }
        }
    }

    /// Is well again, whatever was wrong.
    pub(crate) fn recover(self: &Arc<Self>) -> io::Result<()> {
        *lock(&self.stalled) = false;
        self.wake();
        if lock(&self.life).is_none() {
            self.live()?;
        }
        self.health.store(200, Ordering::SeqCst);
        self.history().mend(clock::now());
        Ok(())
    }

    /// Waits while it is stalled.
    pub(crate) fn pass(&self) {
        let stalled = lock(&self.stalled);
        drop(self.goes_on.wait_while(stalled, |stalled| *stalled));
    }

    fn wake(&self) {
        self.goes_on.notify_all();
    }

    fn live(self: &Arc<Self>) -> io::Result<()> {
        let start = clock::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Err(error) if start.elapsed() >= REBIND_WITHIN => return Err(error),
                Err(_) => clock::pause(Duration::from_millis(10)),
                Ok(listener) => break listener,
            }
        };
        let life = Arc::new(Life { listener, dead: AtomicBool::new(false), links: Mutex::default() });
        *lock(&self.life) = Some(Arc::clone(&life));
        let server = Arc::clone(self);
        thread::spawn(move || server.accept(&life));
        Ok(())
    }

    fn accept(self: Arc<Self>, life: &Life) {
        while let Ok((stream, _)) = life.listener.accept() {
            self.pass();
            if life.dead.load(Ordering::SeqCst) {
                return;
            }
            let Ok(link) = Link::new(stream).map(Arc::new) else { continue };
            let mut links = lock(&life.links);
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
            drop(links);
            // Whoever killed the others may have looked before.
            if life.dead.load(Ordering::SeqCst) {
                return link.kill(false);
            }
            let (server, random) = (Arc::clone(&self), self.random());
            thread::spawn(move || serving::serve(&server, &link, random));
        }
    }
}
