//! A server in a network namespace of its own, as of a container; the agent stays outside.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use drain_agent::{lifecycle::Phase, traffic::sockets::Namespace};
use drain_tests::{
    Agent, Place,
    child::{Child, output},
    place::holds,
};
use rustix::process::{Signal, geteuid};

/// Everything that is waited for here takes a second or two.
const WITHIN: Duration = Duration::from_secs(30);

/// A server that reads what it is sent, to its announced length, and then answers.
const SERVER: &str = r"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
http.server.ThreadingHTTPServer(('127.0.0.1', 80), Handler).serve_forever()
";

/// A network namespace with a name, which goes with this value.
struct Named(String);

impl Named {
    fn new() -> Self {
        let named = Self(format!("drain-{}", std::process::id()));
        run(&["ip", "netns", "add", &named.0]);
        run(&["ip", "-n", &named.0, "link", "set", "lo", "up"]);
        named
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    /// A connection made inside, which can be used from anywhere.
    fn connect(&self) -> Result<TcpStream, String> {
        let inside = Namespace::at(Some(&self.path()));
        let connect = || TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 80)));
        inside.within(connect).map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }

    fn remove(&self) {
        let _ = output(command(&["ip", "netns", "del", &self.0]));
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.remove();
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn run(words: &[&str]) {
    let out = output(command(words));
    assert!(out.status.success(), "{words:?}: {out:?}");
}

#[test]
fn a_server_in_another_network_namespace_is_probed_and_watched_in_there() {
    if !geteuid().is_root() {
        assert!(env::var_os("CI").is_none(), "expected root, who alone makes network namespaces");
        return eprintln!("not tested: only root makes network namespaces");
    }
    let place = Place::new("netns");
    let named = Named::new();
    let mut command = place.command("ip");
    command.args(["netns", "exec", &named.0, "python3", "-c", SERVER]);
    let _server = Child::start(&place, &place.subdir("server"), "python", command, |_| false);
    place.wait_for("the server to listen", WITHIN, || named.connect().map(drop));

    let agent = Agent::guarding_doors(&place, "agent", format!("ports = [80]\nnetns = {:?}", named.0))
        .acknowledge("1s", "proceed")
        .proof("none")
        .hard_quiet("1s")
        .hard_limit("40s", "abort")
        .min_remaining(0)
        .start();
    agent.wait_for_phase(Phase::Up, WITHIN);

    let before = agent.last_ended();
    let mut user = named.connect().expect("a connection");
    user.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab").expect("half a request");
    agent.signal(Signal::USR2);
    agent.wait_until("the upload to be seen", WITHIN, |status| {
        status.phase == Phase::Hard && status.traffic.in_flight == Some(1)
    });
    user.write_all(b"cd").expect("the other half");
    let mut answer = [0; 12];
    user.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    agent.wait_for_success(before, WITHIN);

    // Its name is gone; the server lives on.
    named.remove();
    let text = || String::from_utf8_lossy(&agent.ctl(&["status"]).stdout).into_owned();
    place.wait_for("the agent to say that the namespace is gone", WITHIN, || {
        let (told, status) = (agent.status().traffic.unknown, text());
        let is_told = told.iter().any(|why| why.contains("server.netns") && why.contains("ip netns"));
        holds(is_told && status.contains("server.netns"), || format!("{told:?} in {status}"))
    });
}
