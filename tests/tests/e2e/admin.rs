//! The runtime commands, by the programs that give them to HAProxy.

use std::{collections::BTreeSet, process::Command, time::Duration};

use drain_tests::{
    Haproxy, Nginx, PATIENCE, Place, Proxy,
    child::{is_alive, output},
    haproxy::{Runtime, Server},
    place::holds,
};
use rustix::process::Signal;

use crate::{crew::Crew, upstream::Upstream};

/// From one pair of keys to the next.
const LOOKS_PER_KEY: u32 = 10;

/// Commands of which every byte of the answer must be HAProxy's, in this order.
const SAME: [&str; 68] = [
    "get weight shop/s1",
    "get weight shop/nope",
    "get weight nope/s1",
    "get weight",
    "set weight shop/s1 50%",
    "get weight shop/s1",
    "set weight shop/s1 abc",
    "set weight shop/s1 300",
    "set weight shop/s1 5x",
    "set weight shop/s1",
    "set weight shop/s1 100%",
    "disable server shop/s1",
    "enable server shop/s1",
    "disable server shop",
    "set server shop/s1",
    "set server shop/s1 foo",
    "set server shop/s1 state foo",
    "set server shop/s1 state drain",
    "set server shop/s1 state ready",
    "set server shop/s1 health foo",
    "set server shop/s1 agent up",
    "set server shop/s1 addr",
    "set server shop/s1 addr 300.1.1.1",
    "set server shop/s1 addr 127.0.0.1",
    "set server shop/s1 check-port foo",
    "set server shop/s1 fqdn",
    "set server shop/s1 fqdn foo",
    "set server shop/s1 ssl on",
    "enable agent shop/s1",
    "enable health shop/s1",
    "set maxconn server shop/s1",
    "set maxconn server shop/s1 foo",
    "set maxconn frontend nope 3",
    "set maxconn global",
    "set maxconn global 999999",
    "disable frontend nope",
    "disable frontend",
    "shutdown session 0x123",
    "shutdown sessions server shop/nope",
    "show cli level",
    "show backend",
    "show servers state nope",
    "show table",
    "show env DRAIN_NO_SUCH",
    "set timeout cli",
    "add server",
    "add server shop",
    "add server nope/x 127.0.0.1:1",
    "add server shop/s1 127.0.0.1:1",
    "add server shop/n",
    "add server shop/n 127.0.0.1:9 blah",
    "add server shop/n 127.0.0.1:9 cookie x",
    "add server shop/n 127.0.0.1:9 weight 7 maxconn 3",
    "add server shop/n 127.0.0.1:9",
    "get weight shop/n",
    "set server shop/n addr 127.0.0.2",
    "set server shop/n addr 127.0.0.2",
    "set server shop/n addr 127.0.0.3 port 11",
    "set server shop/n addr 127.0.0.3 port 12",
    "set server shop/n addr 127.0.0.4 port 12",
    "set server shop/n addr 127.0.0.4 port foo",
    "set server shop/n check-port 12",
    "set server shop/n state ready",
    "del server shop/n",
    "set server shop/n state maint",
    "del server shop/n",
    "del server shop/n",
    "operator;disable server shop/s1",
];

/// The fields that each kind of row has, by the letter of its kind.
fn fields(runtime: &Runtime) -> BTreeSet<String> {
    let typed = runtime.command("show stat typed");
    let of = |line: &str| -> Option<String> {
        let parts: Vec<&str> = line.splitn(6, '.').collect();
        let [kind, _, _, place, name, rest] = parts[..] else { return None };
        // Those of HAProxy's modules stand behind.
        (place.parse::<u32>().ok()? < 103).then(|| {
            let tags = rest.split(':').nth(1).unwrap_or_default();
            let value = rest.split(':').nth(2).unwrap_or_default();
            format!("{kind} {place} {name} {tags} {value}")
        })
    };
    typed.lines().filter_map(of).collect()
}

