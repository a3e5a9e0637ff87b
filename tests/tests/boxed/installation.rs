//! README's installation, taken literally in a fresh box: it ends with restarts under load, and nobody is hurt.

use std::net::SocketAddr;

use drain_tests::{Place, SystemdBox, place::holds, readme::recipe};

use crate::{guard::stage::Stage, packages::built, users::Users};

/// Whoever types it is root here: `sudo` is a name.
const SUDO: &str = "sudo() { \"$@\"; }; set -e; cd /root";
/// Where HAProxy is entered, with README's lines and with those that setup prints.
const ENTRANCES: [&str; 2] = ["127.0.0.1:8001", "127.0.0.1:8002"];

/// What there is beside the backend's lines. The other server, which is not checked, never goes.
fn haproxy_cfg(readme: &str, printed: &str) -> String {
    let backend = |name: &str, entrance: &str, lines: &str| {
        format!(
            "frontend {name}\n    bind {entrance}\n    default_backend {name}_shop\n\
             backend {name}_shop\n{lines}\n    server other 127.0.0.1:81\n"
        )
    };
    format!(
        "global\n    stats socket /run/haproxy/admin.sock mode 660 level admin\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n{}{}",
        backend("readme", ENTRANCES[0], readme),
        backend("printed", ENTRANCES[1], printed),
    )
}

#[test]
fn readmes_installation_ends_with_restarts_under_load_that_hurt_nobody() {
    let place = Place::new("installation");
    let Some(machine) = SystemdBox::on(&place) else { return };
    // The host as it was before.
    machine.sh("rm -f /usr/sbin/policy-rc.d && systemctl start apache2");
    let package = built("drain-agent", "deb").expect("`tests/packages --dev --no-rpm` builds the package");
    let typed = recipe("install");
    let file = typed.split_whitespace().last().and_then(|word| word.strip_prefix("./")).expect("a file");
    assert_eq!(package.file_name().and_then(|name| name.to_str()), Some(file), "as it is built");
    machine.install(&package, &format!("/root/{file}"));
    let type_in = |text: &str| machine.sh(&format!("{SUDO}\n{text}"));

    type_in(&typed);
    let said = type_in(&recipe("setup"));
    let config = machine.read("/etc/drain-agent/apache2.toml");
    let plain: Vec<&str> = config.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(plain, recipe("configuration").lines().collect::<Vec<_>>(), "README shows what is written");
    type_in(&recipe("guard"));
    let (_, printed) = said.split_once("in the backend of haproxy.cfg:\n").expect("lines for HAProxy");
    let printed: String =
        printed.lines().take_while(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect();
    // The balancer's other server, which would be another host: only now, as setup would have to ask which one is meant.
    machine.sh("systemd-run -q --unit other --working-directory=/var/www/html python3 -m http.server 81");
    machine.write("/etc/hosts", "127.0.0.1 localhost box\n");
    let readme = recipe("haproxy").replace("10.0.0.11", "127.0.0.1");
    machine.write("/etc/haproxy/haproxy.cfg", &haproxy_cfg(&readme, &printed));
    machine.sh("systemctl restart haproxy");
    let stage = Stage { machine };
    let machine = &stage.machine;
    let type_in = |text: &str| machine.sh(&format!("{SUDO}\n{text}"));
    let asked = |servers: usize| {
        machine.wait_for("both backends to send users", || {
            let shown = machine.sh("echo 'show stat' | socat - UNIX-CONNECT:/run/haproxy/admin.sock");
            let up = shown.lines().filter(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                cells.get(1).is_some_and(|name| ["web1", "box"].contains(name))
                    && cells.get(17) == Some(&"UP")
            });
            holds(up.count() == servers, || shown.clone())
        });
    };
    asked(2);
    let users = ENTRANCES.map(|entrance| Users::of(entrance.parse::<SocketAddr>().expect("an address")));

    let before = stage.invocation();
    let said = type_in(&recipe("restart"));
    assert!(said.contains("is up (answers 200)") && said.contains("nothing would fail"), "{said}");
    assert_ne!(stage.invocation(), before, "{said}");
    asked(2);
    let before = stage.invocation();
    type_in("sudo systemctl restart apache2");
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_phase("up");
    asked(2);
    for users in users {
        users.assert_nobody_hurt();
    }
}
