//! Two balancers on other hosts, as it were, one of which is cut off from the server's host in the middle of a drain.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use drain_agent::control::api::Outcome;
use drain_tests::{
    Agent, Apache, Haproxy, Netns, PATIENCE, Place, Server,
    apache::{self, HELD},
    port,
};
use rustix::process::Signal;

use crate::farm;

/// A port on every address of this host.
fn everywhere() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port::free().port()))
}

#[test]
fn a_balancer_that_is_cut_off_holds_a_drain_no_longer_than_its_silence_lasts() {
    let (Some(near), Some(far)) = (Netns::linked(231), Netns::linked(232)) else { return };
    let place = Place::new("cut_off");
    let apache = Apache::new(&place, "s1").at(everywhere()).start();
    let local = SocketAddr::from(([127, 0, 0, 1], apache.address().port()));
    let agent = Agent::beside(&apache)
        .listening_at(everywhere())
        .ready_at(Some(format!("http://{local}{}", apache::HEALTH)))
        .min_remaining(0)
        .hard_limit("10m", "restart")
        .start();
    let balancers = [("near", &near), ("far", &far)].map(|(name, netns)| {
        let at = |port: u16| SocketAddr::from((netns.outer(), port));
        let mut balancer = Haproxy::new(&place, name)
            .within(netns.name())
            .server(Server::new("s1", at(local.port())).checked_at(at(agent.address().port())))
            .start();
        // It is the only server.
        balancer.child().expect_error("has no server available");
        balancer
    });
    agent.wait_for_balancers(2, PATIENCE);
    farm::wait_until_seen_up(&agent);

    let out = agent.ctl(&["soft"]);
    assert!(out.status.success(), "{out:?}");
    // It has heard of soft, and will never hear of hard.
    far.cut_off(true);
    let mut user = near.connect(balancers[0].address()).expect("a connection");
    user.set_read_timeout(Some(PATIENCE)).expect("a limit");
    apache.hold();
    let request = format!("GET {HELD} HTTP/1.0\r\nHost: shop\r\nCookie: SERVERID=s1\r\n\r\n");
    user.write_all(request.as_bytes()).expect("the request goes out");
    agent.wait_until("the request", PATIENCE, |status| status.traffic.in_flight.is_some_and(|n| n > 0));
    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    apache.release();
    let mut answer = String::new();
    user.read_to_string(&mut answer).expect("the whole answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("held\n"), "{answer}");
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(apache.restarts().len(), 1);
    balancers[0].wait_for_status("s1", "UP", PATIENCE);
    let gone = agent.ctl(&["history", "show"]);
    let gone = String::from_utf8_lossy(&gone.stdout).into_owned();
    place.check(gone.contains("acknowledges hard: does not ask any more"), &gone);

    far.cut_off(false);
    balancers[1].wait_for_status("s1", "UP", PATIENCE);
}
