//! What a flood costs in memory. A test program of its own: resident memory is the process's.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use drain_agent::{
    health::{Answer, Endpoint, bind},
    lifecycle::Phase,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::sync::{mpsc, watch};

/// Fewer where the system allows fewer open files.
const CLIENTS: usize = 5000;

/// What else is open: the endpoint holds 384 at most.
const OTHERS: u64 = 500;

/// The agent idles below 5 MB and may take 8 in all.
const ALLOWED_KIB: usize = 2048;

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn check(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"OPTIONS / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

#[test]
fn five_thousand_clients_with_heads_that_do_not_end_cost_little() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let up = Answer { status: 200, phase: Phase::Up, reason: "up".to_owned(), since_unix: 0, generation: 1 };
    let (_answer, answers) = watch::channel(Some(up));
    let (report, mut checks) = mpsc::channel(16);
    let _endpoint = Endpoint::start(vec![listener], answers, report).unwrap();
    let head = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(4000));
    let clients = limit.maximum.map_or(CLIENTS, |most| CLIENTS.min(most.saturating_sub(OTHERS) as usize));
    let mut held = Vec::with_capacity(clients);
    for _ in 0..100 {
        check(address);
        checks.blocking_recv().unwrap();
    }

    let before = resident_kib();
    for at in 0..clients {
        let mut stream = connect_from([127, 1, (at % 7) as u8, (1 + at % 200) as u8], address);
        // Some are closed on us at once, which is the point.
        let _closed = stream.write_all(head.as_bytes());
        held.push(stream);
    }
    check(address);
    let grown = resident_kib().saturating_sub(before);
    println!("{grown} KiB for {} clients", held.len());
    assert!(grown <= ALLOWED_KIB, "{grown} KiB more for {clients} clients");
}
