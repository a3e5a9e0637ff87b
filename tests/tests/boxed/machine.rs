//! The box itself: a machine with a systemd, of which nothing is left.

use std::{fs, panic, path::Path, process::Command};

use drain_tests::{Place, SystemdBox, child::output};

/// Whether the machine has a cgroup of this name. One whose cgroup v2 is mounted nowhere can't tell.
fn has_cgroup(name: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let mut hierarchies = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    hierarchies.any(|mount| mount[2] == "cgroup2" && Path::new(mount[1]).join(name).exists())
}

/// What is mounted below this directory, as this process sees it.
fn mounts_below(dir: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let dir = dir.display().to_string();
    mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned).collect()
}

#[test]
fn a_real_unit_runs_in_the_box_and_is_reached_from_the_test() {
    let place = Place::new("box_runs_a_unit");
    let Some(machine) = SystemdBox::on(&place) else { return };
    machine.sh("systemctl start apache2");
    machine.wait_for_property("apache2.service", "ActiveState", "active");
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:80/"]);
    assert_eq!(output(curl).stdout, b"200", "from this thread, which is in its network");
    assert!(machine.main_pid("apache2.service") > 1);
    assert!(machine.journal("apache2.service").contains("Started"), "it has a journal");
    machine.write("/etc/told", "from outside\n");
    assert_eq!(machine.sh("cat /etc/told; touch /etc/inside"), "from outside\n");
    assert!(!Path::new("/etc/told").exists() && !Path::new("/etc/inside").exists());
}

#[test]
fn nothing_is_left_of_a_box_even_of_a_test_that_panics() {
    let place = Place::new("box_leaves_nothing");
    let Some(machine) = SystemdBox::on(&place) else { return };
    machine.sh("systemd-run -q --unit sleeper sleep 1234567");
    let (init, cgroup) = (machine.init().to_string(), machine.cgroup());
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(move || {
        let _machine = machine;
        panic!("as a test does that fails");
    }));
    assert!(panicked.is_err());
    // With process 1 the kernel ends all of them.
    assert!(!Path::new("/proc").join(init).exists(), "its processes");
    assert!(!has_cgroup(&cgroup), "{cgroup}");
    assert_eq!(mounts_below(place.dir()), Vec::<String>::new());
}

#[test]
fn a_box_that_is_shut_down_from_inside_is_gone() {
    let place = Place::new("box_powers_off");
    let Some(mut machine) = SystemdBox::on(&place) else { return };
    assert!(!machine.is_off());
    machine.power_off();
    machine.wait_until_off();
}
