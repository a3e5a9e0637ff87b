//! The sandbox of the agent's unit, seen from outside and by whoever gets into the agent.

use drain_agent::{control::api::Status, lifecycle::Phase};
use drain_tests::{Place, SystemdBox, place::holds};
use serde_json::{Value, json};

use crate::host::{AGENT, APACHE, BYSTANDER, CONFIG, Host};

const CONFIG_FILE: &str = "/etc/drain-agent/apache2.toml";

/// Where the intruder leaves what he has found; in the box, only the agent's user writes there.
const FOUND: &str = "/var/lib/drain-agent/found.json";

/// Takes the place of `journalctl`, which an agent starts that reads a journal: what he may is what the agent may.
const INTRUDER: &str = r#"#!/usr/bin/python3
import errno, json, os, pwd, socket, subprocess, sys

def tried(what, *arguments):
    try:
        what(*arguments)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def write(path):
    open(path, "w").close()

def listen(port, family=socket.AF_INET, at="127.0.0.1"):
    with socket.socket(family) as listener:
        listener.bind((at, port))
        listener.listen()

def connect(port):
    socket.create_connection(("127.0.0.1", port)).close()

def restart(unit):
    done = subprocess.run(["systemctl", "--no-ask-password", "restart", unit], capture_output=True, text=True)
    if "Access denied" in done.stderr or "authentication required" in done.stderr:
        raise PermissionError(errno.EPERM, done.stderr)
    if done.returncode != 0:
        raise OSError(errno.EIO, done.stderr)

if os.geteuid() == pwd.getpwnam("drain-agent").pw_uid:
    places = ["/etc", "/usr", "/var/www/html", "/var/log", "/srv", "/root", "/home"]
    found = {
        "writes": {place: tried(write, place + "/intruder") for place in places},
        "writes its state": tried(write, "/var/lib/drain-agent/intruder"),
        "listens at 8405": tried(listen, 8405),
        "listens at any port": tried(listen, 0),
        "listens over IPv6": tried(listen, 8405, socket.AF_INET6, "::1"),
        "connects to the server": tried(connect, 80),
        "sends packets of its own": tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
        "sees all packets": tried(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0),
        "becomes root": tried(os.setuid, 0),
        "ends others": tried(os.kill, 1, 0),
        "restarts another unit": tried(restart, "bystander.service"),
    }
    new = "/var/lib/drain-agent/found.%d" % os.getpid()
    with open(new, "w") as file:
        json.dump(found, file)
    os.rename(new, "/var/lib/drain-agent/found.json")
os.execv("/usr/bin/journalctl", ["journalctl"] + sys.argv[1:])
"#;

/// Whether the box's kernel can refuse ports (Landlock's version 4 can), asked without the agent.
fn refuses_ports(machine: &SystemdBox) -> bool {
    let asked = "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))";
    let version = machine.sh(&format!("python3 -c '{asked}'"));
    let can = version.trim().parse::<i64>().is_ok_and(|version| version >= 4);
    if !can {
        assert!(
            std::env::var_os("CI").is_none(),
            "expected a kernel with Landlock for ports, found {version}"
        );
        eprintln!("not tested: the kernel has no Landlock for ports");
    }
    can
}

#[test]
fn the_sandbox_holds() {
    let place = Place::new("box_sandbox");
    let Some(host) = Host::guarded(&place, "") else { return };
    let pid = host.machine.main_pid(AGENT);
    let status = host.machine.sh(&format!("cat /proc/{pid}/status"));
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    for set in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert_eq!(value(set), "0000000000000000", "{set}");
    }
    assert_eq!((value("NoNewPrivs").as_str(), value("Seccomp").as_str()), ("1", "2"));
    let uid = host.machine.sh("id -u drain-agent");
    assert!(value("Uid").split_whitespace().all(|one| one == uid.trim()), "{}", value("Uid"));
    // As that user and in its view of the file system, nothing can be written but the agent's own state.
    let within = |what: &str| {
        let enter =
            format!("nsenter -t {pid} -m setpriv --reuid drain-agent --regid drain-agent --init-groups");
        host.machine.try_sh(&format!("{enter} {what}")).status.success()
    };
    assert!(within("touch /var/lib/drain-agent/x") && within("touch /run/drain-agent/x"));
    for path in ["/etc/x", "/usr/x", "/var/www/html/x", "/var/log/x", "/root/x", "/home/x"] {
        assert!(!within(&format!("touch {path}")), "{path}");
        let as_root = host.machine.try_sh(&format!("nsenter -t {pid} -m touch {path}"));
        assert!(!as_root.status.success(), "even as root: {path}");
    }
    // It listens where it is told to, and nowhere else.
    let ports = host.machine.sh(&format!("ss -Hltnp | grep 'pid={pid},' | awk '{{print $4}}'"));
    assert_eq!(ports.trim(), crate::host::HEALTH);
}

