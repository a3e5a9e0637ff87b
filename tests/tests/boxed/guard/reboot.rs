//! The guard when the whole host goes down, and comes back.

use drain_tests::{Place, SystemdBox, place::holds};

use super::stage::{Crowd, NEVER_QUIET, PATIENT, Stage};

/// What starts with a host on which `drainctl setup --enable` and `guard` were typed.
const SERVED: &str = "apache2 drain-agent@apache2.socket drain-agent@apache2";

/// Stops what serves, all at once as a shutdown does, and starts it again on what looks like another boot of the host.
fn reboot(machine: &SystemdBox) {
    machine.sh(&format!("systemctl stop {SERVED}"));
    machine.sh("cat /proc/sys/kernel/random/uuid > /run/boot_id && chmod 644 /run/boot_id\n\
         mount --bind /run/boot_id /proc/sys/kernel/random/boot_id");
    machine.sh(&format!("systemctl start {SERVED}"));
}

/// Guarded, with the health port held by systemd, as setup leaves a host.
fn stage(place: &Place, drain: &str) -> Option<Stage> {
    let stage = Stage::unguarded(place, drain)?;
    stage.machine.write(
        "/etc/systemd/system/drain-agent@apache2.socket.d/port.conf",
        "[Socket]\nListenStream=\nListenStream=127.0.0.1:8404\n",
    );
    stage.machine.sh("systemctl daemon-reload && systemctl stop drain-agent@apache2");
    stage.machine.sh(&format!("systemctl start {SERVED} && drainctl guard apache2 --limit 20m"));
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
    stage.wait_for_phase("up");
    Some(stage)
}

#[test]
fn a_shutdown_of_the_host_drains_before_its_server_stops() {
    let place = Place::new("guard_shutdown");
    let Some(mut stage) = Stage::guarded(&place, PATIENT) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let mut crowd = Crowd::before(&stage);
    stage.machine.power_off();
    stage.machine.wait_until_off();
    crowd.assert_nobody_hurt(&place);
    let log = crowd.balancer.child().log_text();
    let first = log.lines().find(|line| line.contains("Server shop/web is DOWN")).unwrap_or_default();
    assert!(first.contains("code: 500"), "told, before anything stopped: {log}");
}

#[test]
fn a_host_that_comes_back_brings_its_server_back_and_remembers_the_drain() {
    let place = Place::new("guard_reboot");
    let Some(stage) = stage(&place, PATIENT) else { return };
    let mut crowd = Crowd::before(&stage);
    let before = stage.invocation();
    reboot(&stage.machine);
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_word("comes back as soon as it is ready");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
    // It is written some seconds later.
    let history = || String::from_utf8_lossy(&stage.machine.try_sh("drainctl history").stdout).into_owned();
    stage.machine.wait_for("the drain in the history", || {
        holds(history().contains("apache2.service is stopped or restarted"), history)
    });
}

#[test]
fn a_hold_whose_time_ran_out_while_the_host_was_off_is_over() {
    let place = Place::new("guard_off");
    let Some(stage) = stage(&place, NEVER_QUIET) else { return };
    // Or its guard would wait for a drain that never becomes quiet.
    stage.machine.sh("drainctl unguard apache2");
    stage.machine.sh("drainctl hard --no-wait --for 3s --reason 'by hand'");
    stage.machine.sh(&format!("systemctl stop {SERVED} && sleep 4"));
    reboot(&stage.machine);
    stage.wait_for_phase("up");
    // One that lasts longer holds on.
    stage.machine.sh("drainctl hard --no-wait --for 1h --reason 'by hand'");
    reboot(&stage.machine);
    stage.wait_for_phase("hard");
    stage.machine.sh("drainctl up");
}
