//! What happens without an agent: the reason for this project, and the proof that the load sees a failure.

use drain_tests::{Apache, Haproxy, Load, Place, Server};

use crate::farm;

/// The measured starting point: three plain restarts of one of three servers failed 46 of 553 requests.
#[test]
fn a_restart_that_nobody_announces_loses_requests() {
    let place = Place::new("unannounced");
    let mut apaches = ["s1", "s2", "s3"].map(|name| Apache::new(&place, name).start());
    let balancer = apaches
        .iter()
        .fold(Haproxy::new(&place, "lb"), |lb, apache| {
            lb.server(Server::new(apache.name(), apache.address()))
        })
        .start();

    // Apache kills the workers that still answer somebody, and says so; so do those whose CGI daemon has gone first.
    apaches[0].expect_error("failed reading PID from cgi daemon");
    apaches[0].expect_error("AH00045");
    apaches[0].expect_error("AH00046");
    // A worker's thread that would keep a connection open finds everything closed.
    apaches[0].expect_error("AH03093");

    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 100);
    for _ in 0..3 {
        apaches[0].restart_unannounced();
        farm::let_run(&place, &load, 100);
    }
    let tally = load.finish();

    place.check(!tally.failures().is_empty(), &format!("nobody was hurt: {}", tally.summary()));
    let served = tally.served();
    place.check(served.len() == 3, &format!("not every server served: {}", tally.summary()));
}

/// The same load on servers that are left alone: what it reports is the restart's doing, not its own.
#[test]
fn servers_that_are_left_alone_lose_nothing() {
    let place = Place::new("left_alone");
    let apaches = ["s1", "s2", "s3"].map(|name| Apache::new(&place, name).start());
    let balancer = apaches
        .iter()
        .fold(Haproxy::new(&place, "lb"), |lb, apache| {
            lb.server(Server::new(apache.name(), apache.address()))
        })
        .start();

    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 400);
    let tally = load.finish();

    tally.assert_nobody_hurt(&place, apaches.iter().flat_map(Apache::orders));
    assert_eq!(tally.moves(), [], "users with cookies stay where they are");
}
