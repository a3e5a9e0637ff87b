//! Two of HAProxy behind one address that call themselves the same, and so are one balancer to the agent.

use drain_agent::{control::api::Status, lifecycle::Phase};
use drain_tests::{Haproxy, Load, PATIENCE, Place, Server, tally::Tally};

use crate::farm::{self, DRAINED_WITHIN, Farm};

#[test]
fn a_server_is_restarted_when_both_have_taken_it_out() {
    let place = Place::new("namesakes");
    let farm = Farm::new(&place, 2, |agent| agent);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let balancers = ["lb1", "lb2"].map(|name| {
        let both = Haproxy::new(&place, name)
            .calling_itself("lb")
            .check("inter 4s fastinter 100 downinter 100 fall 1 rise 2");
        let servers = farm.apaches.iter().zip(&farm.agents);
        let both = servers.fold(both, |both, (apache, agent)| {
            both.server(Server::new(apache.name(), apache.address()).checked_at(agent.address()))
        });
        both.start()
    });
    agent.wait_for_balancers(1, PATIENCE);
    farm::wait_until_seen_up(agent);
    let loads = balancers.each_ref().map(|balancer| Load::on(balancer.address()).start());
    for load in &loads {
        farm::let_run(&place, load, 50);
    }

    apache.hold();
    let restart = agent.ctl_in_background(&["restart"]);
    let words = "lb (shop/s1, 127.0.0.1) seems to be more than one process";
    let told = |status: &Status| status.warnings.iter().any(|warning| warning.contains(words));
    agent.wait_until("the warning", PATIENCE, told);
    // The one whose check came first would suffice if they were taken for one; the other's is up to 4 s away.
    agent.wait_until("hard and acknowledged", DRAINED_WITHIN, |status| {
        status.phase == Phase::Hard && status.acknowledged.complete
    });
    let seen = balancers.each_ref().map(|balancer| balancer.status("s1"));
    apache.release();
    assert_eq!(seen, ["DOWN", "DOWN"], "when they were said to have");

    let out = restart.join().expect("drainctl ends");
    assert!(out.status.success(), "{out:?}");
    for (balancer, load) in balancers.iter().zip(&loads) {
        balancer.wait_for_status("s1", "UP", PATIENCE);
        farm::let_run(&place, load, 50);
    }
    let visits: Vec<_> = loads.into_iter().flat_map(|load| load.finish().visits().to_vec()).collect();
    Tally::new(visits).assert_nobody_hurt(&place, farm.orders());
}
