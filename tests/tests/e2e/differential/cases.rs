//! The cases, made from tables.

mod bodies;
mod responses;

/// What is sent, and what the server answers.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Says what it is about; a wanted difference is listed under its beginning.
    pub(super) name: String,
    /// From the client.
    pub(super) request: Vec<u8>,
    /// From the server, which closes behind it; `None`: 200 with a body of two bytes.
    pub(super) response: Option<Vec<u8>>,
    /// How many requests it has, read with care: what a server gets beyond them is smuggled. `None`: both say so.
    pub(super) executed: Option<usize>,
}

/// All.
pub(super) fn all() -> Vec<Case> {
    [
        methods(),
        targets(),
        hosts(),
        versions(),
        bodies::lengths(),
        bodies::codings(),
        bodies::chunks(),
        fields(),
        sizes(),
        sequences(),
        responses::all(),
    ]
    .concat()
}

fn case(name: &str, request: &str) -> Case {
    Case {
        name: name.escape_debug().to_string(),
        request: request.as_bytes().to_vec(),
        response: None,
        executed: None,
    }
}

fn methods() -> Vec<Case> {
    const METHODS: [&str; 16] = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "get",
        "PROPFIND",
        "M-X",
        "A!#$%&'*+.^_`|~",
        "G(T",
        "G\tT",
        "",
        "\u{e9}",
    ];
    let mut cases = Vec::new();
    for method in METHODS {
        for version in ["1.1", "1.0"] {
            for (with, body) in [("nothing", "\r\n"), ("a body", "Content-Length: 5\r\n\r\nhello")] {
                let text = format!("{method} /x HTTP/{version}\r\nHost: a\r\n{body}");
                cases.push(case(&format!("method {method:?} {version} with {with}"), &text));
            }
        }
    }
    cases
}

