//! The agent speaks HAProxy's agent protocol, to a real HAProxy and to our proxy.

use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
};

use drain_agent::{control::api::Balancer, lifecycle::Phase};
use drain_tests::{
    Agent, Haproxy, Nginx, PATIENCE, Place, Proxy, Server, client::Connection, place::holds, port,
};
use socket2::{Domain, Socket, Type};

/// Two servers behind an HAProxy, of which the first has an agent.
struct Stage {
    agent: Agent,
    /// Where the agent speaks.
    spoken: SocketAddr,
    balancer: Haproxy,
    _servers: [Nginx; 2],
    place: Place,
}

/// `beside`: the HAProxy checks by HTTP as well.
fn stage(name: &str, beside: bool, keys: &str) -> Stage {
    let place = Place::new(name);
    let servers = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let spoken = port::free();
    let agent = Agent::guarding(&place, "agent", servers[0].address().port())
        .speaking_at(spoken, keys)
        .proof("none")
        .min_remaining(u32::from(beside))
        .start();
    let words = format!(
        "weight 100 agent-check agent-addr {} agent-port {} agent-inter 200 agent-send s1\\n",
        spoken.ip(),
        spoken.port()
    );
    let first = Server::new("s1", servers[0].address()).with(&words);
    let first = if beside { first.checked_at(agent.address()) } else { first.unchecked() };
    let second = Server::new("s2", servers[1].address()).with("weight 100").unchecked();
    let mut balancer = Haproxy::new(&place, "lb").server(first).server(second).start_unchecked();
    balancer.child().expect_error("is DOWN");
    agent.wait_for_balancers(1, PATIENCE);
    Stage { agent, spoken, balancer, _servers: servers, place }
}

impl Stage {
    #[track_caller]
    fn sees(&self, status: &str) {
        self.balancer.wait_for_status("s1", status, PATIENCE);
    }

    #[track_caller]
    fn asked(&self, words: &[&str]) {
        let out = self.agent.ctl(words);
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// Waits until the balancer has asked once more from now on.
    #[track_caller]
    fn asks_again(&self) {
        let now = self.agent.status().agent.uptime_seconds;
        self.agent.wait_until("another question", PATIENCE, |status| {
            let asked = |balancer: &Balancer| status.agent.uptime_seconds - balancer.last_seconds > now;
            !status.balancers.is_empty() && status.balancers.iter().all(asked)
        });
    }
}

#[test]
fn instead_of_checks_by_http_it_drains_takes_out_and_brings_back() {
    let stage = stage("speaking_instead", false, "");
    stage.sees("no check");
    let known = stage.agent.status();
    assert_eq!(known.balancers[0].name.as_deref(), Some("agent-check"), "it counts as a balancer");
    stage.asked(&["soft", "--no-wait"]);
    stage.sees("DRAIN (agent)");
    let soft = stage.agent.wait_until("acknowledged", PATIENCE, |s| s.acknowledged.complete);
    assert!(soft.warnings.iter().any(|warning| warning.contains("agent protocol only")), "{soft:?}");
    stage.asked(&["hard", "--no-wait"]);
    stage.sees("DOWN (agent)");
    stage.agent.wait_until("acknowledged", PATIENCE, |s| s.phase == Phase::Hard && s.acknowledged.complete);
    stage.asked(&["up", "--no-wait"]);
    stage.sees("no check");
}

#[test]
fn beside_checks_by_http_it_says_the_same_and_the_header_counts() {
    let stage = stage("speaking_beside", true, "");
    stage.sees("UP");
    let known =
        stage.agent.wait_until("the header", PATIENCE, |s| s.balancers.iter().all(|b| b.view.is_some()));
    assert_eq!(known.balancers.len(), 1, "one balancer asks in two ways: {known:?}");
    stage.asked(&["soft", "--no-wait"]);
    let soft = stage.agent.wait_until("acknowledged", PATIENCE, |s| s.acknowledged.complete);
    assert_eq!(soft.phase, Phase::Soft, "the guard has not misread the weights");
    // What `show stat` has for 404 and `drain` together; were the latter not taken back, it would go on as DRAIN.
    stage.sees("NOLB");
    stage.asked(&["up", "--no-wait"]);
    stage.sees("UP");
}

#[test]
fn a_hard_drain_undoes_nothing_that_an_operator_has_set_in_haproxy() {
    let stage = stage("speaking_operator", false, "");
    let runtime = stage.balancer.runtime();
    runtime.command("set server shop/s1 state drain");
    // So it is called wherever an agent is asked, whoever has drained it.
    stage.sees("DRAIN (agent)");
    // A hard drain says nothing of `drain`, so nothing of it is to be taken back.
    stage.asked(&["hard", "--no-wait"]);
    stage.sees("DOWN (agent)");
    stage.asked(&["up", "--no-wait"]);
    stage.sees("DRAIN (agent)");
    // Nor anything of maintenance, in which HAProxy goes on asking.
    runtime.command("set server shop/s1 state ready");
    stage.sees("no check");
    runtime.command("set server shop/s1 state maint");
    stage.sees("MAINT");
    stage.asked(&["hard", "--no-wait", "--force"]);
    stage.agent.wait_until("acknowledged", PATIENCE, |s| s.phase == Phase::Hard && s.acknowledged.complete);
    stage.asked(&["up", "--no-wait"]);
    stage.agent.wait_for_phase(Phase::Up, PATIENCE);
    stage.sees("MAINT");
}

#[test]
fn an_agent_that_dies_in_a_hard_drain_leaves_a_maintenance_to_the_next() {
    let mut stage = stage("speaking_dies", false, "");
    let runtime = stage.balancer.runtime();
    runtime.command("set server shop/s1 state maint");
    stage.sees("MAINT");
    stage.asked(&["hard", "--no-wait", "--force"]);
    stage.agent.wait_until("acknowledged", PATIENCE, |s| s.phase == Phase::Hard && s.acknowledged.complete);
    stage.agent.crash_and_start_again();
    stage.agent.wait_for_phase(Phase::Hard, PATIENCE);
    stage.asked(&["up", "--no-wait"]);
    stage.agent.wait_for_phase(Phase::Up, PATIENCE);
    // Whoever is to hear `ready` hears it in the first answer. At the second question the first answer was taken.
    stage.asks_again();
    stage.asks_again();
    stage.sees("MAINT");
}

#[test]
fn an_agent_that_dies_in_a_soft_drain_leaves_the_next_to_take_it_back() {
    let mut stage = stage("speaking_dies_soft", false, "");
    stage.asked(&["soft", "--no-wait"]);
    stage.sees("DRAIN (agent)");
    stage.agent.crash_and_start_again();
    stage.asked(&["up", "--no-wait"]);
    stage.sees("no check");
}

/// What the agent says to another balancer: whoever asks from this address.
fn says_to(from: [u8; 4], spoken: SocketAddr) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of the loopback");
    socket.connect(&spoken.into()).expect("a connection to the agent");
    let mut words = String::new();
    TcpStream::from(socket).read_to_string(&mut words).expect("an answer to its end");
    words
}

