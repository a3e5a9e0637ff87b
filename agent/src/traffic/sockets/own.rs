//! The agent's own connections to the server, which are no traffic.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    diag::{Socket, State},
    unix::{OwnEnds, UnixEntry},
};
use crate::clock::Moment;

/// So long a connection is remembered that was given up: the server may read its end late, and looks come once a
/// second. In that time it is known only by a server's end that has seen the connection's end.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The connections that the agent itself has to the server at this moment, and those that it has just given up, with
/// the moment from which on they are forgotten. Whoever opens one enters it with
/// [`Own::enter`] before anything is sent on it.
///
/// A connection is known by both its ends, so that no other connection can ever pass for it: the kernel gives
/// the pair to one connection at a time.
#[derive(Clone, Debug, Default)]
pub struct Own {
    tcp: Arc<Mutex<HashMap<Ends, Option<Moment>>>>,
    unix: OwnEnds,
}

/// The agent's end and the server's end.
type Ends = (SocketAddr, SocketAddr);

impl Own {
    /// Enters the connection from `local` (the agent's end) to `remote` (the server's end), until the entry is
    /// dropped.
    #[must_use = "the connection counts as the agent's own only as long as the entry lives"]
    pub fn enter(&self, local: SocketAddr, remote: SocketAddr) -> Entry {
        let ends = (canonical(local), canonical(remote));
        let now = Moment::now();
        let mut connections = self.connections();
        connections.retain(|_, until| until.is_none_or(|until| now < until));
        connections.insert(ends, None);
        Entry { own: self.clone(), ends }
    }

    /// Enters the agent's end of a connection to a unix socket, before it is connected, until the entry is dropped.
    /// Drop it before the socket.
    pub fn enter_unix(&self, end: impl AsFd) -> io::Result<UnixEntry> {
        self.unix.enter(end)
    }

    /// Whether the unix socket `inode` is an end of ours.
    pub(super) fn holds_unix(&self, inode: u32) -> bool {
        self.unix.holds(inode)
    }

    /// Whether `socket`, which is the server's, is the other end of one of them.
    pub(super) fn holds(&self, socket: &Socket) -> bool {
        let given_up = socket.state.peer_has_closed() || socket.state == State::Closed;
        match self.connections().get(&(socket.remote, socket.local)) {
            Some(None) => true,
            Some(Some(until)) => given_up && Moment::now() < *until,
            None => false,
        }
    }

    /// Whether the connection from `local` to `remote` is one of them.
    #[cfg(test)]
    pub(crate) fn has(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.connections().get(&(canonical(local), canonical(remote))).is_some_and(Option::is_none)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Ends, Option<Moment>>> {
        // Each change is one call, so they are whole even if a thread has died.
        self.tcp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of the agent's own; it ends with this value.
#[derive(Debug)]
pub struct Entry {
    own: Own,
    ends: Ends,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.own.connections().insert(self.ends, Some(Moment::now() + REMEMBERED));
    }
}

/// Without IPv6's clothes and scope, as the socket table gives addresses.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The server's ends of our own connections, as they were recognised in earlier looks: a connection that we
/// have given up is still ours while the server has not closed it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    before: HashSet<u64>,
    now: HashSet<u64>,
}

impl Seen {
    /// Begins a look; what was recognised in one that failed is kept.
    pub(super) fn begin(&mut self) {
        self.before.extend(self.now.drain());
    }

    /// Ends a look that saw all sockets: what it did not see is gone.
    pub(super) fn end(&mut self) {
        self.before.clear();
    }

    /// Whether `socket` is the server's end of a connection of ours.
    pub(super) fn is_own(&mut self, socket: &Socket, own: &Own) -> bool {
        let is_own = self.before.contains(&socket.cookie) || own.holds(socket);
        if is_own {
            self.now.insert(socket.cookie);
        }
        is_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sockets::diag::State;

    fn probe() -> (SocketAddr, Socket) {
        let ours: SocketAddr = "127.0.0.1:50000".parse().unwrap();
        (ours, Socket { remote: ours, ..Socket::example(State::Established) })
    }

    fn look(seen: &mut Seen, own: &Own, sockets: &[Socket]) -> usize {
        seen.begin();
        let count = sockets.iter().filter(|s| seen.is_own(s, own)).count();
        seen.end();
        count
    }

    #[test]
    fn a_connection_is_own_while_its_entry_lives() {
        let (own, mut seen, (ours, socket)) = (Own::default(), Seen::default(), probe());
        let entry = own.enter(ours, socket.local);
        assert!(own.holds(&socket));
        drop(entry);
        assert!(!own.holds(&socket));
        assert_eq!(look(&mut seen, &own, &[socket]), 0);
    }

    #[test]
    fn a_server_that_has_not_closed_a_probe_yet_is_not_in_use() {
        let (own, (ours, socket)) = (Own::default(), probe());
        drop(own.enter(ours, socket.local));
        for state in [State::CloseWait, State::LastAck, State::Closed] {
            assert!(own.holds(&Socket { state, ..socket }), "{state:?}");
        }
        assert!(!own.holds(&socket), "the pair of ends is somebody else's now");
    }

    #[test]
    fn the_same_local_end_to_another_port_is_not_own() {
        let (own, (ours, socket)) = (Own::default(), probe());
        let _entry = own.enter(ours, "127.0.0.1:443".parse().unwrap());
        assert!(!own.holds(&socket));
    }

    #[test]
    fn a_connection_that_was_given_up_is_own_until_the_server_closes_it() {
        let (own, mut seen, (ours, socket)) = (Own::default(), Seen::default(), probe());
        let entry = own.enter(ours, socket.local);
        assert_eq!(look(&mut seen, &own, &[socket]), 1);
        drop(entry);
        assert_eq!(look(&mut seen, &own, &[socket]), 1);
        assert_eq!(look(&mut seen, &own, &[socket]), 1);
        assert_eq!(look(&mut seen, &own, &[]), 0);
        assert_eq!(look(&mut seen, &own, &[socket]), 0, "the pair of ends is somebody else's now");
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_same_end() {
        let (own, (_, socket)) = (Own::default(), probe());
        let _entry =
            own.enter("[::ffff:127.0.0.1]:50000".parse().unwrap(), "[::ffff:127.0.0.1]:80".parse().unwrap());
        assert!(own.holds(&socket));
    }
}
