//! Guards of a server that crashes, or does not start.

use drain_tests::{Place, place::holds};

use super::stage::{NEVER_QUIET, PATIENT, Stage, in_background};

const COMPANION: &str = "apache2-drain.service";

/// What keeps Apache from starting.
const BROKEN: &str = "/etc/apache2/conf-enabled/broken.conf";

/// More than systemd lets a unit start unless told otherwise.
const CRASHES: usize = 6;

const CRASH: &str = "kill -KILL $(systemctl show -P MainPID apache2)";

#[test]
fn a_server_that_could_not_start_comes_back_with_its_next_plain_start() {
    let place = Place::new("guard_failed_start");
    let Some(stage) = Stage::guarded(&place, PATIENT) else { return };
    let machine = &stage.machine;
    for (restart, out) in [("systemctl restart apache2", "hard"), ("drainctl restart --hard", "failed")] {
        machine.write(BROKEN, "ThisIsNoDirective\n");
        let failed = machine.try_sh(restart);
        assert!(!failed.status.success(), "{failed:?}");
        machine.wait_for_property(COMPANION, "ActiveState", "failed");
        assert!(machine.journal(COMPANION).contains("apache2.service does not run"), "it says why");
        let status = stage.status().expect("the agent answers");
        assert_eq!(status["phase"], out, "it stays out: {status}");
        machine.sh(&format!("rm {BROKEN} && systemctl start apache2"));
        stage.wait_for_phase("up");
        machine.wait_for_property(COMPANION, "ActiveState", "active");
    }
}

#[test]
fn a_loop_of_crashes_leaves_the_guard_in_place() {
    let place = Place::new("guard_crash_loop");
    let Some(stage) = Stage::unguarded(&place, PATIENT) else { return };
    let machine = &stage.machine;
    // As strict as the default is on a machine that is fast.
    machine.write("/etc/systemd/system.conf.d/strict.conf", "[Manager]\nDefaultStartLimitIntervalSec=1h\n");
    machine.write(
        "/etc/systemd/system/apache2.service.d/restart.conf",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=0\n",
    );
    machine.sh("systemctl daemon-reload && drainctl guard apache2");
    for _ in 0..CRASHES {
        let before = stage.invocation();
        machine.sh(CRASH);
        machine.wait_for("Apache runs anew, and its guard", || {
            let (run, server) = (stage.invocation(), machine.property("apache2.service", "ActiveState"));
            let guard = machine.property(COMPANION, "ActiveState");
            let is = run != before && server == "active" && guard == "active";
            holds(is, || format!("{server}, its guard {guard}"))
        });
    }
    stage.wait_for_phase("up");
    machine.sh("systemctl restart apache2");
    stage.wait_for_word("drained: nobody uses the server");
}

#[test]
fn a_server_that_dies_in_mid_drain_is_not_waited_for() {
    let place = Place::new("guard_dies");
    let Some(stage) = Stage::unguarded(&place, NEVER_QUIET) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let before = stage.invocation();
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    stage.wait_for_phase("hard");
    stage.machine.sh(CRASH);
    assert!(restart.wait().expect("systemctl ends").success());
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("the server does not run any more");
    stage.wait_for_phase("up");
}
