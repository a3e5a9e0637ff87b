//! The proxy under its own units, as its package installs them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use drain_tests::{PATIENCE, Place, SystemdBox, client::Connection, clock, place::holds, scripted};

use crate::{guard::stage::in_background, packages::install, users::Users};

const UNIT: &str = "drain-proxy.service";
const SOCKET: &str = "drain-proxy.socket";
const CONFIG: &str = "/etc/drain-proxy/proxy.toml";
const ADMIN: &str = "/run/drain-proxy/admin.sock";
/// Where the proxy listens: the socket unit's own port.
const ENTRANCE: &str = "127.0.0.1:80";
/// The path of an answer whose end comes when the test says so.
const HELD: &str = "/held";
/// What the server answers.
const PAGE: &str = "a page of the shop\n";

/// A host with the proxy's package, and a web server of the test's own.
struct Shop {
    machine: SystemdBox,
    server: SocketAddr,
    /// What is held back may go.
    released: Arc<AtomicBool>,
}

impl Shop {
    fn new(place: &Place) -> Option<Self> {
        let machine = SystemdBox::on(place)?;
        install(&machine, "drain-proxy");
        let released = Arc::new(AtomicBool::new(false));
        let may_go = Arc::clone(&released);
        let server = scripted::start(move |request, connection| {
            connection
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PAGE.len()).as_bytes())
                .ok()?;
            if request.line().contains(HELD) {
                let began = clock::now();
                while !may_go.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                    clock::pause(Duration::from_millis(20));
                }
            }
            connection.send(PAGE.as_bytes()).ok()
        });
        let shop = Self { machine, server, released };
        shop.configure("");
        Some(shop)
    }

    /// The configuration, with `more` for `[admin]`.
    fn configure(&self, more: &str) {
        let text = format!(
            r#"
[frontend.web]
bind = ["0.0.0.0:80"]
backend = "shop"
log = {{ format = "http", target = "/var/log/drain-proxy/access.log" }}
[backend.shop]
check = {{ uri = "/", inter = "500ms", fastinter = "100ms", fall = 2, rise = 1 }}
# An overloaded machine must not make a server look dead.
timeout = {{ check = "60s" }}
[[backend.shop.server]]
name = "web1"
address = "{}"
[admin]
socket = "{ADMIN}"
server_state = "/var/lib/drain-proxy/servers"
{more}
"#,
            self.server
        );
        self.machine.write(CONFIG, &text);
    }

    fn wait_for_a_page(&self) {
        self.machine.wait_for("a page", || {
            let page = fetch("/")?;
            holds(page.0 == 200, || format!("status {}", page.0))
        });
    }

    /// What the admin socket answers.
    fn asked(&self, command: &str) -> String {
        self.machine.sh(&format!("echo '{command}' | socat -t 5 - UNIX-CONNECT:{ADMIN}"))
    }

    /// Lets users come for a while.
    fn let_come(&self, users: &Users) {
        let enough = users.visits() + 20;
        self.machine.wait_for("users", || holds(users.visits() >= enough, || users.visits().to_string()));
    }

    /// Installs the package again, as an upgrade does: a child of the main process becomes the main process.
    fn upgrade(&self) {
        let (old, restarts) = (self.machine.main_pid(UNIT), self.machine.property(UNIT, "NRestarts"));
        install(&self.machine, "drain-proxy");
        let new = self.machine.main_pid(UNIT);
        assert!(new != old && new != 0, "{old} has handed over to {new}: {}", self.machine.journal(UNIT));
        let gone = format!("test ! -e /proc/{old}");
        self.machine.wait_for("the old process to end", || {
            holds(self.machine.try_sh(&gone).status.success(), || self.machine.journal(UNIT))
        });
        assert_eq!(self.machine.property(UNIT, "ActiveState"), "active");
        assert_eq!(self.machine.property(UNIT, "NRestarts"), restarts, "{}", self.machine.journal(UNIT));
    }

    /// Lets it read another configuration: the same process has it then.
    fn reload(&self, timeout: &str) {
        let main = self.machine.main_pid(UNIT);
        self.configure(&format!("timeout = \"{timeout}\""));
        let read = |journal: &str| journal.matches("log files are opened anew").count();
        let before = read(&self.machine.journal(UNIT));
        self.machine.sh(&format!("systemctl reload {UNIT}"));
        self.machine.wait_for("the new configuration", || {
            let journal = self.machine.journal(UNIT);
            holds(read(&journal) > before, || journal)
        });
        assert_eq!(self.machine.main_pid(UNIT), main);
    }
}

/// A page of the shop: its status and its length.
fn fetch(page: &str) -> Result<(u16, usize), String> {
    let entrance: SocketAddr = ENTRANCE.parse().expect("an address");
    let mut connection = Connection::open(entrance).map_err(|error| error.to_string())?;
    connection.set_patience(PATIENCE);
    let page = connection.fetch("GET", page, &["Connection: close"], b"").map_err(|e| e.to_string())?;
    Ok((page.status, page.body.len()))
}

