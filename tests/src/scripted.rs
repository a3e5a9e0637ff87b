//! Web servers within the test: what they answer, the test says.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use crate::{
    client::{Connection, Failure},
    port,
};

/// A whole request, as it reached a server.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its first line and its fields, each with its end, and the empty line.
    pub head: String,
    /// Its body, without chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// Its first line.
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// Names as they came, and values without blanks around them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Stricter than clients are: an extension of a chunk is none of a test's.
    fn read(connection: &mut Connection) -> Result<Self, Failure> {
        let mut request = Self { head: String::new(), body: Vec::new() };
        loop {
            let line = connection.line(0)?;
            request.head += &line;
            request.head += "\r\n";
            if line.is_empty() {
                break;
            }
        }
        if request.field("transfer-encoding").is_some() {
            loop {
                let size = connection.line(request.body.len())?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| Failure::Malformed(size))?;
                if size == 0 {
                    while !connection.line(request.body.len())?.is_empty() {}
                    break;
                }
                request.body.extend(connection.take(size)?);
                connection.take(2)?;
            }
        } else if let Some(length) = request.field("content-length") {
            let length = length.parse().map_err(|_| Failure::Malformed(length.to_owned()))?;
            request.body = connection.take(length)?;
        }
        Ok(request)
    }
}

/// Starts one, which lasts as long as the test's process. `answer` sends what it wants for each request; where it gives
/// `None`, the connection closes.
pub fn start<A>(answer: A) -> SocketAddr
where
    A: Fn(&Request, &mut Connection) -> Option<()> + Send + Sync + 'static,
{
    let address = port::free();
    start_at(address, answer);
    address
}

/// The same, where nobody listens so far.
pub fn start_at<A>(address: SocketAddr, answer: A)
where
    A: Fn(&Request, &mut Connection) -> Option<()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(address).expect("listen on a free port");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A connection that fails is missed by whoever has made it.
            thread::spawn(move || serve(stream, &*answer));
        }
    });
}

fn serve(stream: TcpStream, answer: impl Fn(&Request, &mut Connection) -> Option<()>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut connection = Connection::over(stream);
    loop {
        let request = Request::read(&mut connection).ok()?;
        answer(&request, &mut connection)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reaches_its_server_whole_and_the_server_closes_when_it_wants() {
        let server = start(|request, connection| {
            let body = format!("{} {:?} ", request.line(), request.field("x-a"));
            let body = [body.as_bytes(), &request.body].concat();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            connection.send(&[head.as_bytes(), &body].concat()).ok()?;
            (request.body != b"last").then_some(())
        });
        let mut client = Connection::open(server).unwrap();
        client.send(b"POST / HTTP/1.1\r\nX-A:  b \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").unwrap();
        assert_eq!(client.receive("POST").unwrap().body, b"POST / HTTP/1.1 Some(\"b\") abc");
        let answer = client.fetch("POST", "/", &[], b"last").unwrap();
        assert_eq!(answer.body, b"POST / HTTP/1.1 None last");
        assert!(client.rest().is_empty(), "it has closed");
    }
}
