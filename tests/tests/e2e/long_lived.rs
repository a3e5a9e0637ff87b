//! Connections that last: a WebSocket and an event stream on which the server spoke last. The kernel can't tell them from
//! idle ones; `drain.long_lived` and the balancers decide.

use std::{net::SocketAddr, time::Duration};

use drain_agent::{
    control::api::{Outcome, Record, Status},
    lifecycle::{Phase, Stage},
};
use drain_tests::{
    Agent, Haproxy, PATIENCE, Place, Server, agent::logged, child::Child, client::Connection, clock, port,
};
use rustix::process::Signal;

use crate::{farm, websocket};

/// What the agent waits for in silence, and much longer than that.
const QUIET: &str = "1s";
const LONG: Duration = Duration::from_secs(4);

fn agent(place: &Place, server: SocketAddr) -> Agent {
    Agent::guarding(place, "agent", server.port())
        .proof("none")
        .hard_quiet(QUIET)
        .hard_limit("10m", "abort")
        .min_remaining(0)
}

/// A WebSocket that has said something and got it back.
fn talking(to: SocketAddr) -> Connection {
    let mut user = Connection::open(to).expect("a connection");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key];
    let answer = user.fetch("GET", "/chat", &upgrade, b"").expect("an answer");
    assert_eq!(answer.status, 101, "{answer:?}");
    say(&mut user);
    user
}

/// Two letters, masked with zeroes (RFC 6455 5.2), there and back.
fn say(user: &mut Connection) {
    user.send(b"\x81\x82\0\0\0\0hi").expect("a frame goes out");
    assert_eq!(user.take(4).expect("the frame comes back"), b"\x81\x02hi");
}

/// Server-sent events: one, and then nothing for long.
const EVENTS: &str = r#"
require("http").createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("data: one\n\n");
}).listen(process.argv[1], "127.0.0.1");
"#;

/// A user who has got an event.
fn listening(place: &Place) -> (SocketAddr, Child, Connection) {
    let address = port::free();
    let mut node = place.command("node");
    node.args(["-e", EVENTS, &address.port().to_string()]);
    let server = Child::start(place, &place.subdir("server"), "server", node, |line| line.contains("Error"));
    place.wait_for("the server to listen", PATIENCE, || {
        Connection::open(address).map(drop).map_err(|error| error.to_string())
    });
    let mut user = Connection::open(address).expect("a connection");
    user.send(b"GET /events HTTP/1.0\r\n\r\n").expect("a request goes out");
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: one\n\n") {
        seen.extend(user.take(1).expect("an event"));
    }
    (address, server, user)
}

/// A drain of the server at `address` waits for its user's leave, however silent they are.
fn is_waited_for(place: &Place, address: SocketAddr, user: Connection) {
    let agent = agent(place, address).acknowledge("1s", "proceed").long_lived("wait").start();
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    let holds = |status: &Status| {
        let sockets = status.traffic.sources.iter().find(|source| source.name == "sockets");
        status.phase == Phase::Hard
            && status.acknowledged.complete
            && sockets.is_some_and(|sockets| sockets.idle == Some(1))
    };
    agent.wait_until("the idle connection", PATIENCE, holds);
    clock::pause(LONG);
    let status = agent.status();
    place.check(status.phase == Phase::Hard, &format!("{status:#?}"));
    drop(user);
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
}

#[test]
fn a_websocket_is_waited_for_where_that_is_asked() {
    let place = Place::new("long_lived_websocket");
    let (address, _server) = websocket::echo(&place);
    let user = talking(address);
    is_waited_for(&place, address, user);
}

#[test]
fn an_event_stream_is_waited_for_where_that_is_asked() {
    let place = Place::new("long_lived_events");
    let (address, _server, user) = listening(&place);
    is_waited_for(&place, address, user);
}

#[test]
fn a_websocket_that_is_silent_is_left_open_by_default_and_that_is_told() {
    let place = Place::new("long_lived_default");
    let (address, _server) = websocket::echo(&place);
    let mut user = talking(address);
    let mut agent = agent(&place, address).acknowledge("1s", "proceed").start();
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    agent.wait_for_success(before, farm::DRAINED_WITHIN);
    logged(&mut agent, "1 open, not waited for by drain.long_lived = \"quiet\"").expect("it is in the log");
    let shown = agent.ctl(&["--json", "history", "show"]).stdout;
    let record: Record = serde_json::from_slice(&shown).expect("a record");
    let open = record.left_open.expect("what was left open");
    assert_eq!((open.answered, open.untold), (1, 0), "{open:?}");
    // The command has restarted nobody.
    say(&mut user);
}

#[test]
fn a_websocket_behind_haproxy_is_waited_for_because_that_counts_it() {
    let place = Place::new("long_lived_haproxy");
    let (address, _server) = websocket::echo(&place);
    let agent = agent(&place, address).start();
    let mut balancer = Haproxy::new(&place, "lb")
        .line("timeout tunnel 1h")
        .server(Server::new("s1", address).checked_at(agent.address()))
        .start();
    // It is the only server.
    balancer.child().expect_error("has no server available");
    agent.wait_for_balancers(1, PATIENCE);
    farm::wait_until_seen_up(&agent);
    let mut user = talking(balancer.address());
    agent.wait_until("the user", PATIENCE, farm::sees_a_request);
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    agent.wait_until("hard and acknowledged", PATIENCE, |status| {
        status.phase == Phase::Hard && status.acknowledged.complete && farm::sees_a_request(status)
    });
    clock::pause(LONG);
    let status = agent.status();
    place.check(status.phase == Phase::Hard, &format!("{status:#?}"));
    say(&mut user);
    drop(user);
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");

    let shown = agent.ctl(&["--json", "history", "show"]).stdout;
    let record: Record = serde_json::from_slice(&shown).expect("a record");
    let hard = record.steps.iter().find(|step| step.to == Stage::Hard).expect("it was hard").at;
    let held: Vec<_> = record
        .traffic
        .iter()
        .filter(|sample| (hard..hard + LONG.as_secs_f64()).contains(&sample.at))
        .collect();
    assert!(!held.is_empty() && held.iter().all(|sample| sample.in_flight >= Some(1)), "{record:#?}");
}
