//! The health port, held open by systemd.

use std::time::Duration;

use drain_tests::{PATIENCE, Place, SystemdBox, readme::recipe};

use crate::host::{AGENT, Host};

/// So often the agent is restarted, by systemctl and by a crash in turn.
const RESTARTS: usize = 20;
/// So long an agent may be away for a balancer that waits for 2 s, as README has it, on a machine that does other things,
/// too. A restart takes a tenth of it where nothing else runs.
const AWAY: Duration = Duration::from_secs(1);

/// For how long there was no agent at its last restart, by systemd's clock.
fn away(machine: &SystemdBox) -> Duration {
    let at = |property: &str| {
        let moment = machine.property(AGENT, property);
        Duration::from_micros(moment.parse().expect("a number of microseconds"))
    };
    at("ActiveEnterTimestampMonotonic").saturating_sub(at("ActiveExitTimestampMonotonic"))
}

#[test]
fn an_agent_that_is_restarted_twenty_times_is_never_seen_as_down() {
    let place = Place::new("box_socket");
    let Some(host) = Host::bare(&place) else { return };
    let config = crate::host::CONFIG.replace("listen = \"127.0.0.1:8404\"\n", "");
    assert!(!config.contains("listen"));
    host.machine.write("/etc/drain-agent/apache2.toml", &config);
    host.machine.sh("systemctl start apache2 drain-agent@apache2.socket");
    // Nobody has started it: the first check does.
    assert_eq!(host.machine.property(AGENT, "ActiveState"), "inactive");
    let readme = recipe("haproxy");
    let timeout =
        readme.lines().find(|line| line.starts_with("timeout check ")).expect("README's time for a check");
    let mut balancer = host.balancer(|lb| lb.line(timeout).check("inter 100 fall 1 rise 1"));
    host.machine.wait_for_property(AGENT, "ActiveState", "active");
    let mut all = Vec::new();
    let (mut downs, mut seen) = (Vec::new(), 0);
    for number in 0..RESTARTS {
        let main = host.machine.main_pid(AGENT);
        if number % 2 == 0 {
            host.machine.sh(&format!("systemctl restart {AGENT}"));
        } else {
            host.machine.sh(&format!("systemctl kill --kill-whom=main -s KILL {AGENT}"));
        }
        host.machine.wait_for("another agent", || {
            let (now, active) = (host.machine.main_pid(AGENT), host.machine.property(AGENT, "ActiveState"));
            if now != main && now != 0 && active == "active" {
                Ok(())
            } else {
                Err(format!("{active}, pid {now}"))
            }
        });
        all.push(away(&host.machine));
        balancer.wait_for_status("s1", "UP", PATIENCE);
        let log = balancer.child().log_text();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("s1 is DOWN")).collect();
        // A check that is being answered when its agent is killed is reset by the kernel, whoever holds the port.
        let is_fault = |down: &&&str| number % 2 == 0 || !down.contains("reset");
        downs.extend(told[seen..].iter().filter(is_fault).map(ToString::to_string));
        seen = told.len();
    }
    eprintln!("the agent was away for {all:?}");
    assert!(
        downs.iter().all(|down| down.contains("timeout")),
        "refused, reset or answered wrongly: {downs:?}, and the agent was away for {all:?}"
    );
    // A machine that is too slow for README's time says nothing about it.
    let is_slow = all.iter().any(|away| *away >= AWAY);
    assert!(downs.is_empty() || is_slow, "{downs:?}, and the agent was away for {all:?}");
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
