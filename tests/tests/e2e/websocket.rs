//! WebSocket by a real library on both sides (`python3-websockets`), through the proxy.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use drain_tests::{
    PATIENCE, Place, Proxy,
    child::{Child, output},
    port,
};

/// An echo over WebSocket, once it listens. It never pings.
pub(crate) fn echo(place: &Place) -> (SocketAddr, Child) {
    let address = port::free();
    let server = python(place, "serve", address.port());
    let server = Child::start(place, &place.subdir("server"), "server", server, |_| false);
    place.wait_for("the server to listen", PATIENCE, || {
        TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
    });
    (address, server)
}

/// Debian's own Python, for which its packages are.
fn python(place: &Place, what: &str, port: u16) -> Command {
    let mut command = place.command("/usr/bin/python3");
    command.arg("-c").arg(include_str!("websocket.py")).arg(what).arg(port.to_string());
    command
}

#[test]
fn messages_of_every_size_come_back_and_the_end_is_clean() {
    let place = Place::new("websocket");
    let (address, _server) = echo(&place);
    let proxy = Proxy::new(&place, "lb").check(r#"type = "tcp""#).server("s1", address, None).start();
    let said = output(python(&place, "talk", proxy.address().port()));
    place.check(said.status.success(), &format!("the client: {said:?}"));
    let opened = |log: &str| log.lines().filter(|line| line.contains(" 101 ")).count();
    place.wait_for("a line for each connection", PATIENCE, || {
        let log = proxy.access_log();
        if opened(&log) == 21 { Ok(()) } else { Err(log) }
    });
}
