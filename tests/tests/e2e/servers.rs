//! The kinds of servers that people have, behind HAProxy: a request holds the drain of its server until it is answered,
//! and the connection on which it came does not hold it any longer.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{
    Agent, Apache, Haproxy, Nginx, PATIENCE, Place, Server,
    apache::{HELD, PAGE, STATUS},
    child::Child,
    client::Connection,
    clock, port, scripted,
};
use rustix::process::Signal;

use crate::farm;

/// What the agent waits for in silence, and much longer than that.
const QUIET: &str = "1s";
const LONG: Duration = Duration::from_secs(4);
/// HAProxy keeps an idle connection for longer than a test may take.
const KEPT: &str = "1h";
/// Whatever a test forgets, what is held back ends then.
const HELD_AT_MOST: Duration = Duration::from_mins(10);

/// A server whose page is answered when a file has gone.
struct Held<'a> {
    server: SocketAddr,
    page: &'a str,
    mark: PathBuf,
}

impl Held<'_> {
    fn agent(&self, place: &Place) -> Agent {
        Agent::guarding(place, "agent", self.server.port())
            .proof("none")
            .hard_quiet(QUIET)
            .hard_limit("10m", "abort")
            .min_remaining(0)
    }

    /// Drains it while a request is in flight; `words` are more of HAProxy's `server` line, and its idle connections last
    /// so long.
    fn holds_its_drain(&self, place: &Place, agent: Agent, words: &str, idle: &str) {
        let agent = agent.start();
        let server = Server::new("s1", self.server).checked_at(agent.address()).with(words);
        let idle = format!("default-server pool-purge-delay {idle}");
        let balancer = Haproxy::new(place, "lb").reusing_always().line(&idle);
        let mut balancer = balancer.server(server).start();
        // It is the only server.
        balancer.child().expect_error("has no server available");
        agent.wait_for_balancers(1, PATIENCE);
        farm::wait_until_seen_up(&agent);

        let mut visitor = Connection::open(balancer.address()).expect("a connection");
        let answer = visitor.fetch("GET", PAGE, &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");

        fs::write(&self.mark, "").expect("write the mark that holds");
        let mut user = Connection::open(balancer.address()).expect("a connection");
        user.set_patience(PATIENCE);
        let request = format!("GET {} HTTP/1.1\r\nHost: shop\r\nCookie: SERVERID=s1\r\n\r\n", self.page);
        user.send(request.as_bytes()).expect("the request goes out");
        agent.wait_until("the request", PATIENCE, farm::sees_a_request);
        // Another one that is answered meanwhile, on the same connection over HTTP/2, does not hide it.
        visitor.fetch("GET", PAGE, &[], b"").expect("an answer");
        let before = agent.last_ended();
        agent.signal(Signal::USR2);
        agent.wait_until("hard and acknowledged", PATIENCE, |status| {
            status.phase == Phase::Hard && status.acknowledged.complete
        });
        clock::pause(LONG);
        let status = agent.status();
        place.check(status.phase == Phase::Hard && farm::sees_a_request(&status), &format!("{status:#?}"));
        fs::remove_file(&self.mark).expect("remove the mark that holds");
        let answer = user.receive("GET").expect("the whole answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"held\n".as_slice()));
        let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
        assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    }
}

/// An nginx that speaks this, in front of what holds.
fn nginx<'a>(place: &Place, speaks: &str) -> (Held<'a>, Nginx) {
    let mark = place.public().join("held");
    let seen = mark.clone();
    let holds = scripted::start(move |_, connection| {
        let begun = clock::now();
        while seen.exists() && begun.elapsed() < HELD_AT_MOST {
            clock::pause(Duration::from_millis(20));
        }
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nheld\n").ok()
    });
    let pages = format!(
        "location / {{ return 200 \"here\"; }} location = /held {{ proxy_pass http://{holds}; proxy_read_timeout 600s; }}"
    );
    let nginx = Nginx::new(place, "s1").saying(&pages).speaking(speaks).start();
    (Held { server: nginx.address(), page: "/held", mark }, nginx)
}

