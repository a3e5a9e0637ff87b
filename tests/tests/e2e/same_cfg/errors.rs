//! What was no HTTP is kept for who looks for the reason.

use drain_tests::{Place, scripted};

use super::{Differences, Twice};

const TEXT: &str = "
global
 stats socket SOCKET level admin
defaults
 mode http
 timeout client 60s
 timeout server 60s
 timeout connect 60s
frontend f
 bind BIND0
 default_backend b
backend b
 server s SERVER
listen l
 bind BIND1
 server t SERVER
";

/// What comes from a client, and what the server says to it.
const EXCHANGES: [(usize, &str, &str); 10] = [
    (0, "GET /a b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ""),
    (0, "G\u{1}T / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ""),
    (0, "GET / HTTP/1.1\r\nHost: x\r\nFoo(bar: y\r\n\r\nrest of it\r\n\t\u{1b}\\\r\n", ""),
    (0, "\u{16}\u{3}\u{1}\u{2}\u{0}", ""),
    (0, "SSH-2.0-OpenSSH_9.2p1\r\n", ""),
    (1, "POST / HTTP/1.1\r\nHost: x\r\nA: b\r\nContent-Length: 1x\r\nB: c\r\n\r\n", ""),
    (0, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nHost: y\r\nB: c\r\n\r\n", ""),
    (
        0,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad header: x\r\nA: b\r\n\r\nok\\\"'",
    ),
    (1, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n"),
    (
        1,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLong: LONG\r\nA b: c\r\n\r\n",
    ),
];

/// Without what differs between any two processes, and what only HAProxy's parser has.
fn comparable(said: &str) -> String {
    let line = |line: &str| {
        let line = if line.starts_with('[') || line.starts_with("Total ") {
            line.split_once(']').map_or(line, |(_, rest)| rest)
        } else {
            line
        };
        let line = line.split(" src ").next().unwrap_or_default();
        let line = line.split(" (including").next().unwrap_or_default();
        match line.split_once(" wraps at ") {
            Some((before, after)) => {
                format!("{before}{}", after.trim_start_matches(|letter: char| letter.is_ascii_digit()))
            }
            None => line.to_owned(),
        }
    };
    let ours = said.lines().filter(|line| !line.starts_with("  H1 "));
    ours.map(|said| line(said) + "\n").collect()
}

#[test]
fn what_is_no_http_is_shown_as_by_haproxy() {
    let place = Place::new("same_cfg_errors");
    let (say, answer) = std::sync::mpsc::channel::<String>();
    let answer = std::sync::Mutex::new(answer);
    let server = scripted::start(move |_, connection| {
        let answer = answer.lock().expect("nobody has panicked").recv().ok()?;
        connection.send(answer.as_bytes()).ok();
        None
    });
    let both = Twice::start(&place, TEXT, server);
    let mut differences = Differences::default();
    let mut compare = |what: &str, command: &str| {
        differences.compare(what, both.say(command).map(|said| comparable(&said)));
    };
    compare("at first", "show errors");
    for (bind, asked, answered) in EXCHANGES {
        let answered = answered.replace("LONG", &"long ".repeat(40));
        if !answered.is_empty() {
            (0..2).for_each(|_| say.send(answered.clone()).expect("a server"));
        }
        let statuses =
            both.answers(bind, asked).map(|said| said.split(' ').nth(1).unwrap_or_default().to_owned());
        assert_eq!(statuses[0], statuses[1], "{asked:?}");
        compare(&format!("after {asked:?} and {answered:?}"), "show errors");
    }
    for words in [
        "f",
        "b",
        "l",
        "2",
        "3",
        "4",
        "99",
        "0",
        "-1",
        "nobody",
        "f request",
        "f response",
        "b request",
        "b response",
        "-1 request",
        "-1 response",
        "l foo",
    ] {
        let command = format!("show errors {words}");
        compare(&command, &command);
    }
    differences.check(&place);
}