#[test]
fn whoever_gets_into_the_agent_writes_nowhere_and_opens_no_other_port() {
    let place = Place::new("box_intruder");
    let Some(host) = Host::bare(&place) else { return };
    let machine = &host.machine;
    let bystander = host.bystander();
    machine.write("/usr/local/bin/journalctl", INTRUDER);
    machine.write(CONFIG_FILE, &format!("{CONFIG}[[traffic]]\njournal = \"{APACHE}\"\n"));
    machine.sh(&format!("chmod 755 /usr/local/bin/journalctl && systemctl start {APACHE} {AGENT}"));
    let mut found: Value = machine.wait_for("the intruder's report", || {
        let found = std::fs::read(machine.outside(FOUND)).map_err(|error| error.to_string())?;
        serde_json::from_slice(&found).map_err(|error| error.to_string())
    });
    for (place, outcome) in found["writes"].as_object().expect("places") {
        assert!(
            ["EROFS", "EACCES", "ENOENT"].contains(&outcome.as_str().unwrap_or_default()),
            "{place}: {outcome}"
        );
    }
    found["writes"].take();
    // What he may do shows that he could have.
    let ports = if refuses_ports(machine) { "EACCES" } else { "done" };
    let expected = json!({
        "writes": null,
        "writes its state": "done",
        "listens at 8405": ports,
        "listens at any port": ports,
        "listens over IPv6": ports,
        "connects to the server": "done",
        "sends packets of its own": "EPERM",
        "sees all packets": "EAFNOSUPPORT",
        "becomes root": "EPERM",
        "ends others": "EPERM",
        "restarts another unit": "EPERM",
    });
    assert_eq!(found, expected);
    assert_eq!(machine.property(BYSTANDER, "InvocationID"), bystander, "it runs on");
    let doctor = host.ctl("doctor");
    let said = String::from_utf8_lossy(&doctor.stdout);
    let told = if refuses_ports(machine) { "refuses to open any other" } else { "may listen on any port" };
    assert!(said.contains(told), "{said}");
}

#[test]
fn a_port_and_a_command_that_a_reload_brings_wait_for_the_agents_restart_and_that_is_told() {
    let place = Place::new("box_later_port");
    let Some(host) = Host::guarded(&place, "") else { return };
    let machine = &host.machine;
    if !refuses_ports(machine) {
        return;
    }
    let metrics = || machine.try_sh("curl -sf -o /dev/null http://127.0.0.1:9404/metrics").status.success();
    machine.write(CONFIG_FILE, &format!("{CONFIG}[metrics]\nlisten = \"127.0.0.1:9404\"\n"));
    machine.sh(&format!("systemctl reload {AGENT}"));
    let of_it = |status: &Status| {
        let warnings = status.warnings.iter();
        warnings.filter(|warning| warning.contains("127.0.0.1:9404")).cloned().collect::<String>()
    };
    let told = of_it(&host.wait_until("to be told", |status| !of_it(status).is_empty()));
    assert!(told.contains("Permission denied"), "by the kernel: {told}");
    assert!(told.contains("restart the agent"), "the cure: {told}");
    assert!(!metrics());
    machine.sh(&format!("systemctl restart {AGENT}"));
    let status = host.wait_until("up", |status| status.phase == Phase::Up);
    assert!(metrics() && of_it(&status).is_empty(), "{:?}", status.warnings);

    // What this command starts could open no port.
    machine.write(CONFIG_FILE, &format!("{CONFIG}[run.upgrade]\ncommand = [\"true\"]\n"));
    machine.sh(&format!("systemctl reload {AGENT}"));
    machine.wait_for("the refusal", || {
        let log = machine.journal(AGENT);
        let is_told =
            log.contains("is not reloaded") && log.contains("run.upgrade.command can't begin to hold now");
        holds(is_told, || log)
    });
    let out = host.ctl("hard --no-wait --then run:upgrade");
    assert!(!out.status.success(), "{out:?}");
    machine.sh(&format!("systemctl restart {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    let out = host.ctl("hard --no-wait --force --then run:upgrade");
    assert!(out.status.success(), "{out:?}");
}
