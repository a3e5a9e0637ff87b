//! Looks at real sockets: this test is the server, its users, and the one who looks.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    num::NonZeroU16,
    time::Duration,
};

use super::*;
use crate::clock::Moment;
use crate::traffic::{LastWord, quiet::UNSURE_HOLDS};

/// Longer than anything here takes, unless it hangs for good.
const PATIENCE: Duration = Duration::from_secs(10);

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A server, and how its users reach it.
struct Server {
    listener: TcpListener,
    reached_at: SocketAddr,
    own: Own,
    sockets: Sockets,
}

/// The two ends of a connection.
struct Connection {
    user: TcpStream,
    server: TcpStream,
}

impl Server {
    fn new(listens_on: IpAddr, reached_at: IpAddr) -> Self {
        let listener = TcpListener::bind((listens_on, 0)).unwrap();
        let port = NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap();
        let reached_at = SocketAddr::new(reached_at, port.get());
        let own = Own::default();
        Self { listener, reached_at, sockets: Sockets::new(Doors::at_ports(&[port]), own.clone()), own }
    }

    /// One for each way to speak TCP: IPv4, IPv6, and IPv4 to a socket that listens on both.
    fn each() -> [Self; 3] {
        let both = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        [Self::new(V4, V4), Self::new(V6, V6), Self::new(both, V4)]
    }

    fn port(&self) -> NonZeroU16 {
        NonZeroU16::new(self.reached_at.port()).unwrap()
    }

    fn accept(&self) -> Connection {
        let user = TcpStream::connect(self.reached_at).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        Connection { user, server }
    }

    /// Looks until the reading is as it should be. What is done on a socket is to be seen at once, but
    /// acknowledgements come when they come.
    #[track_caller]
    fn sees(&self, what: &str, is_so: impl Fn(&Reading) -> bool) -> Reading {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let deadline = Moment::now() + PATIENCE;
        loop {
            let reading = runtime.block_on(self.sockets.look(Looks::Seldom)).unwrap();
            let reading = Reading { ended: None, ..reading };
            if is_so(&reading) {
                return reading;
            }
            assert!(Moment::now() < deadline, "expected {what}, found {reading:?}");
        }
    }
}

impl Connection {
    fn ask(&mut self) {
        self.user.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    }

    fn read_request(&mut self) {
        let mut request = [0; 18];
        self.server.read_exact(&mut request).unwrap();
    }

    fn answer(&mut self) {
        self.server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        let mut answer = [0; 27];
        self.user.read_exact(&mut answer).unwrap();
    }
}

const fn is_idle(reading: &Reading) -> bool {
    reading.busy == 0 && reading.answered.count + reading.unsure.count == 1
}

#[test]
fn what_may_be_busy_is_answered_once_no_tick_explains_it() {
    let mut reading = Reading::default();
    reading.count(Verdict::Unsure { silent: UNSURE_HOLDS }.settled());
    reading.count(Verdict::Unsure { silent: UNSURE_HOLDS * 2 }.settled());
    assert_eq!((reading.in_flight(), reading.idle(), reading.silent_for()), (0, 2, Some(UNSURE_HOLDS)));
    reading.count(Verdict::Unsure { silent: UNSURE_HOLDS / 2 }.settled());
    assert_eq!((reading.in_flight(), reading.idle()), (1, 2), "each for itself");
}

#[test]
fn nobody_is_nobody() {
    for server in Server::each() {
        assert_eq!(server.sees("nobody", |_| true), Reading::default());
    }
}

#[test]
fn a_connection_goes_from_fresh_to_busy_to_idle_and_away() {
    for server in Server::each() {
        let waiting = TcpStream::connect(server.reached_at).unwrap();
        server.sees("a fresh connection in the accept queue", |r| {
            *r == Reading { fresh: 1, ..Reading::default() }
        });
        drop(waiting);
        drop(server.listener.accept().unwrap());
        let mut connection = server.accept();
        let busy = |r: &Reading| *r == Reading { busy: 1, ..Reading::default() };
        server.sees("a fresh connection", |r| *r == Reading { fresh: 1, ..Reading::default() });
        connection.ask();
        server.sees("an unread request", busy);
        connection.read_request();
        server.sees("a server that thinks", busy);
        connection.answer();
        server.sees("an idle connection", is_idle);
        connection.ask();
        server.sees("a second request", busy);
        connection.read_request();
        server.sees("a server that thinks again, if they are not in one tick", |r| r.in_flight() == 1);
        connection.answer();
        server.sees("an idle connection again", is_idle);
        let Connection { user, server: held } = connection;
        drop(user);
        server.sees("a connection that its user has closed, idle", is_idle);
        drop(held);
        server.sees("nobody", |r| *r == Reading::default());
    }
}

