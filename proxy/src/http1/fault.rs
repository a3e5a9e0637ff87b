//! Where a head ceases to be one, for people: the parsers only say that it does.

use super::{BadResponse, Refusal, is_token};

/// The place in `bytes`, which begin with a request that was refused, at which the fault lies; their end where something
/// is missing.
pub fn of_request(bytes: &[u8], refusal: Refusal) -> usize {
    let at_line = request_line(bytes);
    match refusal {
        Refusal::HeadTooLarge | Refusal::TargetTooLong | Refusal::Chunk(_) => bytes.len(),
        Refusal::Target => token(bytes) + blanks(&bytes[token(bytes)..]),
        Refusal::Length(_) => field(bytes, b"content-length"),
        Refusal::TransferEncoding | Refusal::UnknownCoding => field(bytes, b"transfer-encoding"),
        Refusal::Host => field(bytes, b"host"),
        Refusal::WebSocketKey => field(bytes, b"upgrade"),
        Refusal::UnexpectedBody => 0,
        Refusal::Lines(_) | Refusal::RequestLine | Refusal::Field => at_line.unwrap_or_else(|| fields(bytes)),
    }
}

/// The same for a server's response.
pub fn of_response(bytes: &[u8], bad: BadResponse) -> usize {
    match bad {
        BadResponse::HeadTooLarge => bytes.len(),
        BadResponse::Length(_) => field(bytes, b"content-length"),
        BadResponse::TransferEncoding => field(bytes, b"transfer-encoding"),
        BadResponse::Upgrade | BadResponse::Denied => 0,
        BadResponse::WebSocketAccept => field(bytes, b"sec-websocket-accept"),
        BadResponse::Lines(_) | BadResponse::StatusLine | BadResponse::Field => match status_line(bytes) {
            // HAProxy reads any word there, and then finds it to be another protocol's.
            Some(0) => run(bytes, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.')),
            Some(at) => at,
            None => fields(bytes),
        },
    }
}

/// Whether what begins so becomes no request, whatever may follow; `line`: its first line has just become whole.
pub fn is_no_request(bytes: &[u8], line: bool) -> bool {
    if line {
        return request_line(bytes).is_some();
    }
    // No method is longer; who sends a long target byte by byte does not have us look at all of it each time.
    let bytes = &bytes[..bytes.len().min(METHOD_BYTES)];
    let method = token(bytes);
    bytes.get(method).is_some_and(|byte| method == 0 || *byte != b' ')
}

/// The same of a response.
pub fn is_no_response(bytes: &[u8], line: bool) -> bool {
    match status_line(bytes) {
        Some(at) => line || at < bytes.len().min(STATUS_LINE.len()),
        None => false,
    }
}

const METHOD_BYTES: usize = 32;

const STATUS_LINE: &[u8] = b"HTTP/#.# ###";

/// Where the first line is no request line.
fn request_line(bytes: &[u8]) -> Option<usize> {
    let method = token(bytes);
    if bytes.get(method) != Some(&b' ') {
        return Some(method);
    }
    let target = method + blanks(&bytes[method..]);
    let target_end = target + run(&bytes[target..], |byte| !matches!(byte, b' ' | b'\r' | b'\n'));
    let version = target_end + blanks(&bytes[target_end..]);
    like(&bytes[version..], b"HTTP/#.#\r\n").map(|at| version + at)
}

/// Where the first line is no status line.
fn status_line(bytes: &[u8]) -> Option<usize> {
    like(bytes, STATUS_LINE).or_else(|| {
        let reason = STATUS_LINE.len();
        let end = reason + run(&bytes[reason..], is_of_a_value);
        like(&bytes[end..], b"\r\n").map(|at| end + at)
    })
}

/// The first place at which `bytes` differ from a pattern, in which `#` is any digit.
fn like(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    pattern.iter().enumerate().position(|(at, wanted)| match bytes.get(at) {
        Some(byte) if *wanted == b'#' => !byte.is_ascii_digit(),
        found => found != Some(wanted),
    })
}

/// The first place in the fields at which they are none; the end of `bytes` if there is none.
fn fields(bytes: &[u8]) -> usize {
    let mut at = line(bytes);
    while at < bytes.len() && !bytes[at..].starts_with(b"\r\n") {
        let name = token(&bytes[at..]);
        if name == 0 || bytes.get(at + name) != Some(&b':') {
            return at + name;
        }
        let end = at + name + run(&bytes[at + name..], is_of_a_value);
        if like(&bytes[end..], b"\r\n").is_some() {
            return end;
        }
        at = end + b"\r\n".len();
    }
    at
}

/// Where the value of the last field of this name begins; the end of `bytes` where there is none.
fn field(bytes: &[u8], name: &[u8]) -> usize {
    let mut found = bytes.len();
    let mut at = line(bytes);
    while at < bytes.len() && !bytes[at..].starts_with(b"\r\n") {
        let end = at + token(&bytes[at..]);
        if bytes[at..end].eq_ignore_ascii_case(name) {
            let is_before = |byte| matches!(byte, b':' | b' ' | b'\t');
            found = end + run(&bytes[end..], is_before);
        }
        at += line(&bytes[at..]);
    }
    found
}

/// How long the first line is, with its end.
fn line(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)
}

