//! The health port, held open by systemd.

use std::time::Duration;

use drain_tests::{Haproxy, PATIENCE, Place, SystemdBox, place::holds, readme::recipe};

use crate::host::{AGENT, Host};

/// How a balancer checks that notices the first check that fails.
pub(crate) const STRICT: &str = "inter 100 fall 1 rise 1";
/// And waits for an answer so long that the machine's speed does not matter.
pub(crate) const PATIENT_CHECK: &str = "timeout check 30s";

/// So often the agent is restarted by systemctl.
const RESTARTS: usize = 20;
/// So often it crashes.
const CRASHES: usize = 5;
/// So often it is restarted behind a balancer that waits as README has it.
const MEASURED: usize = 5;

/// For how long there was no agent at its last restart, by systemd's clock.
fn away(machine: &SystemdBox) -> Duration {
    let at = |property: &str| {
        let moment = machine.property(AGENT, property);
        Duration::from_micros(moment.parse().expect("a number of microseconds"))
    };
    at("ActiveEnterTimestampMonotonic").saturating_sub(at("ActiveExitTimestampMonotonic"))
}

/// Restarts the agent by these words, and gives how long it was away.
fn restart(machine: &SystemdBox, words: &str) -> Duration {
    let main = machine.main_pid(AGENT);
    machine.sh(&format!("systemctl {words} {AGENT}"));
    machine.wait_for("another agent", || {
        let (now, active) = (machine.main_pid(AGENT), machine.property(AGENT, "ActiveState"));
        holds(now != main && now != 0 && active == "active", || format!("{active}, pid {now}"))
    });
    away(machine)
}

/// What a balancer has said of a server that it took for dead.
struct Downs {
    balancer: Haproxy,
    seen: usize,
}

impl Downs {
    /// Those since the last look; by then the balancer has checked the server again.
    fn next(&mut self) -> Vec<String> {
        self.balancer.wait_for_status("s1", "UP", PATIENCE);
        let log = self.balancer.child().log_text();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("s1 is DOWN")).collect();
        let new = told[self.seen..].iter().map(ToString::to_string).collect();
        self.seen = told.len();
        new
    }
}

/// A host whose health port systemd holds, and an agent that the first check starts, of a balancer with this line.
fn held_open(place: &Place, line: &str) -> Option<(Host, Downs)> {
    let host = Host::bare(place)?;
    let config = crate::host::CONFIG.replace("listen = \"127.0.0.1:8404\"\n", "");
    assert!(!config.contains("listen"));
    host.machine.write("/etc/drain-agent/apache2.toml", &config);
    host.machine.sh("systemctl start apache2 drain-agent@apache2.socket");
    // Nobody has started it: the first check does.
    assert_eq!(host.machine.property(AGENT, "ActiveState"), "inactive");
    let balancer = host.balancer(|lb| lb.line(line).check(STRICT));
    host.machine.wait_for_property(AGENT, "ActiveState", "active");
    let mut downs = Downs { balancer, seen: 0 };
    // Those of the time before there was an agent are of no concern.
    downs.next();
    Some((host, downs))
}

#[test]
fn an_agent_that_is_restarted_twenty_times_is_never_seen_as_down() {
    let place = Place::new("box_socket");
    let Some((host, mut downs)) = held_open(&place, PATIENT_CHECK) else { return };
    for number in 0..RESTARTS {
        let away = restart(&host.machine, "restart");
        let new = downs.next();
        assert!(new.is_empty(), "restart {number}, by which the agent was away for {away:?}: {new:?}");
    }
}

#[test]
fn an_agent_that_crashes_is_seen_as_down_by_no_check_but_the_one_that_it_was_answering() {
    let place = Place::new("box_socket_crash");
    let Some((host, mut downs)) = held_open(&place, PATIENT_CHECK) else { return };
    for number in 0..CRASHES {
        let away = restart(&host.machine, "kill --kill-whom=main -s KILL");
        // That one is reset by the kernel, whoever holds the port.
        let new = downs.next();
        let is_cut = new.len() <= 1 && new.iter().all(|down| down.contains("reset"));
        assert!(is_cut, "crash {number}, by which the agent was away for {away:?}: {new:?}");
    }
}

#[test]
fn the_time_that_readme_gives_a_check_is_longer_than_a_restart_takes() {
    let place = Place::new("box_socket_readme");
    let readme = recipe("haproxy");
    let line =
        readme.lines().find(|line| line.starts_with("timeout check ")).expect("README's time for a check");
    let limit =
        line.rsplit(' ').next().and_then(|time| time.strip_suffix('s')).and_then(|time| time.parse().ok());
    let limit = Duration::from_secs(limit.expect("in seconds"));
    let Some((host, mut downs)) = held_open(&place, line) else { return };
    let mut all = Vec::new();
    for number in 0..MEASURED {
        let away = restart(&host.machine, "restart");
        all.push(away);
        // A machine that was too slow for README's time in this restart says nothing about it.
        let new = downs.next();
        let is_slow = away >= limit / 2 && new.len() == 1 && new[0].contains("timeout");
        assert!(
            new.is_empty() || is_slow,
            "restart {number}, by which the agent was away for {away:?}: {new:?}"
        );
    }
    eprintln!("the agent was away for {all:?}");
}

#[test]
fn a_socket_that_the_configuration_does_not_have_is_told() {
    let place = Place::new("box_mismatch");
    let Some(host) = Host::bare(&place) else { return };
    host.machine.write("/etc/drain-agent/apache2.toml", &crate::host::CONFIG.replace(":8404", ":8405"));
    host.machine.sh(&format!("systemctl start apache2 drain-agent@apache2.socket {AGENT}"));
    host.machine.wait_for("a warning", || {
        let journal = host.machine.journal(AGENT);
        if journal.contains("0.0.0.0:8404, which is not in the configuration") {
            Ok(())
        } else {
            Err(journal)
        }
    });
}
