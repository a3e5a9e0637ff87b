//! A restart that goes wrong: the server stays out, says why, and nobody is sent to it.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, PATIENCE, Place};
use rustix::process::Signal;

use crate::farm::{self, Farm};

#[test]
fn a_server_whose_restart_fails_stays_out_until_told_and_nobody_is_hurt() {
    let place = Place::new("restart_fails");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    apache.break_restarts("Syntax error on line 7\n");
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    assert_eq!(drain.outcome, Outcome::Failed, "{drain:#?}");
    assert!(drain.text.contains("Syntax error on line 7"), "what the command said is told: {drain:#?}");
    assert_eq!(agent.phase(), Phase::Failed);
    assert_eq!(agent.check().expect("an answer").status, 500);
    balancer.wait_for_status("s1", "DOWN", PATIENCE);
    farm::let_run(&place, &load, 50);
    assert_eq!(agent.phase(), Phase::Failed, "nothing brings it back by itself");

    // It still runs, as the restart never touched it: up says so, and a restart that works ends it as well.
    apache.mend_restarts();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_server_whose_restart_fails_comes_back_as_it_is_where_that_is_asked_and_nobody_is_hurt() {
    let place = Place::new("restart_fails_up");
    let farm = Farm::new(&place, 2, |agent| agent.restart_line("on_failure = \"up\""));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let pid = apache.pid();
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    apache.break_restarts("Syntax error on line 7\n");
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    assert_eq!(drain.outcome, Outcome::Failed, "{drain:#?}");
    assert!(drain.text.contains("Syntax error on line 7"), "what the command said is told: {drain:#?}");
    agent.wait_for_phase(Phase::Up, PATIENCE);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    assert_eq!((apache.pid(), apache.restarts().len()), (pid, 0), "the server is the old one");
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_server_that_does_not_become_ready_stays_out_and_up_brings_it_back() {
    let place = Place::new("never_ready");
    let farm = Farm::new(&place, 2, |agent| agent.ready_deadline("6s"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    apache.restart_unready();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Failed, "{drain:#?}");
    assert_eq!(apache.restarts().len(), 1);
    assert_eq!(agent.phase(), Phase::Failed);
    assert_eq!(agent.check().expect("an answer").status, 500);

    // Before the agent's probes have seen it.
    apache.show_health();
    let out = agent.ctl(&["up"]);
    assert!(out.status.success(), "{out:?}");
    agent.wait_for_phase(Phase::Up, PATIENCE);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}
