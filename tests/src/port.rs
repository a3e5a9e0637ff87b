//! Ports for servers.

use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{LazyLock, Mutex, PoisonError},
};

use socket2::{Domain, Socket, Type};

/// Below this, ports are likely to belong to something installed on the machine.
const LOWEST: u16 = 12_000;
/// The kernel's default for the first port that it gives to clients, where it can't be read.
const CLIENTS_FROM: u16 = 32_768;

/// A TCP port on 127.0.0.1 that nobody listens on now, never the same twice in one process.
///
/// Not from bind(0): that takes one from the range of clients' own ports, and the agent, which looks at the
/// kernel's socket table by port, would take some client's connection for one of its server's. A random port
/// below that range, seen to be free on all addresses, is as good as private.
pub fn free() -> SocketAddr {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let below = clients_from();
    loop {
        let port = fastrand::u16(LOWEST..below);
        if nobody_listens(port) && given.insert(port) {
            return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        }
    }
}

/// Tried without listening: a process that another thread starts in this moment has the socket, too, until it is the
/// other program, and would keep the port from who wants to listen there.
fn nobody_listens(port: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option that every socket has");
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into()).is_ok()
}

/// A port that refuses connections as long as the socket is kept: nobody else can listen there.
pub fn refusing() -> (Socket, SocketAddr) {
    loop {
        let address = free();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if socket.bind(&address.into()).is_ok() {
            return (socket, address);
        }
    }
}

/// The first port of the range that the kernel gives to clients.
fn clients_from() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|&first| first > LOWEST + 1_000)
        .unwrap_or(CLIENTS_FROM)
}
