//! The units as their packages bring them: sound, narrow, and enough.

use drain_agent::lifecycle::Phase;
use drain_tests::{Place, place::holds};

use crate::{
    host::{AGENT, APACHE, BYSTANDER, Host},
    packages::unpack,
};

/// `systemd-analyze security` gives at most this, from 0 (safe) to 10.
const EXPOSURE: f64 = 2.0;

#[test]
fn systemd_finds_no_fault_with_any_unit() {
    let place = Place::new("box_verify");
    let Some(host) = Host::bare(&place) else { return };
    unpack(&host.machine, "drain-proxy");
    for unit in [
        "drain-agent@apache2.service",
        "drain-agent@apache2.socket",
        "drain-proxy.service",
        "drain-proxy.socket",
    ] {
        // It ends with 0 on keys that it does not know; they are told on standard error.
        let out = host.machine.try_sh(&format!("systemd-analyze verify --man=no {unit}"));
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.trim().is_empty(), "{unit}: {said}");
    }
    for unit in ["drain-agent@apache2.service", "drain-proxy.service"] {
        let said = host.machine.sh(&format!("systemd-analyze security --no-pager {unit} | tail -1"));
        let exposure = said.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        assert!(exposure.is_some_and(|exposure| exposure <= EXPOSURE), "{unit}: {said}");
    }
}

#[test]
fn the_agents_user_may_restart_the_configured_unit_and_nothing_else() {
    let place = Place::new("box_polkit");
    let Some(host) = Host::guarded(&place, "") else { return };
    let may = |what: &str| {
        let out = host.machine.try_sh_as("drain-agent", &format!("{what} 2>&1"));
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    for allowed in ["restart", "try-restart", "reload-or-restart", "stop", "start"] {
        let (done, said) = may(&format!("systemctl --no-ask-password {allowed} {APACHE}"));
        assert!(done, "{allowed}: {said}");
    }
    let bystander = host.bystander();
    let (done, said) = may(&format!("systemctl --no-ask-password restart {BYSTANDER}"));
    let is_refused = said.contains("Access denied") || said.contains("authentication required");
    assert!(!done && is_refused, "{said}");
    assert_eq!(host.machine.property(BYSTANDER, "InvocationID"), bystander, "it runs on");
    for forbidden in [
        "systemctl --no-ask-password stop dbus.service",
        "systemctl --no-ask-password start apache2@other.service",
        "systemctl --no-ask-password kill apache2.service",
        "systemctl --no-ask-password mask apache2.service",
        "systemctl --no-ask-password daemon-reload",
        "systemctl --no-ask-password set-property apache2.service CPUWeight=1",
        "systemd-run --no-ask-password true",
        "systemd-run --no-ask-password --unit=apache2.service true",
        // Which isn't there: who may start it could make it.
        "systemctl --no-ask-password start apache2.socket",
        "systemd-run --no-ask-password --unit=apache2 --socket-property=ListenStream=9 true",
    ] {
        let (done, said) = may(forbidden);
        assert!(!done, "{forbidden}: {said}");
    }
    // Another user may nothing by our rule.
    let out = host.machine.try_sh_as("www-data", &format!("systemctl --no-ask-password restart {APACHE}"));
    assert!(!out.status.success());
}

#[test]
fn an_agent_that_hangs_is_ended_by_the_watchdog_and_started_anew() {
    let place = Place::new("box_watchdog");
    let Some(host) = Host::guarded(&place, "") else { return };
    host.machine.write(
        "/etc/systemd/system/drain-agent@.service.d/short.conf",
        "[Service]\nWatchdogSec=10s\nTimeoutAbortSec=1s\n",
    );
    host.machine.sh(&format!("systemctl daemon-reload && systemctl restart {AGENT}"));
    let main = host.machine.main_pid(AGENT);
    // One that lives says so.
    let fed = || host.machine.property(AGENT, "WatchdogTimestampMonotonic");
    let before = fed();
    host.machine.wait_for("the watchdog to be fed", || holds(fed() != before, || before.clone()));
    assert_eq!(host.machine.main_pid(AGENT), main, "{}", host.machine.journal(AGENT));
    assert!(host.machine.property(AGENT, "StatusText").starts_with("up (answers 200)"));
    host.machine.sh(&format!("kill -STOP {main}"));
    host.machine.wait_for("another agent", || {
        let now = host.machine.main_pid(AGENT);
        if now != main && now != 0 { Ok(()) } else { Err(format!("pid {now}")) }
    });
    host.wait_until("up", |status| status.phase == Phase::Up);
    assert!(host.machine.journal(AGENT).contains("Watchdog timeout"));
}

#[test]
fn agents_that_run_commands_are_given_root_by_a_drop_in() {
    let place = Place::new("box_root");
    let Some(host) = Host::bare(&place) else { return };
    host.give_root();
    let command = "command = [\"systemctl\", \"restart\", \"apache2.service\"]";
    let config = crate::host::CONFIG.replace("unit = \"apache2.service\"", command);
    assert!(config.contains(command));
    host.machine.write("/etc/drain-agent/apache2.toml", &config);
    host.machine.sh(&format!("systemctl start {APACHE} {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    let run = host.run();
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}\n{}", host.machine.journal(AGENT));
    assert_ne!(host.run(), run);
    // And back: what root has left is the user's own again.
    host.machine.sh(&format!("rm -r /etc/systemd/system/drain-agent@.service.d && systemctl daemon-reload && systemctl stop {AGENT}"));
    host.machine.write("/etc/drain-agent/apache2.toml", crate::host::CONFIG);
    host.machine.sh(&format!("systemctl start {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}\n{}", host.machine.journal(AGENT));
    assert_eq!(host.machine.sh("stat -c %U /var/lib/drain-agent/apache2.json").trim(), "drain-agent");
}