fn token(bytes: &[u8]) -> usize {
    run(bytes, is_token)
}

fn blanks(bytes: &[u8]) -> usize {
    run(bytes, |byte| byte == b' ')
}

fn run(bytes: &[u8], is_of_it: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_of_it(*byte)).unwrap_or(bytes.len())
}

const fn is_of_a_value(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Method, RequestHead, ResponseHead, Storage},
        *,
    };

    fn of(request: &str) -> usize {
        let refusal = RequestHead::parse(request.as_bytes(), &mut Storage::new()).unwrap_err();
        of_request(request.as_bytes(), refusal)
    }

    #[test]
    fn a_bad_request_is_at_fault_where_it_ceases_to_be_one() {
        for (request, fault) in [
            ("GET /a b HTTP/1.1\r\n\r\n", 7),
            ("G(T / HTTP/1.1\r\n\r\n", 1),
            ("GET / HTTP/1.x\r\n\r\n", 13),
            ("GET /\r\n\r\n", 5),
            ("GET / HTTP/1.1\r\nHost: x\r\nFoo(bar: y\r\n\r\n", 28),
            ("GET / HTTP/1.1\r\nA: x\u{1}y\r\n\r\n", 20),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", 41),
            ("GET http:/x HTTP/1.1\r\nHost: x\r\n\r\n", 4),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nA: b\r\n\r\n", 31),
        ] {
            assert_eq!(of(request), fault, "{request:?}");
        }
    }

    #[test]
    fn a_bad_response_is_at_fault_where_it_ceases_to_be_one() {
        for (response, fault) in [
            ("HTTP/1.1 200 OK\r\nBad header: x\r\n\r\n", 20),
            ("HTTP/1.1 20x OK\r\n\r\n", 11),
            ("SSH-2.0-OpenSSH\r\n\r\n", 3),
            ("HTTP/1.1 200 O\u{1}K\r\n\r\n", 14),
            ("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: -1\r\n\r\n", 39),
        ] {
            let refusal =
                ResponseHead::parse(response.as_bytes(), Method::Get, &mut Storage::new()).unwrap_err();
            assert_eq!(of_response(response.as_bytes(), refusal), fault, "{response:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_known_before_it_ends() {
        for request in ["\u{16}\u{3}\u{1}", "\r\r", "GET\r", "(", " GET / HTTP/1.1", "SSH-2.0-OpenSSH\r"] {
            assert!(is_no_request(request.as_bytes(), false), "{request:?}");
        }
        for request in ["GET /\r\n", "SSH-2.0-OpenSSH\r\n", "GET / FTP/1.1\r\n"] {
            assert!(is_no_request(request.as_bytes(), true), "{request:?}");
        }
        assert!(is_no_response(b"SSH", false) && is_no_response(b"HTTP/1.1 OK", false));
        assert!(is_no_response(b"HTTP/1.1 200 O\x01K\r\n", true));
    }

    #[test]
    fn of_what_is_cut_off_anywhere_a_place_within_it_is_told() {
        let request = b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n";
        let lines = super::super::ScanError::BareLf;
        for length in 0..=request.len() {
            for refusal in [Refusal::RequestLine, Refusal::Target, Refusal::Host, Refusal::Lines(lines)] {
                assert!(of_request(&request[..length], refusal) <= length);
            }
        }
        for length in 0..=response.len() {
            for bad in [BadResponse::StatusLine, BadResponse::TransferEncoding, BadResponse::Lines(lines)] {
                assert!(of_response(&response[..length], bad) <= length);
            }
        }
    }
}
