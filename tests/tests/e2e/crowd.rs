//! Two of three servers asked to restart in the same instant, where two must remain: never both out.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use drain_agent::control::api::Outcome;
use drain_tests::{Agent, Haproxy, Nginx, Place, Server, clock};
use rustix::process::Signal;

use crate::farm;

/// How often, where `DRAIN_TEST_ROUNDS` does not say otherwise.
const ROUNDS: usize = 200;
/// So many farms race side by side, each with its own balancer and agents: they mostly wait.
const LANES: usize = 10;
/// Two drains one after the other, each of about a second, and the first one's random delays.
const ROUND_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks at the balancer.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[test]
fn two_of_three_asked_in_the_same_instant_are_never_both_out() {
    let rounds =
        env::var("DRAIN_TEST_ROUNDS").map_or(ROUNDS, |n| n.parse().expect("DRAIN_TEST_ROUNDS: a number"));
    let place = Place::new("crowd");
    let nginx = Nginx::new(&place, "shop").start();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (place, port) = (place.clone(), nginx.address().port());
            let rounds = rounds / LANES + usize::from(lane < rounds % LANES);
            let servers = Lane::new(&place, lane, &nginx, port);
            thread::spawn(move || {
                for round in 0..rounds {
                    servers.race(round);
                }
                servers.judge(rounds);
            })
        })
        .collect();
    for lane in lanes {
        if let Err(panic) = lane.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Three servers (in truth one nginx: no user is here, only weights matter) with agents and a balancer.
struct Lane {
    place: Place,
    balancer: Haproxy,
    agents: Vec<Agent>,
    /// When each restart began and ended, in nanoseconds since 1970, one file for each server.
    logs: Vec<PathBuf>,
}

impl Lane {
    fn new(place: &Place, lane: usize, nginx: &Nginx, port: u16) -> Self {
        let mut agents = Vec::new();
        let mut logs = Vec::new();
        // On a machine as busy as this a check may take longer than its interval, which is no drain.
        let mut balancer = Haproxy::new(place, &format!("lb{lane}"))
            .check("inter 100 fastinter 50 fall 1 rise 1")
            .line("timeout check 5s");
        for number in 0..3 {
            let name = format!("agent-{lane}-{number}");
            let log = place.public().join(format!("{name}.restarts"));
            let agent = Agent::guarding(place, &name, port)
                .restarting_by(vec![restart_command(place, &name, &log).display().to_string()])
                .proof("none")
                .probe_interval("200ms")
                .hard_quiet("50ms")
                .acknowledge("30s", "abort")
                .min_remaining(2)
                .start();
            balancer = balancer
                .server(Server::new(&format!("s{number}"), nginx.address()).checked_at(agent.address()));
            agents.push(agent);
            logs.push(log);
        }
        let balancer = balancer.start();
        agents.iter().for_each(farm::wait_until_seen_up);
        Self { place: place.clone(), balancer, agents, logs }
    }

    /// Asks two of the three at once, hard, and waits until both have been restarted.
    fn race(&self, round: usize) {
        let (one, other) = (round % 3, (round + 1) % 3);
        let watch = Watch::of(&self.balancer);
        let before = [one, other].map(|n| self.restarts(n).len());
        let ended = [one, other].map(|n| self.agents[n].last_ended());
        self.agents[one].signal(Signal::USR2);
        self.agents[other].signal(Signal::USR2);
        for (agent, ended) in [one, other].map(|n| &self.agents[n]).into_iter().zip(ended) {
            let drain = agent.wait_for_end(ended, ROUND_WITHIN);
            self.place.check(drain.outcome == Outcome::Done, &format!("round {round}: {drain:#?}"));
            farm::wait_until_seen_up(agent);
        }
        let looks = watch.end();
        for (server, before) in [one, other].into_iter().zip(before) {
            for (began, ended) in self.restarts(server).into_iter().skip(before) {
                let others_out = looks.iter().find(|look| {
                    (began..ended).contains(&look.at)
                        && look.up.iter().enumerate().any(|(n, up)| n != server && !up)
                });
                self.place.check(
                    others_out.is_none(),
                    &format!("round {round}: s{server} was restarted while another was out: {others_out:?}"),
                );
            }
        }
    }

    /// No two restarts of a lane overlap, and each request led to one.
    fn judge(&self, rounds: usize) {
        let mut all: Vec<_> = (0..3).flat_map(|n| self.restarts(n)).collect();
        all.sort();
        assert_eq!(all.len(), 2 * rounds, "each request led to one restart");
        for pair in all.windows(2) {
            self.place.check(pair[0].1 <= pair[1].0, &format!("two restarts overlap: {pair:?}"));
        }
    }

    fn restarts(&self, server: usize) -> Vec<(Duration, Duration)> {
        let text = fs::read_to_string(&self.logs[server]).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let (began, ended) = line.split_once(' ')?;
                let time = |t: &str| Some(Duration::from_nanos(t.parse().ok()?));
                Some((time(began)?, time(ended)?))
            })
            .collect()
    }
}

/// A command that takes as long as a quick restart, and writes down when.
fn restart_command(place: &Place, name: &str, log: &Path) -> PathBuf {
    let path = place.public().join(format!("{name}.restart"));
    let text = format!(
        "#!/bin/sh\nbegan=$(date +%s%N)\nsleep 0.1\necho \"$began $(date +%s%N)\" >>'{}'\n",
        log.display()
    );
    fs::write(&path, text).expect("write a restart command");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    path
}

/// One look at the balancer.
#[derive(Clone, Debug)]
struct Look {
    at: Duration,
    up: [bool; 3],
}

/// Looks at a balancer over and over until it is ended.
struct Watch {
    over: Arc<AtomicBool>,
    looks: Arc<Mutex<Vec<Look>>>,
    thread: thread::JoinHandle<()>,
}

impl Watch {
    fn of(balancer: &Haproxy) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(Mutex::new(Vec::new()));
        let runtime = balancer.runtime();
        let (flag, list) = (Arc::clone(&over), Arc::clone(&looks));
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let statuses = runtime.statuses();
                let at = clock::unix();
                let up = ["s0", "s1", "s2"].map(|s| statuses.get(s).is_some_and(|now| now.starts_with("UP")));
                list.lock().expect("no look panics").push(Look { at, up });
                clock::pause(LOOK_EVERY);
            }
        });
        Self { over, looks, thread }
    }

    fn end(self) -> Vec<Look> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch's thread");
        self.looks.lock().expect("no look panics").clone()
    }
}
