//! What servers are asked for their health, and what comes of their answers.

use std::sync::{Arc, Mutex};

use drain_tests::{PATIENCE, Place, place::holds, scripted};

use super::Twice;

/// What `http-check` says in one backend each, and the path that is asked.
const RULES: [&str; 10] = [
    "http-check send meth GET uri /good ver HTTP/1.1 hdr Host h hdr X-Probe \"a b\" body ping",
    "http-check send uri /good hdr Host h\n http-check expect string ready",
    "http-check send uri /good\n http-check expect ! rstring ^[a-z]+.not",
    "http-check send uri /good\n http-check expect rstatus ^2..$\n http-check expect hdr name -m beg x-st value -m end p",
    "http-check send uri /good\n http-check expect fhdr name X-List value \"one, two\"\n http-check expect hdr name X-List value two",
    "http-check send uri /bad\n http-check expect status 503",
    "http-check send uri /good\n http-check expect status 200-202\n http-check expect string busy",
    "http-check send uri /good\n http-check expect ! string ready",
    "http-check send uri /good\n http-check expect hdr name x-nowhere",
    "http-check send uri /empty\n http-check expect string x",
];

/// A server that answers by the path, and what it was asked.
fn server(asked: &Arc<Mutex<Vec<String>>>) -> std::net::SocketAddr {
    let asked = asked.clone();
    scripted::start(move |request, connection| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        asked.lock().unwrap().push(format!("{}{body}", request.head));
        let answer = match request.line().split(' ').nth(1) {
            Some("/good") => {
                "HTTP/1.1 200 OK\r\nX-State: up\r\nX-List: one, two\r\nContent-Length: 9\r\n\r\nall ready"
            }
            Some("/empty") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        };
        connection.send(answer.as_bytes()).ok()
    })
}

/// Of each server: its backend, its state, and what its last check came to.
fn standings(statistics: &str) -> Vec<String> {
    let mut lines = statistics.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let wanted = ["pxname", "svname", "status", "check_status", "check_code", "last_chk"];
    // Who has only just begun may not answer.
    let places: Option<Vec<usize>> =
        wanted.iter().map(|name| names.iter().position(|own| own == name)).collect();
    let Some(places) = places else { return Vec::new() };
    rows.filter(|row| row.len() > 1 && row[places[1]] == "s")
        .map(|row| {
            places.iter().map(|place| row[*place].trim_start_matches("* ")).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[test]
fn checks_ask_and_judge_as_haproxys() {
    let place = Place::new("same_cfg_checks");
    let mut text = String::from(
        "global\n log LOG local0\n stats socket SOCKET level admin\ndefaults\n mode http\n timeout client 20s\n timeout connect 20s\n \
         timeout server 20s\n option httpchk\nfrontend f\n bind BIND0\n default_backend b0\n",
    );
    for (number, rules) in RULES.iter().enumerate() {
        text += &format!("backend b{number}\n {rules}\n server s SERVER check inter 5s fall 1 rise 1\n");
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let twice = Twice::start(&place, &text, server(&asked));
    let mut ours = Vec::new();
    // Either may be in the middle of a check when it is asked.
    place.wait_for("both to judge all servers alike", PATIENCE, || {
        let [theirs, found] = twice.say("show stat").map(|said| standings(&said));
        let is_checked = |line: &String| line.contains(" L7");
        ours = found;
        holds(theirs == ours && ours.len() == RULES.len() && ours.iter().all(is_checked), || {
            format!("HAProxy: {theirs:#?}\ndrain-proxy: {ours:#?}")
        })
    });
    place.check(ours.iter().any(|line| line.contains("DOWN")), "some are judged bad");
    // The same request came from both, but for the order of its fields.
    let sorted = |request: &String| {
        let mut lines: Vec<_> = request.split("\r\n").map(str::to_lowercase).collect();
        lines.sort();
        lines.join("\n")
    };
    let mut requests: Vec<String> = asked.lock().unwrap().iter().map(sorted).collect();
    requests.sort();
    // A second check may have come meanwhile.
    let forms: Vec<_> = requests.chunk_by(|a, b| a == b).collect();
    let are_both = forms.len() == 5 && forms.iter().all(|same| same.len() > 1);
    place.check(are_both, &format!("expected five requests, each from both: {forms:#?}"));
}
