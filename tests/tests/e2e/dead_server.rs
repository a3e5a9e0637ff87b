//! A server that is already dead when its restart is asked: nobody is left to protect.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, PATIENCE, Place};
use rustix::process::Signal;

use crate::farm::{self, Farm};

#[test]
fn a_dead_server_is_not_hidden_and_restarted_without_waiting_for_quiet() {
    let place = Place::new("dead_server");
    let mut farm =
        Farm::new(&place, 2, |agent| agent.soft("1h", "2h").hard_quiet("1h").hard_limit("2h", "abort"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);

    farm.apaches[0].crash();
    let agent = &farm.agents[0];
    agent.wait_for_phase(Phase::Down, PATIENCE);
    assert_eq!(agent.check().expect("an answer").status, 500);
    balancer.wait_for_status("s1", "DOWN", PATIENCE);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    // It ends long before any of these times.
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    let tally = load.finish();
    tally.assert_nobody_hurt(&place, farm.orders());
    assert!(tally.served().contains_key("s1"), "it serves again: {}", tally.summary());
}
