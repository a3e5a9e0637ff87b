//! What comes in: the head of a request, of which the endpoint needs the method and one header.

/// The longest head that is read. A check by `HAProxy` with its state header has about 250 bytes; a browser with the
/// site's cookies stays below this mostly, and otherwise is told 431. The number times the held connections is memory.
pub(super) const HEAD_BYTES: usize = 4096;

/// How many header lines a request may have: `HAProxy` allows 101 in 16 KiB, this is the same for a quarter.
const HEADERS: usize = 48;

/// So much of what is asked for is kept of each who asks: a path, a host and a program's name, and some kilobytes in all.
const ASKS_CHARS: usize = 120;

/// By which a balancer tells how it sees the server (`HAProxy`: `http-check send-state`).
const STATE_HEADER: &str = "x-haproxy-server-state";

/// A request that has come completely. Paths are not looked at: every path answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// Whether the answer has a body.
    pub(super) method: Method,
    /// The value of the state header. Where there are several, the last one: `HAProxy` writes its own behind those
    /// that `http-check send` adds.
    pub(super) state: Option<String>,
    /// Without that, what is asked for: method, path without its query, `Host` and `User-Agent`, as far as they came. By
    /// it backends are told apart whose balancer says nothing else of them; a query may be another each time.
    pub(super) asks: Option<Box<str>>,
}

/// The methods that are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Head,
    Options,
}

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Not HTTP/1.
    Malformed,
    /// Neither GET nor HEAD nor OPTIONS.
    Method,
    /// More than [`HEAD_BYTES`] or [`HEADERS`].
    TooLarge,
    /// Did not come to its end in time.
    TooSlow,
}

/// Reads the head in `bytes`: `None` while it is incomplete. What follows the head is nobody's business here.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<Request, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Refusal::TooLarge));
        }
        Err(_) => return Some(Err(Refusal::Malformed)),
    }
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        _ => return Some(Err(Refusal::Method)),
    };
    let state = head.headers.iter().rev().find(|header| header.name.eq_ignore_ascii_case(STATE_HEADER));
    let state = state.map(|header| String::from_utf8_lossy(header.value).into_owned());
    let asks = if state.is_none() { Some(asks(&head)) } else { None };
    Some(Ok(Request { method, state, asks }))
}

/// What is asked for, in at most [`ASKS_CHARS`].
fn asks(head: &httparse::Request<'_, '_>) -> Box<str> {
    let path = head.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _query)| path);
    let mut asks = format!("{} {path}", head.method.unwrap_or_default());
    for name in ["host", "user-agent"] {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        if let Some(header) = header.filter(|header| !header.value.is_empty()) {
            asks.push(' ');
            asks.push_str(&String::from_utf8_lossy(header.value));
        }
    }
    match asks.char_indices().nth(ASKS_CHARS) {
        Some((end, _)) => asks[..end].into(),
        None => asks.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(head: &str) -> Option<String> {
        parse(head.as_bytes()).expect("complete").expect("accepted").state
    }

    #[test]
    fn haproxys_default_check_is_a_request() {
        let check = b"OPTIONS / HTTP/1.0\r\n\r\n";
        let asks = Some("OPTIONS /".into());
        assert_eq!(parse(check), Some(Ok(Request { method: Method::Options, state: None, asks })));
        for end in 0..check.len() {
            assert_eq!(parse(&check[..end]), None, "the first {end} bytes");
        }
    }

    #[test]
    fn every_path_and_both_versions_are_taken_without_host() {
        for head in [
            "GET /x/y?z HTTP/1.1\r\n\r\n",
            "HEAD * HTTP/1.0\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\na: b\r\n\r\n",
        ] {
            assert!(matches!(parse(head.as_bytes()), Some(Ok(_))), "{head:?}");
        }
    }

    #[test]
    fn the_state_header_is_found_in_any_case() {
        let value = "NOLB; name=shop/a; node=lb1; weight=0/2; scur=1/3; qcur=0";
        for name in ["x-haproxy-server-state", "X-Haproxy-Server-State", "X-HAPROXY-SERVER-STATE"] {
            let head = format!("OPTIONS / HTTP/1.1\r\nhost: a\r\n{name}:  {value} \r\nz: z\r\n\r\n");
            assert_eq!(state(&head).as_deref(), Some(value));
        }
        assert_eq!(state("GET / HTTP/1.0\r\nx-haproxy-server-state2: UP\r\n\r\n"), None);
    }

    #[test]
    fn of_several_state_headers_the_last_counts() {
        let head = "OPTIONS / HTTP/1.0\r\nx-haproxy-server-state: DOWN\r\nX-Haproxy-Server-State: UP\r\n\r\n";
        assert_eq!(state(head).as_deref(), Some("UP"));
    }

    #[test]
    fn who_says_nothing_else_is_known_by_what_is_asked_for() {
        let asks = |head: &str| parse(head.as_bytes()).expect("complete").expect("accepted").asks;
        let head = "GET /health?1763 HTTP/1.1\r\nuser-agent: kube-probe/1.29\r\nHost: shop\r\n\r\n";
        assert_eq!(asks(head).as_deref(), Some("GET /health shop kube-probe/1.29"));
        let long = asks(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "\u{e9}".repeat(500)));
        assert_eq!(long.map(|asks| asks.chars().count()), Some(ASKS_CHARS));
        assert_eq!(asks("GET / HTTP/1.1\r\nx-haproxy-server-state: UP\r\n\r\n"), None);
    }

    #[test]
    fn a_state_that_is_no_text_does_no_harm() {
        let parsed = parse(b"GET / HTTP/1.0\r\nx-haproxy-server-state: \xff\xfe\r\n\r\n");
        assert_eq!(parsed.unwrap().unwrap().state.as_deref(), Some("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn other_methods_are_refused_as_such() {
        for method in ["POST", "PUT", "get", "CONNECT", "X"] {
            let head = format!("{method} / HTTP/1.1\r\n\r\n");
            assert_eq!(parse(head.as_bytes()), Some(Err(Refusal::Method)), "{method}");
        }
    }

    #[test]
    fn garbage_is_malformed() {
        for head in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
            b"GET /\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\na: \0\r\n\r\n",
        ] {
            assert_eq!(parse(head), Some(Err(Refusal::Malformed)), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_too_large() {
        let mut head = b"GET / HTTP/1.1\r\na: ".to_vec();
        head.resize(HEAD_BYTES - 1, b'a');
        assert_eq!(parse(&head), None);
        head.push(b'a');
        assert_eq!(parse(&head), Some(Err(Refusal::TooLarge)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), Some(Err(Refusal::TooLarge)));
    }
}