fn targets() -> Vec<Case> {
    const TARGETS: [&str; 38] = [
        "/",
        "/a/b?c=d&e",
        "/a//b/../c",
        "/%00%2e",
        "/\"<>|{}`^",
        "/a#b",
        "/caf\u{e9}",
        "/a\u{1}",
        "/a\u{7f}",
        "/a\\b",
        "*",
        "foo",
        "?a",
        "#a",
        "http://a/",
        "http://a",
        "http://a?b",
        "http://a:80/x",
        "http://a:81/x",
        "http://A/x",
        "https://a/x",
        "https://a:443/x",
        "http://b/x",
        "http:///x",
        "http:/x",
        "http:x",
        "HTTP://a/x",
        "ftp://a/x",
        "a:80",
        "//a/x",
        "/x:y",
        "http://u@a/x",
        "http://a:/x",
        "http://[::1]/x",
        "/a?b?c#",
        "/;p",
        "ht!tp://a/",
        "1http://a/",
    ];
    let mut cases: Vec<_> = TARGETS
        .iter()
        .map(|target| case(&format!("target {target}"), &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")))
        .collect();
    cases.extend(
        ["OPTIONS *", "GET *", "OPTIONS http://a"]
            .map(|start| case(&format!("start {start}"), &format!("{start} HTTP/1.1\r\nHost: a\r\n\r\n"))),
    );
    cases
}

fn hosts() -> Vec<Case> {
    const HOSTS: [&str; 20] = [
        "",
        "Host:\r\n",
        "Host: a\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nhost: A\r\n",
        "Host: a:80\r\n",
        "Host: a:8080\r\n",
        "Host: a\r\nHost:\r\n",
        "HOST: a\r\n",
        "Host:a\r\n",
        "Host: \t a \t\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: [::1]:80\r\n",
        "Host: \u{e9}\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
    ];
    let absolute = ["Host: a\r\n", "Host: a:80\r\n", "Host: b\r\n", "", "Host:\r\n"];
    let relative =
        HOSTS.iter().map(|host| case(&format!("host {host}"), &format!("GET / HTTP/1.1\r\n{host}\r\n")));
    let absolute = absolute.iter().map(|host| {
        case(&format!("absolute and host {host}"), &format!("GET http://a/ HTTP/1.1\r\n{host}\r\n"))
    });
    relative.chain(absolute).collect()
}

fn versions() -> Vec<Case> {
    const LINES: [&str; 20] = [
        "GET / HTTP/1.1",
        "GET / HTTP/1.0",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET /",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / HTTP/1.1 ",
        "GET  /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET /HTTP/1.1",
        "GET / HTTPS/1.1",
        "GET / HTTP/11",
        "PRI * HTTP/2.0",
        "\r\nGET / HTTP/1.1",
        "GET / HTTP/1.1\rx",
    ];
    LINES.iter().map(|line| case(&format!("line {line}"), &format!("{line}\r\nHost: a\r\n\r\n"))).collect()
}

fn fields() -> Vec<Case> {
    const LINES: [&str; 47] = [
        "X-A: b",
        "x-a:b",
        "X-A:  b  ",
        "X-A:",
        "X-A: ",
        "X_A: b",
        "X-A : b",
        "X-A\t: b",
        ": b",
        "X-A",
        "X A: b",
        "X(: b",
        "1: b",
        "X-\u{e9}: b",
        "X-A: \u{e9}",
        "X-A: b\x01",
        "X-A: b\0c",
        "X-A: b\rc",
        "X-A: b\nX-B: c",
        "X-A: b\r\n c",
        "X-A: b\r\n\tc",
        "X-A: b\r\n",
        "X-A: b\r\nX-A: c",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: close, X-A\r\nX-A: b",
        "Connection: X-A, TE",
        "Connection: Content-Length",
        "Connection: ,",
        "Connection:",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "TE: trailers",
        "TE: gzip, trailers",
        "TE: gzip",
        "Upgrade: h2c",
        "Connection: Upgrade\r\nUpgrade: h2c",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Expect: 100-continue",
        "Expect: x",
        "Trailer: X-T",
        "Max-Forwards: 0",
        "Via: 1.1 x",
        "Authorization: Basic eDp5",
        "Cookie: a=b; c=\"d;e\"",
    ];
    LINES
        .iter()
        .map(|line| case(&format!("field {line:?}"), &format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")))
        .collect()
}

fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [1_000, 8_000, 15_000, 17_000, 40_000] {
        let long = "x".repeat(size);
        cases.push(case(
            &format!("size of field {size}"),
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {long}\r\n\r\n"),
        ));
        cases.push(case(
            &format!("size of target {size}"),
            &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ));
        cases.push(case(
            &format!("size of body {size}"),
            &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{long}"),
        ));
    }
    for count in [50, 99, 100, 102, 300] {
        let lines = "X-A: b\r\n".repeat(count);
        cases.push(case(
            &format!("size in fields {count}"),
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"),
        ));
    }
    cases
}

fn sequences() -> Vec<Case> {
    let get = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let close = "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let old = "GET /5 HTTP/1.0\r\nHost: a\r\n\r\n";
    let kept = "GET /6 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let both =
        "POST /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let bad = "BAD\r\n\r\n";
    let all = [get, post, chunked, close, old, kept, both, bad];
    // Behind these nothing is a request any more.
    let ends = [close, old, both, bad];
    let executed = |executed: usize, case: Case| Case { executed: Some(executed), ..case };
    let mut cases = Vec::new();
    for (first, one) in all.iter().enumerate() {
        for (second, other) in all.iter().enumerate() {
            let read = if ends.contains(one) { &[*one][..] } else { &[*one, *other] };
            let count = read.iter().filter(|message| **message != bad).count();
            let sequence = case(&format!("sequence {first} {second}"), &format!("{one}{other}"));
            cases.push(executed(count, sequence));
        }
    }
    cases.push(executed(2, case("sequence with empty lines", &format!("{get}\r\n\r\n{get}"))));
    cases.push(executed(0, case("sequence of nothing", "")));
    cases.push(executed(0, case("sequence cut off", "GET / HTTP/1.1\r\nHost")));
    cases
}
