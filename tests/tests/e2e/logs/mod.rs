//! The access log: field by field as HAProxy writes it for the same requests, wherever it goes, and of no harm to
//! anybody where it goes nowhere.

mod blur;
mod stage;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    sync::mpsc,
    thread,
};

use drain_tests::{PATIENCE, Place, Syslog, client::Connection, place::holds, port, scripted};

use self::stage::{Balancer, Frontend, lines_of, send, web_server};

const CAPTURES: &str = "  capture request header Host len 10\n  capture request header X-Quote len 40\n  \
    capture response header Server len 20\n  capture response header X-A len 20\n  \
    capture response header Nope len 20\n  capture cookie SESS len 16\n";
const OUR_CAPTURES: &str = "capture_request_headers = [{ name = \"host\", length = 10 }, { name = \"X-Quote\", length = 40 }]\n\
    capture_response_headers = [{ name = \"Server\", length = 20 }, { name = \"x-a\", length = 20 }, { name = \"Nope\", length = 20 }]\n\
    capture_cookie = { name = \"SESS\", length = 16 }\n";

/// What is sent to each frontend; each has one line.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a.long.host.name\r\nConnection: close\r\n{fields}\r\n")
            .into_bytes()
    };
    vec![
        ("a page", get("/a?b=c", "")),
        ("quotes", get("/\"{|}~", "X-Quote: first\r\nX-Quote: a\"b{c}|d#e \t\x7e\r\n")),
        ("cookies", get("/", "Cookie: x=1; SESSIONID = v\"al ue|; SESSION=2\r\n")),
        (
            "more cookies",
            get("/", "Cookie: xSESS=1; SESS\r\nCookie: SESSION=\"q;x\"; y=3\r\nCookie: SESSION=last\r\n"),
        ),
        ("a user", get("/", "Cookie: SERVERID=a\r\n")),
        ("a user of nobody", get("/", "Cookie: SERVERID=z\r\n")),
        ("HEAD", b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec()),
        (
            "a body",
            b"POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc".to_vec(),
        ),
        ("an old client", b"GET /old HTTP/1.0\r\n\r\n".to_vec()),
        ("a status of the server's", get("/500", "")),
        ("no answer", get("/die", "")),
        ("no request", b"BAD\r\n\r\n".to_vec()),
        ("half a request", b"GET / HT".to_vec()),
        ("nothing but an end of line", b"\r\n".to_vec()),
        (
            "bad chunks",
            b"POST / HTTP/1.1\r\nHost: h\r\nCookie: SESSION=1\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n"
                .to_vec(),
        ),
    ]
}

