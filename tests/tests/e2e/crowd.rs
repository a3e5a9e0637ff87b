//! Two of three servers asked to restart in the same instant, where two must remain: none is restarted while another is
//! out.
//!
//! What is so is read from the agents' own logs, which miss nothing and don't depend on when somebody looks: no server
//! is being restarted while another is drained or restarted. The balancer is watched beside that: during a restart it
//! holds no other server for down *because its agent has answered so*. A check that a busy machine has not answered in
//! time says nothing of a drain.

use std::{
    env, fs,
    num::NonZero,
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

/// How often, where `DRAIN_TEST_ROUNDS` does not say otherwise.
const ROUNDS: usize = 200;
/// So many farms race side by side for each processor, each with its own balancer and three agents: they mostly wait.
const LANES_PER_PROCESSOR: usize = 2;
/// More find no bug that these don't.
const LANES_MOST: usize = 8;
/// Two drains one after the other, each of about a second and after random delays of some seconds, on a machine that
/// may be ten times slower.
const ROUND_WITHIN: Duration = Duration::from_mins(3);
/// Between two looks at the balancer.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A server's weight and that of all, as the balancer says while all three are up.
const ALL_UP: &str = "1/3";

#[test]
fn two_of_three_asked_in_the_same_instant_are_never_both_out() {
    let rounds =
        env::var("DRAIN_TEST_ROUNDS").map_or(ROUNDS, |n| n.parse().expect("DRAIN_TEST_ROUNDS: a number"));
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let count = (processors * LANES_PER_PROCESSOR).min(LANES_MOST);
    let place = Place::new("crowd");
    let nginx = Nginx::new(&place, "shop").start();
    let lanes: Vec<_> = (0..count)
        .map(|lane| {
            let (place, port) = (place.clone(), nginx.address().port());
            let rounds = rounds / count + usize::from(lane < rounds % count);
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
        let mut balancer =
            Haproxy::new(place, &format!("lb{lane}")).check("inter 250 fastinter 250 fall 1 rise 1");
        for number in 0..3 {
            let name = format!("agent-{lane}-{number}");
            let log = place.public().join(format!("{name}.restarts"));
            let agent = Agent::guarding(place, &name, port)
                .restarting_by(vec![restart_command(place, &name, &log).display().to_string()])
                .proof("none")
                .probe_interval("200ms")
                .ready_deadline("60s")
                .hard_quiet("50ms")
                // A drain that gives way to another is tried again until this has passed.
                .acknowledge("120s", "abort")
                .min_remaining(2)
                .start();
            balancer = balancer
                .server(Server::new(&format!("s{number}"), nginx.address()).checked_at(agent.address()));
            agents.push(agent);
            logs.push(log);
        }
        let balancer = balancer.start();
        Self { place: place.clone(), balancer, agents, logs }
    }

    /// Asks two of the three at once, hard, and waits until both have been restarted.
    fn race(&self, round: usize) {
        // Who has not heard yet that the others are back would refuse.
        self.agents.iter().for_each(wait_until_all_are_seen_up);
        let (one, other) = (round % 3, (round + 1) % 3);
        let watch = Watch::of(&self.balancer);
        let before = [one, other].map(|n| self.restarts(n).len());
        let ended = [one, other].map(|n| self.agents[n].last_ended());
        self.agents[one].signal(Signal::USR2);
        self.agents[other].signal(Signal::USR2);
        for (agent, ended) in [one, other].map(|n| &self.agents[n]).into_iter().zip(ended) {
            let drain = agent.wait_for_end(ended, ROUND_WITHIN);
            self.place.check(drain.outcome == Outcome::Done, &format!("round {round}: {drain:#?}"));
        }
        let looks = watch.end();
        for (server, before) in [one, other].into_iter().zip(before) {
            for (began, ended) in self.restarts(server).into_iter().skip(before) {
                let others_out = looks
                    .iter()
                    .filter(|look| began <= look.begun && look.done <= ended)
                    .find(|look| look.taken_out.iter().enumerate().any(|(n, out)| n != server && *out));
                self.place.check(
                    others_out.is_none(),
                    &format!("round {round}: s{server} was restarted while another was out: {others_out:?}"),
                );
            }
        }
    }

    /// Each request has led to one restart, and during none of them was another server drained or restarted.
    fn judge(mut self, rounds: usize) {
        let all: usize = (0..3).map(|n| self.restarts(n).len()).sum();
        assert_eq!(all, 2 * rounds, "each request led to one restart");
        let told: Vec<Vec<Told>> =
            self.agents.iter_mut().map(|agent| transitions(&agent.child().log_text())).collect();
        for (server, told_here) in told.iter().enumerate() {
            let restarts: Vec<_> = spells(told_here, &["restarting"]).collect();
            self.place.check(!restarts.is_empty() || rounds < 3, "the logs tell of no restart");
            for (began, ended) in restarts {
                for (other, told_there) in told.iter().enumerate().filter(|(other, _)| *other != server) {
                    let mut out = spells(told_there, &["soft", "hard", "restarting", "warming"]);
                    let at_once = out.find(|(left, back)| *left < ended && began < *back);
                    self.place.check(
                        at_once.is_none(),
                        &format!(
                            "s{server} was restarted ({began} to {ended}) while s{other} was out: {at_once:?}"
                        ),
                    );
                }
            }
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

/// Waits until the balancer has told this agent that all servers are up.
#[track_caller]
fn wait_until_all_are_seen_up(agent: &Agent) {
    agent.wait_until("all up in the balancer's eyes", ROUND_WITHIN, |s| {
        s.balancers.iter().any(|b| b.view.as_deref() == Some("UP") && b.weight.as_deref() == Some(ALL_UP))
    });
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

/// A line of an agent's log that tells of a transition: when (in a form whose order is that of time), and to which
/// stage.
#[derive(Debug)]
struct Told {
    at: String,
    to: String,
}

fn transitions(log: &str) -> Vec<Told> {
    let transition = |line: &str| {
        let mut words = line.split_whitespace();
        let (at, _level, _from) = (words.next()?, words.next()?, words.next()?);
        let to = (words.next()? == "->").then(|| words.next())??;
        Some(Told { at: at.to_owned(), to: to.to_owned() })
    };
    log.lines().filter_map(transition).collect()
}

/// From when to when the server was in one of these stages; a spell that has not ended is left out.
fn spells<'t>(told: &'t [Told], stages: &'t [&str]) -> impl Iterator<Item = (&'t str, &'t str)> {
    let is_in = |told: &Told| stages.contains(&told.to.as_str());
    let begins = move |n: &usize| is_in(&told[*n]) && !n.checked_sub(1).is_some_and(|n| is_in(&told[n]));
    (0..told.len()).filter(begins).filter_map(move |n| {
        let end = told[n..].iter().find(|told| !stages.contains(&told.to.as_str()))?;
        Some((told[n].at.as_str(), end.at.as_str()))
    })
}

/// One look at the balancer, which lies between these moments.
#[derive(Clone, Debug)]
struct Look {
    begun: Duration,
    done: Duration,
    /// Not up, because its check was answered so.
    taken_out: [bool; 3],
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
                let begun = clock::unix();
                let (statuses, answers) = (runtime.statuses(), runtime.answers());
                let done = clock::unix();
                let taken_out = ["s0", "s1", "s2"].map(|server| {
                    let is = |column: &std::collections::BTreeMap<String, String>, text: &str| {
                        column.get(server).is_some_and(|cell| cell.starts_with(text))
                    };
                    is(&statuses, "DOWN") && is(&answers, "500")
                });
                list.lock().expect("no look panics").push(Look { begun, done, taken_out });
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