#[test]
fn silence_grows_until_the_next_request() {
    let server = Server::new(V4, V4);
    let mut connection = server.accept();
    connection.ask();
    connection.read_request();
    connection.answer();
    let long = Duration::from_millis(100);
    server.sees("silence", |r| is_idle(r) && r.silent_for() >= Some(long));
    connection.ask();
    connection.read_request();
    connection.answer();
    server.sees("less silence", |r| is_idle(r) && r.silent_for() < Some(long));
}

#[test]
fn a_response_that_nobody_reads_is_busy() {
    for server in Server::each() {
        let mut connection = server.accept();
        connection.ask();
        connection.read_request();
        connection.server.set_nonblocking(true).unwrap();
        while connection.server.write(&[b'x'; 16384]).is_ok() {}
        server.sees("an unacknowledged response", |r| r.busy == 1);
    }
}

#[test]
fn a_refused_upload_is_busy_while_the_server_lingers_with_its_response_unread() {
    let server = Server::new(V4, V4);
    let mut connection = server.accept();
    connection.ask();
    connection.read_request();
    connection.server.set_nonblocking(true).unwrap();
    while connection.server.write(&[b'x'; 16384]).is_ok() {}
    connection.server.shutdown(std::net::Shutdown::Write).unwrap();
    server.sees("a lingering connection", |r| r.busy == 1);
    let Connection { user, server: lingering } = connection;
    drop(lingering);
    server.sees("what the kernel delivers alone, not counted", |r| *r == Reading::default());
    drop(user);
}

#[test]
fn a_connection_that_closes_without_asking_is_fresh() {
    for server in Server::each() {
        let Connection { user, server: _held } = server.accept();
        drop(user);
        server.sees("a closed fresh connection", |r| *r == Reading { fresh: 1, ..Reading::default() });
    }
}

#[test]
fn other_ports_are_not_looked_at() {
    let [server, other] = [Server::new(V4, V4), Server::new(V4, V4)];
    let _connection = other.accept();
    assert_eq!(server.sees("nobody", |_| true), Reading::default());
}

#[test]
fn own_connections_are_not_traffic_even_after_they_were_given_up() {
    for server in Server::each() {
        let mut probe = server.accept();
        let entry = server.own.enter(probe.user.local_addr().unwrap(), probe.user.peer_addr().unwrap());
        probe.ask();
        let mut user = server.accept();
        user.ask();
        server.sees("the user alone", |r| *r == Reading { busy: 1, ..Reading::default() });
        let Connection { user: probe, server: _hangs } = probe;
        drop((probe, entry));
        for _ in 0..3 {
            assert_eq!(server.sees("one", |_| true).busy, 1);
        }
    }
}

impl Server {
    /// Looks until the kernel's events are there, from which on nothing is missed.
    fn watch(&self, runtime: &tokio::runtime::Runtime) {
        while runtime.block_on(self.sockets.look(Looks::Seldom)).unwrap().ended.is_some() {}
    }
}

#[test]
fn a_request_that_comes_and_goes_between_two_looks_is_seen() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for server in Server::each() {
        for server_closes_first in [true, false] {
            server.watch(&runtime);
            let mut connection = server.accept();
            connection.ask();
            connection.read_request();
            connection.answer();
            let Connection { user, server: held } = connection;
            if server_closes_first {
                drop(held);
                drop(user);
            } else {
                drop(user);
                drop(held);
            }
            let deadline = Moment::now() + PATIENCE;
            while runtime.block_on(server.sockets.look(Looks::Seldom)).unwrap().ended.is_none() {
                assert!(Moment::now() < deadline, "expected to hear of it, heard nothing");
            }
        }
    }
}

#[test]
fn where_more_has_ended_than_the_kernel_keeps_a_request_may_have_been_among_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let server = Server::new(V4, V4);
    let look = || runtime.block_on(server.sockets.look(Looks::InARow)).unwrap();
    while look().ended.is_some() {}
    // Nothing was asked on any, so that each by itself is none.
    drop(server.accept());
    assert_eq!(look().ended, None);
    // The kernel counts at least half a kilobyte for each, and tells of some later, when there is room again.
    let kept = fs::read_to_string("/proc/sys/net/core/rmem_default").unwrap();
    let more = kept.trim().parse::<usize>().unwrap() / 512 + 1;
    let deadline = Moment::now() + PATIENCE;
    while look().ended.is_none() {
        assert!(Moment::now() < deadline, "expected to hear that some were lost");
        (0..more).for_each(|_| drop(server.accept()));
    }
    while look().ended.is_some() {
        assert!(Moment::now() < deadline, "what comes after it is known again");
    }
}