#[test]
fn lines_are_haproxys_field_by_field() {
    let place = Place::new("logs_haproxy");
    let (theirs, their_address) = Syslog::start();
    let (ours, our_address) = Syslog::start();
    let log = |format: &str| {
        format!("log = {{ format = \"{format}\", target = \"syslog://{our_address}\", tag = \"lb\" }}\n")
    };
    let frontend = |name, backend, haproxy: String, ours: String| Frontend { name, backend, haproxy, ours };
    let frontends = [
        frontend("http", "shop", "  option httplog\n".to_owned(), log("http")),
        frontend("captures", "shop", format!("  option httplog\n{CAPTURES}"), log("http") + OUR_CAPTURES),
        frontend("tcp", "shop", "  option tcplog\n".to_owned(), log("tcp")),
        frontend("clf", "shop", "  option httplog clf\n".to_owned(), log("clf")),
        frontend(
            "clf_captures",
            "shop",
            format!("  option httplog clf\n{CAPTURES}"),
            log("clf") + OUR_CAPTURES,
        ),
        frontend(
            "errors",
            "shop",
            "  option httplog\n  option log-separate-errors\n".to_owned(),
            log("http") + "log_separate_errors = true\n",
        ),
        frontend("gone", "gone", format!("  option httplog\n{CAPTURES}"), log("http") + OUR_CAPTURES),
    ];
    let (server, gone) = (web_server(), port::free());
    let cookie = "  cookie SERVERID insert indirect\n";
    let haproxy = Balancer::haproxy(
        &place,
        &frontends,
        their_address,
        &[
            ("shop", format!("{cookie}  server a {server} cookie a\n")),
            ("gone", format!("  server g {gone}\n")),
        ],
    );
    let our_server = |name: &str, address| {
        format!(
            "server = {{ name = \"{name}\", address = \"{address}\", cookie = \"{name}\" }}\nretries = 0\n"
        )
    };
    let proxy = Balancer::ours(
        &place,
        &frontends,
        &[
            (
                "shop",
                format!(
                    "cookie = {{ name = \"SERVERID\", mode = \"insert\", indirect = true }}\n{}",
                    our_server("a", server)
                ),
            ),
            ("gone", our_server("g", gone)),
        ],
    );
    let mut wrong = Vec::new();
    for frontend in &frontends {
        for (what, request) in requests() {
            let what = format!("{what} to {}", frontend.name);
            let [theirs, ours] = [(&haproxy, &theirs), (&proxy, &ours)].map(|(balancer, syslog)| {
                send(balancer.address(frontend.name), &request)
                    .unwrap_or_else(|e| place.fail(&format!("{what}: {e}")));
                syslog.line(&place, &what)
            });
            if blur::fields(&theirs) != blur::fields(&ours) {
                wrong.push(format!(
                    "{what}:\n  haproxy:     {}\n  drain-proxy: {}",
                    theirs.trim_end(),
                    ours.trim_end()
                ));
            }
        }
    }
    place.check(wrong.is_empty(), &format!("{} lines differ:\n{}", wrong.len(), wrong.join("\n")));
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "x".repeat(2000));
    for (balancer, syslog) in [(&haproxy, &theirs), (&proxy, &ours)] {
        send(balancer.address("http"), long.as_bytes()).expect("an answer");
        let line = syslog.line(&place, "a long line");
        assert!(line.len() == 1025 && line.ends_with("xx\n"), "{line}");
    }
}

