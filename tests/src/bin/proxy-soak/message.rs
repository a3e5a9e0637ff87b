//! A request as it reaches a server.

use std::io;

use crate::{link::Link, server::Server};

/// A whole request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The first header of this name (in lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads the next one; `None`: the client has closed before it. `buffer` holds what came beyond the last one.
    pub(crate) fn read(server: &Server, link: &Link, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = find(buffer, b"\r\n\r\n") {
                break end;
            }
            if !link.read(server, buffer)? {
                return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        let head: Vec<u8> = buffer.drain(..end + 4).collect();
        let mut request = parse(&String::from_utf8_lossy(&head[..end])).ok_or_else(malformed)?;
        let mut source = Source { server, link, buffer };
        request.body = if request.header("transfer-encoding").is_some() {
            source.chunks()?
        } else {
            let length = request.header("content-length").map_or(Ok(0), str::parse);
            source.exactly(length.map_err(|_| malformed())?)?
        };
        Ok(Some(request))
    }
}

struct Source<'a> {
    server: &'a Server,
    link: &'a Link,
    buffer: &'a mut Vec<u8>,
}

impl Source<'_> {
    fn more(&mut self) -> io::Result<()> {
        if self.link.read(self.server, self.buffer)? {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(self.buffer, b"\r\n") {
                let line = self.exactly(end + 2)?;
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more()?;
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| malformed())?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            if !self.line()?.is_empty() {
                return Err(malformed());
            }
        }
    }
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.split(' ');
    let (method, path) = (start.next()?.to_owned(), start.next()?.to_owned());
    let headers = lines
        .map(|line| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())))
        .collect::<Option<_>>()?;
    Some(Request { method, path, headers, body: Vec::new() })
}

/// What a client of the soak would never send.
fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_line_and_headers() {
        let request = parse("GET /a HTTP/1.1\r\nHost: shop\r\nX-B:  c ").expect("a head");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/a"));
        assert_eq!((request.header("x-b"), request.header("x-c")), (Some("c"), None));
        assert!(parse("GET").is_none() && parse("GET / HTTP/1.1\r\nx").is_none());
    }
}
