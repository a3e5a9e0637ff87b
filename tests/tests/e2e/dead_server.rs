//! A server that is already dead when its restart is asked: nobody is left to protect.

use std::time::Duration;

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, Place, clock};
use rustix::process::Signal;

use crate::farm::{self, Farm};

/// Below each drain's quiet: a restart and readiness take some seconds, and on a slow machine more.
const AT_ONCE: Duration = Duration::from_secs(28);

#[test]
fn a_dead_server_is_not_hidden_and_restarted_without_waiting_for_quiet() {
    let place = Place::new("dead_server");
    let mut farm =
        Farm::new(&place, 2, |agent| agent.soft("30s", "60s").hard_quiet("30s").hard_limit("60s", "abort"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);

    farm.apaches[0].crash();
    let agent = &farm.agents[0];
    agent.wait_for_phase(Phase::Down, farm::NOTICED_WITHIN);
    assert_eq!(agent.check().expect("an answer").status, 500);
    balancer.wait_for_status("s1", "DOWN", farm::NOTICED_WITHIN);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let start = clock::now();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    place.check(start.elapsed() < AT_ONCE, &format!("it took {:?}", start.elapsed()));
    balancer.wait_for_status("s1", "UP", farm::NOTICED_WITHIN);
    farm::let_run(&place, &load, 50);
    let tally = load.finish();
    tally.assert_nobody_hurt(&place, farm.orders());
    assert!(tally.served().contains_key("s1"), "it serves again: {}", tally.summary());
}