#[test]
fn what_haproxy_does_not_log_has_no_line() {
    let place = Place::new("logs_quiet");
    let (theirs, their_address) = Syslog::start();
    let (ours, our_address) = Syslog::start();
    let log = format!(
        "log = {{ target = \"syslog://{our_address}\", tag = \"lb\" }}\ndontlognull = true\ndontlog_normal = true\n"
    );
    let haproxy = "  option httplog\n  option dontlognull\n  option dontlog-normal\n".to_owned();
    let frontends = [Frontend { name: "quiet", backend: "shop", haproxy, ours: log }];
    let server = web_server();
    let haproxy =
        Balancer::haproxy(&place, &frontends, their_address, &[("shop", format!("  server a {server}\n"))]);
    let backend = format!("server = {{ name = \"a\", address = \"{server}\" }}\n");
    let proxy = Balancer::ours(&place, &frontends, &[("shop", backend)]);
    let lines = [(&haproxy, &theirs), (&proxy, &ours)].map(|(balancer, syslog)| {
        // Only the last of them has a line, and so it is the first.
        for request in
            [&b""[..], b"GET /well HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"", b"BAD\r\n\r\n"]
        {
            send(balancer.address("quiet"), request).expect("an answer");
        }
        blur::fields(&syslog.line(&place, "what went wrong"))
    });
    assert_eq!(lines[0], lines[1]);
    assert!(lines[0].iter().any(|field| field.contains("<BADREQ>")), "{lines:?}");
}

#[test]
fn state_changes_reach_syslog_in_haproxys_words() {
    let place = Place::new("logs_changes");
    let (theirs, their_address) = Syslog::start();
    let (ours, our_address) = Syslog::start();
    let log = format!("log = {{ target = \"syslog://{our_address}\", tag = \"lb\", level = \"notice\" }}\n");
    let frontends =
        [Frontend { name: "web", backend: "shop", haproxy: "  option httplog\n".to_owned(), ours: log }];
    let gone = port::free();
    let server = format!("  option httpchk\n  server a {gone} check inter 200 fall 1 rise 1\n");
    let _haproxy = Balancer::haproxy(&place, &frontends, their_address, &[("shop", server)]);
    let server = format!(
        "check = {{ inter = \"200ms\", fall = 1, rise = 1 }}\nserver = {{ name = \"a\", address = \"{gone}\" }}\n"
    );
    let _proxy = Balancer::ours(&place, &frontends, &[("shop", server)]);
    // Down, and nobody is left.
    for what in ["the server's end", "the backend's end"] {
        let [theirs, ours] = [&theirs, &ours].map(|syslog| syslog.line(&place, what));
        assert_eq!(blur::fields(&theirs), blur::fields(&ours), "{theirs}{ours}");
    }
    scripted::start_at(gone, |_, connection| {
        let _ = connection.send(b"HTTP/1.0 200 OK\r\n\r\n");
        None
    });
    let [theirs, ours] = [&theirs, &ours].map(|syslog| syslog.line(&place, "the server's return"));
    assert_eq!(blur::fields(&theirs), blur::fields(&ours), "{theirs}{ours}");
}

#[test]
fn each_target_gets_each_line() {
    let place = Place::new("logs_targets");
    let (udp, address) = Syslog::start();
    let (path, file) = (place.public().join("log.sock"), place.dir().join("access.log"));
    let unix = UnixDatagram::bind(&path).expect("a unix socket");
    unix.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let log = format!(
        "log = [\n{{ target = \"syslog://{address}\", facility = \"daemon\" }},\n{{ target = \"syslog://{}\", header = \"rfc5424\", \
             tag = \"shop\", hostname = \"lb1\" }},\n{{ target = \"{}\" }},\n{{ target = \"stderr\", format = \"tcp\" }} ]\n",
        path.display(),
        file.display()
    );
    let frontends = [Frontend { name: "web", backend: "shop", haproxy: String::new(), ours: log }];
    let backend = format!("server = {{ name = \"a\", address = \"{}\" }}\n", web_server());
    let proxy = Balancer::ours(&place, &frontends, &[("shop", backend)]);
    send(proxy.address("web"), b"GET /all HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .expect("an answer");
    let line = place.wait_for("the line in the file", PATIENCE, || {
        lines_of(&file).pop().ok_or_else(|| "it is empty".to_owned())
    });
    assert!(line.contains(" web shop/a ") && line.ends_with("\"GET /all HTTP/1.1\""), "{line}");
    let pid = proxy.child.pid();
    let by_udp = udp.line(&place, "the request");
    let (header, rest) = by_udp.split_once("]: ").expect("a header");
    assert!(header.starts_with("<30>") && header.ends_with(&format!(" drain-proxy[{pid}")), "{by_udp}");
    assert_eq!(rest, format!("{line}\n"));
    let mut buffer = [0; 2048];
    let length = unix.recv(&mut buffer).expect("a datagram");
    let by_unix = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(by_unix.starts_with("<134>1 "), "{by_unix}");
    assert!(by_unix.ends_with(&format!(" lb1 shop {pid} - - {line}\n")), "{by_unix}");
    place.wait_for("the line on standard error", PATIENCE, || {
        let said = proxy.child.log_text();
        let is_tcp = |line: &str| line.contains(" web shop/a ") && line.ends_with(" 170 -- 1/1/0/0/0 0/0");
        holds(said.lines().any(is_tcp), || said)
    });
}

/// As many requests as make more lines than can wait for two targets.
const REQUESTS: usize = 6_000;
const USERS: usize = 4;

#[test]
fn targets_that_hang_cost_lines_and_no_request() {
    let place = Place::new("logs_hang");
    let (pipe, path) = (place.public().join("pipe"), place.public().join("full.sock"));
    let witness = place.dir().join("witness.log");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    // Nobody reads from either yet.
    let full = UnixDatagram::bind(&path).expect("a unix socket");
    let log = format!(
        "log = [ {{ target = \"{}\" }}, {{ target = \"syslog://{}\" }}, {{ target = \"{}\" }} ]\n",
        pipe.display(),
        path.display(),
        witness.display()
    );
    let frontends = [Frontend { name: "web", backend: "shop", haproxy: String::new(), ours: log }];
    let backend = format!("server = {{ name = \"a\", address = \"{}\" }}\n", web_server());
    let mut proxy = Balancer::ours(&place, &frontends, &[("shop", backend)]);
    let address = proxy.address("web");
    let target = format!("/{}", "x".repeat(1_000));
    let users: Vec<_> = (0..USERS)
        .map(|_| {
            let target = target.clone();
            thread::spawn(move || {
                let mut connection = Connection::open(address).map_err(|e| e.to_string())?;
                for _ in 0..REQUESTS / USERS {
                    let answer = connection.fetch("GET", &target, &[], b"").map_err(|e| e.to_string())?;
                    if answer.status != 200 {
                        return Err(format!("status {}", answer.status));
                    }
                }
                Ok(())
            })
        })
        .collect();
    for user in users {
        let served = user.join().expect("a user's thread");
        place.check(served == Ok(()), &format!("{served:?}"));
    }
    place.wait_for("every request in the log that works", PATIENCE, || {
        let lines = lines_of(&witness).len();
        holds(lines == REQUESTS, || format!("{lines} lines"))
    });
    for target in [&pipe, &path] {
        let said = proxy.child.log_text();
        place.check(lost(&said, target) > 0, "lines are lost, and that is told while the target hangs");
    }
    // Now somebody reads: what was kept comes, and with what was lost nothing is missing.
    let (sender, kept) = mpsc::channel();
    read_pipe(pipe.clone(), sender.clone());
    read_socket(full, path.clone(), sender);
    proxy.child.stop();
    let said = proxy.child.log_text();
    let mut counts = std::collections::BTreeMap::new();
    place.wait_for("what was kept", PATIENCE, || {
        counts.extend(kept.try_iter());
        let missing = |target: &PathBuf| {
            let known: usize = counts.get(target).copied().unwrap_or_default() + lost(&said, target);
            REQUESTS.saturating_sub(known)
        };
        holds(missing(&pipe) == 0 && missing(&path) == 0, || format!("{counts:?}"))
    });
}

/// Lines that are reported as lost at this target.
fn lost(said: &str, target: &std::path::Path) -> usize {
    said.lines()
        .filter(|line| line.contains(&target.display().to_string()))
        .filter_map(|line| {
            // `1 line` or `2 lines`.
            let (count, _) = line.split_once(" of the access log ")?;
            count.split_whitespace().rev().nth(1)?.parse::<usize>().ok()
        })
        .sum()
}

/// Tells how many lines have come through the pipe.
fn read_pipe(pipe: PathBuf, seen: mpsc::Sender<(PathBuf, usize)>) {
    thread::spawn(move || {
        let reader = BufReader::new(File::open(&pipe).expect("open the pipe"));
        for (before, _) in reader.split(b'\n').flatten().enumerate() {
            let _ = seen.send((pipe.clone(), before + 1));
        }
    });
}

/// Tells how many datagrams have come.
fn read_socket(socket: UnixDatagram, path: PathBuf, seen: mpsc::Sender<(PathBuf, usize)>) {
    thread::spawn(move || {
        let mut count = 0;
        while socket.recv(&mut [0; 2048]).is_ok() {
            count += 1;
            let _ = seen.send((path.clone(), count));
        }
    });
}

#[test]
fn a_file_is_written_on_under_its_name_after_sighup() {
    let place = Place::new("logs_reopen");
    let (file, moved) = (place.dir().join("access.log"), place.dir().join("access.log.1"));
    let log = format!("log = {{ target = \"{}\" }}\n", file.display());
    let frontends = [Frontend { name: "web", backend: "shop", haproxy: String::new(), ours: log }];
    let backend = format!("server = {{ name = \"a\", address = \"{}\" }}\n", web_server());
    let proxy = Balancer::ours(&place, &frontends, &[("shop", backend)]);
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        send(proxy.address("web"), request.as_bytes()).expect("an answer");
    };
    let wait_for = |path: &std::path::Path, text: &str| {
        place.wait_for(&format!("{text} in {}", path.display()), PATIENCE, || {
            let lines = lines_of(path);
            holds(lines.iter().any(|line| line.contains(text)), || format!("{lines:?}"))
        });
    };
    ask("/before");
    wait_for(&file, "/before");
    fs::rename(&file, &moved).expect("move the log");
    proxy.child.signal(rustix::process::Signal::HUP);
    place.wait_for("the signal to be obeyed", PATIENCE, || {
        let said = proxy.child.log_text();
        holds(said.contains("log files are opened anew"), || said)
    });
    ask("/after");
    wait_for(&file, "/after");
    assert!(!lines_of(&moved).iter().any(|line| line.contains("/after")));
}
