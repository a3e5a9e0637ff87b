//! The packages for rpm, installed by rpm with their scripts: what is in them, whose it is, and what is left of them.

use drain_tests::{Place, SystemdBox};

use crate::{
    guard::stage::{HEALTH, Stage},
    packages::{AGENT, built},
};

/// On a Debian, whose packages rpm does not know.
const INSTALL: &str = "rpm --force-debian --nodeps";

/// A box with this rpm in it; `None` where there is none of either.
fn boxed(place: &Place, name: &str) -> Option<SystemdBox> {
    let machine = SystemdBox::on(place)?;
    let Some(package) = built(name, "rpm") else {
        assert!(std::env::var_os("CI").is_none(), "expected {name}'s rpm; `tests/packages --dev` builds it");
        eprintln!("not tested: there is no rpm of {name}");
        return None;
    };
    machine.install(&package, &format!("/root/{name}.rpm"));
    Some(machine)
}

/// Whether all files of a package are there as it has them, and root's.
#[track_caller]
fn assert_sound(machine: &SystemdBox, name: &str) {
    let verified = machine.try_sh(&format!("rpm --verify --nodeps {name}"));
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let owners = machine.sh(&format!(
        "rpm --query --list {name} | xargs -d '\\n' stat --format '%U:%G %n' | grep -v '^root:root ' || true"
    ));
    assert_eq!(owners, "", "files that are not root's");
}

#[test]
fn an_agent_that_rpm_has_installed_runs_and_is_upgraded_and_erased() {
    let place = Place::new("rpm_agent");
    let Some(machine) = boxed(&place, "drain-agent") else { return };
    machine.sh(&format!("{INSTALL} --install /root/drain-agent.rpm"));
    assert_sound(&machine, "drain-agent");
    machine.sh("id drain-agent");
    machine.sh("systemctl start apache2");
    machine.sh(&format!("drainctl setup --yes --enable --listen {HEALTH}"));
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    stage.machine.sh("drainctl guard apache2");
    stage.machine.sh("drainctl restart --hard --force --reason 'by rpm'");

    stage.machine.sh("echo '# ours' >> /etc/default/drain-agent");
    let agent = stage.machine.main_pid(AGENT);
    stage.machine.sh(&format!("{INSTALL} --upgrade --replacepkgs --replacefiles /root/drain-agent.rpm"));
    stage.wait_for_phase("up");
    assert_ne!(stage.machine.main_pid(AGENT), agent, "the new program runs");
    assert!(stage.machine.read("/etc/default/drain-agent").ends_with("# ours\n"));

    stage.machine.sh("rpm --erase --nodeps drain-agent");
    let there = |path: &str| stage.machine.try_sh(&format!("test -e {path}")).status.success();
    for path in ["/usr/bin/drain-agent", "/usr/bin/drainctl", "/usr/lib/systemd/system/drain-agent@.service"]
    {
        assert!(!there(path), "{path}");
    }
    assert!(!there("/etc/systemd/system/apache2-drain.service"), "the guard is gone");
    let active = stage.machine.try_sh(&format!("systemctl is-active {AGENT} drain-agent@apache2.socket"));
    assert!(!active.status.success(), "{active:?}");
    assert!(there("/etc/drain-agent/apache2.toml") && there("/etc/default/drain-agent.rpmsave"));
    assert_eq!(stage.machine.property("apache2.service", "ActiveState"), "active");
}

#[test]
fn a_proxy_that_rpm_has_installed_serves_and_is_erased() {
    let place = Place::new("rpm_proxy");
    let Some(machine) = boxed(&place, "drain-proxy") else { return };
    machine.sh(&format!("{INSTALL} --install /root/drain-proxy.rpm"));
    assert_sound(&machine, "drain-proxy");
    machine.sh("systemctl start drain-proxy");
    machine.wait_for_property("drain-proxy.service", "ActiveState", "active");
    machine.sh("rpm --erase --nodeps drain-proxy");
    assert!(!machine.try_sh("test -e /usr/bin/drain-proxy").status.success());
    assert!(!machine.try_sh("systemctl is-active drain-proxy").status.success());
}
