//! Whatever a unit is restarted by, and whatever kind of unit it is: the agent's own restart in a real systemd.

use drain_tests::{Place, SystemdBox};

use crate::{
    host::Host,
    kinds::{self, KINDS, wait_until_up},
};

/// How often systemd has reloaded this unit.
fn reloads(machine: &SystemdBox, unit: &str) -> usize {
    machine.journal(unit).lines().filter(|line| line.starts_with("Reloaded ")).count()
}

#[test]
fn each_verb_restarts_each_kind_of_unit() {
    let place = Place::new("box_verbs");
    let Some(Host { machine }) = Host::bare(&place) else { return };
    kinds::start(&machine);
    // One that was stopped with its socket, which systemd forgets then, is started with it.
    wait_until_up(&machine, "activated");
    machine.sh("drainctl -n activated hard --then stop");
    machine.wait_for_property("late.socket", "ActiveState", "inactive");
    machine.sh("drainctl -n activated restart --hard");
    wait_until_up(&machine, "activated");
    assert_eq!(machine.property("late.socket", "ActiveState"), "active");
    for how in ["restart", "stop-start", "try-restart", "reload-or-restart", "try-reload-or-restart"] {
        let mut before = Vec::new();
        for kind in KINDS {
            let (name, unit, ..) = kind;
            kinds::restart_agent(&machine, kind, how);
            wait_until_up(&machine, name);
            before.push((machine.property(unit, "InvocationID"), reloads(&machine, unit)));
        }
        // All at once: most of it is waiting.
        machine.sh(
            "for name in plain instance activated; do drainctl -n $name restart --hard & all+=($!); done\n\
             for one in ${all[@]}; do wait $one || exit 1; done",
        );
        for ((_, unit, _, can_reload), (run, reloaded)) in KINDS.into_iter().zip(before) {
            let is_another = machine.property(unit, "InvocationID") != run;
            let is_reloaded = reloads(&machine, unit) > reloaded;
            let reloads = can_reload && how.contains("reload");
            assert_eq!((is_another, is_reloaded), (!reloads, reloads), "{how} of {unit}");
        }
    }
}
