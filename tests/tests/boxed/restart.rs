//! The restart of the real Apache's unit over D-Bus.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{PATIENCE, Place, place::holds};

use crate::{
    host::{AGENT, APACHE, Host},
    users::Users,
};

/// What makes Apache's start take its time.
const SLOW_START: &str = "[Service]\nExecStartPre=/bin/sleep 3\n";
const SLOW_START_FILE: &str = "/etc/systemd/system/apache2.service.d/slow.conf";

impl Host {
    fn slow_start(&self, drop_in: &str) {
        self.machine.write(SLOW_START_FILE, drop_in);
        self.machine.sh("systemctl daemon-reload");
    }

    /// How often systemd has started Apache.
    fn starts(&self) -> usize {
        self.machine.journal(APACHE).lines().filter(|line| line.starts_with("Started apache2")).count()
    }
}

#[test]
fn a_restart_over_dbus_behind_haproxy_hurts_nobody() {
    let place = Place::new("box_restart");
    let Some(host) = Host::guarded(&place, "") else { return };
    let balancer = host.balancer(|lb| lb);
    let users = Users::of(balancer.address());
    for mode in ["--hard", ""] {
        let (run, main) = (host.run(), host.machine.main_pid(APACHE));
        let out = host.ctl(&format!("restart {mode} --reason test"));
        assert!(out.status.success(), "{out:?}\n{}", host.machine.journal(AGENT));
        assert_ne!(host.run(), run, "another run of the unit");
        assert_ne!(host.machine.main_pid(APACHE), main);
        balancer.wait_for_status("s1", "UP", PATIENCE);
    }
    // As the convention has it, and as people send it who forget to name the main process alone.
    for whom in ["--kill-whom=main", ""] {
        let before = host.status().expect("a status").drains.last().map_or(0, |drain| drain.id);
        let run = host.run();
        host.machine.sh(&format!("systemctl kill {whom} -s USR1 {AGENT}"));
        let (outcome, text) = host.wait_for_end(before);
        assert_eq!(outcome, Outcome::Done, "{text}");
        assert_ne!(host.run(), run);
    }
    users.assert_nobody_hurt();
}

#[test]
fn an_agent_that_is_killed_in_each_phase_restarts_the_unit_once() {
    let place = Place::new("box_killed");
    let config = crate::host::CONFIG
        .replace("hard = { limit = \"2m\" }", "hard = { quiet = \"2s\", limit = \"2m\" }")
        .replace("interval = \"200ms\"", "interval = \"300ms\", rise = 10");
    let Some(host) = Host::guarded(&place, "") else { return };
    assert!(config.contains("rise = 10") && config.contains("quiet = \"2s\""));
    host.machine.write("/etc/drain-agent/apache2.toml", &config);
    host.machine.sh(&format!("systemctl restart {AGENT}"));
    host.slow_start(SLOW_START);
    for phase in [Phase::Soft, Phase::Hard, Phase::Restarting, Phase::Warming] {
        host.wait_until("up", |status| status.phase == Phase::Up && status.asked.is_none());
        let before = host.status().expect("a status").drains.last().map_or(0, |drain| drain.id);
        let (starts, killed) = (host.starts(), host.machine.main_pid(AGENT));
        host.machine.sh(&format!("systemctl kill --kill-whom=main -s USR1 {AGENT}"));
        host.wait_until(&format!("{phase:?}"), |status| status.phase == phase);
        host.machine.sh(&format!("systemctl kill --kill-whom=main -s KILL {AGENT}"));
        let (outcome, text) = host.wait_for_end(before);
        assert_eq!(outcome, Outcome::Done, "killed in {phase:?}: {text}");
        assert_ne!(host.machine.main_pid(AGENT), killed, "systemd has started another one");
        assert_eq!(host.starts(), starts + 1, "killed in {phase:?}\n{}", host.machine.journal(AGENT));
    }
}

/// Kills the agent, and waits until systemd has started another one that answers.
#[track_caller]
fn kill(host: &Host) {
    let killed = host.machine.main_pid(AGENT);
    host.machine.sh(&format!("systemctl kill --kill-whom=main -s KILL {AGENT}"));
    host.machine.wait_for("another agent", || {
        let now = host.machine.main_pid(AGENT);
        holds(now != killed && now != 0 && host.status().is_ok(), || format!("pid {now}"))
    });
}

