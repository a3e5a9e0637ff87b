//! A server in a network namespace of its own, as of a container; the agent stays outside.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use drain_agent::{control::api::Verdict, lifecycle::Phase};
use drain_tests::{Agent, Netns, PATIENCE, Place, child::Child, place::holds};
use rustix::process::Signal;

/// A server that reads what it is sent, to its announced length, and then answers; who gets something is told how many
/// uploads are under way.
const SERVER: &str = r"
import http.server
uploads = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(b'%d\n' % uploads)
    def do_POST(self):
        global uploads
        uploads += 1
        self.rfile.read(int(self.headers['Content-Length']))
        uploads -= 1
        self.answer(b'')
http.server.ThreadingHTTPServer(('127.0.0.1', 80), Handler).serve_forever()
";

fn server() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 80))
}

/// The server, once it listens.
fn served(place: &Place, named: &Netns) -> Child {
    let mut command = place.command("ip");
    command.args(["netns", "exec", named.name(), "python3", "-c", SERVER]);
    let child = Child::start(place, &place.subdir("server"), "python", command, |_| false);
    place.wait_for("the server to listen", PATIENCE, || named.connect(server()).map(drop));
    child
}

/// An agent whose drain needs no balancer, and never ends before it is quiet.
fn guarding(place: &Place, named: &Netns) -> Agent {
    Agent::guarding_doors(place, "agent", format!("ports = [80]\nnetns = {:?}", named.name()))
        .acknowledge("1s", "proceed")
        .proof("none")
        .hard_quiet("1s")
        .hard_limit("10m", "abort")
        .min_remaining(0)
}

#[test]
fn a_server_in_another_network_namespace_is_probed_and_watched_in_there() {
    let Some(named) = Netns::new() else { return };
    let place = Place::new("netns");
    let _server = served(&place, &named);
    let agent = guarding(&place, &named).start();
    agent.wait_for_phase(Phase::Up, PATIENCE);

    let before = agent.last_ended();
    let mut user = named.connect(server()).expect("a connection");
    user.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab").expect("half a request");
    agent.signal(Signal::USR2);
    agent.wait_until("the upload to be seen", PATIENCE, |status| {
        status.phase == Phase::Hard && status.traffic.in_flight == Some(1)
    });
    user.write_all(b"cd").expect("the other half");
    let mut answer = [0; 12];
    user.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    agent.wait_for_success(before, PATIENCE);

    // Its name is gone; the server lives on.
    named.remove();
    let text = || String::from_utf8_lossy(&agent.ctl(&["status"]).stdout).into_owned();
    place.wait_for("the agent to say that the namespace is gone", PATIENCE, || {
        let (told, status) = (agent.status().traffic.unknown, text());
        let is_told = told.iter().any(|why| why.contains("server.netns") && why.contains("ip netns"));
        holds(is_told && status.contains("server.netns"), || format!("{told:?} in {status}"))
    });
}

#[test]
fn a_gauge_of_a_server_in_another_network_namespace_is_asked_in_there() {
    let Some(named) = Netns::new() else { return };
    let place = Place::new("netns_gauge");
    let _server = served(&place, &named);
    let gauge = "gauge = { url = 'http://127.0.0.1/busy', timeout = '10s' }";
    let agent = guarding(&place, &named).watching(gauge).start();
    agent.wait_for_phase(Phase::Up, PATIENCE);

    let before = agent.last_ended();
    let mut user = named.connect(server()).expect("a connection");
    user.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab").expect("half a request");
    agent.signal(Signal::USR2);
    agent.wait_until("the upload in the gauge", PATIENCE, |status| {
        let gauge = status.traffic.sources.iter().find(|source| source.name.starts_with("gauge"));
        gauge.is_some_and(|gauge| gauge.verdict == Verdict::Holds && gauge.in_flight == Some(1))
    });
    user.write_all(b"cd").expect("the other half");
    agent.wait_for_success(before, PATIENCE);
}
