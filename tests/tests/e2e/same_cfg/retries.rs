//! Servers that refuse: which one is tried again, how often, and where the request ends, with each `option redispatch`.

use std::{fmt::Write as _, net::SocketAddr, thread};

use drain_tests::{PATIENCE, Place, client::Connection, port};
use socket2::{Domain, Socket, Type};

use super::{
    Differences, Twice,
    counts::{agree, columns},
    echo,
};

/// Retries come soon: HAProxy pauses a second before the same server, but no longer than `timeout connect`.
const HEAD: &str = "
global
 nbthread 1
 log LOG len 2048 local0
 stats socket SOCKET level admin
defaults
 mode http
 log global
 option httplog
 retries 3
 timeout client 60s
 timeout server 60s
 timeout connect 500ms
 cookie SID insert indirect
";

const OPTIONS: [&str; 6] = [
    "no option redispatch",
    "option redispatch",
    "option redispatch 1",
    "option redispatch 2",
    "option redispatch -1",
    "option redispatch -2",
];

/// Who comes to each backend, one after the other; the balancer takes the servers in turn.
const USERS: [&str; 2] = ["Cookie: SID=d\r\n", ""];
const REQUESTS: usize = 3;

const COUNTED: [&str; 9] =
    ["pxname", "svname", "stot", "wretr", "wredis", "econ", "hrsp_2xx", "hrsp_5xx", "lbtot"];

/// An address that nobody listens at, and what keeps it so.
fn nobody() -> (SocketAddr, Socket) {
    let address = port::free();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a free port");
    (address, socket)
}

/// Of one line: where the request ended, how, and after how many retries.
fn end(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, _, frontend, to, _, status, _, _, _, end, counts, ..] = words[..] else { panic!("{line}") };
    let retries = counts.rsplit('/').next().unwrap_or_default();
    format!("{frontend} {to} {status} {end} {retries}")
}

#[test]
fn a_server_that_refuses_is_tried_again_and_left_as_in_haproxy() {
    let place = Place::new("same_cfg_retries");
    let (dead, _bound) = nobody();
    let mut text = HEAD.to_owned();
    for (number, option) in (0..).zip(OPTIONS.iter().flat_map(|option| [option; USERS.len()])) {
        let _ = write!(
            text,
            "listen l{number}\n bind BIND{number}\n {option}\n balance roundrobin\n server dead {dead} cookie d\n \
             server live SERVER cookie l\n"
        );
    }
    let both = Twice::start(&place, &text, echo());
    let ask = |which: usize| -> Vec<String> {
        let users = both.addresses[which].iter().zip(USERS.iter().cycle());
        users
            .flat_map(|(&to, cookie)| {
                (0..REQUESTS).map(move |_| {
                    let mut connection = Connection::open(to).expect("a connection");
                    let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{cookie}Connection: close\r\n\r\n");
                    connection.send(request.as_bytes()).expect("a request");
                    connection.set_patience(PATIENCE);
                    // Names keep their letters here, and not in HAProxy.
                    String::from_utf8_lossy(&connection.rest()).to_lowercase()
                })
            })
            .collect()
    };
    let [theirs, ours] = thread::scope(|scope| {
        let ask = &ask;
        let both = [0, 1].map(|which| scope.spawn(move || ask(which)));
        both.map(|one| one.join().expect("a client's thread"))
    });
    let mut differences = Differences::default();
    for (number, answers) in theirs.into_iter().zip(ours).enumerate() {
        let backend = number / REQUESTS;
        let what = format!("{}, {:?}", OPTIONS[backend / USERS.len()], USERS[backend % USERS.len()]);
        differences.compare(&what, answers.into());
        differences.compare(&what, both.lines(&place, "a request").map(|line| end(&line)));
    }
    differences.check(&place);
    agree(&place, "both to have counted the same", || {
        both.say("show stat").map(|text| columns(&text, &COUNTED))
    });
}
