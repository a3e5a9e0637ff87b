//! A restart by a command, of an agent that root.conf gives root: it begins in a scope of its own.

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Place, place::holds};

use crate::host::{AGENT, CONFIG, Host};

/// Where the script is, and the server's number.
const SCRIPT_FILE: &str = "/usr/local/bin/restart-shop";
const SHOP_PID: &str = "/run/shop.pid";

/// Ends the server and starts another in the background, as such scripts do; how often, it writes down.
const SCRIPT: &str = r#"#!/bin/sh
echo once >> /run/restarts
while [ -e /run/slow ]; do sleep 0.1; done
if [ -e /run/shop.pid ]; then
    kill "$(cat /run/shop.pid)"
    while kill -0 "$(cat /run/shop.pid)" 2>/dev/null; do sleep 0.1; done
fi
cd /var/www/html || exit 1
python3 -m http.server 80 --bind 127.0.0.1 >/dev/null 2>&1 &
echo $! > /run/shop.pid
"#;

impl Host {
    /// Whose server is started by the script alone.
    fn scripted(place: &Place) -> Option<Self> {
        let host = Self::bare(place)?;
        host.give_root();
        host.machine.write(SCRIPT_FILE, SCRIPT);
        host.machine.sh(&format!("chmod 755 {SCRIPT_FILE} && {SCRIPT_FILE}"));
        let command = format!("command = [{SCRIPT_FILE:?}]");
        host.machine
            .write("/etc/drain-agent/apache2.toml", &CONFIG.replace("unit = \"apache2.service\"", &command));
        host.machine.sh(&format!("systemctl start {AGENT}"));
        host.wait_until("up", |status| status.phase == Phase::Up);
        Some(host)
    }

    fn shop(&self) -> u32 {
        self.machine.read(SHOP_PID).trim().parse().expect("the server's number")
    }

    #[track_caller]
    fn assert_shop_is(&self, pid: u32, after: &str) {
        assert_eq!(self.shop(), pid, "{after}");
        let lives = self.machine.try_sh(&format!("kill -0 {pid}"));
        assert!(lives.status.success(), "{after}: {lives:?}");
    }
}

#[test]
fn a_server_that_a_command_has_started_is_no_part_of_the_agents_unit_and_outlives_it() {
    let place = Place::new("box_scope");
    let Some(host) = Host::scripted(&place) else { return };
    let before = host.shop();
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}\n{}", host.machine.journal(AGENT));
    let shop = host.shop();
    assert_ne!(shop, before);

    let cgroup = host.machine.sh(&format!("grep ^0:: /proc/{shop}/cgroup"));
    let scope = cgroup.trim().rsplit('/').next().expect("a cgroup's last part").to_owned();
    let is_scope = scope.rsplit('.').next() == Some("scope");
    assert!(is_scope && !cgroup.contains("drain-agent@"), "{cgroup}");
    let described = host.machine.property(&scope, "Description");
    assert!(described.starts_with("restart command of a drain agent"), "{described}");
    // Nothing of a sandbox: what it may and what it sees is what process 1 may and sees.
    for space in ["mnt", "uts", "ipc", "net"] {
        let same = host
            .machine
            .sh(&format!("[ /proc/{shop}/ns/{space} -ef /proc/1/ns/{space} ] && echo same || echo other"));
        assert_eq!(same.trim(), "same", "{space}");
    }
    let limits = "^(CapEff|CapBnd|NoNewPrivs|Seccomp):";
    let limited = |pid: &str| host.machine.sh(&format!("grep -E '{limits}' /proc/{pid}/status"));
    assert_eq!(limited(&shop.to_string()), limited("1"));

    host.machine.sh(&format!("systemctl restart {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    host.assert_shop_is(shop, "the agent's restart");
    host.machine.sh(&format!("systemctl kill --kill-whom=all -s KILL {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    host.assert_shop_is(shop, "the end of all of the agent's unit");
    host.machine.sh(&format!("systemctl stop {AGENT}"));
    host.assert_shop_is(shop, "the agent's stop");
    // With its processes the scope goes, too.
    host.machine.sh(&format!("systemctl start {AGENT}"));
    host.wait_until("up", |status| status.phase == Phase::Up);
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}\n{}", host.machine.journal(AGENT));
    host.machine.wait_for("the old server's scope to be gone", || {
        let load = host.machine.property(&scope, "LoadState");
        holds(load == "not-found", || load)
    });
}

#[test]
fn an_agent_that_is_killed_while_its_command_runs_in_its_scope_runs_it_once() {
    let place = Place::new("box_scope_killed");
    let Some(host) = Host::scripted(&place) else { return };
    let runs = || host.machine.read("/run/restarts").lines().count();
    let (before, runs_before) =
        (host.status().expect("a status").drains.last().map_or(0, |drain| drain.id), runs());
    host.machine.sh("touch /run/slow");
    host.machine.sh(&format!("systemctl kill --kill-whom=main -s USR2 {AGENT}"));
    host.machine.wait_for("the command to run", || holds(runs() > runs_before, || "it does not".into()));
    host.machine.sh(&format!("systemctl kill --kill-whom=all -s KILL {AGENT}; rm /run/slow"));
    let (outcome, text) = host.wait_for_end(before);
    assert_eq!(outcome, Outcome::Done, "{text}\n{}", host.machine.journal(AGENT));
    assert_eq!(runs(), runs_before + 1);
}

#[test]
fn a_command_that_is_not_there_is_told_by_name() {
    let place = Place::new("box_scope_missing");
    let Some(host) = Host::scripted(&place) else { return };
    host.machine.sh(&format!("rm {SCRIPT_FILE}"));
    let out = host.ctl("restart --hard");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(SCRIPT_FILE) && said.contains("No such file"), "{said}");
}
