//! Traffic as the kernel sees it: the sockets at the server's doors, told busy from idle.
//!
//! One look is a dump of the socket table per port and family, and one of the unix sockets where the server has any,
//! over netlink `sock_diag`; it needs no privilege but to get into another network namespace. In a drain the kernel
//! tells besides of the TCP connections that end between the looks. A dump is one moment's picture: a connection that
//! opens while the kernel walks its table may be missed, so nobody may act on a single look.

mod diag;
mod doors;
mod ended;
mod listener;
mod namespace;
mod own;
mod peers;
mod table;
mod unix;
mod verdict;

pub use diag::{Info, Malformed, Socket, State};
pub use doors::{Door, Doors};
pub use listener::{Listener, Place};
pub use namespace::{Namespace, NamespaceError};
pub use own::{Entry, Own};
pub use peers::Left;
pub use table::LookError;
pub use unix::UnixEntry;
pub use verdict::Verdict;

use std::{
    future, io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};

use self::{ended::Ended, own::Seen, table::Table, unix::Connections};
use super::Reading;
use crate::clock::Moment;

/// Whether a look is one of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Looks {
    /// It stands for itself: what was before it is known only if another has just been made.
    Seldom,
    /// In a drain one follows another until it ends, however long each of them takes: what is between them counts.
    InARow,
}

/// The states in which a server's socket can carry an unfinished response, and that in which it waits for more. Those
/// in which the server has closed are among them for the sake of [`Verdict`]'s step 0.
const STATES: [State; 6] =
    [State::Established, State::CloseWait, State::FinWait1, State::Closing, State::LastAck, State::Listen];

/// The sockets at a server's doors, as a source of traffic.
#[derive(Clone)]
pub struct Sockets {
    looker: Arc<Mutex<Looker>>,
    /// Where the kernel's events arrive, while there is a subscription.
    arrivals: watch::Receiver<Option<Arc<OwnedFd>>>,
}

impl Sockets {
    /// The sockets at these `doors`, but for the agent's `own` connections.
    pub fn new(doors: Doors, own: Own) -> Self {
        let (told, arrivals) = watch::channel(None);
        let looker = Looker {
            table: Table::new(doors.namespace.clone()),
            doors,
            inside: None,
            ended: Ended::new(told),
            unix: Connections::default(),
            own,
            seen: Seen::default(),
            has_listened: false,
        };
        Self { looker: Arc::new(Mutex::new(looker)), arrivals }
    }

    /// Looks at the socket table, in a thread of its own: with 100,000 sockets it takes 0.2 s.
    ///
    /// Looks that are asked for at once are made one after the other.
    pub async fn look(&self, looks: Looks) -> Result<Reading, LookError> {
        let looker = Arc::clone(&self.looker);
        let look = move || {
            // A look that has panicked leaves at worst remembered sockets of our own behind.
            looker.lock().unwrap_or_else(PoisonError::into_inner).look(looks)
        };
        tokio::task::spawn_blocking(look).await.map_err(|_| LookError::Stopped)?
    }

    /// Returns when the kernel has told that a TCP connection to the server has ended, and no look has taken note of it
    /// yet; at once where that is so already. Waits for ever where the kernel is not asked to tell, as between looks
    /// that are far apart, and where the server has no port. Needs a runtime with I/O.
    pub async fn ended(&self) {
        let mut arrivals = self.arrivals.clone();
        loop {
            let subscribed = arrivals.borrow_and_update().clone();
            let waiting = subscribed.and_then(waiting_for);
            tokio::select! {
                // ENOBUFS is told as an error of the socket, which is readable as well.
                Ok(_ready) = readable(waiting.as_ref()) => return,
                Ok(()) = arrivals.changed() => {}
                else => return future::pending().await,
            }
        }
    }

    /// Who has a TCP connection to the server, and what is said of it; `most` of them at most. For people.
    pub async fn verdicts(&self, most: usize) -> Result<Vec<(SocketAddr, Verdict)>, LookError> {
        let looker = Arc::clone(&self.looker);
        let peers = move || looker.lock().unwrap_or_else(PoisonError::into_inner).verdicts(most);
        tokio::task::spawn_blocking(peers).await.map_err(|_| LookError::Stopped)?
    }
}

