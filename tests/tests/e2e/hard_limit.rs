//! A request that lasts longer than the limit of hard: what is cut, who is told, and what is not run.

use std::{fs, process::Output};

use drain_agent::{
    control::api::{Outcome, Record},
    lifecycle::Phase,
};
use drain_tests::{Agent, Haproxy, PATIENCE, Place, apache::SLOW, client::Connection};

use crate::farm::Farm;

/// Two servers behind a balancer, whose drains last 2 s in hard at most.
fn farm(place: &Place, at_limit: &'static str) -> (Farm, Haproxy) {
    let mut farm = Farm::new(place, 2, |agent| agent.hard_limit("2s", at_limit));
    // The request outlives the patience of whoever stops the server: the restart that cuts it, or the test's end.
    farm.apaches[0].expect_error("AH00046: child process");
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    (farm, balancer)
}

/// A user of the first server, whose request lasts longer than any limit here, and is seen.
struct User(Connection);

impl User {
    fn asks(balancer: &Haproxy, agent: &Agent) -> Self {
        let mut user = Connection::open(balancer.address()).expect("a connection");
        user.set_patience(PATIENCE);
        let request = format!("GET {SLOW}?600 HTTP/1.1\r\nHost: shop\r\nCookie: SERVERID=s1\r\n\r\n");
        user.send(request.as_bytes()).expect("the request goes out");
        agent.wait_until("the request", PATIENCE, |status| status.traffic.in_flight.is_some_and(|n| n > 0));
        Self(user)
    }

    fn was_cut(mut self) -> bool {
        self.0.receive("GET").map_or(true, |answer| answer.status != 200)
    }
}

fn record(agent: &Agent) -> Record {
    let shown = agent.ctl(&["--json", "history", "show"]).stdout;
    serde_json::from_slice(&shown).unwrap_or_else(|error| panic!("{error}"))
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn a_restart_at_the_limit_cuts_what_is_left_and_tells_whose_it_was() {
    let place = Place::new("limit_restart");
    let (farm, balancer) = farm(&place, "restart");
    let agent = &farm.agents[0];
    let user = User::asks(&balancer, agent);

    let out = agent.ctl(&["restart", "--hard"]);
    assert!(out.status.success(), "{out:?}");
    assert!(user.was_cut(), "it was not to be waited for");
    assert_eq!(farm.apaches[0].restarts().len(), 1);
    let cut = record(agent).cut.expect("what was cut");
    let peers: Vec<_> = cut.peers.iter().map(|peer| (peer.address.to_string(), peer.in_flight)).collect();
    assert_eq!(peers, [("127.0.0.1".to_owned(), 1)], "{cut:?}");
    let shown = said(&agent.ctl(&["history", "show"]));
    place.check(shown.contains("cut         1 in flight: 1 of 127.0.0.1"), &shown);
}

#[test]
fn a_command_that_drainctl_runs_at_the_limit_is_said_to_cut_what_is_left() {
    let place = Place::new("limit_run");
    let (farm, balancer) = farm(&place, "restart");
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let user = User::asks(&balancer, agent);

    let restart = apache.restart_command().display().to_string();
    let out = agent.ctl(&["run", "--hard", "--", &restart]);
    place.check(out.status.success(), &said(&out));
    let warned = "drainctl: the limit of 2s has passed: 1 in flight: the command cuts what is left";
    place.check(said(&out).contains(warned), &said(&out));
    assert!(user.was_cut(), "it was not to be waited for");
    let record = record(agent);
    assert_eq!(record.cut.as_ref().map(|cut| cut.peers.len()), Some(1), "{record:#?}");
    assert_eq!(record.outcome, Some(Outcome::Done), "{record:#?}");
}

#[test]
fn where_the_limit_aborts_drainctl_runs_nothing_and_cuts_nobody() {
    let place = Place::new("limit_run_abort");
    let (farm, balancer) = farm(&place, "abort");
    let (agent, mark) = (&farm.agents[0], place.public().join("ran"));
    let _user = User::asks(&balancer, agent);

    let out = agent.ctl(&["run", "--hard", "--", "touch", &mark.display().to_string()]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    place.check(said(&out).contains("the limit of 2s has passed: 1 in flight; nothing was run"), &said(&out));
    assert!(fs::metadata(&mark).is_err(), "the command was run");
    assert_eq!(agent.phase(), Phase::Up);
    assert_eq!(agent.status().traffic.in_flight, Some(1), "the request goes on");
    let record = record(agent);
    assert_eq!((record.outcome, &record.cut), (Some(Outcome::Withdrawn), &None), "{record:#?}");
}

#[test]
fn a_hold_that_is_still_in_use_at_its_limit_says_so() {
    for (at_limit, code) in [("restart", 0), ("abort", 1)] {
        let place = Place::new(&format!("limit_hold_{at_limit}"));
        let (farm, balancer) = farm(&place, at_limit);
        let agent = &farm.agents[0];
        let _user = User::asks(&balancer, agent);

        let out = agent.ctl(&["hard"]);
        assert_eq!(out.status.code(), Some(code), "{out:?}");
        place.check(said(&out).contains("the limit of 2s has passed: 1 in flight"), &said(&out));
        let status = agent.status();
        assert_eq!((status.phase, status.traffic.in_flight), (Phase::Hard, Some(1)), "{status:#?}");
    }
}
