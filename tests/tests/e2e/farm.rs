//! Servers with their agents, and a balancer before them, as most tests want them.

use std::{net::SocketAddr, time::Duration};

use drain_agent::{
    control::api::{Drain, Status},
    lifecycle::Phase,
};
use drain_tests::{
    Agent, Apache, Haproxy, PATIENCE, Place, Proxy, Server, load::Running, orders, place::holds,
};

/// Every drain in these tests has limits that sum up to less.
pub(crate) const DRAINED_WITHIN: Duration = Duration::from_mins(8);

/// Apaches, each with its agent. The agents go first at the end.
pub(crate) struct Farm {
    pub(crate) agents: Vec<Agent>,
    pub(crate) apaches: Vec<Apache>,
    place: Place,
}

impl Farm {
    /// So many servers, `s1` and on, with agents as `set` makes them.
    pub(crate) fn new(place: &Place, servers: usize, set: impl Fn(Agent) -> Agent) -> Self {
        let apaches: Vec<Apache> =
            (1..=servers).map(|n| Apache::new(place, &format!("s{n}")).start()).collect();
        let agents = apaches.iter().map(|apache| set(Agent::beside(apache)).start()).collect();
        Self { agents, apaches, place: place.clone() }
    }

    /// An HAProxy before them, changed by `set`, once it has found all up and every agent knows it.
    pub(crate) fn behind_haproxy(&self, name: &str, set: impl Fn(Haproxy) -> Haproxy) -> Haproxy {
        let known = self.balancers_known();
        let mut balancer = set(Haproxy::new(&self.place, name));
        for (apache, agent) in self.apaches.iter().zip(&self.agents) {
            balancer =
                balancer.server(Server::new(apache.name(), apache.address()).checked_at(agent.address()));
        }
        let balancer = balancer.start();
        self.wait_for_balancers(&known);
        balancer
    }

    /// A drain-proxy before them, changed by `set`, once every agent knows it and is known to be up.
    pub(crate) fn behind_proxy(&self, name: &str, set: impl Fn(Proxy) -> Proxy) -> Proxy {
        let known = self.balancers_known();
        let mut balancer = set(Proxy::new(&self.place, name));
        for (apache, agent) in self.apaches.iter().zip(&self.agents) {
            balancer = balancer.server(apache.name(), apache.address(), Some(agent.address()));
        }
        let balancer = balancer.start();
        self.wait_for_balancers(&known);
        balancer
    }

    /// Every order that any of the servers took.
    pub(crate) fn orders(&self) -> Vec<orders::Id> {
        self.apaches.iter().flat_map(Apache::orders).collect()
    }

    fn balancers_known(&self) -> Vec<usize> {
        self.agents.iter().map(|agent| agent.status().balancers.len()).collect()
    }

    fn wait_for_balancers(&self, before: &[usize]) {
        for (agent, before) in self.agents.iter().zip(before) {
            agent.wait_for_balancers(before + 1, PATIENCE);
            wait_until_seen_up(agent);
        }
    }
}

/// What stands before the servers.
pub(crate) trait Balancer {
    /// Where users come in.
    fn entrance(&self) -> SocketAddr;
}

impl Balancer for Haproxy {
    fn entrance(&self) -> SocketAddr {
        self.address()
    }
}

impl Balancer for Proxy {
    fn entrance(&self) -> SocketAddr {
        self.address()
    }
}

/// Waits until every balancer's header says that it holds this agent's server for up.
#[track_caller]
pub(crate) fn wait_until_seen_up(agent: &Agent) {
    agent.wait_until("up in every balancer's eyes", PATIENCE, |s| {
        s.phase == Phase::Up && s.balancers.iter().all(|b| b.view.as_deref() == Some("UP"))
    });
}

/// Whether any source of traffic counts a request in flight: the kernel, or a balancer.
pub(crate) fn sees_a_request(status: &Status) -> bool {
    status.traffic.sources.iter().any(|source| source.in_flight > Some(0))
}

/// Waits until the users have made so many more requests.
#[track_caller]
pub(crate) fn let_run(place: &Place, load: &Running, requests: usize) {
    let wanted = load.requests() + requests;
    place.wait_for(&format!("{requests} more requests"), PATIENCE, || {
        let saw = load.requests();
        holds(saw >= wanted, || format!("{saw} of {wanted}"))
    });
}

/// Asks for something that drains, and gives the drain once it has ended.
#[track_caller]
pub(crate) fn drained(agent: &Agent, ask: impl FnOnce(&Agent)) -> Drain {
    let before = agent.last_ended();
    ask(agent);
    agent.wait_for_end(before, DRAINED_WITHIN)
}
