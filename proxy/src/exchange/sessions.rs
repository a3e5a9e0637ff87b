//! Requests that are under way, as an operator looks at them and ends them (HAProxy: `show sess`, `shutdown session`).
//!
//! Each core has its own list, to which nobody else has access: whoever wants to know something asks the core
//! ([`Question`]), which answers between two other things that it does. So a request costs some stores into memory of its
//! own core, and no lock and no atomic.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Core, client::Client};

/// So many bits of a number count the requests of one core, which never needs more; above them is the core.
pub const NUMBER_BITS: u32 = 40;

thread_local! {
    static UNDER_WAY: List = const { List::new() };
}

/// Gives this core's requests numbers of their own; no other thread has the same.
pub fn number_as(core: usize) {
    UNDER_WAY.with(|list| list.next.set(((core as u64) + 1) << NUMBER_BITS));
}

/// What is asked of a core.
#[derive(Clone, Debug)]
pub enum Question {
    /// What is under way; each is sent there, in no order.
    What(mpsc::UnboundedSender<Seen>),
    /// The request of this number is to be ended; that is said there, if it is under way.
    ShutDown(u64, mpsc::UnboundedSender<()>),
}

/// A request that is under way.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its number, which no other request of the process ever has.
    pub number: u64,
    /// Its core.
    pub core: usize,
    /// The client.
    pub client: SocketAddr,
    /// Its connection.
    pub client_fd: RawFd,
    /// The frontend's name.
    pub frontend: Arc<str>,
    /// The backend's name.
    pub backend: Arc<str>,
    /// The server that it goes to, by name, place and address.
    pub server: Option<(Arc<str>, usize, SocketAddr)>,
    /// The connection to it.
    pub server_fd: Option<RawFd>,
    /// How far it is.
    pub stage: Stage,
    /// When its first byte came.
    pub began: Instant,
    /// The same by the wall clock, where it is known.
    pub began_wall: Option<SystemTime>,
    /// When whoever is waited for has had enough time.
    pub deadline: Option<Instant>,
    /// Attempts that have failed.
    pub retries: u32,
    /// The status, once there is one.
    pub status: Option<u16>,
}

/// How far a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// No server has a slot for it yet.
    Queued,
    /// Its server is to be connected to, or is left in peace before it is asked again.
    Connecting,
    /// It has a connection to its server.
    Established,
}

/// A request's place in the list of its core, until it is dropped.
#[derive(Debug)]
pub(super) struct Session(usize);

struct List {
    entries: RefCell<Vec<Option<Entry>>>,
    /// Places that are free.
    free: RefCell<Vec<usize>>,
    /// The number of the next request.
    next: Cell<u64>,
}

struct Entry {
    number: u64,
    client: SocketAddr,
    client_fd: RawFd,
    /// The one with the backend that it goes to.
    core: Rc<Core>,
    /// The server's place in its backend.
    server: Option<usize>,
    server_fd: Option<RawFd>,
    stage: Stage,
    began: Instant,
    began_wall: Option<SystemTime>,
    deadline: Option<Instant>,
    retries: u32,
    status: Option<u16>,
    is_shut_down: bool,
    waker: Option<Waker>,
}

impl Question {
    /// Answers for the core whose thread this is.
    pub fn answer(self) {
        UNDER_WAY.with(|list| match self {
            // Whoever has asked may have gone.
            Self::What(to) => {
                list.entries.borrow().iter().flatten().for_each(|entry| drop(to.send(entry.seen())));
            }
            Self::ShutDown(number, to) => {
                if list.shut_down(number) {
                    let _ = to.send(());
                }
            }
        });
    }
}

impl Session {
    /// A request that has been read and goes on with this core.
    pub(super) fn begin(
        core: Rc<Core>,
        client: &Client,
        (began, began_wall): (Instant, Option<SystemTime>),
    ) -> Self {
        let entry = Entry {
            number: 0,
            client: client.address,
            client_fd: client.stream.as_raw_fd(),
            core,
            server: None,
            server_fd: None,
            stage: Stage::Queued,
            began,
            began_wall,
            deadline: None,
            retries: 0,
            status: None,
            is_shut_down: false,
            waker: None,
        };
        Self(UNDER_WAY.with(|list| list.add(entry)))
    }

    /// It waits for a slot, after so many attempts.
    pub(super) fn queues(&self, retries: u32) {
        self.note(|entry| {
            (entry.stage, entry.server, entry.server_fd) = (Stage::Queued, None, None);
            entry.retries = retries;
        });
    }

    /// It has a slot on the server of this place, and no connection there, after so many attempts.
    pub(super) fn goes_to(&self, server: usize, retries: u32) {
        self.note(|entry| {
            (entry.stage, entry.server, entry.server_fd) = (Stage::Connecting, Some(server), None);
            (entry.status, entry.retries) = (None, retries);
        });
    }

    /// It has a connection.
    pub(super) fn is_on(&self, connection: &TcpStream) {
        let fd = connection.as_raw_fd();
        self.note(|entry| (entry.stage, entry.server_fd) = (Stage::Established, Some(fd)));
    }

    /// Whoever is waited for has until then.
    pub(super) fn expires(&self, deadline: Instant) {
        self.note(|entry| entry.deadline = Some(deadline));
    }

    /// It is answered with this.
    pub(super) fn is_answered(&self, status: u16) {
        self.note(|entry| entry.status = Some(status));
    }

    /// Whether an operator ends it; if not, whoever polls is woken when one does.
    pub(super) fn is_shut_down(&self, cx: &Context<'_>) -> bool {
        self.note(|entry| {
            match &mut entry.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            entry.is_shut_down
        })
        .unwrap_or(false)
    }

    fn note<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        UNDER_WAY.with(|list| list.entries.borrow_mut().get_mut(self.0)?.as_mut().map(change))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A thread that ends has nobody to tell.
        let _ = UNDER_WAY.try_with(|list| list.remove(self.0));
    }
}

impl List {
    const fn new() -> Self {
        Self {
            entries: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            next: Cell::new(1 << NUMBER_BITS),
        }
    }

    fn add(&self, entry: Entry) -> usize {
        let number = self.next.get();
        self.next.set(number + 1);
        let entry = Some(Entry { number, ..entry });
        let mut entries = self.entries.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            entries[place] = entry;
            return place;
        }
        entries.push(entry);
        entries.len() - 1
    }

    fn remove(&self, place: usize) {
        let entry = self.entries.borrow_mut().get_mut(place).and_then(Option::take);
        self.free.borrow_mut().push(place);
        // With the last of its core goes all that this has, which must find the list free.
        drop(entry);
    }

    /// Whether it is under way.
    fn shut_down(&self, number: u64) -> bool {
        let waker = {
            let mut entries = self.entries.borrow_mut();
            let Some(entry) = entries.iter_mut().flatten().find(|entry| entry.number == number) else {
                return false;
            };
            entry.is_shut_down = true;
            entry.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Entry {
    fn seen(&self) -> Seen {
        let core = &*self.core;
        let server = self.server.and_then(|place| core.backend.servers().get(place));
        Seen {
            number: self.number,
            core: (self.number >> NUMBER_BITS) as usize - 1,
            client: self.client,
            client_fd: self.client_fd,
            frontend: core.frontend.name.clone(),
            backend: core.backend.settings().name.clone(),
            server: server.map(|server| {
                let settings = server.settings();
                (settings.name.clone(), server.index(), settings.address)
            }),
            server_fd: self.server_fd,
            stage: self.stage,
            began: self.began,
            began_wall: self.began_wall,
            deadline: self.deadline,
            retries: self.retries,
            status: self.status,
        }
    }
}
