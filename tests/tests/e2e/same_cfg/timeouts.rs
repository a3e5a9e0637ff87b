//! What becomes of those whose time is over: what the client is told, whether its connection closes, and the log's words.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use drain_tests::{PATIENCE, Place, client::Connection, place::holds, port, scripted};
use socket2::{Domain, Socket, Type};

use super::{Differences, Twice};

/// Each timeout has a frontend, and a backend where it needs one. Whoever has a time to keep has seconds for it: only what
/// is not done at all is late.
const TEXT: &str = "
global
 log LOG len 2048 local0
defaults
 mode http
 log global
 option httplog
 option dontlognull
 retries 0
 timeout client 120s
 timeout server 120s
 timeout connect 120s
frontend request
 bind BIND0
 timeout http-request 3s
 default_backend plain
frontend keep_alive
 bind BIND1
 timeout http-keep-alive 3s
 default_backend plain
frontend client
 bind BIND2
 timeout client 3s
 default_backend plain
frontend queue
 bind BIND3
 default_backend queue
frontend connect
 bind BIND4
 default_backend connect
frontend server
 bind BIND5
 default_backend server
frontend tunnel
 bind BIND6
 default_backend tunnel
backend plain
 server s SERVER
backend queue
 timeout queue 1s
 server s SERVER maxconn 1
backend connect
 timeout connect 1s
 server s NOBODY
backend server
 timeout server 3s
 server s SERVER
backend tunnel
 timeout tunnel 3s
 server s SERVER
";

/// More than the kernel's buffers take.
const LONG_BYTES: usize = 64 << 20;

/// Somebody who is late, or for whom a server is.
struct Case {
    what: &'static str,
    /// Where, as in the configuration.
    frontend: usize,
    /// What the client sends; each of them but the last is answered as a whole first.
    sends: &'static [&'static str],
    /// The connection closes by itself, else it may.
    closes: bool,
}

const USUAL: Case = Case { what: "", frontend: 0, sends: &[], closes: true };

const OK: &str = "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n";
const SILENT: &str = "GET /silent HTTP/1.1\r\nHost: h\r\n\r\n";

const CASES: &[Case] = &[
    Case { what: "a head without its end", sends: &["GET /ok HTTP/1.1\r\nHost: h\r\n"], ..USUAL },
    Case { what: "a word of a head", sends: &["GE"], ..USUAL },
    Case { what: "a second head without its end", sends: &[OK, "GET /ok HTTP/1.1\r\n"], ..USUAL },
    Case { what: "no second request", frontend: 1, sends: &[OK, ""], ..USUAL },
    Case { what: "a place in the queue", frontend: 3, sends: &[OK], closes: false },
    Case { what: "a server that takes no connection", frontend: 4, sends: &[OK], closes: false },
    Case { what: "a server that is silent", frontend: 5, sends: &[SILENT], closes: false },
    Case {
        what: "a server that is silent after a whole answer",
        frontend: 5,
        sends: &[OK, SILENT],
        closes: false,
    },
    Case { what: "half a response", frontend: 5, sends: &["GET /half HTTP/1.1\r\nHost: h\r\n\r\n"], ..USUAL },
    Case {
        what: "half a chunked response",
        frontend: 5,
        sends: &["GET /chunks HTTP/1.1\r\nHost: h\r\n\r\n"],
        ..USUAL
    },
    Case {
        what: "half a request",
        frontend: 5,
        sends: &["POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf"],
        ..USUAL
    },
    Case {
        what: "a tunnel in which nobody says anything",
        frontend: 6,
        sends: &["GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
        ..USUAL
    },
];

/// A client of this frontend takes nothing of what it gets.
const CLIENT: usize = 2;
/// Another one has the only place of this one's server.
const QUEUE: usize = 3;

/// What a client has found.
#[derive(PartialEq, Eq, Debug)]
struct Found {
    /// Of the last answer; `None`: there was none.
    status: Option<u16>,
    /// And its body, as it came.
    body: Vec<u8>,
    closed: bool,
}

/// `silent` counts the requests that it does not answer.
fn server(silent: &Arc<AtomicUsize>) -> SocketAddr {
    let silent = Arc::clone(silent);
    scripted::start(move |request, connection| {
        let answer: &[u8] = match request.line().split(' ').nth(1).unwrap_or_default() {
            "/silent" => b"",
            "/half" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "/tunnel" => b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "/long" => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n");
                connection.send(head.as_bytes()).ok()?;
                return connection.send(&vec![b'x'; LONG_BYTES]).ok();
            }
            _ => return connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok(),
        };
        connection.send(answer).ok()?;
        silent.fetch_add(usize::from(answer.is_empty()), Ordering::SeqCst);
        // Until whoever has asked goes.
        connection.rest();
        None
    })
}

