//! What client connections cost in memory.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use drain_tests::{Place, clock, port, usage};

use crate::peer::{Peer, Program, Setup};

/// The longest that a proxy may take for one answer, or to pass on what it was asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at what has been passed on.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Connections for what is allocated once: it is no connection's.
const WARM: u32 = 100;

/// Opens `count` connections, each of which asks once and stays open, and gives the growth of the proxy's resident
/// memory per connection, in KiB.
pub(crate) fn idle(peer: &Peer, count: u32) -> Result<f64> {
    let _warm: Vec<TcpStream> = (0..WARM).map(|n| ask(peer, n)).collect::<Result<_>>()?;
    let before = usage::resident_kib(peer.pid())?;
    let held: Vec<TcpStream> = (0..count).map(|n| ask(peer, n)).collect::<Result<_>>()?;
    let after = usage::resident_kib(peer.pid())?;
    ensure!(held.len() == count as usize, "connections were lost");
    Ok(after.saturating_sub(before) as f64 / f64::from(count))
}

/// Has the proxy hold `count` requests that its server does not answer, and gives the growth of its resident memory
/// per request, in KiB.
pub(crate) fn active(place: &Place, program: Program, setup: &Setup, count: u32) -> Result<f64> {
    let server = Silent::start()?;
    let setup = Setup { servers: vec![server.address], ..setup.clone() };
    let peer = program.start(place, &setup)?;
    let send = |n| -> Result<TcpStream> {
        let mut stream = connect(peer.address, n).with_context(|| format!("connect to {}", peer.name))?;
        stream.write_all(b"GET /held HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        Ok(stream)
    };
    let hold = |count: u32, in_all: u32| -> Result<Vec<TcpStream>> {
        let held = (0..count).map(send).collect::<Result<_>>()?;
        let begin = clock::now();
        while server.count() < in_all as usize {
            let count = server.count();
            ensure!(begin.elapsed() < ANSWER_WITHIN, "{} passed on {count} of {in_all} requests", peer.name);
            clock::pause(LOOK_EVERY);
        }
        Ok(held)
    };
    let _warm = hold(WARM, WARM)?;
    let before = usage::resident_kib(peer.pid())?;
    let _held = hold(count, WARM + count)?;
    let after = usage::resident_kib(peer.pid())?;
    Ok(after.saturating_sub(before) as f64 / f64::from(count))
}

/// Connects from one of several addresses of this machine: one has ports for half as many as may be needed.
fn connect(to: SocketAddr, n: u32) -> Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1 + (n % 4) as u8], 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// Opens a connection, sends one request on it and reads the answer.
fn ask(peer: &Peer, n: u32) -> Result<TcpStream> {
    let mut stream = connect(peer.address, n).with_context(|| format!("connect to {}", peer.name))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /100 HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(&[b'x'; 100]) {
        let n = stream.read(&mut buffer).with_context(|| format!("{} does not answer", peer.name))?;
        ensure!(n > 0, "{} closed the connection instead of answering", peer.name);
        seen.extend_from_slice(&buffer[..n]);
    }
    Ok(stream)
}

/// A server that answers health checks, takes requests and never answers them.
struct Silent {
    address: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn start() -> Result<Self> {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let address = port::free();
        listener.set_reuse_address(true)?;
        listener.bind(&address.into())?;
        listener.listen(4096)?;
        let listener: TcpListener = listener.into();
        let held = Arc::<Mutex<Vec<TcpStream>>>::default();
        let keep = held.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 4096];
                let is_read = stream.read(&mut head).is_ok();
                if is_read && head.starts_with(b"GET /held ") {
                    keep.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                } else {
                    let _ = stream
                        .write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                }
            }
        });
        Ok(Self { address, held })
    }

    fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Silent {
    /// The next one needs the descriptors.
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
