//! Whatever a unit is restarted by, and whatever kind of unit it is: the agent's own restart in a real systemd.

use drain_tests::{Place, SystemdBox, place::holds};

use crate::host::Host;

/// One server of each kind: what its agent is called, its unit, its port, and whether it knows how to reload.
const KINDS: [(&str, &str, u16, bool); 3] =
    [("plain", "apache2.service", 80, true), ("instance", "shop@81.service", 81, false), ACTIVATED];
/// The one that its socket starts.
const ACTIVATED: (&str, &str, u16, bool) = ("activated", "late.service", 82, false);

const TEMPLATE: &str =
    "[Service]\nExecStart=/usr/bin/python3 -m http.server %i --bind 127.0.0.1 --directory /var/www/html\n";

const LATE_SOCKET: &str = "[Socket]\nListenStream=127.0.0.1:82\n[Install]\nWantedBy=sockets.target\n";

/// It serves on the socket that it is given.
const LATE_SERVICE: &str =
    "[Service]\nWorkingDirectory=/var/www/html\nExecStart=/usr/bin/python3 /usr/local/bin/late.py\n";
const LATE_PROGRAM: &str = r#"
import http.server, socket
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler, False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"#;

/// The configuration of the agent for one of them; nobody asks for its health.
fn config((name, unit, port, _): (&str, &str, u16, bool), how: &str) -> String {
    format!(
        r#"
listen = "127.0.0.1:{}"
[server]
name = "{name}"
ports = [{port}]
ready = {{ url = "http://127.0.0.1:{port}/", interval = "200ms" }}
[restart]
unit = "{unit}"
how = "{how}"
[drain]
acknowledge = {{ limit = "1s", at_limit = "proceed" }}
hard = {{ quiet = "200ms", limit = "20s" }}
min_remaining = 0
"#,
        8400 + port
    )
}

/// How often systemd has reloaded this unit.
fn reloads(machine: &SystemdBox, unit: &str) -> usize {
    machine.journal(unit).lines().filter(|line| line.starts_with("Reloaded ")).count()
}

fn wait_until_up(machine: &SystemdBox, name: &str) {
    machine.wait_for(&format!("{name} to be up"), || {
        let out = machine.try_sh(&format!("drainctl -n {name} --json status"));
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        holds(status["phase"] == "up" && status["readiness"]["ready"] == true, || said)
    });
}

#[test]
fn each_verb_restarts_each_kind_of_unit() {
    let place = Place::new("box_verbs");
    let Some(Host { machine }) = Host::bare(&place) else { return };
    machine.write("/etc/systemd/system/shop@.service", TEMPLATE);
    machine.write("/etc/systemd/system/late.socket", LATE_SOCKET);
    machine.write("/etc/systemd/system/late.service", LATE_SERVICE);
    machine.write("/usr/local/bin/late.py", LATE_PROGRAM);
    machine.sh("systemctl daemon-reload && systemctl start apache2 shop@81 late.socket");
    for kind in KINDS {
        machine.write(&format!("/etc/drain-agent/{}.toml", kind.0), &config(kind, "restart"));
        machine.sh(&format!("systemctl start drain-agent@{}", kind.0));
    }
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
            machine.write(&format!("/etc/drain-agent/{name}.toml"), &config(kind, how));
            machine.sh(&format!("systemctl restart drain-agent@{name}"));
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