/// An address where connections are neither taken nor refused, as long as what is given beside it is there.
fn nobody() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let address = port::free();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(0).expect("listen");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        waiting.push(stream);
    }
    (address, socket, waiting)
}

fn asking(to: SocketAddr, request: &str) -> Connection {
    let mut connection = Connection::open(to).expect("a connection");
    connection.send(request.as_bytes()).expect("a request");
    connection
}

/// Has a client go through a case.
fn run(case: &Case, to: SocketAddr) -> Found {
    let (last, before) = case.sends.split_last().expect("something to send");
    let mut connection = Connection::open(to).expect("a connection");
    for request in before {
        connection.send(request.as_bytes()).expect("a request");
        assert_eq!(connection.receive("GET").expect("an answer").status, 200, "{}", case.what);
    }
    connection.send(last.as_bytes()).expect("a request");
    if !case.closes {
        let answer = connection.receive("GET").expect("an answer");
        connection.finish_sending();
        let rest = connection.rest();
        assert_eq!(String::from_utf8_lossy(&rest), "", "{}: more than the answer", case.what);
        return Found { status: Some(answer.status), body: answer.body, closed: is_closed(&connection) };
    }
    let all = connection.rest();
    let text = String::from_utf8_lossy(&all);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Found { status, body: body.into(), closed: is_closed(&connection) }
}

/// Not only silent.
fn is_closed(connection: &Connection) -> bool {
    match connection.stream().peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

/// Of each frontend: what its lines say of status and end.
fn ends(both: &Twice, which: usize, place: &Place, lines: usize) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..lines {
        let line = both.syslogs[which].line(place, "a request");
        let words: Vec<&str> = line.split_once("]: ").map_or(&*line, |(_, line)| line).split(' ').collect();
        // Client, date, frontend, backend and server, times, status, bytes, two cookies, the end.
        let [_, _, frontend, to, _, status, _, _, _, end, ..] = words[..] else { panic!("{line}") };
        all.entry(frontend.to_owned()).or_default().push(format!("{to} {status} {end}"));
    }
    for ends in all.values_mut() {
        ends.sort();
    }
    all
}

#[test]
fn whoever_is_late_is_told_what_haproxy_tells() {
    let place = Place::new("same_cfg_timeouts");
    let silent = Arc::default();
    let (nobody, _listener, _waiting) = nobody();
    let text = TEXT.replace("NOBODY", &nobody.to_string());
    let both = Twice::start(&place, &text, server(&silent));

    let held = [0, 1].map(|which| asking(both.addresses[which][QUEUE], SILENT));
    let silent = || silent.load(Ordering::SeqCst);
    place.wait_for("both places to be taken", PATIENCE, || holds(silent() == 2, || silent().to_string()));
    let takers =
        [0, 1].map(|which| asking(both.addresses[which][CLIENT], "GET /long HTTP/1.1\r\nHost: h\r\n\r\n"));
    thread::scope(|scope| {
        let all: Vec<_> = CASES
            .iter()
            .map(|case| (case, [0, 1].map(|which| both.addresses[which][case.frontend])))
            .map(|(case, both)| (case, both.map(|to| scope.spawn(move || run(case, to)))))
            .collect();
        let mut differences = Differences::default();
        for (case, both) in all {
            let found = both.map(|one| one.join().unwrap_or_else(|_| place.fail(case.what)));
            assert!(found.iter().all(|found| found.closed), "{}: {found:?}", case.what);
            differences.compare(case.what, found.map(|found| format!("{found:?}")));
        }
        differences.check(&place);
    });

    // Each request has a line, and a connection that closes without one has none.
    let sent = CASES.iter().flat_map(|case| case.sends).filter(|sent| !sent.is_empty()).count();
    let [theirs, ours] = [0, 1].map(|which| ends(&both, which, &place, sent + 1));
    assert_eq!(theirs, ours);
    // They have been given up by now; what is in the kernel's buffers still comes.
    for mut taker in takers {
        let got = taker.rest().len();
        assert!((1..LONG_BYTES).contains(&got) && is_closed(&taker), "{got}");
    }
    drop(held);
}
