//! The packages for Debian, as `tests/packages --dev` builds them: README's way from the package to a guarded server.

use std::{fs, path::PathBuf, process::Command};

use drain_tests::{
    Place, SystemdBox,
    child::output,
    place::{holds, target},
};

use crate::guard::stage::{Crowd, HEALTH, Stage};

const AGENT: &str = "drain-agent@apache2.service";

/// The package of this name and kind, `deb` or `rpm`; `None` where none was built.
fn built(name: &str, kind: &str) -> Option<PathBuf> {
    let all =
        fs::read_dir(target().join("packages")).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_named = |path: &PathBuf| {
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
        file.is_some_and(|file| file.starts_with(name))
    };
    let kinds = all.filter(|path| path.extension().is_some_and(|ending| ending == kind));
    let found: Vec<PathBuf> = kinds.filter(is_named).collect();
    assert!(found.len() < 2, "expected one package, found {found:?}; remove the old ones");
    found.into_iter().next()
}

/// Installs a package as an administrator does.
#[track_caller]
fn install(machine: &SystemdBox, name: &str) {
    // Where this machine's own services are not to be started by packages, the box's are.
    machine.sh("rm -f /usr/sbin/policy-rc.d");
    let package = built(name, "deb").unwrap_or_else(|| {
        panic!("expected {name}'s package in target/packages; `tests/packages --dev --no-rpm` builds it")
    });
    let file = format!("/root/{name}.deb");
    machine.install(&package, &file);
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get install -q -y --reinstall {file} 2>&1"));
}

/// README's way, to a guarded Apache behind an HAProxy.
fn guarded(place: &Place) -> Option<(Stage, Crowd)> {
    let machine = SystemdBox::on(place)?;
    install(&machine, "drain-agent");
    let enabled = "systemctl list-unit-files --no-legend --state=enabled 'drain-*' || true";
    assert_eq!(machine.sh(enabled), "", "nothing is enabled unasked");
    machine.sh("systemctl start apache2");
    machine.sh(&format!("drainctl setup --yes --enable --listen {HEALTH}"));
    assert!(machine.read("/etc/drain-agent/apache2.toml").contains("ports = [80]"));
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    let crowd = Crowd::before(&stage);
    // Green as soon as the balancer has shown itself.
    stage.machine.wait_for("a doctor who finds nothing that would fail", || {
        let said = stage.machine.try_sh("drainctl doctor");
        holds(said.status.success(), || String::from_utf8_lossy(&said.stdout).into_owned())
    });
    stage.machine.sh("drainctl guard apache2");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
    Some((stage, crowd))
}