/// A program that listens at the port that it is told, and answers `/held` as [`Held`] says.
fn program<'a>(
    place: &Place,
    script: &str,
    name: &str,
    words: impl Fn(&Path, u16) -> Vec<String>,
) -> (Held<'a>, Child) {
    let (dir, address, mark) = (place.subdir("server"), port::free(), place.public().join("held"));
    let file = dir.join(name);
    fs::write(&file, script).expect("write the server");
    let words = words(&file, address.port());
    let mut command = place.command(&words[0]);
    command.args(&words[1..]).env("HELD", &mark).current_dir(&dir);
    let child = Child::start(place, &dir, "server", command, |line| line.contains("Error"));
    place.wait_for("the server to listen", PATIENCE, || {
        Connection::open(address).map(drop).map_err(|error| error.to_string())
    });
    (Held { server: address, page: "/held", mark }, child)
}

const NODE: &str = r#"
const { existsSync } = require("fs");
const server = require("http").createServer((request, response) => {
    const answer = () => {
        if (request.url == "/held" && existsSync(process.env.HELD)) setTimeout(answer, 20);
        else response.end("held\n");
    };
    answer();
});
server.keepAliveTimeout = 600000;
server.listen(process.argv[2], "127.0.0.1");
"#;

const GUNICORN: &str = r"
import os, time
def app(environ, start_response):
    while environ['PATH_INFO'] == '/held' and os.path.exists(os.environ['HELD']):
        time.sleep(0.02)
    start_response('200 OK', [('Content-Length', '5')])
    return [b'held\n']
";

#[test]
fn an_apache_that_preforks() {
    let place = Place::new("servers_prefork");
    let apache = Apache::new(&place, "s1").preforking().with_status().start();
    let held = Held { server: apache.address(), page: HELD, mark: apache.hold_mark() };
    // The worker that waits in HAProxy's idle connection is no busy one; this question's own is.
    let gauge = format!(
        "gauge = {{ url = 'http://{}{STATUS}?auto', field = 'Scoreboard', zero_at = 1, timeout = '10s' }}",
        apache.address()
    );
    held.holds_its_drain(&place, held.agent(&place).watching(&gauge), "", KEPT);
}

#[test]
fn an_apache_with_threads() {
    let place = Place::new("servers_event");
    let apache = Apache::new(&place, "s1").start();
    let held = Held { server: apache.address(), page: HELD, mark: apache.hold_mark() };
    held.holds_its_drain(&place, held.agent(&place), "", KEPT);
}

#[test]
fn a_node_server() {
    let place = Place::new("servers_node");
    let (held, _server) = program(&place, NODE, "server.js", |file, port| {
        vec!["node".to_owned(), file.display().to_string(), port.to_string()]
    });
    held.holds_its_drain(&place, held.agent(&place), "", KEPT);
}

/// A server that listens for both families on one socket, to which HAProxy goes by this address.
fn of_both_families(name: &str, to: IpAddr) {
    let place = Place::new(name);
    let script = NODE.replace("127.0.0.1", "::");
    let (mut held, _server) = program(&place, &script, "server.js", |file, port| {
        vec!["node".to_owned(), file.display().to_string(), port.to_string()]
    });
    held.server.set_ip(to);
    held.holds_its_drain(&place, held.agent(&place), "", KEPT);
}

#[test]
fn a_server_of_both_families_that_is_asked_over_ipv4() {
    of_both_families("servers_both_4", Ipv4Addr::LOCALHOST.into());
}

#[test]
fn a_server_of_both_families_that_is_asked_over_ipv6() {
    of_both_families("servers_both_6", Ipv6Addr::LOCALHOST.into());
}

#[test]
fn a_gunicorn() {
    let place = Place::new("servers_gunicorn");
    let (held, _server) = program(&place, GUNICORN, "shop.py", |_, port| {
        let words = ["gunicorn", "--threads", "8", "--keep-alive", "600", "--timeout", "600", "--bind"];
        let rest = [format!("127.0.0.1:{port}"), "shop:app".to_owned()];
        words.iter().map(ToString::to_string).chain(rest).collect()
    });
    held.holds_its_drain(&place, held.agent(&place), "", KEPT);
}

#[test]
fn an_nginx_behind_tls() {
    let place = Place::new("servers_tls");
    let (held, _nginx) = nginx(&place, "ssl");
    held.holds_its_drain(&place, held.agent(&place), "ssl verify none", KEPT);
}

#[test]
fn an_nginx_that_speaks_http2() {
    let place = Place::new("servers_h2");
    let (held, _nginx) = nginx(&place, "http2");
    // HAProxy may have the last word on it, which looks like a request: the drain then ends with the connection.
    held.holds_its_drain(&place, held.agent(&place), "proto h2 check-proto h1", "1s");
}
