//! A download under way.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use drain_tests::PATIENCE;

/// A response of which its client has taken a part, and takes no more until it [finishes](Download::finish).
pub(super) struct Download {
    stream: TcpStream,
    /// The status line and the fields, each with its end.
    pub(super) head: String,
    body: Vec<u8>,
}

impl Download {
    /// Sends this request, and takes the head of the response and so much of the body.
    pub(super) fn begin(from: SocketAddr, request: &str, bytes: usize) -> Self {
        let mut stream = TcpStream::connect(from).expect("a connection to the proxy");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.write_all(request.as_bytes()).expect("send the request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut body = vec![0; bytes];
        stream.read_exact(&mut body).unwrap_or_else(|error| panic!("the first part: {error}: {head}"));
        Self { stream, head, body }
    }

    /// The value of the first field of this name, as the server has written it.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The body, as it was sent: up to the length that the head has told, or up to where the connection closes.
    pub(super) fn finish(self) -> Vec<u8> {
        let length =
            self.field("Content-Length").map_or(u64::MAX, |length| length.parse().expect("a length"));
        let Self { stream, mut body, .. } = self;
        // A reset is an end, too: what came before it is here.
        let _ = stream.take(length - body.len() as u64).read_to_end(&mut body);
        body
    }
}
