//! The main job: every server restarted in turn, announced by a signal, with nobody hurt.

use std::net::SocketAddr;

use drain_agent::lifecycle::Phase;
use drain_tests::{Load, PATIENCE, Place, clock};
use rustix::process::Signal;

use crate::farm::{self, Balancer, DRAINED_WITHIN, Farm};

#[test]
fn sigusr1_behind_haproxy_hurts_nobody_and_moves_no_user() {
    let place = Place::new("rolling_soft_haproxy");
    let farm = Farm::new(&place, 3, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    restart_all_softly(&place, &farm, balancer.entrance());
}

#[test]
fn sigusr2_behind_haproxy_hurts_nobody() {
    let place = Place::new("rolling_hard_haproxy");
    let farm = Farm::new(&place, 3, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    restart_all_hard(&place, &farm, balancer.entrance());
}

#[test]
fn sigusr1_behind_drain_proxy_hurts_nobody_and_moves_no_user() {
    let place = Place::new("rolling_soft_proxy");
    let farm = Farm::new(&place, 3, |agent| agent);
    let balancer = farm.behind_proxy("lb", |lb| lb);
    restart_all_softly(&place, &farm, balancer.entrance());
}

#[test]
fn sigusr2_behind_drain_proxy_hurts_nobody() {
    let place = Place::new("rolling_hard_proxy");
    let farm = Farm::new(&place, 3, |agent| agent);
    let balancer = farm.behind_proxy("lb", |lb| lb);
    restart_all_hard(&place, &farm, balancer.entrance());
}

/// With a balancer that says nothing of what it thinks, the agent counts its answers and its own sockets.
#[test]
fn sigusr1_behind_an_haproxy_without_send_state_hurts_nobody() {
    let place = Place::new("rolling_soft_no_header");
    let farm = Farm::new(&place, 2, |agent| agent.hard_quiet("1s"));
    let balancer = haproxy_without_header(&farm);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);
    for (agent, apache) in farm.agents.iter().zip(&farm.apaches) {
        agent.signal(Signal::USR1);
        agent.wait_for_success(0, DRAINED_WITHIN);
        balancer.wait_for_status(apache.name(), "UP", PATIENCE);
        farm::let_run(&place, &load, 50);
    }
    let tally = load.finish();
    tally.assert_nobody_hurt(&place, farm.orders());
}

fn haproxy_without_header(farm: &Farm) -> drain_tests::Haproxy {
    // Known after three questions at even intervals.
    let mut balancer = drain_tests::Haproxy::new(farm.apaches[0].place(), "lb").without_send_state();
    for (apache, agent) in farm.apaches.iter().zip(&farm.agents) {
        balancer = balancer
            .server(drain_tests::Server::new(apache.name(), apache.address()).checked_at(agent.address()));
    }
    let balancer = balancer.start();
    for agent in &farm.agents {
        agent.wait_for_balancers(1, PATIENCE);
    }
    balancer
}

fn restart_all_softly(place: &Place, farm: &Farm, balancer: SocketAddr) {
    let load = Load::on(balancer).start();
    farm::let_run(place, &load, 80);
    let mut closed_to_new_users = Vec::new();
    for (agent, apache) in farm.agents.iter().zip(&farm.apaches) {
        agent.signal(Signal::USR1);
        agent.wait_until("an acknowledged soft drain", DRAINED_WITHIN, |s| {
            s.phase == Phase::Soft && s.acknowledged.complete
        });
        let since = clock::unix();
        agent.wait_for_success(0, DRAINED_WITHIN);
        let restarts = apache.restarts();
        place.check(restarts.len() == 1, &format!("{} was restarted {restarts:?}", apache.name()));
        closed_to_new_users.push((apache.name(), since, restarts[0]));
        farm::wait_until_seen_up(agent);
        farm::let_run(place, &load, 50);
    }
    let tally = load.finish();

    tally.assert_nobody_hurt(place, farm.orders());
    let moves = tally.moves();
    place.check(moves.is_empty(), &format!("users with cookies were moved: {moves:?}"));
    for (server, since, until) in closed_to_new_users {
        let came = tally.new_users_on(server, since, until);
        place.check(came.is_empty(), &format!("new users came to {server} in its soft drain: {came:?}"));
    }
    println!("{}", tally.summary());
}

fn restart_all_hard(place: &Place, farm: &Farm, balancer: SocketAddr) {
    let load = Load::on(balancer).requests_per_session(40).start();
    farm::let_run(place, &load, 80);
    for (agent, apache) in farm.agents.iter().zip(&farm.apaches) {
        agent.signal(Signal::USR2);
        agent.wait_for_success(0, DRAINED_WITHIN);
        let restarts = apache.restarts();
        place.check(restarts.len() == 1, &format!("{} was restarted {restarts:?}", apache.name()));
        farm::wait_until_seen_up(agent);
        farm::let_run(place, &load, 50);
    }
    let tally = load.finish();

    tally.assert_nobody_hurt(place, farm.orders());
    // Else the drains would have had nobody to protect.
    place.check(!tally.moves().is_empty(), &format!("nobody had to move: {}", tally.summary()));
    println!("{}", tally.summary());
}