#[test]
fn what_is_known_of_is_told_whatever_else_was_lost() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let server = Server::new(V4, V4);
    let look = || runtime.block_on(server.sockets.look(Looks::InARow)).unwrap();
    let deadline = Moment::now() + PATIENCE;
    loop {
        assert!(Moment::now() < deadline, "expected to hear that some were lost");
        while look().ended.is_some() {}
        for _ in 0..1000 {
            let mut connection = server.accept();
            connection.ask();
            connection.read_request();
            connection.answer();
        }
        let reading = look();
        assert!(reading.spoke().is_some(), "{reading:?}");
        if matches!(reading.ended, Some(LastWord::Unknown { told: Some(_) })) {
            assert_eq!(reading.silent_for(), Some(Duration::ZERO));
            return;
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_wakes_who_waits_for_it() {
    let server = Server::new(V4, V4);
    while server.sockets.look(Looks::Seldom).await.unwrap().ended.is_some() {}
    let mut connection = server.accept();
    let deadline = tokio::time::timeout(Duration::from_millis(50), server.sockets.ended());
    assert!(deadline.await.is_err(), "nothing has ended");
    connection.ask();
    connection.read_request();
    connection.answer();
    drop(connection);
    tokio::time::timeout(PATIENCE, server.sockets.ended()).await.expect("woken");
    tokio::time::timeout(PATIENCE, server.sockets.ended()).await.expect("as long as nobody has looked");
    while server.sockets.look(Looks::Seldom).await.unwrap().ended.is_none() {}
    let other = Server::new(V4, V4);
    drop(other.accept());
    let deadline = tokio::time::timeout(Duration::from_millis(50), server.sockets.ended());
    assert!(deadline.await.is_err(), "another server's connections wake nobody");
}

#[tokio::test]
async fn peers_are_told_with_what_is_said_of_them() {
    let server = Server::new(V6, V6);
    let mut asks = server.accept();
    asks.ask();
    let fresh = server.accept();
    let mut found = server.sockets.verdicts(10).await.unwrap();
    found.sort_by_key(|(_, verdict)| *verdict == Verdict::Fresh);
    let at = |connection: &Connection| connection.user.local_addr().unwrap();
    assert_eq!(found, [(at(&asks), Verdict::Busy), (at(&fresh), Verdict::Fresh)]);
    assert_eq!(server.sockets.verdicts(1).await.unwrap().len(), 1);
}

#[test]
fn own_probes_that_have_ended_are_no_requests() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let server = Server::new(V4, V4);
    server.watch(&runtime);
    for _ in 0..10 {
        let mut probe = server.accept();
        let entry = server.own.enter(probe.user.local_addr().unwrap(), probe.user.peer_addr().unwrap());
        probe.ask();
        probe.read_request();
        probe.answer();
        drop((probe, entry));
        let reading = runtime.block_on(server.sockets.look(Looks::Seldom)).unwrap();
        assert_eq!(reading.ended, None);
    }
}

#[test]
fn a_port_on_which_nobody_listens_is_told_from_an_empty_one() {
    let [server, other] = [Server::new(V4, V4), Server::new(V6, V6)];
    let both = Sockets::new(Doors::at_ports(&[server.port(), other.port()]), Own::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let deserted = || runtime.block_on(both.look(Looks::Seldom)).unwrap().deserted;
    assert_eq!(deserted(), None);
    let port = other.port();
    drop(other);
    assert_eq!(deserted(), Some(Door::Port(port)));
}

#[test]
fn a_server_is_abandoned_when_nobody_listens_on_any_port_where_somebody_has() {
    let [server, other] = [Server::new(V4, V4), Server::new(V6, V6)];
    let both = Sockets::new(Doors::at_ports(&[server.port(), other.port()]), Own::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let abandoned = |sockets: &Sockets| runtime.block_on(sockets.look(Looks::Seldom)).unwrap().abandoned;
    assert!(!abandoned(&both));
    let ports = [server.port(), other.port()];
    drop(other);
    assert!(!abandoned(&both), "one still listens");
    drop(server);
    assert!(abandoned(&both));
    assert!(
        !abandoned(&Sockets::new(Doors::at_ports(&ports), Own::default())),
        "it may look in the wrong place"
    );
}

#[test]
fn listeners_are_found_with_their_addresses() {
    for server in Server::each() {
        let doors = Doors::at_ports(&[server.port()]);
        let listeners = Listener::all(&doors).unwrap();
        let [listener] = &listeners[..] else { panic!("expected one, found {listeners:?}") };
        assert_eq!(listener.place, Place::Tcp(server.listener.local_addr().unwrap()));
        assert_ne!(listener.inode, 0);
        TcpStream::connect(listener.reachable_at().unwrap()).unwrap();
        drop(server.listener);
        assert_eq!(Listener::all(&doors).unwrap(), []);
    }
}
