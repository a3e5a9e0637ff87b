//! One connection to a server: requests, and how they are answered.

use std::{io, time::Duration};

use drain_tests::clock;
use fastrand::Rng;

use crate::{link::Link, message::Request, page, rule::Rule, server::Server};

/// Of so many requests one meets a server that fails in it, in times of trouble.
const FAULT_ONE_IN: u32 = 50;
/// After so many answers a server closes the connection without a word.
const CLOSE_ONE_IN: u32 = 40;
/// After so many it says before that it will.
const LAST_ONE_IN: u32 = 60;
/// So many answers take their time.
const LATE_ONE_IN: u32 = 10;
const LATE_MS: std::ops::Range<u64> = 5..250;

/// How a server fails in a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Silence,
    HalfHead,
    HalfBody,
    Junk,
}

/// How an answer tells its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length,
    Chunked,
    UntilClose,
}

/// Serves a connection until it is over.
pub(crate) fn serve(server: &Server, link: &Link, mut random: Rng) {
    let mut buffer = Vec::new();
    loop {
        let goes_on = match Request::read(server, link, &mut buffer) {
            Ok(None) => return,
            Ok(Some(request)) => answer(server, link, &request, &mut random),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    server.ledger().violation(Rule::Altered, "a server got what is no request");
                }
                return;
            }
        };
        // A connection that breaks here is missed by the client, if by anybody.
        if !goes_on.unwrap_or(false) {
            return;
        }
        link.rest();
    }
}