#[test]
fn commands_are_answered_as_by_haproxy_to_the_byte_and_statistics_have_the_same_fields() {
    let place = Place::new("commands");
    let web = Nginx::new(&place, "s1").start();
    let mut haproxy = Haproxy::new(&place, "ha").server(Server::new("s1", web.address())).start();
    let mut proxy = Proxy::new(&place, "lb").server("s1", web.address(), None).commanded("").start();
    proxy.child().expect_error("backend shop has no server available!");
    haproxy.child().expect_error("proxy 'shop' has no server available!");
    // It writes each of its refusals into its log, too.
    haproxy.child().expect_error("CLI : 'server");
    let [theirs, ours] = [haproxy.runtime(), proxy.runtime()];
    for command in SAME {
        assert_eq!(ours.command(command), theirs.command(command), "{command}");
    }
    let first = |runtime: &Runtime, command: &str, line: usize| {
        runtime.command(command).lines().nth(line).unwrap_or_default().to_owned()
    };
    let header = first(&theirs, "show stat", 0);
    assert!(header.starts_with(&first(&ours, "show stat", 0)), "{header}");
    assert_eq!(first(&ours, "show servers state", 1), first(&theirs, "show servers state", 1));
    let columns = |line: String| line.split(' ').count();
    assert_eq!(
        columns(first(&ours, "show servers state", 2)),
        columns(first(&theirs, "show servers state", 2))
    );
    let names = |runtime: &Runtime| -> Vec<String> {
        let info = runtime.command("show info");
        info.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    let (theirs_info, ours_info) = (names(&theirs), names(&ours));
    assert!(theirs_info.iter().all(|name| ours_info.contains(name)), "{ours_info:?}");
    // A check that is under way hides the code of the last one there.
    place.wait_for("the same fields in all rows", PATIENCE, || {
        let (theirs, ours) = (fields(&theirs), fields(&ours));
        let other: Vec<_> = theirs.symmetric_difference(&ours).collect();
        holds(other.is_empty(), || format!("{other:?}"))
    });
}

#[test]
fn an_order_outlasts_checks_a_reload_an_upgrade_and_a_restart_and_is_listed() {
    let place = Place::new("orders");
    let web = Nginx::new(&place, "s1").start();
    let state = place.dir().join("servers.state");
    let admin = format!("server_state = \"{}\"", state.display());
    let mut proxy = Proxy::new(&place, "lb")
        .server("s1", web.address(), None)
        .server("s2", web.address(), None)
        .commanded(&admin)
        .start();
    let runtime = proxy.runtime();
    let status = |server: &str| runtime.statuses().get(server).cloned().unwrap_or_default();
    place.wait_for("both servers to be up", PATIENCE, || {
        holds(status("s1") == "UP" && status("s2") == "UP", || format!("{:?}", runtime.statuses()))
    });
    assert_eq!(runtime.command("disable server shop/s2;set weight shop/s1 5"), "\n\n");
    let stays = |what: &str| {
        place.wait_for(what, PATIENCE, || {
            let (statuses, weight) = (runtime.statuses(), runtime.command("get weight shop/s1"));
            let holds_still = statuses.get("s2").is_some_and(|status| status == "MAINT")
                && statuses.get("s1").is_some_and(|status| status == "UP")
                && weight == "5 (initial 1)\n\n";
            holds(holds_still, || format!("{statuses:?} {weight}"))
        });
    };
    stays("the order to hold");
    proxy.signal(Signal::HUP);
    place.wait_for("the reload", PATIENCE, || {
        let log = proxy.child().log_text();
        holds(log.contains("SIGHUP: "), || log)
    });
    stays("the order to hold after a reload");
    proxy.upgrade();
    stays("the order to hold after an upgrade");
    let mut listing = place.command(drain_tests::place::built("drain-proxy"));
    listing.arg("changes").arg(proxy.config_file());
    let listed = String::from_utf8_lossy(&output(listing).stdout).into_owned();
    assert_eq!(listed, "set server shop/s1 weight 5\nset server shop/s2 state maint\n");
    proxy.end_newest();
    let text = std::fs::read_to_string(&state).expect("the state that was written at the end");
    assert!(text.contains(" shop 2 s2 127.0.0.1 0 1 1 1 "), "{text}");
    proxy.launch();
    stays("the order to hold after a restart");
    runtime.command("enable server shop/s2");
    place.wait_for("s2 to be up again", PATIENCE, || holds(status("s2") == "UP", || status("s2")));
}

#[test]
fn what_was_set_at_run_time_holds_again_after_a_crash() {
    let place = Place::new("kept");
    let web = Nginx::new(&place, "s1").start();
    let [state, changes] = ["servers.state", "changes"].map(|name| place.dir().join(name));
    let files = format!("server_state = \"{}\"\nkeep_changes = \"{}\"", state.display(), changes.display());
    let mut proxy = Proxy::new(&place, "lb")
        .server("s1", web.address(), None)
        .server("s2", web.address(), None)
        .commanded(&files)
        .start();
    let orders = [
        "set maxconn global 50",
        "set maxconn frontend web 40",
        "set server shop/s1 weight 5",
        "set maxconn server shop/s1 9",
        "set server shop/s2 state maint",
    ];
    assert_eq!(proxy.runtime().command(&orders.join(";")), "\n".repeat(orders.len()));
    let set = orders.join("\n") + "\n";
    let has = |path: &std::path::Path, wanted: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        holds(text.contains(wanted), || text)
    };
    place.wait_for("what was set to be written", PATIENCE, || has(&changes, &set));
    place.wait_for("the servers' state to be written", PATIENCE, || {
        has(&state, " shop 2 s2 127.0.0.1 0 1 1 1 ")
    });
    proxy.child().may_end();
    let pid = proxy.child().pid();
    proxy.signal(Signal::KILL);
    place.wait_for("the proxy to be dead", PATIENCE, || holds(!is_alive(pid), || "it lives".to_owned()));
    proxy.launch();
    assert_eq!(proxy.runtime().command("show changes"), set + "\n");
    assert_eq!(proxy.runtime().statuses()["s2"], "MAINT");
}

