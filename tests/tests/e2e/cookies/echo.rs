//! A server that answers with what it was asked, and with the fields that it was asked for.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// The header of a request that holds the fields of its answer, with `|` between them.
pub(super) const WANTED: &str = "x-answer: ";

/// One server, which lives as long as the test's process.
pub(super) struct Echo {
    address: SocketAddr,
}

impl Echo {
    /// Its answers begin with this name.
    pub(super) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for a server of the test");
        let address = listener.local_addr().expect("the port that was bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream, name));
            }
        });
        Self { address }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers until the other side closes.
fn serve(mut stream: TcpStream, name: &str) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
            buffer.extend_from_slice(&chunk[..count]);
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let wanted = head.lines().find_map(|line| line.strip_prefix(WANTED)).unwrap_or_default();
        let fields: String =
            wanted.split('|').filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect();
        let body = format!("{name}\n{head}");
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}