/// Answers, and says whether the connection goes on.
fn answer(server: &Server, link: &Link, request: &Request, random: &mut Rng) -> io::Result<bool> {
    if request.method == "OPTIONS" {
        return check(server, link, request);
    }
    if request.path == "/health" {
        link.write(server, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(true);
    }
    let Some(asked) = Asked::of(request) else {
        server.ledger().violation(Rule::Altered, &format!("{} {}", request.method, request.path));
        return Ok(false);
    };
    if request.header("upgrade").is_some() {
        return tunnel(server, link);
    }
    if let Err(what) = receive(server, request, &asked) {
        server.ledger().violation(Rule::Altered, &format!("{} {}: {what}", request.method, request.path));
    }
    if random.u32(..LATE_ONE_IN) == 0 {
        clock::pause(Duration::from_millis(random.u64(LATE_MS)));
    }
    if server.is_faulty() && random.u32(..FAULT_ONE_IN) == 0 {
        let has_body = request.method != "HEAD";
        return fail(server, link, &asked, has_body, random).map(|()| false);
    }
    give(server, link, request, &asked, random)
}

/// What a path says: `/page/ID/LENGTH`.
struct Asked {
    id: u32,
    length: usize,
}

impl Asked {
    fn of(request: &Request) -> Option<Self> {
        let mut parts = request.path.split('/').skip(2);
        Some(Self { id: parts.next()?.parse().ok()?, length: parts.next()?.parse().ok()? })
    }
}

/// Looks at a request that has come, and executes it.
fn receive(server: &Server, request: &Request, asked: &Asked) -> Result<(), String> {
    if let Some(length) = request.header("x-body") {
        let length = length.parse().map_err(|_| format!("x-body: {length}"))?;
        page::check(asked.id, length, &request.body)?;
    } else if !request.body.is_empty() {
        return Err(format!("a body of {} bytes that nobody sent", request.body.len()));
    }
    if request.method == "POST" {
        server.ledger().executed(asked.id, server.index());
    }
    match request.header("cookie") {
        Some(cookie) if cookie.contains("SERVERID") => Err(format!("the proxy's own cookie: {cookie}")),
        _ => Ok(()),
    }
}

/// The health that the server was told to have.
fn check(server: &Server, link: &Link, request: &Request) -> io::Result<bool> {
    if let Some(state) = request.header("x-haproxy-server-state") {
        let serves = state.starts_with("UP") || state.starts_with("NOLB");
        server.history().checked(serves, clock::now());
    }
    let (status, phase) = match server.health() {
        200 => ("200 OK", "up"),
        404 => ("404 Soft", "soft"),
        _ => ("500 Hard", "hard"),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nx-drain-state: {phase}; since=1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    link.write(server, text.as_bytes())?;
    Ok(false)
}

/// Gives back what comes until the client has finished.
fn tunnel(server: &Server, link: &Link) -> io::Result<bool> {
    link.write(server, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n")?;
    let mut some = Vec::new();
    while link.read(server, &mut some)? {
        link.write(server, &some)?;
        some.clear();
    }
    Ok(false)
}

/// Fails, as servers do. The request may have been executed.
fn fail(server: &Server, link: &Link, asked: &Asked, has_body: bool, random: &mut Rng) -> io::Result<()> {
    server.ledger().fault(asked.id, server.index());
    let fault = [Fault::Silence, Fault::HalfHead, Fault::HalfBody, Fault::Junk][random.usize(..4)];
    match fault {
        // A whole answer to HEAD would be just wrong.
        Fault::HalfBody if !has_body => {}
        Fault::Silence => {}
        Fault::HalfHead => link.write(server, b"HTTP/1.1 200 OK\r\ncontent-le")?,
        Fault::Junk => link.write(server, b"* this is no answer\r\n\r\n")?,
        Fault::HalfBody => {
            let text = head(server, asked, "200 OK", Framing::Length, asked.length + 1, "");
            link.write(server, &[text.as_bytes(), &page::body(asked.id, asked.length / 2)].concat())?;
        }
    }
    if random.bool() {
        link.kill(true);
    }
    Ok(())
}

/// The answer.
fn give(
    server: &Server,
    link: &Link,
    request: &Request,
    asked: &Asked,
    random: &mut Rng,
) -> io::Result<bool> {
    let framing = match random.u32(..20) {
        0 => Framing::UntilClose,
        1..=5 => Framing::Chunked,
        _ => Framing::Length,
    };
    let is_last = framing == Framing::UntilClose || random.u32(..LAST_ONE_IN) == 0;
    let close = if is_last { "connection: close\r\n" } else { "" };
    let body = page::body(asked.id, asked.length);
    if random.u32(..30) == 0 {
        link.write(server, b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")?;
    }
    if let Some(from) = rest_from(request, asked) {
        let range = format!("{close}content-range: bytes {from}-{}/{}\r\n", asked.length - 1, asked.length);
        let text = head(server, asked, "206 Partial Content", Framing::Length, asked.length - from, &range);
        link.write(server, text.as_bytes())?;
        link.write(server, &body[from..])?;
    } else {
        if framing == Framing::UntilClose {
            link.ends_with_close();
        }
        let text = head(server, asked, "200 OK", framing, asked.length, close);
        if request.method == "HEAD" {
            link.write(server, text.as_bytes())?;
        } else if framing == Framing::Chunked {
            link.write(server, text.as_bytes())?;
            let size = random.usize(1..40_000);
            for chunk in body.chunks(size) {
                let line = format!("{:x}\r\n", chunk.len());
                link.write(server, &[line.as_bytes(), chunk, b"\r\n"].concat())?;
            }
            link.write(server, b"0\r\n\r\n")?;
        } else if body.len() < 1024 {
            link.write(server, &[text.as_bytes(), &body].concat())?;
        } else {
            link.write(server, text.as_bytes())?;
            link.write(server, &body)?;
        }
    }
    Ok(!is_last && random.u32(..CLOSE_ONE_IN) > 0)
}

/// Where the rest begins that a proxy asks for whose first server has broken off.
fn rest_from(request: &Request, asked: &Asked) -> Option<usize> {
    let from = request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
    let same = request.header("if-range").is_none_or(|tag| tag == format!("\"{}\"", asked.id));
    (request.method == "GET" && same && from < asked.length).then_some(from)
}

fn head(
    server: &Server,
    asked: &Asked,
    status: &str,
    framing: Framing,
    length: usize,
    further: &str,
) -> String {
    let (name, id) = (server.name(), asked.id);
    let framing = match framing {
        Framing::Length => {
            format!("content-length: {length}\r\naccept-ranges: bytes\r\netag: \"{id}\"\r\n")
        }
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::UntilClose => String::new(),
    };
    format!("HTTP/1.1 {status}\r\nx-server: {name}\r\nx-id: {id}\r\n{framing}{further}\r\n")
}
