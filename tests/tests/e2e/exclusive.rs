//! Two servers on one host of which only one may be out at a time.

use drain_agent::lifecycle::Phase;
use drain_tests::{PATIENCE, Place};

use crate::farm::Farm;

#[test]
fn a_second_server_of_the_host_is_not_taken_out_before_the_first_is_back() {
    let place = Place::new("exclusive");
    let lock = format!("exclusive = {:?}", place.public().join("host.lock"));
    let farm = Farm::new(&place, 3, |agent| agent.drain_line(&lock));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (first, second) = (&farm.agents[0], &farm.agents[1]);

    let out = first.ctl(&["hard"]);
    assert!(out.status.success(), "{out:?}");
    let out = second.ctl(&["restart", "--hard"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    assert!(said.contains("another server of this host is out: agent-s1"), "{said}");
    assert_eq!((second.phase(), farm.apaches[1].restarts().len()), (Phase::Up, 0));

    let out = first.ctl(&["up"]);
    assert!(out.status.success(), "{out:?}");
    let out = second.ctl(&["restart", "--hard"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(farm.apaches[1].restarts().len(), 1);
    balancer.wait_for_status("s2", "UP", PATIENCE);
}