/// Nothing where the runtime can't wait for it.
#[expect(
    deprecated,
    reason = "its successor is unsafe; this type keeps one descriptor open as long as it lives"
)]
fn waiting_for(events: Arc<OwnedFd>) -> Option<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(events, Interest::READABLE).ok()
}

async fn readable(waiting: Option<&AsyncFd<Arc<OwnedFd>>>) -> io::Result<()> {
    match waiting {
        Some(waiting) => waiting.readable().await.map(drop),
        None => future::pending().await,
    }
}

struct Looker {
    doors: Doors,
    table: Table,
    /// Which namespace was looked into; `None` for the agent's own.
    inside: Option<namespace::Identity>,
    ended: Ended,
    unix: Connections,
    own: Own,
    seen: Seen,
    /// Somebody has listened at one of the doors at an earlier look.
    has_listened: bool,
}

impl Looker {
    fn look(&mut self, looks: Looks) -> Result<Reading, LookError> {
        self.enter()?;
        let Self { doors, ended, own, seen, .. } = self;
        let now = Moment::now();
        seen.begin();
        // What ends after this and before the table is read is told at the next look.
        let ended = ended.since_last(doors, looks, now, |socket| seen.is_own(socket, own))?;
        let (reading, ()) = self.read(looks, now, |(), _, _| {})?;
        Ok(Reading { ended, ..reading })
    }

    /// Reads the table, and shows `each` every connection that is not our own, with its verdict, beside a value of its
    /// own.
    fn read<T: Default>(
        &mut self,
        looks: Looks,
        now: Moment,
        mut each: impl FnMut(&mut T, &Socket, Verdict),
    ) -> Result<(Reading, T), LookError> {
        let Self { doors, table, unix, own, seen, has_listened, .. } = self;
        let start = || (Reading::default(), doors.each().collect::<Vec<_>>(), T::default());
        let (mut reading, mut deserted, value) =
            table.fold(&doors.ports, &STATES, start, |(reading, deserted, value), socket| {
                if socket.state == State::Listen {
                    deserted.retain(
                        |door| !matches!(door, Door::Port(port) if port.get() == socket.local.port()),
                    );
                } else if !seen.is_own(socket, own) {
                    let verdict = Verdict::of(socket).settled();
                    reading.count(verdict);
                    each(value, socket, verdict);
                }
            })?;
        let listened = unix.look(table, &doors.paths, own, (looks, now), &mut reading)?;
        deserted.retain(|door| !matches!(door, Door::Path(path) if listened[*path]));
        seen.end();
        let of = doors.each().count();
        *has_listened |= deserted.len() < of;
        let abandoned = *has_listened && deserted.len() == of;
        Ok((Reading { deserted: deserted.first().copied(), abandoned, ..reading }, value))
    }

    fn verdicts(&mut self, most: usize) -> Result<Vec<(SocketAddr, Verdict)>, LookError> {
        self.enter()?;
        let Self { doors, table, own, .. } = self;
        table.fold(&doors.ports, &STATES, Vec::new, |peers, socket| {
            let verdict = Verdict::of(socket);
            let counts = socket.state != State::Listen && verdict != Verdict::Closed && !own.holds(socket);
            if counts && peers.len() < most {
                peers.push((socket.remote, verdict));
            }
        })
    }

    /// What was seen of a namespace says nothing of another one that has its name now.
    fn enter(&mut self) -> Result<(), NamespaceError> {
        let inside = self.doors.namespace.identity();
        if !matches!(&inside, Ok(inside) if *inside == self.inside) {
            self.table.forget();
            self.ended.forget();
            self.unix = Connections::default();
        }
        self.inside = inside?;
        Ok(())
    }
}

impl Reading {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Busy => self.busy = self.busy.saturating_add(1),
            Verdict::Fresh => self.fresh = self.fresh.saturating_add(1),
            Verdict::Answered { silent } => self.answered.add(silent),
            Verdict::Unsure { silent } => self.unsure.add(silent),
            Verdict::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests;
