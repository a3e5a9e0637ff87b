//! A small HTTP/1.1 client that hides nothing: what was sent, what came back, and how it broke off.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::PATIENCE;

/// A head longer than this is no answer of the programs in these tests.
const HEAD_LIMIT: usize = 64 * 1024;

/// How a request failed, from its sender's side.
#[derive(Debug)]
pub enum Failure {
    /// No connection.
    Connect(io::Error),
    /// The connection ended before the first byte of the answer.
    NoAnswer(io::Error),
    /// The answer broke off: so many bytes of the body came, of so many.
    Truncated {
        /// Bytes of the body that came.
        got: usize,
        /// Bytes that its length announced, where it did.
        announced: Option<usize>,
    },
    /// What came is no HTTP.
    Malformed(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(e) => write!(f, "no connection: {e}"),
            Self::NoAnswer(e) => write!(f, "no answer: {e}"),
            Self::Truncated { got, announced: Some(n) } => write!(f, "cut off after {got} of {n} bytes"),
            Self::Truncated { got, announced: None } => write!(f, "cut off after {got} bytes"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A complete answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The whole body, without its framing.
    pub body: Vec<u8>,
    /// Whether the connection can carry another request.
    pub keeps: bool,
}

impl Response {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A connection to a server or a balancer.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    /// What was read and not yet used.
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(to: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Failure::Connect)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(Failure::Connect)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// How long a read waits for the next byte.
    pub fn set_patience(&mut self, patience: Duration) {
        let _ = self.stream.set_read_timeout(Some(patience));
    }

    /// This end's port: how a server's log names this connection.
    pub fn port(&self) -> u16 {
        self.stream.local_addr().map_or(0, |a| a.port())
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Connection<UnixStream> {
    /// Connects to a Unix socket.
    pub fn open_unix(to: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(to).map_err(Failure::Connect)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Failure::Connect)?;
        Ok(Self { stream, buffer: Vec::new() })
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that is connected.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a request with a body of known length and reads its whole answer. `headers` are lines without
    /// their ends; `Host` and, where there is a body, `Content-Length` are added.
    pub fn fetch(
        &mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Result<Response, Failure> {
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Host: shop.example".to_owned()];
        lines.extend(headers.iter().map(|&line| line.to_owned()));
        if !body.is_empty() || method == "POST" {
            lines.push(format!("Content-Length: {}", body.len()));
        }
        let head = lines.join("\r\n") + "\r\n\r\n";
        self.send(&[head.as_bytes(), body].concat()).map_err(Failure::NoAnswer)?;
        self.receive(method)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one whole answer to a request of this method; interim answers (1xx) are skipped.
    pub fn receive(&mut self, method: &str) -> Result<Response, Failure> {
        loop {
            let head = self.head()?;
            if !(100..200).contains(&head.status) || head.status == 101 {
                return self.body(method, head);
            }
        }
    }

    /// Reads exactly so many bytes, as they are.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        self.exactly(length)
    }

    /// What it reads from and writes to.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Reads all there is until the other side closes or is silent for longer than the patience.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.buffer);
        let mut chunk = [0; 16 * 1024];
        while let Ok(n) = self.stream.read(&mut chunk) {
            if n == 0 {
                break;
            }
            all.extend_from_slice(&chunk[..n]);
        }
        all
    }

    fn head(&mut self) -> Result<Response, Failure> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return parse_head(&text);
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(Failure::Malformed(format!("no end of the head within {HEAD_LIMIT} bytes")));
            }
            match self.read_some() {
                Ok(0) if self.buffer.is_empty() => {
                    return Err(Failure::NoAnswer(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(0) => return Err(Failure::Truncated { got: 0, announced: None }),
                Ok(_) => {}
                Err(e) if self.buffer.is_empty() => return Err(Failure::NoAnswer(e)),
                Err(_) => return Err(Failure::Truncated { got: 0, announced: None }),
            }
        }
    }

    fn body(&mut self, method: &str, mut head: Response) -> Result<Response, Failure> {
        if method == "HEAD" || matches!(head.status, 101 | 204 | 304) {
            return Ok(head);
        }
        if head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            head.body = self.chunks()?;
        } else if let Some(length) = head.header("content-length") {
            let length =
                length.parse().map_err(|_| Failure::Malformed(format!("content-length {length:?}")))?;
            head.body = self.exactly(length)?;
        } else {
            head.keeps = false;
            loop {
                match self.read_some() {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => return Err(Failure::Truncated { got: self.buffer.len(), announced: None }),
                }
            }
            head.body = std::mem::take(&mut self.buffer);
        }
        Ok(head)
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < length {
            if !matches!(self.read_some(), Ok(n) if n > 0) {
                return Err(Failure::Truncated { got: self.buffer.len(), announced: Some(length) });
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let line = self.line(body.len())?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| Failure::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                while !self.line(body.len())?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            if !self.line(body.len())?.is_empty() {
                return Err(Failure::Malformed("no line end behind a chunk".to_owned()));
            }
        }
    }

    /// Reads one line and gives it without its end; `got` bytes of a body came before it.
    pub(crate) fn line(&mut self, got: usize) -> Result<String, Failure> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if !matches!(self.read_some(), Ok(n) if n > 0) {
                return Err(Failure::Truncated { got, announced: None });
            }
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let n = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..n]);
        Ok(n)
    }
}

/// The status line and the headers of an answer.
fn parse_head(text: &str) -> Result<Response, Failure> {
    let malformed = || Failure::Malformed(format!("head {:?}", text.chars().take(200).collect::<String>()));
    let mut lines = text.split("\r\n");
    let mut start = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = start.next().filter(|v| v.starts_with("HTTP/1.")).ok_or_else(malformed)?;
    let status = start.next().and_then(|s| s.parse().ok()).ok_or_else(malformed)?;
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(malformed)?;
    let says = |word: &str| {
        headers.iter().any(|(n, v)| {
            n == "connection" && v.split(',').any(|token| token.trim().eq_ignore_ascii_case(word))
        })
    };
    let keeps = if version == "HTTP/1.1" { !says("close") } else { says("keep-alive") };
    Ok(Response { status, headers, body: Vec::new(), keeps })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