#[test]
fn an_agent_that_is_killed_while_nothing_is_asked_of_it_or_after_a_failure_restarts_nothing() {
    let place = Place::new("box_killed_idle");
    let Some(host) = Host::guarded(&place, "") else { return };
    let run = host.run();
    kill(&host);
    host.wait_until("up", |status| status.phase == Phase::Up && status.asked.is_none());
    assert_eq!(host.run(), run, "killed in up");

    host.machine.write("/etc/apache2/conf-enabled/broken.conf", "ThisIsNoDirective\n");
    assert_eq!(host.ctl("restart --hard").status.code(), Some(1));
    host.wait_until("failed", |status| status.phase == Phase::Failed);
    // Apache runs again, but nobody has said that users may come back.
    host.machine.sh("rm /etc/apache2/conf-enabled/broken.conf && systemctl start apache2");
    let run = host.run();
    kill(&host);
    let health = || {
        host.machine.sh(&format!("curl -s -o /dev/null -w '%{{http_code}}' http://{}/", crate::host::HEALTH))
    };
    host.machine.wait_for("Apache to answer the new agent's probe", || {
        let status = host.status()?;
        holds(status.readiness.ready == Some(true), || format!("{status:#?}"))
    });
    let status = host.status().expect("a status");
    assert_eq!((status.phase, health().as_str()), (Phase::Failed, "500"), "{status:#?}");
    assert_eq!(host.run(), run, "killed in failed");
    let out = host.ctl("up");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn a_restart_that_fails_hangs_or_is_cancelled_says_why() {
    let place = Place::new("box_failed");
    let Some(host) = Host::guarded(&place, "") else { return };
    let said = |out: &std::process::Output| {
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    // It fails: its last lines tell why.
    host.machine.write("/etc/apache2/conf-enabled/broken.conf", "ThisIsNoDirective\n");
    let text = said(&host.ctl("restart --hard"));
    assert!(text.contains("expected systemd to restart apache2.service"), "{text}");
    assert!(text.contains("ThisIsNoDirective"), "the journal's lines are told: {text}");
    host.machine.sh("rm /etc/apache2/conf-enabled/broken.conf && systemctl start apache2");
    let out = host.ctl("up");
    assert!(out.status.success(), "{out:?}");
    host.wait_until("up", |status| status.phase == Phase::Up);

    // Somebody cancels it.
    host.slow_start("[Service]\nExecStartPre=/bin/sleep 1000\nTimeoutStartSec=infinity\n");
    let before = host.status().expect("a status").drains.last().map_or(0, |drain| drain.id);
    host.machine.sh(&format!("systemctl kill --kill-whom=main -s USR2 {AGENT}"));
    host.wait_until("restarting", |status| status.phase == Phase::Restarting);
    host.machine.wait_for_property(APACHE, "ActiveState", "activating");
    host.machine.sh("systemctl stop apache2");
    let (outcome, text) = host.wait_for_end(before);
    assert_ne!(outcome, Outcome::Done, "{text}");
    assert!(text.contains("cancelled by somebody else"), "{text}");

    // It hangs: the job is cancelled at the agent's own limit.
    let short = crate::host::CONFIG
        .replace("unit = \"apache2.service\"", "unit = \"apache2.service\"\ntimeout = \"2s\"");
    host.machine.write("/etc/drain-agent/apache2.toml", &short);
    host.machine.sh(&format!("systemctl reload {AGENT}"));
    let text = said(&host.ctl("restart --hard --force"));
    assert!(text.contains("within 2s") && text.contains("cancelled"), "{text}");
}

#[test]
fn the_unit_is_stopped_and_restarted_from_there() {
    let place = Place::new("box_stop");
    let Some(host) = Host::guarded(&place, "") else { return };
    let out = host.ctl("hard --then stop");
    assert!(out.status.success(), "{out:?}");
    host.machine.wait_for_property(APACHE, "ActiveState", "inactive");
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}");
    assert_eq!(host.machine.property(APACHE, "ActiveState"), "active");
    host.wait_until("up", |status| status.phase == Phase::Up);

    // As two jobs.
    let two = crate::host::CONFIG
        .replace("unit = \"apache2.service\"", "unit = \"apache2.service\"\nhow = \"stop-start\"");
    host.machine.write("/etc/drain-agent/apache2.toml", &two);
    host.machine.sh(&format!("systemctl reload {AGENT}"));
    let run = host.run();
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}");
    assert_ne!(host.run(), run);
}

#[test]
fn a_restart_that_is_given_up_in_its_stop_does_not_leave_the_server_stopped() {
    let place = Place::new("box_late_stop");
    let Some(host) = Host::guarded(&place, "") else { return };
    let short = crate::host::CONFIG
        .replace("unit = \"apache2.service\"", "unit = \"apache2.service\"\ntimeout = \"2s\"");
    host.machine.write("/etc/drain-agent/apache2.toml", &short);
    host.machine.sh(&format!("systemctl reload {AGENT}"));
    // What stops Apache is done, and something behind it takes its time.
    host.slow_start("[Service]\nExecStop=/bin/sleep 10\n");
    let run = host.run();
    let out = host.ctl("restart --hard");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    host.machine.wait_for("Apache runs anew", || {
        let (now, active) = (host.run(), host.machine.property(APACHE, "ActiveState"));
        holds(now != run && active == "active", || format!("{active}, run {now}"))
    });
}

#[test]
fn the_bus_may_be_restarted_in_mid_restart_and_no_connection_to_it_is_left() {
    let place = Place::new("box_bus");
    let Some(host) = Host::guarded(&place, "") else { return };
    host.slow_start(
        "[Service]\nExecStartPre=/bin/sh -c 'until [ -e /run/go ]; do sleep 0.1; done'\nTimeoutStartSec=infinity\n",
    );
    let (before, open) =
        (host.status().expect("a status").drains.last().map_or(0, |drain| drain.id), descriptors(&host));
    let run = host.run();
    host.machine.sh(&format!("systemctl kill --kill-whom=main -s USR2 {AGENT}"));
    host.machine.wait_for_property(APACHE, "ActiveState", "activating");
    host.machine.sh("systemctl restart dbus.service && touch /run/go");
    let (outcome, text) = host.wait_for_end(before);
    assert_eq!(outcome, Outcome::Done, "{text}");
    assert_ne!(host.run(), run);
    host.machine.wait_for("as many open files as before", || {
        let now = descriptors(&host);
        holds(now <= open, || format!("{now}, not {open}"))
    });
}

/// How many files the agent has open, connections included.
fn descriptors(host: &Host) -> usize {
    let pid = host.machine.main_pid(AGENT);
    host.machine.sh(&format!("ls /proc/{pid}/fd")).lines().count()
}
