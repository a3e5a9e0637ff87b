//! Two drains of one server at once: the second joins, sharpens or follows the first.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Load, PATIENCE, Place};
use rustix::process::Signal;

use crate::farm::{self, Farm};

#[test]
fn two_restarts_asked_at_once_are_one() {
    let place = Place::new("two_at_once");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let one = agent.ctl_in_background(&["restart"]);
    let other = agent.ctl_in_background(&["restart"]);
    agent.signal(Signal::USR1);
    for out in [one, other].map(|ctl| ctl.join().expect("drainctl's thread")) {
        place.check(out.status.success(), &format!("{out:?}"));
    }

    assert_eq!(farm.apaches[0].restarts().len(), 1, "one restart for three requests");
    assert_eq!(agent.status().drains.len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn sigusr2_in_a_soft_drain_makes_it_hard() {
    let place = Place::new("soft_then_hard");
    // Left to itself the soft drain would last an hour.
    let farm = Farm::new(&place, 2, |agent| agent.soft("1h", "1h"));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    agent.signal(Signal::USR1);
    agent.wait_for_phase(Phase::Soft, PATIENCE);
    agent.signal(Signal::USR2);
    let drain = agent.wait_for_end(0, farm::DRAINED_WITHIN);

    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!(farm.apaches[0].restarts().len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_restart_asked_during_the_restart_is_one_more_however_often() {
    let place = Place::new("asked_during_restart");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    apache.hold();
    agent.signal(Signal::USR2);
    agent.wait_for_phase(Phase::Restarting, PATIENCE);
    agent.signal(Signal::USR2);
    agent.wait_until("a further restart noted", PATIENCE, |s| {
        s.asked.as_ref().is_some_and(|asked| asked.again)
    });
    let third = agent.ctl(&["restart", "--hard", "--no-wait"]);
    place.check(third.status.success(), &format!("{third:?}"));
    apache.release();
    agent.wait_until("both ended", farm::DRAINED_WITHIN, |s| s.phase == Phase::Up && s.asked.is_none());

    assert_eq!(apache.restarts().len(), 2);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}
