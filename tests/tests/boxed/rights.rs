//! What the agent's user may not do: it is told, with its cure, before a drain finds out.

use drain_agent::lifecycle::Phase;
use drain_tests::{Place, place::holds};

use crate::host::{AGENT, CONFIG, Host};

const CONFIG_FILE: &str = "/etc/drain-agent/apache2.toml";
const RULE_FILE: &str = "/usr/share/polkit-1/rules.d/50-drain-agent.rules";

impl Host {
    /// Waits until the doctor says something with these words in it.
    #[track_caller]
    fn wait_for_finding(&self, words: &[&str]) {
        self.machine.wait_for(&format!("the doctor to tell of {words:?}"), || {
            let said = String::from_utf8_lossy(&self.ctl("doctor").stdout).into_owned();
            holds(words.iter().all(|word| said.contains(word)), || said.clone())
        });
    }
}

#[test]
fn the_doctor_sees_what_keeps_polkit_from_permitting_a_restart() {
    let place = Place::new("box_doctor_polkit");
    let Some(host) = Host::guarded(&place, "") else { return };
    host.wait_for_finding(&["polkit knows what the agent's user may restart"]);
    host.machine.sh(&format!("chmod 600 {CONFIG_FILE}"));
    host.wait_for_finding(&["FAILS", "can't read /etc/drain-agent/apache2.toml", "chmod 644"]);
    host.machine.sh(&format!("chmod 644 {CONFIG_FILE} && chmod 700 /etc/drain-agent"));
    host.wait_for_finding(&["FAILS", "can't read /etc/drain-agent,", "755"]);
    host.machine.sh("chmod 755 /etc/drain-agent");
    host.wait_for_finding(&["polkit knows what the agent's user may restart"]);
    host.machine.sh(&format!("rm {RULE_FILE} && systemctl restart polkit"));
    host.wait_for_finding(&["FAILS", "no polkit rule in force", "50-drain-agent.rules"]);
    host.machine.sh("systemctl mask --now polkit");
    host.wait_for_finding(&["FAILS", "polkit does not answer", "install polkitd"]);
}

/// Listens at a unix socket that nobody but root may connect to.
const SHOP: &str = "import http.server, os, socketserver\n\
    class Server(socketserver.UnixStreamServer): pass\n\
    os.umask(0o077)\n\
    Server('/run/shop.sock', http.server.SimpleHTTPRequestHandler).serve_forever()\n";

#[test]
fn a_socket_that_the_agents_user_may_not_open_says_nothing_about_the_server() {
    let place = Place::new("box_unasked");
    let Some(host) = Host::bare(&place) else { return };
    host.machine.write("/root/shop.py", SHOP);
    host.machine.sh("systemd-run -q --unit shop python3 /root/shop.py");
    host.machine.wait_for("the server to listen", || {
        let there = host.machine.try_sh("test -S /run/shop.sock").status.success();
        holds(there, || "no socket".into())
    });
    let of_socket = CONFIG
        .replace("ports = [80]", "unix = [\"/run/shop.sock\"]")
        .replace("url = \"http://127.0.0.1/\", ", "")
        .replace("apache2.service", "shop.service");
    host.machine.write(CONFIG_FILE, &of_socket);
    host.machine.sh("chmod 666 /run/shop.sock");
    host.machine.sh(&format!("systemctl start {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);

    host.machine.sh("chmod 600 /run/shop.sock");
    let status = host.wait_until("to be told", |status| {
        status.warnings.iter().any(|warning| warning.contains("/run/shop.sock can't be asked"))
    });
    assert_eq!((status.phase, status.readiness.ready), (Phase::Up, None), "what was known holds");
    host.wait_for_finding(&["FAILS", "whether the server is ready is not known", "SupplementaryGroups="]);
    assert!(host.machine.journal(AGENT).contains("whether the server is ready is not known"));
    host.machine.sh("chmod 666 /run/shop.sock");
    host.wait_until("ready", |status| status.readiness.ready == Some(true));
}
