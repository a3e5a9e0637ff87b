//! Balancers keep idle connections to servers: they don't hold a drain, a request does.

use std::{thread, time::Duration};

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, PATIENCE, Place, apache::HELD, client::Connection, clock};
use rustix::process::Signal;

use crate::farm::{self, Farm};

/// The slow request: much longer than the hard drain's quiet of a second, and shorter than its limit.
const SLOW: Duration = Duration::from_secs(20);

#[test]
fn idle_connections_of_a_balancer_do_not_hold_a_drain() {
    let place = Place::new("reuse_idle");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s").hard_limit("1h", "abort"));
    // It keeps them for longer than a test may take.
    let balancer =
        farm.behind_haproxy("lb", |lb| lb.reusing_always().line("default-server pool-purge-delay 1h"));
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 150);
    load.finish();
    agent.wait_until("idle connections", PATIENCE, |s| s.traffic.idle > Some(0));

    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    place.check(drain.outcome == Outcome::Done, &format!("{drain:#?}"));
}

#[test]
fn a_request_of_twenty_seconds_holds_the_drain_to_its_end() {
    let place = Place::new("reuse_slow");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s").hard_limit("10m", "abort"));
    let balancer = farm.behind_haproxy("lb", drain_tests::Haproxy::reusing_always);
    let entrance = balancer.address();
    farm.apaches.iter().for_each(drain_tests::Apache::hold);
    let slow = thread::spawn(move || {
        let mut connection = Connection::open(entrance).map_err(|e| e.to_string())?;
        connection.fetch("GET", HELD, &[], b"").map_err(|e| e.to_string())
    });
    // Whichever server has it is drained.
    let busy = place.wait_for("one of the servers to be busy", PATIENCE, || {
        let busy = farm.agents.iter().position(|a| a.status().traffic.in_flight > Some(0));
        busy.ok_or_else(|| "none is".to_owned())
    });
    let (agent, apache) = (&farm.agents[busy], &farm.apaches[busy]);

    agent.signal(Signal::USR2);
    agent
        .wait_until("hard and acknowledged", PATIENCE, |s| s.phase == Phase::Hard && s.acknowledged.complete);
    clock::pause(SLOW);
    let released = clock::unix();
    apache.release();
    let answer = slow.join().expect("the slow user's thread").expect("a whole answer");
    agent.wait_for_success(0, farm::DRAINED_WITHIN);

    assert_eq!((answer.status, answer.body.as_slice()), (200, b"held\n".as_slice()));
    let restarted = apache.restarts()[0];
    place.check(
        restarted >= released,
        &format!("restarted at {restarted:?}, before its user's end after {released:?}"),
    );
}
