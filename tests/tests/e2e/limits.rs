//! What a drain does when its times are over, or when nobody listens.

use std::{cell::Cell, time::Duration};

use drain_agent::{
    control::api::{Outcome, Status},
    lifecycle::Phase,
};
use drain_tests::{Agent, Apache, Load, PATIENCE, Place, clock};
use rustix::process::Signal;

use crate::farm::{self, Farm};

#[test]
fn a_soft_drain_whose_limit_passes_with_users_left_moves_them_and_hurts_nobody() {
    let place = Place::new("soft_limit");
    let farm = Farm::new(&place, 2, |agent| agent.soft("10s", "10s"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).requests_per_session(u32::MAX).start();
    farm::let_run(&place, &load, 80);

    agent.signal(Signal::USR1);
    // Whoever looks is late on a busy machine: both were not so before these moments.
    let acknowledged = not_before(agent, "an acknowledged soft drain", |s| {
        s.phase == Phase::Soft && s.acknowledged.complete
    });
    let hard = not_before(agent, "hard", |s| s.phase == Phase::Hard);
    let seen_hard = clock::unix();
    agent.wait_for_success(0, farm::DRAINED_WITHIN);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    let tally = load.finish();

    tally.assert_nobody_hurt(&place, farm.orders());
    let soft_lasted = seen_hard.saturating_sub(acknowledged);
    assert!(soft_lasted > Duration::from_secs(8), "the limit of 10 s was kept: {soft_lasted:?}");
    let moves = tally.moves();
    let moved: Vec<_> = moves.iter().filter(|m| m.from == "s1").collect();
    assert!(!moved.is_empty(), "its users went to the other server");
    let early: Vec<_> = moved.iter().filter(|m| m.at + m.took < hard).collect();
    assert!(early.is_empty(), "nobody was moved while it was soft: {early:?}");
}

/// Waits until an agent's status is so, and gives the moment when it was last seen not to be so.
#[track_caller]
fn not_before(agent: &Agent, what: &str, is: impl Fn(&Status) -> bool) -> Duration {
    let (begun, last) = (Cell::new(clock::unix()), Cell::new(clock::unix()));
    agent.wait_until(what, PATIENCE, |status| {
        last.set(begun.replace(clock::unix()));
        is(status)
    });
    last.get()
}

#[test]
fn a_drain_that_nobody_acknowledges_is_withdrawn() {
    let place = Place::new("nobody_listens");
    let apache = Apache::new(&place, "s1").start();
    let agent = Agent::beside(&apache).acknowledge("2s", "abort").start();

    let drain = farm::drained(&agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Withdrawn, "{drain:#?}");
    assert_eq!(apache.restarts().len(), 0);
    assert_eq!(agent.phase(), Phase::Up);
    assert_eq!(agent.check().expect("an answer").status, 200);
}

#[test]
fn a_drain_that_nobody_acknowledges_goes_on_where_the_configuration_says_so() {
    let place = Place::new("nobody_listens_proceed");
    let apache = Apache::new(&place, "s1").start();
    let agent = Agent::beside(&apache).acknowledge("1s", "proceed").hard_quiet("500ms").start();

    let drain = farm::drained(&agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(apache.restarts().len(), 1);
}

#[test]
fn a_balancer_that_is_expected_and_never_asks_keeps_the_server_up() {
    let place = Place::new("expected_balancer");
    let farm = Farm::new(&place, 2, |agent| agent.acknowledge("5s", "abort").expecting("other-node"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    agent.wait_until("who is missing to be counted", PATIENCE, |status| {
        status.absent == ["other-node"] && status.acknowledged.of == 2
    });
    let shown = agent.ctl(&["balancers"]).stdout;
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("no: is expected and has never asked"), "{shown}");
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR1));

    assert_eq!(drain.outcome, Outcome::Withdrawn, "{drain:#?}");
    assert!(drain.text.contains("other-node"), "it says who was missing: {drain:#?}");
    assert_eq!(farm.apaches[0].restarts().len(), 0);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

/// Its table of balancers is empty, and it must not take that for nobody.
#[test]
fn an_agent_that_starts_in_the_middle_of_everything_asks_nobody_to_leave_before_it_knows_them() {
    let place = Place::new("empty_table");
    let mut farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let agent = &mut farm.agents[0];
    agent.child().crash();
    let _ = std::fs::remove_file(agent.state_file());
    agent.start_again();
    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(farm.apaches[0].restarts().len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}
