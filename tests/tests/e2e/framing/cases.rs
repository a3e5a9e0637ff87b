//! The table: malformed and ambiguous requests, each with what may become of it.

/// What may become of a request.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// The proxy refuses it with one of these statuses, and the server never hears of it.
    Refused(&'static [u16]),
    /// The server sees exactly these requests: methods and bodies.
    Passed(&'static [(&'static str, &'static str)]),
    /// Refused, or passed as these requests: the standards leave it open.
    Either(&'static [(&'static str, &'static str)]),
    /// The fault shows only in the body, when the server may have seen the head: it may see the request's
    /// beginning, and nothing else.
    Broken,
}

/// One request, as bytes.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Stands in the query of every request that it holds, so that the server's log names it.
    pub(super) name: &'static str,
    /// What is sent, with `@` in the place of path and query.
    pub(super) bytes: Vec<u8>,
    /// What may become of it.
    pub(super) fate: Fate,
}

const BAD: Fate = Fate::Refused(&[400]);
const HELLO: Fate = Fate::Passed(&[("POST", "hello")]);
/// What an attacker wants the server to take for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// A POST of `hello` with these header lines instead of a plain length.
fn post(name: &'static str, lines: &str, fate: Fate) -> Case {
    raw(name, &format!("POST @ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nhello"), fate)
}

/// The same, chunked, with this body.
fn chunked(name: &'static str, body: &str, fate: Fate) -> Case {
    coded(name, "Transfer-Encoding: chunked", body, fate)
}

/// A POST with these header lines and this body.
fn coded(name: &'static str, lines: &str, body: &str, fate: Fate) -> Case {
    raw(name, &format!("POST @ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}"), fate)
}

/// A GET with one more header line.
fn header(name: &'static str, line: &str, fate: Fate) -> Case {
    raw(name, &format!("GET @ HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"), fate)
}

/// A GET with this request line.
fn line(name: &'static str, line: &str, fate: Fate) -> Case {
    raw(name, &format!("{line}\r\nHost: a\r\n\r\n"), fate)
}

fn raw(name: &'static str, text: &str, fate: Fate) -> Case {
    Case { name, bytes: text.as_bytes().to_vec(), fate }
}

/// All.
pub(super) fn all() -> Vec<Case> {
    [lengths(), codings(), chunks(), lines(), headers(), sequences()].concat()
}

/// RFC 9112, 6.2 and 6.3: what a length may be.
fn lengths() -> Vec<Case> {
    vec![
        post("cl-plain", "Content-Length: 5", HELLO),
        post("cl-twice-same", "Content-Length: 5\r\nContent-Length: 5", HELLO),
        post("cl-list-same", "Content-Length: 5, 5", HELLO),
        post("cl-twice-other", "Content-Length: 5\r\nContent-Length: 6", BAD),
        post("cl-twice-zero", "Content-Length: 0\r\nContent-Length: 5", BAD),
        post("cl-list-other", "Content-Length: 5, 6", BAD),
        post("cl-plus", "Content-Length: +5", BAD),
        post("cl-minus", "Content-Length: -1", BAD),
        post("cl-empty", "Content-Length:", BAD),
        post("cl-hex", "Content-Length: 0x5", BAD),
        post("cl-letters", "Content-Length: five", BAD),
        post("cl-fraction", "Content-Length: 5.0", BAD),
        post("cl-two-words", "Content-Length: 5 5", BAD),
        post("cl-overflow-64", "Content-Length: 18446744073709551621", BAD),
        post("cl-overflow", "Content-Length: 99999999999999999999999999", BAD),
        post("cl-nul", "Content-Length: 5\0", BAD),
        post("cl-space-before-colon", "Content-Length : 5", BAD),
        post("cl-vertical-tab", "Content-Length: \x0b5", BAD),
        post("cl-leading-zero", "Content-Length: 05", Fate::Either(&[("POST", "hello")])),
        post("cl-named-by-connection", "Connection: Content-Length\r\nContent-Length: 5", HELLO),
        post("cl-of-an-underscore", "Content_Length: 99\r\nContent-Length: 5", HELLO),
        raw(
            "cl-1.0",
            "POST @ HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            Fate::Passed(&[("POST", "hello")]),
        ),
        raw(
            "cl-get-1.0",
            "GET @ HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            Fate::Refused(&[400, 413]),
        ),
        raw(
            "cl-get",
            &format!("GET @ HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
            Fate::Passed(&[("GET", SMUGGLED)]),
        ),
    ]
}

/// RFC 9112, 6.1: transfer codings, alone and with a length.
fn codings() -> Vec<Case> {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let empty = Fate::Passed(&[("POST", "")]);
    let smuggle = format!("0\r\n\r\n{SMUGGLED}");
    let te = "Transfer-Encoding";
    vec![
        coded("te-plain", &format!("{te}: chunked"), body, HELLO),
        coded("te-capitals", "TRANSFER-ENCODING: CHUNKED", body, HELLO),
        coded("te-tab", &format!("{te}:\tchunked\t"), body, HELLO),
        coded("te-with-cl", &format!("Content-Length: 6\r\n{te}: chunked"), &smuggle, empty.clone()),
        coded("te-before-cl", &format!("{te}: chunked\r\nContent-Length: 6"), &smuggle, empty),
        coded("te-with-bad-cl", &format!("Content-Length: x\r\n{te}: chunked"), body, BAD),
        coded(
            "te-with-two-cl",
            &format!("Content-Length: 5\r\nContent-Length: 6\r\n{te}: chunked"),
            body,
            BAD,
        ),
        coded("te-twice", &format!("{te}: chunked, chunked"), body, BAD),
        coded("te-two-lines", &format!("{te}: chunked\r\n{te}: chunked"), body, BAD),
        coded("te-then-identity", &format!("{te}: chunked\r\n{te}: identity"), body, BAD),
        coded(
            "te-identity-first",
            &format!("{te}: identity\r\n{te}: chunked"),
            body,
            Fate::Refused(&[400, 422]),
        ),
        coded("te-gzip", &format!("{te}: gzip\r\nContent-Length: 5"), "hello", BAD),
        coded("te-gzip-chunked", &format!("{te}: gzip, chunked"), body, Fate::Refused(&[400, 422])),
        coded("te-chunked-gzip", &format!("{te}: chunked, gzip"), body, BAD),
        coded("te-identity", &format!("{te}: identity\r\nContent-Length: 5"), "hello", BAD),
        coded("te-xchunked", &format!("{te}: xchunked\r\nContent-Length: 5"), "hello", BAD),
        coded("te-chunkedx", &format!("{te}: chunkedx\r\nContent-Length: 5"), "hello", BAD),
        coded("te-quoted", &format!("{te}: \"chunked\"\r\nContent-Length: 5"), "hello", BAD),
        coded("te-parameter", &format!("{te}: chunked;q=1\r\nContent-Length: 5"), "hello", BAD),
        coded("te-empty", &format!("{te}:\r\nContent-Length: 5"), "hello", BAD),
        coded("te-comma", &format!("{te}: ,chunked"), body, Fate::Either(&[("POST", "hello")])),
        coded("te-vertical-tab", &format!("{te}: \x0bchunked\r\nContent-Length: 5"), "hello", BAD),
        coded("te-space-before-colon", &format!("{te} : chunked\r\nContent-Length: 5"), "hello", BAD),
        coded("te-folded", &format!("{te}:\r\n chunked"), body, Fate::Either(&[("POST", "hello")])),
        coded("te-of-an-underscore", "Transfer_Encoding: chunked\r\nContent-Length: 5", "hello", HELLO),
        coded("te-named-by-connection", &format!("Connection: {te}\r\n{te}: chunked"), body, HELLO),
        raw(
            "te-1.0",
            &format!("POST @ HTTP/1.0\r\nHost: a\r\nContent-Length: 6\r\n{te}: chunked\r\n\r\n{smuggle}"),
            Fate::Either(&[("POST", "")]),
        ),
        raw(
            "te-get",
            &format!("GET @ HTTP/1.1\r\nHost: a\r\n{te}: chunked\r\n\r\n0\r\n\r\n"),
            Fate::Passed(&[("GET", "")]),
        ),
    ]
}

/// RFC 9112, 7.1: chunks.
fn chunks() -> Vec<Case> {
    vec![
        chunked("chunk-two", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", HELLO),
        chunked("chunk-zeros", "0005\r\nhello\r\n000\r\n\r\n", HELLO),
        chunked("chunk-extension", "5;a=b\r\nhello\r\n0\r\n\r\n", HELLO),
        chunked("chunk-trailer", "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", HELLO),
        chunked("chunk-trailer-length", "5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n", HELLO),
        chunked("chunk-0x", "0x5\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-plus", "+5\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-minus", "-5\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-empty-size", "\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-letters", "xyz\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-too-short", "4\r\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-no-end", "5\r\nhelloX\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-bare-lf-size", "5\nhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-bare-lf-data", "5\r\nhello\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-bare-lf-extension", &format!("5;\nhello\r\n0\r\n\r\n{SMUGGLED}"), Fate::Broken),
        chunked("chunk-bare-cr", "5\rhello\r\n0\r\n\r\n", Fate::Broken),
        chunked("chunk-bad-trailer", "5\r\nhello\r\n0\r\nno colon\r\n\r\n", Fate::Broken),
    ]
}

/// RFC 9112, 3: the request line.
fn lines() -> Vec<Case> {
    vec![
        line("line-plain", "GET @ HTTP/1.1", Fate::Passed(&[("GET", "")])),
        line("line-empty-before", "\r\nGET @ HTTP/1.1", Fate::Either(&[("GET", "")])),
        line("line-space-in-target", "GET @ b HTTP/1.1", BAD),
        line("line-four-words", "GET @ HTTP/1.1 x", BAD),
        line("line-no-version", "GET @", BAD),
        line("line-0.9", "GET @ HTTP/0.9", BAD),
        line("line-small-http", "GET @ http/1.1", BAD),
        line("line-version-3", "GET @ HTTP/3.0", Fate::Either(&[("GET", "")])),
        line("line-version-long", "GET @ HTTP/1.10", BAD),
        line("line-fragment", "GET @#x HTTP/1.1", BAD),
        line("line-no-slash", "GET cgi HTTP/1.1", BAD),
        line("line-nul", "GET @\0 HTTP/1.1", BAD),
        line("line-control", "GET @\x01 HTTP/1.1", BAD),
        line("line-bare-cr", "GET @\r HTTP/1.1", BAD),
        line("line-tab", "GET\t@ HTTP/1.1", BAD),
        line("line-colon-method", "G:T @ HTTP/1.1", BAD),
        line("line-two-spaces", "GET  @ HTTP/1.1", Fate::Either(&[("GET", "")])),
        line("line-other-authority", "GET http://b@ HTTP/1.1", BAD),
        line("line-same-authority", "GET http://a@ HTTP/1.1", Fate::Passed(&[("GET", "")])),
        raw("line-bare-lf", "GET @ HTTP/1.1\nHost: a\n\n", BAD),
        raw(
            "line-long",
            &format!("GET @{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)),
            Fate::Refused(&[400, 414, 431]),
        ),
    ]
}

/// RFC 9112, 5: header lines; RFC 9112, 3.2: Host.
fn headers() -> Vec<Case> {
    let get = Fate::Passed(&[("GET", "")]);
    let either = Fate::Either(&[("GET", "")]);
    vec![
        header("header-plain", "X-A: b", get.clone()),
        header("header-no-colon", "X-A", BAD),
        header("header-space-before-colon", "X-A : b", BAD),
        header("header-empty-name", ": b", BAD),
        header("header-nul", "X-A: b\0c", BAD),
        header("header-bare-cr", "X-A: b\rX-B: c", BAD),
        header("header-bare-lf", "X-A: b\nX-B: c", BAD),
        header("header-lf-smuggles", &format!("X-A: b\n\n{SMUGGLED}"), BAD),
        header("header-control-name", "X\x01A: b", BAD),
        header("header-space-name", "X A: b", BAD),
        header("header-fold", "X-A: b\r\n c", either),
        header("header-second-host", "Host: b", BAD),
        header("header-same-host", "Host: a", Fate::Either(&[("GET", "")])),
        header("header-connection-host", "Connection: Host", get.clone()),
        header("header-upgrade", "Connection: Upgrade\r\nUpgrade: h2c", get),
        raw("header-first-space", "GET @ HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", BAD),
        header("header-long", &format!("X-A: {}", "x".repeat(70_000)), Fate::Refused(&[400, 431])),
        header("header-many", &vec!["X-A: b"; 5_000].join("\r\n"), Fate::Refused(&[400, 431])),
    ]
}

/// Several requests on one connection.
fn sequences() -> Vec<Case> {
    let get = "GET @ HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST @ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    vec![
        raw("pipeline", &get.repeat(2), Fate::Passed(&[("GET", ""), ("GET", "")])),
        raw("pipeline-post", &format!("{post}{get}"), Fate::Passed(&[("POST", "hello"), ("GET", "")])),
        raw(
            "pipeline-garbage",
            &format!("{post}X{SMUGGLED}").replace("XGET /smuggled", "X: y"),
            Fate::Passed(&[("POST", "hello")]),
        ),
        raw(
            "expect",
            "POST @ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            Fate::Passed(&[("POST", "hello")]),
        ),
    ]
}
