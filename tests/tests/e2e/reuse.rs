//! Balancers keep idle connections to servers: they don't hold a drain, a request does.

use std::{thread, time::Duration};

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, Place, apache::SLOW, client::Connection, clock};
use rustix::process::Signal;

use crate::farm::{self, Farm, NOTICED_WITHIN};

/// How long the balancer keeps its idle connections: HAProxy's pool halves every five seconds.
const POOL_LASTS: Duration = Duration::from_secs(20);
/// The slow request: much longer than the hard drain's quiet of a second, and shorter than its limit.
const SLOW_SECONDS: u64 = 20;

#[test]
fn idle_connections_of_a_balancer_do_not_hold_a_drain() {
    let place = Place::new("reuse_idle");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s"));
    let balancer = farm.behind_haproxy("lb", drain_tests::Haproxy::reusing_always);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 150);
    load.finish();
    let idle = agent.wait_until("idle connections", NOTICED_WITHIN, |s| s.traffic.idle > Some(0));

    let start = clock::now();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    place.check(drain.outcome == Outcome::Done, &format!("{drain:#?}"));
    let took = start.elapsed();
    place.check(
        took < POOL_LASTS,
        &format!("the drain took {took:?} with {:?} idle connections at its start", idle.traffic.idle),
    );
}

#[test]
fn a_request_of_twenty_seconds_holds_the_drain_to_its_end() {
    let place = Place::new("reuse_slow");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s").hard_limit("60s", "abort"));
    let balancer = farm.behind_haproxy("lb", drain_tests::Haproxy::reusing_always);
    let entrance = balancer.address();
    let slow = thread::spawn(move || {
        let mut connection = Connection::open(entrance).map_err(|e| e.to_string())?;
        let path = format!("{SLOW}?{SLOW_SECONDS}");
        let answer = connection.fetch("GET", &path, &[], b"").map_err(|e| e.to_string())?;
        Ok::<_, String>((answer, clock::unix()))
    });
    // Whichever server has it is drained.
    let busy = place.wait_for("one of the servers to be busy", NOTICED_WITHIN, || {
        let busy = farm.agents.iter().position(|a| a.status().traffic.in_flight > Some(0));
        busy.ok_or_else(|| "none is".to_owned())
    });
    let (agent, apache) = (&farm.agents[busy], &farm.apaches[busy]);

    agent.signal(Signal::USR2);
    agent.wait_until("hard and acknowledged", NOTICED_WITHIN, |s| {
        s.phase == Phase::Hard && s.acknowledged.complete
    });
    let (answer, ended) = slow.join().expect("the slow user's thread").expect("a whole answer");
    agent.wait_for_success(0, farm::DRAINED_WITHIN);

    assert_eq!((answer.status, answer.body.as_slice()), (200, b"slow\n".as_slice()));
    let restarted = apache.restarts()[0];
    place.check(
        restarted >= ended,
        &format!("restarted at {restarted:?}, before its user's end at {ended:?}"),
    );
}
