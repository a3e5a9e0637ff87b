//! A balancer that vanishes during the drain.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, PATIENCE, Place};
use rustix::process::Signal;

use crate::farm::{self, Farm};

/// The first one dies without having heard of the drain: only its silence says that it sends nobody any more.
#[test]
fn a_balancer_that_dies_before_it_has_acknowledged_does_not_stop_the_drain() {
    let place = Place::new("balancer_dies");
    // Silence is measured by how far apart the balancer's checks were, which a busy machine holds back.
    let farm = Farm::new(&place, 2, |agent| agent.acknowledge("2m", "abort"));
    let mut dies = farm.behind_haproxy("lb1", |lb| lb);
    let stays = farm.behind_haproxy("lb2", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(stays.address()).start();
    farm::let_run(&place, &load, 50);

    dies.child().crash();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(farm.apaches[0].restarts().len(), 1);
    stays.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_balancer_that_dies_after_it_has_acknowledged_does_not_stop_the_drain() {
    let place = Place::new("balancer_dies_late");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("2s"));
    let mut dies = farm.behind_haproxy("lb1", |lb| lb);
    let stays = farm.behind_haproxy("lb2", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(stays.address()).start();
    farm::let_run(&place, &load, 50);

    let drain = farm::drained(agent, |agent| {
        agent.signal(Signal::USR2);
        agent.wait_until("hard and acknowledged", PATIENCE, |s| {
            s.phase == Phase::Hard && s.acknowledged.complete
        });
        dies.child().crash();
    });

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    stays.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}
