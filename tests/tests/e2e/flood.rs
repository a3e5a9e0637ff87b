//! The health endpoint under attack and under load: a balancer's check is answered all the same.

use std::{thread, time::Duration};

use drain_tests::{Agent, Apache, Haproxy, PATIENCE, Place, Server, client::Connection, clock, flood::Flood};

/// So many clients at once.
const CLIENTS: usize = 5_000;
/// A check under the flood, which shares the machine: the clients would hold one up that waited for them for as long as they
/// last. How fast it is otherwise is measured by `tests/bounds`.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long the flood is watched.
const WATCHED: Duration = Duration::from_secs(6);

#[test]
fn five_thousand_silent_slow_and_garbage_clients_do_not_keep_a_check_waiting() {
    let place = Place::new("flood");
    let apache = Apache::new(&place, "s1").start();
    let agent = Agent::beside(&apache).start();
    let balancer = Haproxy::new(&place, "lb")
        .server(Server::new("s1", apache.address()).checked_at(agent.address()))
        .start();
    let flood = Flood::on(agent.address(), CLIENTS);

    let start = clock::now();
    let mut slowest = Duration::ZERO;
    let mut checks = 0;
    while start.elapsed() < WATCHED {
        let asked = clock::now();
        let answer = agent.check().unwrap_or_else(|e| place.fail(&format!("check {checks}: {e}")));
        assert_eq!(answer.status, 200);
        slowest = slowest.max(asked.elapsed());
        checks += 1;
        place.check(balancer.status("s1") == "UP", "HAProxy's checks were answered in time");
        clock::pause(Duration::from_millis(20));
    }
    let opened = flood.end();

    place.check(opened >= CLIENTS, &format!("only {opened} connections were opened"));
    place.check(slowest < ANSWERED_WITHIN, &format!("the slowest of {checks} checks took {slowest:?}"));
    balancer.wait_for_status("s1", "UP", PATIENCE);
    println!("{checks} checks beside {opened} connections, the slowest in {slowest:?}");
}

#[test]
fn a_thousand_checks_a_second_are_answered() {
    /// Threads that ask, and how often each asks.
    const ASKERS: u64 = 4;
    const EACH: u64 = 750;
    let place = Place::new("many_checks");
    let apache = Apache::new(&place, "s1").start();
    let agent = Agent::beside(&apache).start();
    let to = agent.address();

    let start = clock::now();
    let askers: Vec<_> = (0..ASKERS)
        .map(|_| {
            thread::spawn(move || {
                let mut times = Vec::new();
                for number in 0..EACH {
                    // A thousand a second, all together, at even intervals.
                    let due = Duration::from_millis(number * ASKERS);
                    clock::pause(due.saturating_sub(start.elapsed()));
                    let asked = clock::now();
                    let mut connection = Connection::open(to).expect("a connection");
                    let answer = connection.fetch("OPTIONS", "/", &[], b"").expect("an answer");
                    assert_eq!(answer.status, 200);
                    times.push(asked.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times: Vec<_> = askers.into_iter().flat_map(|a| a.join().expect("an asker's thread")).collect();
    times.sort();

    let took = start.elapsed();
    println!("{} checks in {took:?}, median {:?}", times.len(), times[times.len() / 2]);
}
