//! A flood: clients that connect and never say anything that makes sense.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::clock;

/// The clients come from so many addresses, of which the first is the one that balancers in these tests have.
const SOURCES: u8 = 5;

/// What a client sends.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// Nothing.
    Silent,
    /// The beginning of a request, and now and then a byte more.
    Slow,
    /// Bytes that are no HTTP.
    Garbage,
}

/// A flood that goes on until it is ended; a client that is thrown out counts as held until then.
#[derive(Debug)]
pub struct Flood {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<usize>>,
}

impl Flood {
    /// So many clients at once, a third of each kind.
    pub fn on(to: SocketAddr, clients: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let each = clients.div_ceil(3);
        let threads = [Client::Silent, Client::Slow, Client::Garbage].map(|kind| {
            let over = Arc::clone(&over);
            thread::spawn(move || pour(kind, to, each, &over))
        });
        Self { over, threads: threads.into() }
    }

    /// Ends it and gives how many connections it opened.
    pub fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("a flood's thread")).sum()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Opens so many connections one after the other and holds them; gives how many were opened.
fn pour(kind: Client, to: SocketAddr, clients: usize, over: &AtomicBool) -> usize {
    let mut held: Vec<TcpStream> = Vec::with_capacity(clients);
    while !over.load(Ordering::Relaxed) {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + fastrand::u8(..SOURCES)));
        if held.len() < clients
            && let Ok(mut stream) = connect(source, to)
        {
            let _ = match kind {
                Client::Silent => Ok(()),
                Client::Slow => stream.write_all(b"OPTIONS / HTT"),
                Client::Garbage => stream.write_all(&[0xff, b'\n', 0, 7]),
            };
            held.push(stream);
            continue;
        }
        clock::pause(Duration::from_millis(1));
        let turn = fastrand::usize(..held.len().max(1));
        if let (Client::Slow, Some(stream)) = (kind, held.get_mut(turn)) {
            let _ = stream.write_all(b"P");
        }
    }
    held.len()
}

fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(1))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
