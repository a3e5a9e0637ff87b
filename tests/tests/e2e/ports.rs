//! Source ports that are all taken towards one server: others have ports of their own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use drain_tests::{Netns, Place, Proxy, child::output, client::Connection, place::holds, port, scripted};

/// Source ports of the proxy's machine; more than the requests of this test to one server.
const PORTS: usize = 16;
const FIRST_PORT: usize = 40_000;
/// So many, one after the other.
const POSTS: usize = 4;

/// A server that counts the POSTs it has executed.
fn server(ip: IpAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let address = SocketAddr::new(ip, port::free().port());
    let executed = Arc::new(AtomicUsize::new(0));
    let count = executed.clone();
    scripted::start_at(address, move |request, connection| {
        if request.line().starts_with("POST ") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()
    });
    (address, executed)
}

#[test]
fn a_post_that_finds_no_source_port_towards_its_server_goes_to_another() {
    let Some(near) = Netns::linked(233) else { return };
    let place = Place::new("ports");
    let mut command = place.command("ip");
    let range = format!("{FIRST_PORT} {}", FIRST_PORT + PORTS - 1);
    let write = format!("echo {range} > /proc/sys/net/ipv4/ip_local_port_range");
    command.args(["netns", "exec", near.name(), "sh", "-c", &write]);
    let said = output(command);
    place.check(said.status.success(), &String::from_utf8_lossy(&said.stderr));
    let [(exhausted, none), (other, all)] = [(); 2].map(|()| server(near.outer().into()));
    let proxy = Proxy::new(&place, "proxy")
        .server("s1", exhausted, None)
        .server_line("check = { disabled = true }")
        .server("s2", other, None)
        .server_line("check = { disabled = true }")
        .within(&near)
        .start();
    // Beside what the proxy has used itself.
    let held: Vec<_> = (0..PORTS).map_while(|_| near.connect(exhausted).ok()).collect();
    place.check(held.len() < PORTS || near.connect(exhausted).is_err(), "a port is left");

    let mut client = Connection::open(proxy.address()).expect("a connection to the proxy");
    for _ in 0..POSTS {
        let answer = client.fetch("POST", "/order", &[], b"one").expect("an answer");
        place.check(answer.status == 200, &format!("status {}", answer.status));
    }

    assert_eq!([none, all].map(|count| count.load(Ordering::SeqCst)), [0, POSTS]);
    place.wait_for("a line of the log with another attempt", std::time::Duration::from_secs(30), || {
        let log = proxy.access_log();
        holds(log.contains("/+1 "), || log)
    });
}
