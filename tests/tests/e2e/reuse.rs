//! Balancers keep idle connections to servers: they don't hold a drain, a request does.

use std::{thread, time::Duration};

use drain_agent::{
    control::api::{Outcome, Status},
    lifecycle::Phase,
};
use drain_tests::{
    Load, PATIENCE, Place,
    apache::{HELD, PAGE},
    client::Connection,
    clock,
    tally::Tally,
};
use rustix::process::Signal;

use crate::farm::{self, Farm};

/// The slow request: much longer than the hard drain's quiet of a second, and shorter than its limit.
const SLOW: Duration = Duration::from_secs(20);

/// Whose idle connections a request may use.
const REUSES: [&str; 4] = ["never", "safe", "aggressive", "always"];

#[test]
fn idle_connections_of_balancers_do_not_hold_a_drain_however_they_reuse_them() {
    let place = Place::new("reuse_idle");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s").hard_limit("1h", "abort"));
    let balancers = REUSES.map(|reuse| {
        // They keep them for longer than a test may take.
        let keep = "default-server pool-purge-delay 1h";
        farm.behind_haproxy(reuse, |lb| lb.line(&format!("http-reuse {reuse}")).line(keep))
    });
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    // Each stays, and with it, where that is not shared, the connection to the server.
    let mut users = balancers.each_ref().map(|balancer| {
        let mut user = Connection::open(balancer.address()).expect("a connection");
        for _ in 0..2 {
            let answer = user.fetch("GET", PAGE, &["Cookie: SERVERID=s1"], b"").expect("an answer");
            assert_eq!((answer.status, answer.header("x-server")), (200, Some("s1")), "{answer:?}");
        }
        user
    });
    let all = |status: &Status| status.traffic.in_flight == Some(0) && status.traffic.idle >= Some(4);
    agent.wait_until("an idle connection of each", PATIENCE, all);

    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(apache.restarts().len(), 1);
    for (reuse, user) in REUSES.iter().zip(&mut users) {
        let answer = user.fetch("GET", PAGE, &["Cookie: SERVERID=s1"], b"").expect("an answer");
        assert_eq!(answer.status, 200, "http-reuse {reuse}: {answer:?}");
    }

    // The same under load.
    let loads = balancers.each_ref().map(|balancer| {
        balancer.wait_for_status("s1", "UP", PATIENCE);
        // Of all together Apache has workers to spare, of which it would warn otherwise.
        let load = Load::on(balancer.address()).users_of_each_habit(1).start();
        farm::let_run(&place, &load, 30);
        load
    });
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    for (balancer, load) in balancers.iter().zip(&loads) {
        balancer.wait_for_status("s1", "UP", PATIENCE);
        farm::let_run(&place, load, 30);
    }
    let visits: Vec<_> = loads.into_iter().flat_map(|load| load.finish().visits().to_vec()).collect();
    Tally::new(visits).assert_nobody_hurt(&place, farm.orders());
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