/// The module as Debian packages it sends one line after the other, and waits until the statistics say what it wants.
#[test]
fn ansible_drains_disables_and_enables_a_server() {
    let place = Place::new("ansible");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).commanded("").start();
    proxy.child().expect_error("backend shop has no server available!");
    let runtime = proxy.runtime();
    let status = || runtime.statuses().get("a").cloned().unwrap_or_default();
    for (asked, wanted) in [("state=drain", "DRAIN"), ("state=disabled", "MAINT"), ("state=enabled", "UP")] {
        let mut command = Command::new("/usr/bin/ansible");
        command.args(["localhost", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3"]);
        command.args(["-m", "community.general.haproxy", "-a"]);
        command.arg(format!("{asked} host=a backend=shop socket={} wait=yes", runtime.path().display()));
        for name in ["ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP"] {
            command.env(name, place.dir());
        }
        command.env("ANSIBLE_NOCOLOR", "1").env("LC_ALL", "C.UTF-8");
        let said = output(command);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        place.check(said.status.success() && text.contains("localhost | CHANGED"), &format!("{said:?}"));
        place.check(status() == wanted, &format!("{asked}: {}", status()));
    }
}

/// What is ordered of the configuration is seen by users as a reload is: not at all.
#[test]
fn a_server_that_comes_at_run_time_serves_moves_and_goes() {
    let place = Place::new("dynamic");
    let [a, b, c] = ["a", "b", "c"].map(Upstream::start);
    let proxy = Proxy::new(&place, "lb").server("a", a.address, None).commanded("").start();
    let runtime = proxy.runtime();
    let crew = Crew::start(proxy.address(), 3, Duration::from_millis(5), true);
    let served = |name: &str| {
        let csv = runtime.command("show stat");
        let row = csv.lines().find(|row| row.starts_with(&format!("shop,{name},"))).unwrap_or_default();
        let cells: Vec<&str> = row.split(',').collect();
        let requests = cells.get(7).and_then(|cell| cell.parse::<u32>().ok()).unwrap_or(0);
        holds(cells.get(17) == Some(&"UP") && requests > 0, || row.to_owned())
    };
    let new = format!("add server shop/b {} weight 2 check", b.address);
    assert_eq!(runtime.command(&new), "New server registered.\n\n");
    assert_eq!(runtime.statuses()["b"], "MAINT");
    assert_eq!(runtime.command("set server shop/b state ready;set server shop/b weight 3"), "\n\n");
    place.wait_for("the new server to serve", PATIENCE, || served("b"));
    let there = format!("set server shop/b addr 127.0.0.1 port {}", c.address.port());
    let said = runtime.command(&there);
    let wanted = format!(
        "no need to change the addr, port changed from '{}' to '{}' by 'stats socket command'\n\n",
        b.address.port(),
        c.address.port()
    );
    assert_eq!(said, wanted);
    assert_eq!(runtime.command("get weight shop/b"), "3 (initial 2)\n\n");
    place.wait_for("the server to serve where it is now", PATIENCE, || served("b"));
    assert_eq!(runtime.command("del server shop/b"), "Only servers in maintenance mode can be deleted.\n");
    assert_eq!(runtime.command("set server shop/b state maint"), "\n");
    place.wait_for("the server to have gone", PATIENCE, || {
        let said = runtime.command("del server shop/b");
        holds(said == "Server deleted.\n", || said)
    });
    assert!(!runtime.statuses().contains_key("b"));
    crew.go_on(&place, 20);
    crew.finish_unharmed(&place);
}

#[test]
fn hatop_shows_servers_disables_and_enables_them_and_sets_weights() {
    let place = Place::new("hatop");
    let web = Nginx::new(&place, "s1").start();
    let mut proxy = Proxy::new(&place, "lb").server("s1", web.address(), None).commanded("").start();
    proxy.child().expect_error("backend shop has no server available!");
    let runtime = proxy.runtime();
    let terminal = place.public().join("tmux.sock");
    let tmux = |words: &[&str]| {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&terminal).args(words);
        String::from_utf8_lossy(&output(command).stdout).into_owned()
    };
    let program = format!("TERM=screen hatop -s {}", runtime.path().display());
    tmux(&["new-session", "-d", "-x", "180", "-y", "50", &program]);
    let seen = || tmux(&["capture-pane", "-p"]);
    place.wait_for("hatop to show the server", PATIENCE, || {
        let screen = seen();
        holds(screen.contains("s1") && screen.contains("shop"), || screen)
    });
    // Some looks between two keys: hatop may be slow.
    let looks = std::cell::Cell::new(0_u32);
    let press = |keys: [&str; 2]| {
        looks.set(looks.get() + 1);
        if looks.get() % LOOKS_PER_KEY == 1 {
            for key in keys {
                tmux(&["send-keys", key]);
            }
        }
    };
    // Keys have an effect on the server's row only, and are obeyed in their order, however late: who walks over all
    // rows comes by.
    let weight = || runtime.command("get weight shop/s1");
    let status = || runtime.statuses().get("s1").cloned().unwrap_or_default();
    place.wait_for("hatop to disable the server", PATIENCE, || {
        press(["F10", "Down"]);
        holds(status() == "MAINT", seen)
    });
    place.wait_for("hatop to enable the server", PATIENCE, || {
        press(["F9", "Up"]);
        holds(status() != "MAINT", seen)
    });
    place.wait_for("hatop to raise the weight", PATIENCE, || {
        press(["F7", "Down"]);
        holds(weight() != "1 (initial 1)\n\n", seen)
    });
    tmux(&["kill-server"]);
}
