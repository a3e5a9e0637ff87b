//! A balancer that is reloaded in the middle of a drain.

use std::time::Duration;

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{PATIENCE, Place, agent, apache::HELD, client::Connection, clock};
use rustix::process::Signal;

use crate::farm::{self, Farm};

#[test]
fn what_its_old_process_still_holds_is_waited_for_although_that_asks_no_more() {
    let place = Place::new("balancer_reloads");
    let mut farm = Farm::new(&place, 2, |agent| agent.hard_limit("10m", "restart"));
    let mut balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let mut user = Connection::open(balancer.address()).expect("a connection");
    user.set_patience(PATIENCE);
    farm.apaches[0].hold();
    let request = format!("GET {HELD} HTTP/1.1\r\nHost: shop\r\nCookie: SERVERID=s1\r\n\r\n");
    user.send(request.as_bytes()).expect("the request goes out");
    agent.wait_until("the request", PATIENCE, |status| status.traffic.in_flight.is_some_and(|n| n > 0));

    let before = agent.last_ended();
    agent.signal(Signal::USR2);
    agent.wait_until("the drain", PATIENCE, |status| status.asked.is_some() || !status.drains.is_empty());
    balancer.reload();
    // By what the balancer says now, nobody is there; its old process asks no more.
    let reloaded = agent.wait_until("the new process, in hard", PATIENCE, |status| {
        let empty = status.balancers.iter().all(|balancer| balancer.scur == Some(0));
        status.phase == Phase::Hard && status.acknowledged.complete && empty
    });
    let needed = reloaded.traffic.needed_seconds.expect("hard waits for quiet");
    clock::pause(Duration::from_secs_f64(needed + 1.0));
    let held = agent.status();
    place.check((held.phase, held.traffic.in_flight) == (Phase::Hard, Some(1)), &format!("{held:#?}"));
    farm.apaches[0].release();
    let answer = user.receive("GET").expect("the whole answer");

    assert_eq!((answer.status, answer.header("x-server")), (200, Some("s1")), "{answer:?}");
    let drain = agent.wait_for_end(before, farm::DRAINED_WITHIN);
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(farm.apaches[0].restarts().len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    agent::logged(&mut farm.agents[0], "cuts what is left").expect_err("nothing was left to be cut");
}
