//! The packages for Debian, as `tests/packages --dev` builds them: README's way from the package to a guarded server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use drain_tests::{
    Place, SystemdBox,
    child::output,
    place::{holds, target},
};

use crate::guard::stage::{Crowd, HEALTH, PATIENT, Stage};

pub(crate) const AGENT: &str = "drain-agent@apache2.service";

/// What it is told.
const CONFIGURED: &str = "/etc/drain-agent/apache2.toml";

/// Where its unit is.
const UNIT: &str = "/usr/lib/systemd/system/drain-agent@.service";

/// Which of our units start with the host.
const ENABLED: &str = "systemctl list-unit-files --no-legend --state=enabled 'drain-*' || true";

/// The package of this name and kind, `deb` or `rpm`; `None` where none was built.
pub(crate) fn built(name: &str, kind: &str) -> Option<PathBuf> {
    built_in("packages", name, kind)
}

/// The same in this folder of what is built.
fn built_in(folder: &str, name: &str, kind: &str) -> Option<PathBuf> {
    let all = fs::read_dir(target().join(folder)).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_named = |path: &PathBuf| {
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
        file.is_some_and(|file| file.starts_with(name))
    };
    let kinds = all.filter(|path| path.extension().is_some_and(|ending| ending == kind));
    let found: Vec<PathBuf> = kinds.filter(is_named).collect();
    assert!(found.len() < 2, "expected one package, found {found:?}; remove the old ones");
    found.into_iter().next()
}

/// Installs a package as an administrator does; gives what is said to that.
#[track_caller]
pub(crate) fn install(machine: &SystemdBox, name: &str) -> String {
    install_from(machine, &built_deb(name))
}

/// Installs a package by dpkg alone, which is faster, for tests of what is in it.
#[track_caller]
pub(crate) fn unpack(machine: &SystemdBox, name: &str) {
    let file = "/root/package.deb";
    machine.install(&built_deb(name), file);
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive dpkg --no-triggers --install {file} 2>&1"));
}

#[track_caller]
fn built_deb(name: &str) -> PathBuf {
    built(name, "deb").unwrap_or_else(|| {
        panic!("expected {name}'s package in target/packages; `tests/packages --dev --no-rpm` builds it")
    })
}

/// Installs the agent's package of a lower version.
#[track_caller]
pub(crate) fn install_older(machine: &SystemdBox) -> String {
    let package = built_in("packages/older", "drain-agent", "deb")
        .expect("the agent's older package in target/packages/older; `tests/packages --dev` builds it");
    install_from(machine, &package)
}

#[track_caller]
fn install_from(machine: &SystemdBox, package: &Path) -> String {
    // Where this machine's own services are not to be started by packages, the box's are.
    machine.sh("rm -f /usr/sbin/policy-rc.d");
    let file = "/root/package.deb";
    machine.install(package, file);
    machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get install -q -y --reinstall {file} 2>&1"))
}

/// README's way, to a guarded Apache behind an HAProxy.
pub(crate) fn guarded(machine: SystemdBox, install: impl Fn(&SystemdBox) -> String) -> (Stage, Crowd) {
    install(&machine);
    assert_eq!(machine.sh(ENABLED), "", "nothing is enabled unasked");
    machine.sh("systemctl start apache2");
    machine.sh(&format!("drainctl setup --yes --enable --listen {HEALTH}"));
    assert!(machine.read(CONFIGURED).contains("ports = [80]"));
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    let crowd = Crowd::before(&stage);
    // Green as soon as the balancer has shown itself.
    stage.machine.wait_for("a doctor who finds nothing that would fail", || {
        let said = stage.machine.try_sh("drainctl doctor");
        holds(said.status.success(), || String::from_utf8_lossy(&said.stdout).into_owned())
    });
    let config = stage.machine.read(CONFIGURED);
    stage.machine.write(CONFIGURED, &format!("{config}[drain]\n{PATIENT}\n"));
    stage.machine.sh(&format!("systemctl reload {AGENT} && drainctl guard apache2 --limit 20m"));
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
    (stage, crowd)
}

