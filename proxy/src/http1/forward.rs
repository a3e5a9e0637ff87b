//! Heads as they go on to the next hop: the same bytes, with the few edits a proxy owes.

mod lines;

use std::net::IpAddr;

use self::lines::{Lines, field};
use super::{
    Framing, Kind, Method, RequestHead, ResponseHead, Version,
    connection::{passed_on, wants_trailers},
};
use crate::decimal;

/// What becomes of one `Cookie` or `Set-Cookie` field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldEdit {
    /// It passes as it is.
    Keep,
    /// It is left out.
    Drop,
    /// Its value becomes this.
    Replace(Vec<u8>),
}

/// What a request gains on its way to a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestEdits<'a> {
    /// A line at the end that names the client (`option forwardfor`): the field's name and the client's address.
    pub forwarded_for: Option<(&'a str, IpAddr)>,
    /// The same for what the client connected to (`option originalto`).
    pub original_to: Option<(&'a str, IpAddr)>,
    /// The names of the fields that tell addresses, whether or not lines are added: `Connection` never names them. Empty
    /// where the proxy has none.
    pub address_fields: [&'a str; 2],
    /// The server's connection serves nothing after this request.
    pub close: bool,
}

/// What a response gains on its way to the client.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEdits<'a> {
    /// The client's version.
    pub client: Version,
    /// The client's connection stays open after this response.
    pub keep_alive: bool,
    /// A whole `Set-Cookie` value to add.
    pub set_cookie: Option<&'a [u8]>,
    /// Caches are told to keep it for its client alone.
    pub private: bool,
}

/// Writes a request head for a server.
pub fn request(
    head: &RequestHead<'_, '_>,
    edits: RequestEdits<'_>,
    mut cookie: impl FnMut(&[u8]) -> FieldEdit,
    out: &mut Vec<u8>,
) {
    for part in [head.method_text, b" ", head.target, b" ", head.version.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
    let mut seen = Seen::default();
    let mut lines = Lines::of(head.fields.bytes);
    for (kind, name, value) in head.fields.iter() {
        let stays = match kind {
            Kind::Other | Kind::SetCookie | Kind::SecWebSocketKey => true,
            Kind::Host => !std::mem::replace(&mut seen.host, true),
            Kind::Upgrade => head.framing.is_empty(),
            _ => false,
        };
        if stays {
            lines.keep(name, value, out);
            continue;
        }
        lines.leave(out);
        match kind {
            Kind::Connection => connection(name, value, edits.address_fields, out),
            Kind::ContentLength => seen.length(head.framing, name, value, out),
            Kind::Cookie => edited(name, value, cookie(value), out),
            Kind::Te if wants_trailers(value) => field(name, b"trailers", out),
            Kind::TransferEncoding if head.framing == Framing::Chunked => field(name, b"chunked", out),
            _ => {}
        }
    }
    lines.copy(out);
    for (name, address) in edits.forwarded_for.into_iter().chain(edits.original_to) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        decimal::address(address.to_canonical(), out);
        out.extend_from_slice(b"\r\n");
    }
    match head.version {
        _ if edits.close => field(b"connection", b"close", out),
        Version::Http10 => field(b"connection", b"keep-alive", out),
        Version::Http11 => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a response head for the client.
pub fn response(
    head: &ResponseHead<'_, '_>,
    asked: Method,
    edits: ResponseEdits<'_>,
    mut set_cookie: impl FnMut(&[u8]) -> FieldEdit,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.version.as_bytes());
    out.extend_from_slice(&head.line[head.version.as_bytes().len()..]);
    out.extend_from_slice(b"\r\n");
    let interim = head.is_interim() || head.status == 101;
    // A HEAD or 304 response states what the body would be; 1xx, 204 and the opening of a tunnel have no such thing.
    let opens_tunnel = asked == Method::Connect && (200..300).contains(&head.status);
    let states_framing = !interim && head.status != 204 && !opens_tunnel;
    // Where there is no body both may stand, and say two things of what it would be.
    let mut seen =
        Seen { length: head.fields.all(Kind::TransferEncoding).next().is_some(), ..Seen::default() };
    let mut lines = Lines::of(head.fields.bytes);
    for (kind, name, value) in head.fields.iter() {
        let is_edited =
            matches!(kind, Kind::Connection | Kind::SetCookie | Kind::ContentLength | Kind::TransferEncoding);
        if !is_edited {
            lines.keep(name, value, out);
            continue;
        }
        lines.leave(out);
        match kind {
            Kind::Connection => connection(name, value, [""; 2], out),
            Kind::SetCookie => edited(name, value, set_cookie(value), out),
            Kind::ContentLength if states_framing => seen.length(head.framing, name, value, out),
            Kind::TransferEncoding if states_framing => seen.coding(name, out),
            _ => {}
        }
    }
    lines.copy(out);
    if let Some(value) = edits.set_cookie {
        field(b"set-cookie", value, out);
    }
    if edits.private {
        field(b"cache-control", b"private", out);
    }
    if !interim && !opens_tunnel {
        let old = head.version == Version::Http10 || edits.client == Version::Http10;
        match edits.keep_alive {
            true if old => field(b"connection", b"keep-alive", out),
            false if head.version == Version::Http11 => field(b"connection", b"close", out),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Which fields that stand once have been written.
#[derive(Default)]
struct Seen {
    host: bool,
    length: bool,
    coding: bool,
}

impl Seen {
    /// One length, however many were stated; none beside `chunked`.
    fn length(&mut self, framing: Framing, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if framing == Framing::Chunked || std::mem::replace(&mut self.length, true) {
            return;
        }
        let first = value.split(|byte| *byte == b',').next().unwrap_or(value);
        field(name, super::field::trim(first), out);
    }

    fn coding(&mut self, name: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.coding, true) {
            field(name, b"chunked", out);
        }
    }
}

fn edited(name: &[u8], value: &[u8], edit: FieldEdit, out: &mut Vec<u8>) {
    match edit {
        FieldEdit::Keep => field(name, value, out),
        FieldEdit::Replace(value) => field(name, &value, out),
        FieldEdit::Drop => {}
    }
}

/// The options that go on, if any.
fn connection(name: &[u8], value: &[u8], address_fields: [&str; 2], out: &mut Vec<u8>) {
    let mut options = passed_on(value, address_fields);
    let Some(first) = options.next() else { return };
    for part in [name, b": ", first] {
        out.extend_from_slice(part);
    }
    for option in options {
        out.push(b',');
        out.extend_from_slice(option);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{super::Storage, *};

    fn forwarded(head: &str, edits: RequestEdits<'_>) -> String {
        let mut storage = Storage::new();
        let head = RequestHead::parse(head.as_bytes(), &mut storage).unwrap();
        let mut out = Vec::new();
        request(&head, edits, |_| FieldEdit::Drop, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn answered(head: &str, asked: Method, client: Version, keep_alive: bool) -> String {
        let mut storage = Storage::new();
        let head = ResponseHead::parse(head.as_bytes(), asked, &mut storage).unwrap();
        let mut out = Vec::new();
        let edits = ResponseEdits { client, keep_alive, set_cookie: Some(b"S=1; path=/"), private: false };
        response(&head, asked, edits, |_| FieldEdit::Keep, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_values_order_and_repeats_are_kept() {
        let head = "GET /a?b HTTP/1.1\r\nHost: h\r\nX-One:  1 \r\nx-one: 2\r\n\r\n";
        assert_eq!(
            forwarded(head, RequestEdits::default()),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\n\r\n"
        );
    }

    #[test]
    fn lines_are_written_in_one_way_however_they_came() {
        let head = "GET / HTTP/1.1\r\nA: 1\r\nB:2\r\nC:\t3 \r\nD:  4\r\nE:\r\nF: \r\nConnection: close\r\nG: 5\r\nH: 6\r\n\r\n";
        assert_eq!(
            forwarded(head, RequestEdits::default()),
            "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: \r\nF: \r\nG: 5\r\nH: 6\r\n\r\n"
        );
        let head = "HTTP/1.1 200 OK\r\nA:1\r\nContent-Length: 0\r\nB: 2 \r\nC: 3\r\n\r\n";
        assert_eq!(
            answered(head, Method::Get, Version::Http11, true),
            "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\nB: 2\r\nC: 3\r\nset-cookie: S=1; path=/\r\n\r\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_goes_on_has_the_names_and_values_that_came(
            fields in proptest::collection::vec(("[a-zA-Z-]{1,6}", "[ \t]{0,2}", "([!-~]([ -~]{0,4}[!-~])?)?", "[ \t]{0,2}"), 0..8),
        ) {
            let lines: String = fields.iter().map(|(n, a, v, b)| format!("X{n}:{a}{v}{b}\r\n")).collect();
            let expected: String = fields.iter().map(|(n, _, v, _)| format!("X{n}: {v}\r\n")).collect();
            let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
            let expected = format!("GET / HTTP/1.1\r\n{expected}\r\n");
            proptest::prop_assert_eq!(forwarded(&head, RequestEdits::default()), expected);
        }
    }

    #[test]
    fn the_client_is_named_in_a_line_of_its_own_at_the_end() {
        let forwarded_for = Some(("x-forwarded-for", "::1".parse().unwrap()));
        let edits = RequestEdits { forwarded_for, ..RequestEdits::default() };
        assert_eq!(
            forwarded("GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nA: b\r\n\r\n", edits),
            "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nA: b\r\nx-forwarded-for: ::1\r\n\r\n"
        );
    }

    #[test]
    fn fields_of_this_hop_end_here() {
        let head = "GET / HTTP/1.1\r\nConnection: close, X-Foo, TE\r\nTE: gzip, trailers\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(
            forwarded(head, RequestEdits::default()),
            "GET / HTTP/1.1\r\nConnection: X-Foo,TE\r\nTE: trailers\r\n\r\n"
        );
    }

    #[test]
    fn an_http_1_0_request_keeps_its_version_and_the_servers_connection() {
        assert_eq!(
            forwarded("GET / HTTP/1.0\r\n\r\n", RequestEdits::default()),
            "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn the_next_hop_is_told_one_framing() {
        let head =
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: CHUNKED\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            forwarded(head, RequestEdits { close: true, ..RequestEdits::default() }),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            forwarded(
                "POST / HTTP/1.1\r\nContent-Length: 3 , 3\r\ncontent-length: 3\r\n\r\n",
                RequestEdits::default()
            ),
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
        );
    }

    #[test]
    fn an_upgrade_passes_unless_there_is_a_body() {
        let head =
            |fields: &str| format!("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n{fields}\r\n");
        assert_eq!(forwarded(&head(""), RequestEdits::default()), head(""));
        assert_eq!(
            forwarded(&head("Content-Length: 1\r\n"), RequestEdits::default()),
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\n"
        );
    }

    #[test]
    fn a_response_says_whether_the_clients_connection_stays() {
        let answer = |server: &str, client, keep| {
            let head = format!("{server} 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let text = answered(&head, Method::Get, client, keep);
            text.lines().filter_map(|line| line.strip_prefix("connection: ")).map(str::to_owned).next()
        };
        let (old, new) = (Version::Http10, Version::Http11);
        assert_eq!(answer("HTTP/1.1", new, true), None);
        assert_eq!(answer("HTTP/1.1", new, false).as_deref(), Some("close"));
        assert_eq!(answer("HTTP/1.1", old, true).as_deref(), Some("keep-alive"));
        assert_eq!(answer("HTTP/1.0", new, true).as_deref(), Some("keep-alive"));
        assert_eq!(answer("HTTP/1.0", new, false), None);
    }

    #[test]
    fn a_204_has_no_framing_and_a_304_keeps_its_length() {
        let head = |status| format!("HTTP/1.1 {status} x\r\nContent-Length: 3\r\n\r\n");
        assert!(!answered(&head(204), Method::Get, Version::Http11, true).contains("Content-Length"));
        assert!(answered(&head(304), Method::Get, Version::Http11, true).contains("Content-Length: 3"));
        assert!(answered(&head(200), Method::Head, Version::Http11, true).contains("Content-Length: 3"));
    }

    #[test]
    fn what_the_body_would_be_is_said_in_one_way() {
        let head = "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            answered(head, Method::Get, Version::Http11, true),
            "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\nset-cookie: S=1; path=/\r\n\r\n"
        );
    }

    #[test]
    fn chunks_reach_a_client_in_http_1_1_only() {
        let head = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            answered(head, Method::Get, Version::Http11, false),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nset-cookie: S=1; path=/\r\nconnection: close\r\n\r\n"
        );
    }

    #[test]
    fn the_cookie_stands_after_the_servers_fields() {
        assert_eq!(
            answered(
                "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n",
                Method::Get,
                Version::Http11,
                true
            ),
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\nset-cookie: S=1; path=/\r\n\r\n"
        );
    }
}
