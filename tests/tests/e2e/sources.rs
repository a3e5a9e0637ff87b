//! What a drain is told beside the kernel's sockets: logs and gauges of real servers.

use std::{fs, net::SocketAddr, path::PathBuf, thread, time::Duration};

use drain_agent::{
    control::api::{Outcome, Source, Status, Verdict},
    lifecycle::Phase,
};
use drain_tests::{
    Agent, Apache, Nginx, PATIENCE, Place,
    agent::logged,
    apache::{HELD, STATUS},
    child::Child,
    client::Connection,
    clock, port,
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::farm;

/// An agent whose drain needs no balancer, and never ends before it is quiet.
fn alone(agent: Agent) -> Agent {
    agent.acknowledge("1s", "proceed").min_remaining(0).hard_quiet("2s").hard_limit("10m", "abort")
}

/// The source whose name begins so.
fn source<'a>(status: &'a Status, name: &str) -> Option<&'a Source> {
    status.traffic.sources.iter().find(|source| source.name.starts_with(name))
}

/// Asks for a page, and tells when its answer was whole, since 1970.
fn ask(server: SocketAddr, page: &str) -> thread::JoinHandle<Duration> {
    let page = page.to_owned();
    thread::spawn(move || {
        let mut connection = Connection::open(server).expect("a connection");
        let answer = connection.fetch("GET", &page, &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "of {page}");
        clock::unix()
    })
}

#[test]
fn apache_is_restarted_when_its_log_and_its_status_are_quiet_over_a_rotation() {
    let place = Place::new("sources_apache");
    let apache = Apache::new(&place, "s1").with_status().start();
    let log = format!(
        "access_log = '{}'\nignore = '\"GET /(health|server-status)'",
        apache.access_log_path().display()
    );
    let gauge = format!(
        "gauge = {{ url = 'http://{}{STATUS}?auto', field = 'BusyWorkers', zero_at = 1, timeout = '10s' }}",
        apache.address()
    );
    let agent = alone(Agent::beside(&apache)).watching(&log).watching(&gauge).start();
    let started = agent.status();
    place.check(started.traffic.unknown.is_empty(), &format!("{:?}", started.traffic));

    apache.hold();
    let answered = ask(apache.address(), HELD);
    let holds = |status: &Status| source(status, "gauge").is_some_and(|gauge| gauge.in_flight > Some(0));
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    agent.wait_until("the gauge to hold", PATIENCE, holds);
    // In the middle of the request, whose line goes to the old file.
    apache.rotate_access_log();
    apache.release();
    let answered = answered.join().expect("an answer over the rotation");
    let counts = |status: &Status| source(status, "access_log").is_some_and(|log| log.requests > Some(0));
    agent.wait_until("the line in the old log", PATIENCE, counts);
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    let quiet = apache.restarts()[0].saturating_sub(answered);
    place.check(quiet >= Duration::from_secs(2), &format!("restarted {quiet:?} after the answer"));
}

#[test]
fn apache_that_logs_to_a_fifo_is_restarted_when_nobody_has_come_for_long_enough() {
    let place = Place::new("sources_fifo");
    let fifo = place.public().join("access.fifo");
    let (kind, mode) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
    mknodat(CWD, &fifo, kind, mode, 0).expect("make the FIFO");
    let apache = Apache::new(&place, "s1").with(&format!("CustomLog \"{}\" plain\n", fifo.display()));
    let log = format!("access_log = '{}'\nignore = '\"GET /health'", fifo.display());
    // The agent begins: a server that opens a FIFO waits for whoever reads it.
    let agent = alone(Agent::beside(&apache)).watching(&log).start();
    let is_read =
        |status: &Status| source(status, "access_log").is_some_and(|log| log.verdict != Verdict::Unknown);
    agent.wait_until("the FIFO to be read", PATIENCE, is_read);
    let apache = apache.start();
    agent.wait_for_phase(Phase::Up, PATIENCE);

    apache.hold();
    let answered = ask(apache.address(), HELD);
    let before = agent.last_ended();
    agent.wait_until("the request", PATIENCE, |status| status.traffic.in_flight.is_some_and(|n| n > 0));
    agent.signal(Signal::USR2);
    apache.release();
    let answered = answered.join().expect("an answer");
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    let quiet = apache.restarts()[0].saturating_sub(answered);
    place.check(quiet >= Duration::from_secs(2), &format!("restarted {quiet:?} after the answer"));
    let counts = |status: &Status| source(status, "access_log").is_some_and(|log| log.requests > Some(0));
    agent.wait_until("its line", PATIENCE, counts);
}

