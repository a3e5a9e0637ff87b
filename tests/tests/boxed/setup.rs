//! `drainctl setup` on a host with more than one server, and with servers that don't listen everywhere.

use drain_tests::{Place, SystemdBox};

use crate::packages::install;

/// A host with the package, an Apache that listens on one address only, and an nginx.
fn host(place: &Place) -> Option<SystemdBox> {
    let machine = SystemdBox::on(place)?;
    install(&machine, "drain-agent");
    machine.write("/etc/apache2/ports.conf", "Listen 127.0.0.2:80\n");
    machine.write(
        "/etc/nginx/sites-enabled/default",
        "server { listen 127.0.0.1:81; location / { return 200 'a page'; } }\n",
    );
    machine.sh("systemctl start apache2 nginx");
    Some(machine)
}

#[test]
fn a_server_is_asked_where_it_listens_and_a_second_one_gets_a_port_of_its_own() {
    let place = Place::new("box_setup");
    let Some(machine) = host(&place) else { return };
    let said = machine.sh("drainctl setup --yes --unit apache2 --enable");
    assert!(said.contains("the server is up"), "{said}");
    assert!(
        said.contains("restart") && said.contains("apache2.service is loaded"),
        "the doctor speaks: {said}"
    );
    let config = machine.read("/etc/drain-agent/apache2.toml");
    assert!(config.contains("http://127.0.0.2:80/") && config.contains("0.0.0.0:8404"), "{config}");
    assert_eq!(machine.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8404/"), "200");

    let said = machine.sh("drainctl setup --yes --unit nginx --enable");
    assert!(said.contains("check port 8405"), "{said}");
    assert_eq!(machine.property("drain-agent@nginx.socket", "Listen"), "0.0.0.0:8405 (Stream)");
    for port in ["8404", "8405"] {
        let asked = format!("curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}/");
        assert_eq!(machine.sh(&asked), "200", "{port}");
    }
    // Nothing is new: neither is touched.
    let main = machine.main_pid("drain-agent@nginx.service");
    machine.sh("drainctl setup --yes --unit nginx --enable");
    assert_eq!(machine.main_pid("drain-agent@nginx.service"), main);

    // A port of another agent's: of one that runs, whose socket alone is there, that is only configured.
    for stopped in ["", "drain-agent@apache2.service", "drain-agent@apache2.socket"] {
        if !stopped.is_empty() {
            machine.sh(&format!("systemctl stop {stopped}"));
        }
        let refused =
            machine.try_sh("drainctl -n third setup --yes --unit nginx --enable --listen 127.0.0.1:8404");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(64), "{said}");
        assert!(said.contains("belongs to") && said.contains("127.0.0.1:8406 is free"), "{said}");
        assert!(!machine.outside("/etc/drain-agent/third.toml").exists());
    }
    // One that can't be had is told, and does not try it for ever.
    let failed =
        machine.try_sh("drainctl -n third setup --yes --unit nginx --enable --listen 192.0.2.1:8410");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("journalctl -u drain-agent@third.socket"), "{said}");
    for unit in ["drain-agent@third.socket", "drain-agent@third.service"] {
        assert_eq!(machine.property(unit, "UnitFileState"), "disabled", "{unit}");
        assert_ne!(machine.property(unit, "ActiveState"), "active", "{unit}");
        assert_ne!(machine.property(unit, "ActiveState"), "activating", "{unit}");
    }
}

/// Says `answer` to what `drainctl` asks at a terminal; gives its exit code and what is seen there.
fn at_a_terminal(machine: &SystemdBox, answer: &str, words: &str) -> (Option<i32>, String) {
    let out = machine.try_sh(&format!(
        "printf '{answer}\\n\\n\\n' | script --quiet --return --command 'drainctl {words}' /dev/null"
    ));
    (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn whoever_sits_at_a_terminal_is_asked_what_is_not_plain_and_before_anything_is_replaced() {
    let place = Place::new("box_setup_asks");
    let Some(machine) = host(&place) else { return };
    machine.write(
        "/etc/nginx/sites-enabled/default",
        "server { listen 127.0.0.1:81; location = /healthz { return 200 'fine'; } location / { return 404; } }\n",
    );
    machine.sh("systemctl reload nginx");
    let config = || machine.read("/etc/drain-agent/nginx.toml");
    let (_, list) = at_a_terminal(&machine, "", "setup --dry-run");
    let line = list.lines().find(|line| line.contains("nginx.service")).unwrap_or_default();
    let number = line.split_whitespace().next().unwrap_or_default();
    assert!(list.contains("apache2.service") && list.contains("which one?"), "{list}");
    let (code, said) = at_a_terminal(&machine, number, "setup");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        config().contains("http://127.0.0.1:81/healthz"),
        "the page that says that it is ready: {}",
        config()
    );

    let before = config();
    let other = "setup --unit nginx --ready http://127.0.0.1:81/";
    for answer in ["n", ""] {
        let (code, said) = at_a_terminal(&machine, answer, other);
        assert!(code == Some(1) && said.contains("nginx.toml is there: replace it?"), "{said}");
        assert_eq!(config(), before);
    }
    let (code, said) = at_a_terminal(&machine, "y", other);
    assert_eq!(code, Some(0), "{said}");
    assert!(!config().contains("healthz"), "{}", config());
}
