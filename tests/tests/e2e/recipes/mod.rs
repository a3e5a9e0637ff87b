//! The recipes of README for balancers other than HAProxy and drain-proxy (`rolling`): each is taken from there, put
//! before two Apaches with agents, and one of these is restarted under light load.

mod apache;
mod caddy;
mod nginx;
mod varnish;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
};

use drain_tests::{
    Agent, Apache, Load, PATIENCE, Place, child::Child, client::Connection, load::Running, place::holds,
    port, readme::recipe, tally::Tally,
};
use rustix::process::Signal;

use crate::farm::{self, DRAINED_WITHIN};

/// A recipe with our addresses in the place of README's, each of which must stand in it.
fn recipe_with(name: &str, replaced: &[(&str, String)]) -> String {
    let mut text = recipe(name);
    for (written, ours) in replaced {
        assert!(text.contains(written), "{written:?} does not stand in the recipe {name}: {text}");
        text = text.replace(written, ours);
    }
    text
}

/// Two Apaches with their agents, at 127.0.0.1 and 127.0.0.2, and an address for the balancer.
struct Shop {
    agents: [Agent; 2],
    apaches: [Apache; 2],
    entrance: SocketAddr,
    place: Place,
}

impl Shop {
    /// `set` changes the agents, `more` is more of the servers' configuration.
    fn new(name: &str, more: impl Fn(SocketAddr) -> String, set: impl Fn(Agent) -> Agent) -> Self {
        let place = Place::new(name);
        let agents_port = port::free().port();
        let host = |n: u8| IpAddr::from(Ipv4Addr::new(127, 0, 0, n));
        let asked = |n: u8| SocketAddr::new(host(n), agents_port);
        let servers_port = [port::free().port(), port::free().port()];
        let apaches = [1_u8, 2].map(|n| {
            let address = SocketAddr::new(host(n), servers_port[usize::from(n) - 1]);
            Apache::new(&place, &format!("s{n}")).at(address).with(&more(asked(n))).start()
        });
        let agents = [1_u8, 2].map(|n| {
            let agent = Agent::beside(&apaches[usize::from(n) - 1]).listening_at(asked(n)).hard_quiet("1s");
            set(agent).start()
        });
        Self { agents, apaches, entrance: port::free(), place }
    }

    /// Starts the balancer and waits until users get pages from both servers.
    fn behind(&self, name: &str, command: Command, is_error: fn(&str) -> bool) -> Child {
        let child = Child::start(&self.place, &self.place.subdir(name), name, command, is_error);
        self.place.wait_for(&format!("both servers behind {name}"), PATIENCE, || {
            let mut served = Vec::new();
            for _ in 0..4 {
                let answer =
                    Connection::open(self.entrance).and_then(|mut c| c.fetch("GET", "/health", &[], b""));
                let answer = answer.map_err(|error| error.to_string())?;
                served.push(answer.header("x-server").unwrap_or_default().to_owned());
            }
            let both = ["s1", "s2"].iter().all(|name| served.iter().any(|by| by == name));
            holds(both, || format!("{served:?}"))
        });
        child
    }

    fn load(&self) -> Running {
        let load = Load::on(self.entrance).users_of_each_habit(1).start();
        farm::let_run(&self.place, &load, 20);
        load
    }

    /// Drains the first server and restarts it under load; gives what the users saw.
    fn restart_under_load(&self) -> Tally {
        let load = self.load();
        self.agents[0].signal(Signal::USR2);
        self.agents[0].wait_for_success(0, DRAINED_WITHIN);
        farm::let_run(&self.place, &load, 20);
        let restarts = self.apaches[0].restarts();
        self.place.check(restarts.len() == 1, &format!("restarted {restarts:?}"));
        let tally = load.finish();
        println!("{}", tally.summary());
        tally
    }

    /// The same; nobody may be hurt.
    fn restart_hurts_nobody(&self) {
        for agent in &self.agents {
            agent.wait_for_balancers(1, PATIENCE);
        }
        let tally = self.restart_under_load();
        tally.assert_nobody_hurt(&self.place, self.apaches.iter().flat_map(Apache::orders));
    }
}

/// An agent that knows a balancer without a state header: expected, so that it need not wait for others to come.
fn told_by_answers(agent: Agent) -> Agent {
    agent.expecting("127.0.0.1").fall(1)
}

fn nothing(_agent: SocketAddr) -> String {
    String::new()
}