#[test]
fn a_server_is_guarded_by_the_package_and_one_line_and_an_upgrade_keeps_its_drain() {
    let place = Place::new("packages_agent");
    let older = |machine: &SystemdBox| {
        install_older(machine);
        // Its unit was another one.
        machine.sh(&format!("sed -i s/LimitNOFILE=.*/LimitNOFILE=4096/ {UNIT} && systemctl daemon-reload"))
    };
    let Some(machine) = SystemdBox::on(&place) else { return };
    let (stage, mut crowd) = guarded(machine, older);
    assert_eq!(stage.machine.property(AGENT, "LimitNOFILE"), "4096");
    assert_no_dead_link(&stage.machine, "drain-agent");
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
    assert_eq!(stage.machine.property(AGENT, "LimitNOFILE"), "8192", "by the new unit");
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
    assert!(there(CONFIGURED), "what people configured is theirs");
    let links = stage.machine.sh("find /etc/systemd/system -name 'drain-agent*' -o -name 'apache2-drain*'");
    assert_eq!(links, "", "nothing is left that is enabled");
    install(&stage.machine, "drain-agent");
    assert_eq!(stage.machine.sh(ENABLED), "", "installed again, nothing starts unasked");
}

#[test]
fn the_servers_own_package_drains_when_it_restarts_the_server() {
    let place = Place::new("packages_apache");
    let Some(machine) = SystemdBox::on(&place) else { return };
    let (stage, mut crowd) = guarded(machine, |machine| install(machine, "drain-agent"));
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
    let check = || {
        let said = stage.machine.try_sh(&format!("drain-agent check {CONFIGURED}"));
        assert!(said.status.success(), "it is valid: {said:?}");
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(!check().contains("warning"), "{}", check());
    // Another port by setup is another port of both.
    stage.machine.sh("drainctl setup --yes --enable --overwrite --port 80 --listen 127.0.0.1:9405");
    stage.wait_for_phase("up");
    assert!(!check().contains("warning"), "{}", check());
    // By hand, of one of them only.
    stage.machine.sh(&format!("sed -i 's/9405/9406/' {CONFIGURED}"));
    assert!(check().contains("holds 127.0.0.1:9405, and `listen` is 127.0.0.1:9406"), "{}", check());
    stage.machine.sh("systemctl restart drain-agent@apache2.service");
    stage.wait_for_phase("up");
    let doctor = stage.machine.try_sh("drainctl doctor");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("holds 127.0.0.1:9405, and `listen` is 127.0.0.1:9406"), "{said}");
    // A unit that is not there.
    stage.machine.sh(&format!("sed -i 's/apache2.service/no-such.service/' {CONFIGURED}"));
    assert!(check().contains("no-such.service is not-found"), "{}", check());
}

/// What README leads to is in the package beside it.
fn assert_no_dead_link(machine: &SystemdBox, name: &str) {
    let folder = format!("/usr/share/doc/{name}");
    let readme = machine.read(&format!("{folder}/README.md"));
    let links = readme.split("](").skip(1).filter_map(|behind| behind.split_once(')'));
    let files: Vec<&str> = links.map(|(link, _)| link).filter(|link| !link.contains("://")).collect();
    assert!(!files.is_empty(), "README leads somewhere");
    for file in files {
        assert!(machine.outside(&format!("{folder}/{file}")).exists(), "{name} has no {file}");
    }
}

#[test]
fn the_proxys_package_starts_nothing_and_keeps_what_people_configured() {
    let place = Place::new("packages_proxy");
    let Some(machine) = SystemdBox::on(&place) else { return };
    install(&machine, "drain-proxy");
    assert_eq!(machine.sh(ENABLED), "");
    assert_no_dead_link(&machine, "drain-proxy");
    machine.sh("drain-proxy check /etc/drain-proxy/proxy.toml");
    machine.sh("echo '# ours' >> /etc/drain-proxy/proxy.toml");
    install(&machine, "drain-proxy");
    assert!(machine.read("/etc/drain-proxy/proxy.toml").ends_with("# ours\n"));

    // It has run, and systemd has made its directories.
    machine.sh("systemctl enable --quiet drain-proxy.service drain-proxy.socket");
    machine.sh("systemctl start drain-proxy");
    machine.wait_for_property("drain-proxy.service", "ActiveState", "active");
    machine.sh("test -d /var/lib/private/drain-proxy && test -d /var/log/private/drain-proxy");
    machine.sh("DEBIAN_FRONTEND=noninteractive apt-get purge -q -y drain-proxy 2>&1");
    assert_eq!(machine.sh("find /etc /run /usr /var -xdev -name 'drain-proxy*'"), "", "nothing is left");
    install(&machine, "drain-proxy");
    assert_eq!(machine.sh(ENABLED), "", "installed again, nothing starts unasked");
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
