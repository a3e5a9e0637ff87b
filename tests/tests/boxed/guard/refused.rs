//! A guard whose drain the agent refuses for now: others are out, or there are none.

use std::process::Child;

use drain_tests::{Haproxy, Place, Server, place::holds};

use super::stage::{Crowd, HEALTH, PATIENT, Stage, in_background};

/// Whoever restarts while others are out waits for them.
const WAITS: &str = "waits for others to come back";

/// Restarts the server, and waits until the guard waits. Nothing has happened then.
fn restart_that_waits(stage: &Stage, before: &str) -> Child {
    let restart = in_background(&stage.machine, "systemctl restart apache2");
    stage.wait_for_word(WAITS);
    let status = stage.status().expect("the agent answers");
    assert_eq!(status["phase"], "up", "{status}");
    assert_eq!(stage.invocation(), before, "it serves on");
    restart
}

/// The restart goes on, and has drained.
fn assert_drained(stage: &Stage, restart: &mut Child, before: &str) {
    assert!(restart.wait().expect("systemctl ends").success());
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_phase("up");
}

#[test]
fn a_restart_while_the_other_server_is_out_waits_for_it_and_hurts_nobody() {
    let place = Place::new("guard_other_out");
    let Some(stage) = Stage::guarded(&place, PATIENT) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let mut crowd = Crowd::before(&stage);
    let before = stage.invocation();
    crowd.balancer.runtime().command("set server shop/other state maint");
    stage.machine.wait_for("the agent to know that too few remain", || {
        let status = stage.status().unwrap_or_default();
        holds(status["balancers"][0]["too_few"].is_string(), || status.to_string())
    });
    let mut restart = restart_that_waits(&stage, &before);
    crowd.balancer.runtime().command("set server shop/other state ready");
    assert_drained(&stage, &mut restart, &before);
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
}

#[test]
fn a_restart_while_another_server_of_the_host_is_out_waits_for_it() {
    let place = Place::new("guard_exclusive");
    let Some(stage) = Stage::guarded(&place, &format!("{PATIENT}\nexclusive = \"host\"")) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let before = stage.invocation();
    stage.machine.sh("touch /run/drain-agent/host.lock && chown drain-agent: /run/drain-agent/host.lock && \
         systemd-run -q --unit other flock /run/drain-agent/host.lock sleep infinity");
    stage.machine.wait_for("the lock to be taken", || {
        let free = stage.machine.try_sh("flock --nonblock /run/drain-agent/host.lock true").status.success();
        holds(!free, || "it is free".into())
    });
    let mut restart = restart_that_waits(&stage, &before);
    stage.machine.sh("systemctl stop other");
    assert_drained(&stage, &mut restart, &before);
}

#[test]
fn a_stop_that_is_taken_back_while_it_waits_for_others_leaves_everything_as_it_was() {
    let place = Place::new("guard_waits_cancelled");
    let Some(stage) = Stage::guarded(&place, PATIENT) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let crowd = Crowd::before(&stage);
    let before = stage.invocation();
    crowd.balancer.runtime().command("set server shop/other state maint");
    stage.machine.wait_for("the agent to know that too few remain", || {
        let status = stage.status().unwrap_or_default();
        holds(status["balancers"][0]["too_few"].is_string(), || status.to_string())
    });
    let mut restart = restart_that_waits(&stage, &before);
    stage.machine.sh("systemctl cancel");
    restart.wait().expect("systemctl ends");
    stage.wait_for_word("the stop was taken back before a drain had begun");
    assert_eq!(stage.invocation(), before, "it runs on");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
}

#[test]
fn the_only_server_there_is_drains_though_nobody_remains() {
    let place = Place::new("guard_only_server");
    let Some(stage) = Stage::guarded(&place, PATIENT) else { return };
    let of = |address: &str| address.parse().expect("an address");
    let mut balancer = Haproxy::new(&place, "lb")
        .server(Server::new("web", of("127.0.0.1:80")).checked_at(of(HEALTH)))
        .start();
    balancer.child().expect_error("has no server available");
    stage.machine.wait_for("the agent to know that it is alone", || {
        let status = stage.status().unwrap_or_default();
        holds(status["balancers"][0]["alone"] == true, || status.to_string())
    });
    let before = stage.invocation();
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    assert_drained(&stage, &mut restart, &before);
    assert!(!stage.machine.journal("apache2-drain.service").contains(WAITS), "there is nobody to wait for");
}
