//! What is counted of requests, and the numbers by which commands name proxies.

use std::net::SocketAddr;

use drain_tests::{PATIENCE, Place, place::holds, scripted};

use super::Twice;

/// Sections in an order that is neither that of their names nor that of their kinds; one is off, and some say their numbers.
const TEXT: &str = "
global
 nbthread 1
 stats socket SOCKET level admin
defaults
 mode http
 timeout client 60s
 timeout server 60s
 timeout connect 60s
 timeout tarpit 10ms
frontend f
 bind BIND0
 monitor-uri /monitor
 stats uri /st
 stats auth a:b
 http-request deny if { path /deny }
 http-request tarpit if { path /tarpit }
 http-request return status 200 content-type text/plain string x if { path /return }
 http-request redirect location /x if { path /redirect }
 http-response deny if { res.hdr(x-deny) f }
 default_backend b
backend b
 stats uri /bst
 http-request deny if { path /deny/b }
 http-request tarpit if { path /tarpit/b }
 http-request return status 200 content-type text/plain string x if { path /return/b }
 http-request redirect location /x if { path /redirect/b }
 http-response deny if { res.hdr(x-deny) b }
 server s SERVER
backend off
 disabled
 server s SERVER
listen l
 bind BIND1
 stats uri /st
 http-request deny if { path /deny }
 http-request return status 200 content-type text/plain string x if { path /return }
 http-response deny if { res.hdr(x-deny) l }
 server s SERVER
 server t SERVER weight 0
backend forced
 id 77
 server s SERVER
frontend g
 id 5
 bind BIND2
 default_backend b
backend last
 server s SERVER
";

/// What is counted, but what depends on the connections that happen to be idle.
const COUNTED: [&str; 23] = [
    "pxname",
    "svname",
    "iid",
    "sid",
    "stot",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "req_tot",
    "intercepted",
    "wrew",
    "lbtot",
    "eint",
];

/// Where clients come in, and what they ask for.
const REQUESTS: [(usize, &str); 24] = [
    (0, "/"),
    (0, "/deny"),
    (0, "/deny"),
    (0, "/tarpit"),
    (0, "/return"),
    (0, "/redirect"),
    (0, "/monitor"),
    (0, "/st;csv"),
    (0, "/deny/b"),
    (0, "/tarpit/b"),
    (0, "/return/b"),
    (0, "/redirect/b"),
    (0, "/bst;csv"),
    (0, "/withheld/f"),
    (0, "/withheld/b"),
    (1, "/"),
    (1, "/deny"),
    (1, "/return"),
    (1, "/st;csv"),
    (1, "/withheld/l"),
    (2, "/"),
    (2, "/deny"),
    (2, "/deny/b"),
    (2, "no path"),
];

/// A server whose answers say which rule withholds them.
fn server() -> SocketAddr {
    scripted::start(|request, connection| {
        let path = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
        let field =
            path.strip_prefix("/withheld/").map(|who| format!("X-Deny: {who}\r\n")).unwrap_or_default();
        connection.send(format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 2\r\n\r\nok").as_bytes()).ok()
    })
}

/// These columns of `show stat`.
pub(super) fn columns(text: &str, wanted: &[&str]) -> Vec<String> {
    let mut lines = text.trim_start_matches("# ").lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let places: Vec<_> = wanted.iter().map(|wanted| names.iter().position(|name| name == wanted)).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |place: &Option<usize>| place.and_then(|at| cells.get(at).copied()).unwrap_or("none");
        wanted
            .iter()
            .zip(&places)
            .map(|(name, place)| format!("{name}={}", cell(place)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    lines.filter(|line| line.contains(',')).map(row).collect()
}

/// Waits until both say the same to this.
pub(super) fn agree(place: &Place, what: &str, mut say: impl FnMut() -> [Vec<String>; 2]) {
    place.wait_for(what, PATIENCE, || {
        let [theirs, ours] = say();
        let differ = theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours);
        let differ: Vec<_> = differ
            .map(|(theirs, ours)| format!("\n  HAProxy:     {theirs}\n  drain-proxy: {ours}"))
            .collect();
        holds(differ.is_empty() && theirs.len() == ours.len() && !ours.is_empty(), || {
            format!("{} and {} rows{}", theirs.len(), ours.len(), differ.join(""))
        })
    });
}

#[test]
fn requests_are_counted_and_proxies_numbered_as_in_haproxy() {
    let place = Place::new("same_cfg_counts");
    let both = Twice::start(&place, TEXT, server());
    let show = |wanted: &[&str]| both.say("show stat").map(|text| columns(&text, wanted));
    // Those who looked whether anybody listens count no more.
    for bind in 0..3 {
        both.answers(bind, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    }
    place.wait_for("all to have gone", PATIENCE, || {
        let open = show(&["scur"]).concat();
        holds(open.iter().all(|open| open == "scur=0"), || format!("{open:?}"))
    });
    both.say("clear counters all");

    for (bind, path) in REQUESTS {
        let [theirs, ours] =
            both.answers(bind, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        let status = |answer: &str| answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert_eq!(status(&theirs), status(&ours), "{path}");
    }
    agree(&place, "the same numbers", || show(&COUNTED));

    for number in 0..9 {
        let command = format!("get weight #{number}/#1");
        // Of the one that is off HAProxy has no number for servers.
        let [theirs, ours] = both.say(&command).map(|said| said.replace("server.", "backend."));
        assert_eq!(theirs, ours, "{command}");
    }
    both.say("set server #5/#1 state maint; set weight #77/#1 0%");
    let state = |of: &str| {
        both.say(&format!("show servers state {of}")).map(|text| {
            let rows = text.lines().filter(|line| line.contains(" 127.0.0.1 "));
            let words = |line: &str| line.split(' ').take(9).collect::<Vec<_>>().join(" ");
            rows.map(words).collect::<Vec<_>>()
        })
    };
    for of in ["b", "l", "forced", "last", "#3"] {
        let [theirs, ours] = state(of);
        assert_eq!(theirs, ours, "{of}");
    }
}
