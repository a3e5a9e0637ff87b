//! Upgrades of packages while the server serves: of the server's own, and of an agent's that was root.

use std::fs;

use drain_tests::{
    Haproxy, PATIENCE, Place, Server, SystemdBox,
    place::{holds, target},
};

use crate::{
    guard::stage::{HEALTH, Stage},
    packages::{AGENT, built, guarded, install, install_older},
    socket::{PATIENT_CHECK, STRICT},
};

/// Puts the four packages of one version of Apache's, as `tests/apache-versions` has laid it ready, into the box; says
/// which version. `None` where there are none.
fn apache(machine: &SystemdBox, which: &str) -> Option<String> {
    let directory = target().join("apache2").join(which);
    let packages: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    if packages.is_empty() {
        assert!(
            std::env::var_os("CI").is_none(),
            "expected packages in target/apache2/{which}; `tests/apache-versions` lays them ready"
        );
        eprintln!("not tested: there are no packages of apache2 in target/apache2/{which}");
        return None;
    }
    for package in &packages {
        let name = package.file_name().expect("a file's name").to_string_lossy();
        machine.install(package, &format!("/root/apache2-{which}/{name}"));
    }
    let version = machine.sh(&format!("dpkg-deb --field /root/apache2-{which}/apache2_*.deb Version"));
    Some(version.trim().to_owned())
}

fn installed(machine: &SystemdBox) -> String {
    machine.sh("dpkg-query --show --showformat '${Version}' apache2").trim().to_owned()
}

/// By dpkg, which takes an older version, too, without asking anybody for the configuration.
fn dpkg(machine: &SystemdBox, which: &str) -> String {
    machine.sh(&format!(
        "DEBIAN_FRONTEND=noninteractive dpkg --force-downgrade --force-confold --install /root/apache2-{which}/*.deb 2>&1"
    ))
}

#[test]
fn an_upgrade_of_the_server_to_another_version_drains_before_its_restart() {
    let place = Place::new("upgrade_apache");
    let Some(machine) = SystemdBox::on(&place) else { return };
    let (Some(old), Some(new)) = (apache(&machine, "old"), apache(&machine, "new")) else { return };
    assert_ne!(old, new);
    machine.sh("rm -f /usr/sbin/policy-rc.d");
    dpkg(&machine, "old");
    assert_eq!(installed(&machine), old);
    let (stage, mut crowd) = guarded(machine, |machine| install(machine, "drain-agent"));
    let before = stage.invocation();
    let said = dpkg(&stage.machine, "new");
    assert_eq!(installed(&stage.machine), new, "{said}");
    assert_ne!(stage.invocation(), before, "the package has restarted it: {said}");
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
}

#[test]
fn an_upgrade_of_the_agent_goes_unnoticed_by_a_balancer_that_misses_no_check() {
    let place = Place::new("upgrade_agent");
    let Some(machine) = SystemdBox::on(&place) else { return };
    install_older(&machine);
    machine.sh("systemctl start apache2");
    machine.sh(&format!("drainctl setup --yes --enable --listen {HEALTH}"));
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    let of = |address: &str| address.parse().expect("an address");
    let mut balancer = Haproxy::new(&place, "lb")
        .line(PATIENT_CHECK)
        .check(STRICT)
        .server(Server::new("web", of("127.0.0.1:80")).checked_at(of(HEALTH)))
        .start();
    let agent = stage.machine.main_pid(AGENT);
    let old = stage.machine.sh("dpkg-query --show --showformat '${Version}' drain-agent");
    install(&stage.machine, "drain-agent");
    let new = stage.machine.sh("dpkg-query --show --showformat '${Version}' drain-agent");
    assert_ne!(new, old);
    assert_ne!(stage.machine.main_pid(AGENT), agent, "the new program runs");
    stage.wait_for_phase("up");
    // It has asked the new one, too.
    stage.machine.wait_for("the new agent to be asked", || {
        let status = stage.status().unwrap_or_default();
        holds(status["balancers"].as_array().is_some_and(|all| !all.is_empty()), || status.to_string())
    });
    balancer.wait_for_status("web", "UP", PATIENCE);
    let log = balancer.child().log_text();
    assert!(!log.contains("is DOWN"), "{log}");
}

/// Agents by an older package, whose unit knew of no user: as root, and so their commands.
const ROOT_UNIT: &str = "cd /root && dpkg-deb --raw-extract drain-agent.deb old \
    && sed -i '/^User=/,/^SystemCallErrorNumber=/d' old/lib/systemd/system/drain-agent@.service \
    && sed -i 's/^Version: .*/Version: 0.0.9-1/' old/DEBIAN/control \
    && dpkg-deb --root-owner-group --build old drain-agent-old.deb \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --allow-downgrades ./drain-agent-old.deb 2>&1";

const COMMAND: &str = "listen = \"0.0.0.0:8404\"\n[server]\nports = [80]\nready = { url = \"http://127.0.0.1/\" }\n\
    [restart]\ncommand = [\"apachectl\", \"graceful\"]\nproof = \"workers\"\n";

#[test]
fn an_upgrade_from_a_unit_that_was_root_says_which_agents_need_it_and_how_they_get_it() {
    let place = Place::new("upgrade_root_unit");
    let Some(machine) = SystemdBox::on(&place) else { return };
    machine.sh("rm -f /usr/sbin/policy-rc.d");
    let package = built("drain-agent", "deb").expect("the package; `tests/packages --dev` builds it");
    machine.install(&package, "/root/drain-agent.deb");
    machine.sh(ROOT_UNIT);
    machine.write("/etc/drain-agent/apache2.toml", COMMAND);
    machine.sh(
        "systemctl start apache2 && systemctl enable --now drain-agent@apache2.socket drain-agent@apache2",
    );
    let stage = Stage { machine };
    stage.wait_for_phase("up");
    let user = |stage: &Stage| {
        let pid = stage.machine.main_pid(AGENT);
        stage.machine.sh(&format!("ps -o user= -p {pid}")).trim().to_owned()
    };
    assert_eq!(user(&stage), "root");

    let said = install(&stage.machine, "drain-agent");
    let note = said.lines().find(|line| line.contains("root.conf")).unwrap_or_default();
    assert!(note.contains("/etc/drain-agent/apache2.toml") && note.contains("restart.command"), "{said}");
    stage.wait_for_phase("up");
    assert_eq!(user(&stage), "drain-agent", "what root has left is the user's own");
    let doctor = || String::from_utf8_lossy(&stage.machine.try_sh("drainctl doctor").stdout).into_owned();
    stage.machine.wait_for("the doctor to tell", || holds(doctor().contains("root.conf"), doctor));

    stage.machine.sh(
        "install -D -m 644 /usr/share/doc/drain-agent/examples/root.conf \
         /etc/systemd/system/drain-agent@.service.d/root.conf && systemctl daemon-reload && systemctl restart 'drain-agent@*.service'",
    );
    stage.wait_for_phase("up");
    assert_eq!(user(&stage), "root");
    let check = stage.machine.sh("drain-agent check /etc/drain-agent/apache2.toml");
    assert!(!check.contains("root.conf"), "{check}");
    let again = install(&stage.machine, "drain-agent");
    assert!(!again.contains("root.conf"), "nothing is left to say: {again}");
}
