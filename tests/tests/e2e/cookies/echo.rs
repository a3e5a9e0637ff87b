//! A server that answers with what it was asked, and with the fields that it was asked for.

use std::net::SocketAddr;

use drain_tests::scripted;

/// The header of a request that holds the fields of its answer, with `|` between them.
pub(super) const WANTED: &str = "x-answer: ";

/// Starts one, whose answers begin with this name.
pub(super) fn start(name: &'static str) -> SocketAddr {
    scripted::start(move |request, connection| {
        let head = &request.head;
        let wanted = head.lines().find_map(|line| line.strip_prefix(WANTED)).unwrap_or_default();
        let fields: String =
            wanted.split('|').filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect();
        let body = format!("{name}\n{head}");
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}");
        connection.send(answer.as_bytes()).ok()
    })
}
