//! Servers of every kind of unit, each with an agent of its own.

use drain_tests::{SystemdBox, place::holds};

/// What its agent is called, its unit, its port, and whether it knows how to reload.
pub(crate) type Kind = (&'static str, &'static str, u16, bool);

/// One server of each kind.
pub(crate) const KINDS: [Kind; 3] =
    [("plain", "apache2.service", 80, true), ("instance", "shop@81.service", 81, false), ACTIVATED];
/// The one that its socket starts.
const ACTIVATED: Kind = ("activated", "late.service", 82, false);

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
fn config((name, unit, port, _): Kind, how: &str) -> String {
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

/// Starts each of them, and its agent.
pub(crate) fn start(machine: &SystemdBox) {
    machine.write("/etc/systemd/system/shop@.service", TEMPLATE);
    machine.write("/etc/systemd/system/late.socket", LATE_SOCKET);
    machine.write("/etc/systemd/system/late.service", LATE_SERVICE);
    machine.write("/usr/local/bin/late.py", LATE_PROGRAM);
    machine.sh("systemctl daemon-reload && systemctl start apache2 shop@81 late.socket");
    for kind in KINDS {
        restart_agent(machine, kind, "restart");
    }
}

/// (Re)starts the agent of one of them, which restarts it like this.
pub(crate) fn restart_agent(machine: &SystemdBox, kind: Kind, how: &str) {
    machine.write(&format!("/etc/drain-agent/{}.toml", kind.0), &config(kind, how));
    machine.sh(&format!("systemctl restart drain-agent@{}", kind.0));
}

/// Waits until this agent says so of its server.
pub(crate) fn wait_until_up(machine: &SystemdBox, name: &str) {
    machine.wait_for(&format!("{name} to be up"), || {
        let out = machine.try_sh(&format!("drainctl -n {name} --json status"));
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        holds(status["phase"] == "up" && status["readiness"]["ready"] == true, || said)
    });
}