#[test]
fn the_proxys_unit_is_reloaded_upgraded_and_stopped_and_nobody_is_refused() {
    let place = Place::new("box_proxy");
    let Some(shop) = Shop::new(&place) else { return };
    let machine = &shop.machine;
    machine.sh(&format!("systemctl enable --quiet --now {UNIT}"));
    shop.wait_for_a_page();
    let status = machine.sh(&format!("cat /proc/{}/status", machine.main_pid(UNIT)));
    assert!(!status.contains("Uid:\t0\t"), "a user of its own has port 80: {status}");
    let users = Users::of(ENTRANCE.parse().expect("an address"));
    shop.let_come(&users);
    shop.reload("20s");
    // The second one is a child of a child.
    for timeout in ["30s", "40s"] {
        shop.upgrade();
        shop.let_come(&users);
        shop.reload(timeout);
        assert!(shop.asked("show servers state").contains("web1"), "the admin socket is the new one's");
    }
    // A file with a mistake changes nothing, and systemctl says so.
    shop.configure("nonsense = 1");
    assert!(!machine.try_sh(&format!("systemctl reload {UNIT}")).status.success());
    shop.let_come(&users);
    users.assert_nobody_hurt();
    shop.configure("");
    assert!(machine.read("/var/log/private/drain-proxy/access.log").contains("web1"), "its log");

    // A stop finishes what is in flight, and is no failure.
    let held = thread::spawn(|| fetch(HELD));
    machine.wait_for("a page in its middle", || {
        let shown = shop.asked("show stat");
        let line = shown.lines().find(|line| line.starts_with("shop,web1,")).unwrap_or_default().to_owned();
        holds(line.split(',').nth(4) == Some("1"), || line)
    });
    let mut stop = in_background(machine, &format!("systemctl stop {UNIT}"));
    machine.wait_for("the stop to wait", || {
        holds(machine.property(UNIT, "ActiveState") == "deactivating", || machine.journal(UNIT))
    });
    shop.released.store(true, Ordering::Relaxed);
    assert_eq!(held.join().expect("a user's thread"), Ok((200, PAGE.len())));
    assert!(stop.wait().expect("systemctl ends").success());
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive", "{}", machine.journal(UNIT));
    assert_eq!(machine.property(UNIT, "Result"), "success");
    assert!(machine.read("/var/lib/private/drain-proxy/servers").contains("web1"), "what it knows is kept");
    assert!(fetch("/").is_err());

    // With the socket unit it is not even noticed when it is restarted.
    machine.sh(&format!("systemctl enable --quiet --now {SOCKET}"));
    shop.wait_for_a_page();
    assert_eq!(machine.property(UNIT, "ActiveState"), "active", "the first user starts it");
    let users = Users::of(ENTRANCE.parse().expect("an address"));
    for _ in 0..3 {
        shop.let_come(&users);
        let old = machine.main_pid(UNIT);
        machine.sh(&format!("systemctl restart {UNIT}"));
        assert_ne!(machine.main_pid(UNIT), old);
    }
    shop.let_come(&users);
    shop.upgrade();
    shop.let_come(&users);
    users.assert_nobody_hurt();
    machine.sh(&format!("systemctl kill --kill-whom=main -s KILL {UNIT}"));
    machine.wait_for("another proxy", || holds(machine.main_pid(UNIT) != 0, || "none".to_owned()));
    shop.wait_for_a_page();
    machine.sh(&format!("systemctl stop {SOCKET} {UNIT}"));
    assert!(fetch("/").is_err());
}

#[test]
fn a_group_for_the_admin_socket_is_given_to_the_unit_and_told_where_it_is_not() {
    let place = Place::new("box_proxy_group");
    let Some(shop) = Shop::new(&place) else { return };
    let machine = &shop.machine;
    machine.sh("groupadd --system proxy-ops");
    shop.configure("group = \"proxy-ops\"");
    assert!(!machine.try_sh(&format!("systemctl start {UNIT}")).status.success());
    let said = machine.journal(UNIT);
    assert!(said.contains("SupplementaryGroups=proxy-ops"), "the cure is told: {said}");
    machine.sh(&format!("systemctl stop {UNIT}"));
    machine.write(
        "/etc/systemd/system/drain-proxy.service.d/group.conf",
        "[Service]\nSupplementaryGroups=proxy-ops\n",
    );
    machine.sh(&format!("systemctl daemon-reload && systemctl start {UNIT}"));
    assert_eq!(machine.sh(&format!("stat -c '%G %a' {ADMIN}")).trim(), "proxy-ops 660");
    shop.upgrade();
    assert_eq!(machine.sh(&format!("stat -c '%G %a' {ADMIN}")).trim(), "proxy-ops 660");
    assert!(shop.asked("show info").contains("Uptime"));
}