#[test]
fn who_asks_first_in_a_soft_drain_is_owed_its_end_by_the_next_agent_too() {
    const LATE: [u8; 4] = [127, 0, 0, 2];
    let mut stage = stage("speaking_late", false, "");
    stage.asked(&["soft", "--no-wait"]);
    stage.sees("DRAIN (agent)");
    assert_eq!(says_to(LATE, stage.spoken), "up drain\n");
    // Before anybody has written that down.
    stage.agent.crash_and_start_again();
    stage.asked(&["up", "--no-wait"]);
    stage.agent.wait_for_phase(Phase::Up, PATIENCE);
    assert_eq!(says_to(LATE, stage.spoken), "up ready\n");
}

#[test]
fn the_weight_follows_the_load_and_stops_at_the_floor() {
    // Every machine uses more of its memory than that.
    let stage = stage("speaking_weight", false, "weight = { memory = [0, 1], floor = 30 }");
    stage.agent.wait_for_phase(Phase::Up, PATIENCE);
    stage.place.wait_for("the weight at its floor", PATIENCE, || {
        let saw = stage.balancer.weight("s1");
        holds(saw == Some(30), || format!("{saw:?}"))
    });
}

#[test]
fn our_proxy_understands_it() {
    let place = Place::new("speaking_proxy");
    let [one, two] = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let spoken = port::free();
    let agent = Agent::guarding(&place, "agent", one.address().port())
        .speaking_at(spoken, "")
        .proof("none")
        .min_remaining(0)
        .start();
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"inter = "100ms", uri = "/health""#)
        .server("s1", one.address(), None)
        .server_line(&format!(r#"agent_check = {{ port = {}, inter = "100ms" }}"#, spoken.port()))
        .server("s2", two.address(), None)
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    agent.wait_for_balancers(1, PATIENCE);
    let servers = || -> Vec<String> {
        let answer =
            |_| Connection::open(proxy.address()).and_then(|mut c| c.fetch("GET", "/page", &[], b""));
        (0..4).filter_map(|n| Some(answer(n).ok()?.header("x-server")?.to_owned())).collect()
    };
    let wait_for_new_users = |on_first: bool| {
        place.wait_for(&format!("new users on s1: {on_first}"), PATIENCE, || {
            let saw = servers();
            holds(saw.len() == 4 && saw.contains(&"s1".to_owned()) == on_first, || format!("{saw:?}"))
        });
    };
    wait_for_new_users(true);
    for drain in ["soft", "hard"] {
        assert!(agent.ctl(&[drain, "--no-wait"]).status.success());
        wait_for_new_users(false);
    }
    assert!(agent.ctl(&["up", "--no-wait"]).status.success());
    wait_for_new_users(true);
}
