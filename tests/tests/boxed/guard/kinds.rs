//! Guards of other units than a plain service, and of one that its agent has stopped.

use drain_tests::{Place, SystemdBox, place::holds};

use super::stage::{Crowd, Stage};
use crate::{
    host::Host,
    kinds::{self, KINDS, wait_until_up},
};

/// What a companion says of a drain that came to its end.
const DRAINED: &str = "drained: nobody uses the server";

/// What is left of a guard in systemd's directories.
const LEFT: &str = "find /etc/systemd/system /run/systemd/system -name '*-drain.service*'";

fn drains(machine: &SystemdBox, companion: &str) -> usize {
    machine.journal(companion).matches(DRAINED).count()
}

#[test]
fn an_instance_and_a_server_that_its_socket_starts_are_guarded_as_any_other() {
    let place = Place::new("guard_kinds");
    let Some(Host { machine }) = Host::bare(&place) else { return };
    kinds::start(&machine);
    let guarded = [(KINDS[1], "shop-81-drain.service"), (KINDS[2], "late-drain.service")];
    for ((name, unit, ..), companion) in guarded {
        wait_until_up(&machine, name);
        machine.sh(&format!("drainctl -n {name} guard {unit}"));
        machine.wait_for_property(companion, "ActiveState", "active");
        let run = machine.property(unit, "InvocationID");
        machine.sh(&format!("systemctl restart {unit}"));
        assert_ne!(machine.property(unit, "InvocationID"), run, "{unit}");
        assert_eq!(drains(&machine, companion), 1, "{}", machine.journal(companion));
        wait_until_up(&machine, name);
        machine.wait_for_property(companion, "ActiveState", "active");
    }
    // Nobody starts it by name: whoever comes to its socket does, were it the agent's own probe.
    machine.sh("systemctl stop late.service");
    machine.wait_for_property("late.service", "ActiveState", "active");
    machine.wait_for_property("late-drain.service", "ActiveState", "active");
    wait_until_up(&machine, "activated");
    assert_eq!(drains(&machine, "late-drain.service"), 2);
    // Another instance of the template is nobody's.
    machine.sh("systemctl start shop@83 && systemctl restart shop@83 && systemctl stop shop@83");
    assert_eq!(drains(&machine, "shop-81-drain.service"), 1);
    machine.sh("drainctl unguard shop@81.service && drainctl unguard late.service");
    assert_eq!(machine.sh(LEFT), "", "nothing is left");
}

#[test]
fn a_guarded_server_that_its_agent_has_stopped_stays_out_until_somebody_wants_it_up() {
    let place = Place::new("guard_then_stop");
    let Some(stage) = Stage::guarded(&place, "min_remaining = 0") else { return };
    let mut crowd = Crowd::before(&stage);
    let machine = &stage.machine;
    for is_started_by_hand in [true, false] {
        machine.sh("drainctl hard --then stop --reason upgrade");
        assert_eq!(machine.property("apache2.service", "ActiveState"), "inactive");
        crowd.wait_for("DOWN");
        if is_started_by_hand {
            machine.sh("systemctl start apache2");
            stage
                .wait_for_word("apache2 stays out, as somebody else has asked: `drainctl up` brings it back");
            machine.wait_for("the agent's probe to see it", || {
                let status = stage.status().unwrap_or_default();
                holds(status["readiness"]["ready"] == true, || status.to_string())
            });
            machine.sh("drainctl up");
        } else {
            machine.sh("drainctl restart --hard");
        }
        stage.wait_for_phase("up");
        crowd.wait_for("UP");
        machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
    }
    crowd.assert_nobody_hurt(&place);
}