#[test]
fn a_server_is_guarded_by_the_package_and_one_line_and_an_upgrade_keeps_its_drain() {
    let place = Place::new("packages_agent");
    let Some((stage, mut crowd)) = guarded(&place) else { return };
    let user = stage.machine.property(AGENT, "User");
    assert_eq!(user, "drain-agent", "the user that the package made");
    let again = stage
        .machine
        .try_sh(&format!("drainctl setup --yes --port 80 --ready http://127.0.0.1/no --listen {HEALTH}"));
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten unasked");
    stage.machine.sh("systemctl restart apache2");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");

    stage.machine.sh("drainctl hard --no-wait --reason 'in mid-drain'");
    let agent = stage.machine.main_pid(AGENT);
    install(&stage.machine, "drain-agent");
    assert_ne!(stage.machine.main_pid(AGENT), agent, "the new program runs");
    stage.wait_for_phase("hard");
    let status = stage.status().expect("the agent answers");
    assert_eq!(status["asked"]["reason"], "in mid-drain", "{status}");
    stage.machine.sh("drainctl up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);

    stage.machine.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -q -y drain-agent 2>&1");
    let there = |path: &str| stage.machine.try_sh(&format!("test -e {path}")).status.success();
    assert!(!there("/etc/systemd/system/apache2-drain.service"), "the guard is gone");
    assert!(!there("/var/lib/drain-agent"), "its state is gone");
    assert!(
        !there("/etc/systemd/system/drain-agent@apache2.socket.d"),
        "the port that setup has written is gone"
    );
    assert!(there("/etc/drain-agent/apache2.toml"), "what people configured is theirs");
}

#[test]
fn the_servers_own_package_drains_when_it_restarts_the_server() {
    let place = Place::new("packages_apache");
    let Some((stage, mut crowd)) = guarded(&place) else { return };
    let before = stage.invocation();
    // As at the end of an upgrade: the maintainer script, which restarts the service by deb-systemd-invoke.
    stage.machine.sh("DEBIAN_FRONTEND=noninteractive dpkg-reconfigure apache2 2>&1");
    assert_ne!(stage.invocation(), before, "the package has restarted it");
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
}

#[test]
fn a_port_that_the_socket_unit_does_not_hold_is_told_by_check_and_by_the_doctor() {
    let place = Place::new("packages_mismatch");
    let Some(machine) = SystemdBox::on(&place) else { return };
    install(&machine, "drain-agent");
    machine.sh("systemctl start apache2");
    machine.sh("drainctl setup --yes --enable --listen 127.0.0.1:9404");
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    assert_eq!(stage.machine.property("drain-agent@apache2.socket", "Listen"), "127.0.0.1:9404 (Stream)");
    let config = "/etc/drain-agent/apache2.toml";
    let check = || {
        let said = stage.machine.try_sh(&format!("drain-agent check {config}"));
        assert!(said.status.success(), "it is valid: {said:?}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(!check().contains("warning"), "{}", check());
    // Another port by setup is another port of both.
    stage.machine.sh("drainctl setup --yes --enable --overwrite --port 80 --listen 127.0.0.1:9405");
    stage.wait_for_phase("up");
    assert!(!check().contains("warning"), "{}", check());
    // By hand, of one of them only.
    stage.machine.sh(&format!("sed -i 's/9405/9406/' {config}"));
    assert!(check().contains("holds 127.0.0.1:9405, and `listen` is 127.0.0.1:9406"), "{}", check());
    stage.machine.sh("systemctl restart drain-agent@apache2.service");
    stage.wait_for_phase("up");
    let doctor = stage.machine.try_sh("drainctl doctor");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("holds 127.0.0.1:9405, and `listen` is 127.0.0.1:9406"), "{said}");
    // A unit that is not there.
    stage.machine.sh(&format!("sed -i 's/apache2.service/no-such.service/' {config}"));
    assert!(check().contains("no-such.service is not-found"), "{}", check());
}

#[test]
fn the_proxys_package_starts_nothing_and_keeps_what_people_configured() {
    let place = Place::new("packages_proxy");
    let Some(machine) = SystemdBox::on(&place) else { return };
    install(&machine, "drain-proxy");
    assert_eq!(machine.sh("systemctl list-unit-files --no-legend --state=enabled 'drain-*' || true"), "");
    machine.sh("drain-proxy check /etc/drain-proxy/proxy.toml");
    machine.sh("echo '# ours' >> /etc/drain-proxy/proxy.toml");
    install(&machine, "drain-proxy");
    assert!(machine.read("/etc/drain-proxy/proxy.toml").ends_with("# ours\n"));
}

#[test]
fn rpm_reads_what_its_packages_hold() {
    for (name, files) in [
        (
            "drain-agent",
            &[
                "/usr/bin/drainctl",
                "/usr/lib/systemd/system/drain-agent@.service",
                "/usr/lib/sysusers.d/drain-agent.conf",
                "/usr/share/polkit-1/rules.d/50-drain-agent.rules",
            ][..],
        ),
        ("drain-proxy", &["/usr/bin/drain-proxy", "/usr/lib/systemd/system/drain-proxy.service"]),
    ] {
        let Some(package) = built(name, "rpm") else {
            assert!(
                std::env::var_os("CI").is_none(),
                "expected {name}'s rpm; `tests/packages --dev` builds it"
            );
            eprintln!("not tested: there is no rpm of {name}");
            continue;
        };
        let mut rpm = Command::new("rpm");
        rpm.args(["--query", "--package", "--list"]).arg(&package);
        let out = output(rpm);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{out:?}");
        for file in files {
            assert!(said.lines().any(|line| line == *file), "{file} is not in\n{said}");
        }
    }
}
