//! A server that writes down the requests it gets, and answers with the bytes that the case wants.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use drain_tests::port;

/// What it answers unless a case wants something else.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request as a server understood it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recorded {
    /// Its first line.
    pub(super) line: String,
    /// Names in small letters, values without blanks around them; without what only concerns the connection.
    pub(super) fields: Vec<(String, String)>,
    /// Its body, without chunks.
    pub(super) body: Vec<u8>,
}

/// A recording server; its threads end with the process.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Recorded>,
    /// Sent instead of the usual answer; the connection closes behind it.
    answer: Option<Vec<u8>>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(port::free()).expect("listen on a free port");
        let address = listener.local_addr().expect("the listener's address");
        let recorder = Self { address, state: Arc::default() };
        let accepting = recorder.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let recorder = accepting.clone();
                thread::spawn(move || recorder.serve(stream));
            }
        });
        recorder
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was before; the next requests are answered with these bytes, if any.
    pub(super) fn begin(&self, answer: Option<&[u8]>) {
        *self.lock() = State { requests: Vec::new(), answer: answer.map(<[u8]>::to_vec) };
    }

    /// The requests that came since.
    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the other side closes or says what can't be understood.
    fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Some((request, is_check)) = read(&mut stream, &mut bytes) {
            let special = {
                let mut state = self.lock();
                let special = state.answer.clone().filter(|_| !is_check);
                if !is_check {
                    state.requests.push(request);
                }
                special
            };
            if stream.write_all(special.as_deref().unwrap_or(OK)).is_err() || special.is_some() {
                return;
            }
        }
    }
}

/// The next whole request, and whether it is a health check or the wait for the start; `None`: there is none.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(Recorded, bool)> {
    let head = loop {
        if let Some(end) = find(bytes, b"\r\n\r\n") {
            break bytes.drain(..end + 4).collect::<Vec<u8>>();
        }
        more(stream, bytes)?;
    };
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let mut fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if value("transfer-encoding").is_some() {
        loop {
            let size = take_line(stream, bytes)?;
            let size = usize::from_str_radix(&size, 16).ok()?;
            if size == 0 {
                while !take_line(stream, bytes)?.is_empty() {}
                break;
            }
            body.extend(take(stream, bytes, size)?);
            take(stream, bytes, 2)?;
        }
    } else if let Some(length) = value("content-length") {
        body = take(stream, bytes, length.parse().ok()?)?;
    }
    let is_check = value("x-haproxy-server-state").is_some() || line.contains("/health");
    fields.retain(|(name, value)| name != "connection" || !matches!(value.as_str(), "close" | "keep-alive"));
    fields.sort();
    Some((Recorded { line, fields, body }, is_check))
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut part = [0; 16_384];
    let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&part[..count]);
    Some(())
}

fn take(stream: &mut TcpStream, bytes: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while bytes.len() < count {
        more(stream, bytes)?;
    }
    Some(bytes.drain(..count).collect())
}

fn take_line(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = find(bytes, b"\r\n") {
            let line: Vec<u8> = bytes.drain(..end + 2).collect();
            return Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        more(stream, bytes)?;
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
