//! Looks at real unix sockets: this test is the server, its users, and the one who looks.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
};

use super::*;
use crate::{
    scratch::Scratch,
    traffic::sockets::{Doors, Looks, Sockets},
};

struct Server {
    _scratch: Scratch,
    path: PathBuf,
    listener: UnixListener,
    own: Own,
    doors: Doors,
    sockets: Sockets,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn new() -> Self {
        let scratch = Scratch::new("unix");
        let path = scratch.join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let own = Own::default();
        let doors = Doors { paths: [path.as_path().into()].into(), ..Doors::default() };
        let sockets = Sockets::new(doors.clone(), own.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { _scratch: scratch, path, listener, own, doors, sockets, runtime }
    }

    fn look(&self) -> Reading {
        self.runtime.block_on(self.sockets.look(Looks::Seldom)).unwrap()
    }

    /// Busy, and opaque.
    fn counts(&self) -> (u32, u32) {
        let reading = self.look();
        assert_eq!((reading.in_flight(), reading.idle()), (reading.busy + reading.opaque.count, 0));
        (reading.busy, reading.opaque.count)
    }

    fn user(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }
}

#[test]
fn a_connection_to_a_unix_socket_is_in_flight_from_the_backlog_to_its_end() {
    let server = Server::new();
    assert_eq!(server.counts(), (0, 0));
    let mut user = server.user();
    assert_eq!(server.counts(), (1, 0), "it waits to be accepted");
    let (mut held, _) = server.listener.accept().unwrap();
    assert_eq!(server.counts(), (0, 1), "it may carry anything");
    user.write_all(b"GET /").unwrap();
    assert_eq!(server.counts(), (1, 0), "unread by the server");
    held.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(server.counts(), (0, 1), "the server thinks");
    held.write_all(b"fine").unwrap();
    assert_eq!(server.counts(), (1, 0), "unread by its peer");
    user.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(server.counts(), (0, 1), "answered, which can't be told");
    drop(held);
    assert_eq!(server.counts(), (0, 0));
}

#[test]
fn what_its_user_has_left_holds_until_the_server_is_done() {
    let server = Server::new();
    drop(server.user());
    assert_eq!(server.counts(), (0, 0), "it was never accepted, and nobody waits");
    let (abandoned, _) = server.listener.accept().unwrap();
    assert_eq!(server.counts(), (0, 1));
    drop(abandoned);
    assert_eq!(server.counts(), (0, 0));
}

#[test]
fn other_unix_sockets_are_not_counted() {
    let [server, other] = [Server::new(), Server::new()];
    let _user = other.user();
    let (one, _two) = UnixStream::pair().unwrap();
    assert_eq!(server.counts(), (0, 0));
    drop(one);
}

#[test]
fn silence_is_known_from_looks_in_a_row() {
    let server = Server::new();
    let _user = server.user();
    let _held = server.listener.accept().unwrap();
    assert_eq!(server.look().opaque.shortest, Some(Duration::ZERO));
    let deadline = Moment::now() + Duration::from_secs(10);
    while server.look().opaque.shortest < Some(Duration::from_millis(30)) {
        assert!(Moment::now() < deadline, "expected silence to grow");
    }
}

#[test]
fn looks_that_are_far_apart_know_nothing_of_the_time_between_them() {
    let server = Server::new();
    let _user = server.user();
    let _held = server.listener.accept().unwrap();
    let (mut connections, mut table) =
        (Connections::default(), Table::new(crate::traffic::sockets::Namespace::default()));
    let mut silence = |s, looks| {
        let (mut reading, now) = (Reading::default(), Moment::from_boot(Duration::from_secs(s)));
        connections.look(&mut table, &server.doors.paths, &server.own, (looks, now), &mut reading).unwrap();
        reading.opaque.shortest.unwrap().as_secs()
    };
    let seldom = [100, 101, 103, 106].map(|s| silence(s, Looks::Seldom));
    assert_eq!(seldom, [0, 1, 3, 0]);
    assert_eq!(silence(116, Looks::InARow), 10, "each look of a drain takes long");
}

#[test]
fn own_probes_are_not_counted_from_the_backlog_to_their_end() {
    let server = Server::new();
    let probe = server.user();
    let entry = server.own.enter_unix(&probe).unwrap();
    assert_eq!(server.counts(), (0, 0));
    let (held, _) = server.listener.accept().unwrap();
    assert_eq!(server.counts(), (0, 0));
    drop((entry, probe));
    assert_eq!(server.counts(), (0, 0), "given up, and not yet closed by the server");
    drop(held);
    let _user = server.user();
    assert_eq!(server.counts(), (1, 0));
}

#[test]
fn a_path_on_which_nobody_listens_is_told_from_an_empty_one() {
    let server = Server::new();
    assert_eq!(server.look().deserted, None);
    assert_eq!(Listener::all(&server.doors).unwrap().len(), 1);
    let Server { listener, sockets, runtime, doors, .. } = server;
    drop(listener);
    let reading = runtime.block_on(sockets.look(Looks::Seldom)).unwrap();
    assert_eq!((reading.deserted, reading.abandoned), (Some(crate::traffic::sockets::Door::Path(0)), true));
    assert_eq!(Listener::all(&doors).unwrap(), []);
}

#[test]
fn a_server_is_found_by_its_file_whatever_it_called_it_and_by_name_when_the_file_is_another() {
    let server = Server::new();
    let link = server.path.with_extension("link");
    std::os::unix::fs::symlink(&server.path, &link).unwrap();
    let doors = Doors { paths: [link.as_path().into()].into(), ..Doors::default() };
    assert_eq!(Listener::all(&doors).unwrap().len(), 1, "through a link");
    fs::remove_file(&server.path).unwrap();
    let _newer = UnixListener::bind(&server.path).unwrap();
    assert_eq!(Listener::all(&server.doors).unwrap().len(), 2, "the old server's connections count on");
}