#[test]
fn nginx_tells_its_requests_in_flight() {
    let place = Place::new("sources_nginx");
    let nginx = Nginx::new(&place, "n1").with_status().start();
    let gauge = format!(
        "gauge = {{ url = 'http://{}/status', field = 'writing', zero_at = 1, timeout = '10s' }}",
        nginx.address()
    );
    let agent =
        alone(Agent::guarding(&place, "agent", nginx.address().port())).proof("none").watching(&gauge);
    let agent = agent.start();
    let answered = ask(nginx.address(), "/slow");
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    let in_flight = |status: &Status| source(status, "gauge").is_some_and(|gauge| gauge.in_flight == Some(1));
    agent.wait_until("one request in nginx's count", PATIENCE, in_flight);
    let answered = answered.join().expect("an answer");
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    let quiet = clock::unix().saturating_sub(answered);
    place.check(quiet >= Duration::from_secs(2), &format!("the drain has ended {quiet:?} after the answer"));
}

/// Prometheus text at `/busy`, which `/break` breaks and `/mend` mends.
const PYTHON: &str = r#"
import sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
lock, busy, broken = threading.Lock(), 0, False
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global busy, broken
        with lock:
            busy += 1
        if self.path == "/slow":
            time.sleep(2)
        if self.path in ("/break", "/mend"):
            broken = self.path == "/break"
        body = b'# TYPE busy gauge\nbusy{worker="1"} %d\nbusy{worker="2"} 0\n' % busy
        self.send_response(500 if broken and self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with lock:
            busy -= 1
    def log_message(self, *args):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// The same in JSON.
const NODE: &str = r#"
let busy = 0, broken = false;
require("http").createServer((request, response) => {
    busy++;
    response.on("close", () => busy--);
    if (request.url == "/break" || request.url == "/mend") broken = request.url == "/break";
    if (broken && request.url == "/busy") response.statusCode = 500;
    const answer = () => response.end(JSON.stringify({ server: { busy } }));
    if (request.url == "/slow") setTimeout(answer, 2000); else answer();
}).listen(process.argv[2], "127.0.0.1");
"#;

/// A server that tells its own number and stops doing so in the middle of a drain.
fn a_source_fails_in_the_middle(name: &str, program: &str, script: &str, field: &str) {
    let place = Place::new(name);
    let (address, dir) = (port::free(), place.subdir("server"));
    let file: PathBuf = dir.join("server");
    fs::write(&file, script).expect("write the server");
    let mut command = place.command(program);
    command.arg(&file).arg(address.port().to_string());
    let _server = Child::start(&place, &dir, "server", command, |line| line.contains("Error"));
    place.wait_for("the server to answer", PATIENCE, || {
        Connection::open(address).map(drop).map_err(|error| error.to_string())
    });
    let gauge = format!(
        "gauge = {{ url = 'http://{address}/busy', field = '{field}', zero_at = 1, timeout = '10s' }}"
    );
    let agent = alone(Agent::guarding(&place, "agent", address.port())).proof("none").watching(&gauge);
    let mut agent = agent.start();

    let answered = ask(address, "/slow");
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    let verdict =
        |wanted| move |status: &Status| source(status, "gauge").is_some_and(|gauge| gauge.verdict == wanted);
    agent.wait_until("the gauge to hold", PATIENCE, verdict(Verdict::Holds));
    ask(address, "/break").join().expect("an answer");
    let status = agent.wait_until("the failure to be said", PATIENCE, verdict(Verdict::Unknown));
    place.check(status.traffic.unknown.concat().contains("found 500"), &format!("{:?}", status.traffic));
    place.wait_for("the failure in the log", PATIENCE, || {
        logged(&mut agent, "which holds the drain until its limit")
    });
    answered.join().expect("an answer");
    // The sockets alone would be quiet by then.
    clock::pause(Duration::from_secs(3));
    place.check(
        agent.phase() == Phase::Hard,
        &format!("it is {:?}, though a source is unknown", agent.phase()),
    );
    ask(address, "/mend").join().expect("an answer");
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
}

#[test]
fn a_python_server_whose_metrics_fail_in_the_middle_is_not_restarted_until_they_are_back() {
    a_source_fails_in_the_middle("sources_python", "python3", PYTHON, "busy");
}

#[test]
fn a_node_server_whose_number_fails_in_the_middle_is_not_restarted_until_it_is_back() {
    a_source_fails_in_the_middle("sources_node", "node", NODE, "/server/busy");
}
