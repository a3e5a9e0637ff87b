//! Thousands of connections to one server, which the agent sees one by one while it answers its balancers.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use drain_agent::lifecycle::Phase;
use drain_tests::{Agent, PATIENCE, Place, port};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

const CONNECTIONS: u32 = 2_000;

#[test]
fn one_request_among_two_thousand_idle_connections_holds_the_drain() {
    let limit = getrlimit(Resource::Nofile);
    // Both ends are here.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more open files");
    let place = Place::new("many");
    let listener = TcpListener::bind(port::free()).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut held: Vec<(TcpStream, TcpStream)> = (0..CONNECTIONS)
        .map(|_| {
            let mut user = TcpStream::connect(address).expect("a connection");
            let (mut server, _) = listener.accept().expect("its other end");
            user.write_all(b"ask!").expect("a request");
            server.read_exact(&mut [0; 4]).expect("the request");
            server.write_all(b"fine").expect("an answer");
            user.read_exact(&mut [0; 4]).expect("the answer");
            (user, server)
        })
        .collect();

    // The agent's probes, and nobody else, come from now on.
    thread::spawn(move || while listener.accept().is_ok() {});
    let agent = Agent::guarding(&place, "agent", address.port())
        .acknowledge("1s", "proceed")
        .proof("none")
        .hard_quiet("1s")
        .hard_limit("10m", "abort")
        .min_remaining(0)
        .start();
    agent.wait_for_phase(Phase::Up, PATIENCE);
    let all = |status: &drain_agent::control::api::Status| {
        let traffic = &status.traffic;
        (traffic.in_flight, traffic.idle) == (Some(0), Some(CONNECTIONS))
    };
    agent.wait_until("all of them idle", PATIENCE, all);

    let (user, server) = &mut held[1_234];
    user.write_all(b"ask!").expect("a request");
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    agent.wait_until("one in flight", PATIENCE, |status| {
        status.phase == Phase::Hard
            && status.acknowledged.complete
            && (status.traffic.in_flight, status.traffic.idle) == (Some(1), Some(CONNECTIONS - 1))
    });
    assert_eq!(agent.check().expect("an answer").status, 500);
    server.read_exact(&mut [0; 4]).expect("the request");
    server.write_all(b"fine").expect("an answer");
    user.read_exact(&mut [0; 4]).expect("the answer");
    agent.wait_for_success(before, PATIENCE);
}
