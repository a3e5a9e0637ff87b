//! The guard of a unit: a plain `systemctl restart` of Debian's own Apache drains, and each trap on the way there.

mod failures;
mod kinds;
mod reboot;
mod refused;
pub(crate) mod stage;

use drain_tests::{Haproxy, PATIENCE, Place, Server, client::Connection, place::holds};

use self::stage::{Crowd, HEALTH, NEVER_QUIET, PATIENT, Stage, in_background};
use crate::host::AGENT;

#[test]
fn ten_plain_restarts_a_stop_and_a_start_under_load_hurt_nobody() {
    let place = Place::new("guard_plain_restarts");
    let Some(stage) = Stage::guarded(&place, PATIENT) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 20m");
    let mut crowd = Crowd::before(&stage);
    for _ in 0..10 {
        let before = stage.invocation();
        stage.machine.sh("systemctl restart apache2");
        assert_ne!(stage.invocation(), before, "it was restarted");
        stage.wait_for_phase("up");
        crowd.wait_for("UP");
    }
    stage.machine.sh("systemctl stop apache2");
    stage.machine.sh("systemctl start apache2");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
    let journal = stage.machine.journal("apache2-drain.service");
    let drained = journal.matches("drained: nobody uses the server").count();
    assert_eq!(drained, 11, "each of them drained: {journal}");
}

#[test]
fn the_agents_own_restart_does_not_wait_for_itself() {
    let place = Place::new("guard_own_restart");
    let Some(stage) = Stage::guarded(&place, "min_remaining = 0") else { return };
    let _crowd = Crowd::before(&stage);
    let before = stage.invocation();
    stage.machine.sh("drainctl restart --hard --reason release");
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("the agent itself restarts the server");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
}

#[test]
fn a_crash_is_not_prolonged_by_a_drain() {
    let place = Place::new("guard_crash");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    stage.machine.write("/etc/systemd/system/apache2.service.d/restart.conf", "[Service]\nRestart=always\n");
    stage.machine.sh("systemctl daemon-reload");
    let before = stage.invocation();
    stage.machine.sh("kill -KILL $(systemctl show -P MainPID apache2)");
    stage.wait_for_word("the server does not run");
    stage.machine.wait_for("Apache runs anew", || {
        let now = stage.invocation();
        holds(!now.is_empty() && now != before, || now)
    });
    stage.wait_for_phase("up");
}

#[test]
fn a_stop_that_is_cancelled_in_mid_drain_leaves_nobody_drained() {
    let place = Place::new("guard_cancel");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let before = stage.invocation();
    stage.machine.sh("systemctl --no-block restart apache2");
    stage.wait_for_phase("hard");
    stage.machine.sh("systemctl cancel");
    stage.wait_for_phase("up");
    assert_eq!(stage.invocation(), before, "it runs on");
    stage.wait_for_word("the stop was taken back");
    // The next stop drains again.
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
}

#[test]
fn a_start_in_mid_drain_takes_the_stop_back() {
    let place = Place::new("guard_start");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let before = stage.invocation();
    stage.machine.sh("systemctl --no-block stop apache2");
    stage.wait_for_phase("hard");
    stage.machine.sh("systemctl start apache2");
    stage.wait_for_phase("up");
    assert_eq!(stage.invocation(), before, "it runs on");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
}

#[test]
fn with_the_agent_dead_the_restart_goes_on_and_says_so() {
    let place = Place::new("guard_dead_agent");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let before = stage.invocation();
    stage.machine.sh("systemctl stop drain-agent@apache2");
    stage.machine.sh("systemctl restart apache2");
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("NOT DRAINED");
    // The guard wants it.
    stage.wait_for_phase("up");
}

#[test]
fn a_reload_of_the_server_drains_nobody() {
    let place = Place::new("guard_reload");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let before = stage.invocation();
    stage.machine.sh("systemctl reload apache2");
    assert_eq!(stage.invocation(), before);
    assert!(stage.machine.journal("apache2.service").contains("Reloaded"), "it was reloaded");
    let status = stage.status().expect("the agent answers");
    assert_eq!(
        (&status["phase"], status["drains"].as_array().map(Vec::len)),
        (&"up".into(), Some(0)),
        "{status}"
    );
    assert_eq!(stage.machine.property("apache2-drain.service", "ActiveState"), "active");
}

#[test]
fn a_restart_of_the_agent_waits_for_a_guards_drain() {
    let place = Place::new("guard_agents_restart");
    let Some(stage) = Stage::unguarded(&place, NEVER_QUIET) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 10m");
    let (before, agent) = (stage.invocation(), stage.machine.main_pid(AGENT));
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    stage.wait_for_phase("hard");
    let mut agents = in_background(&stage.machine, &format!("systemctl restart {AGENT}"));
    stage.machine.wait_for("the agent's restart to wait", || {
        let jobs = stage.machine.sh("systemctl list-jobs --no-legend --plain");
        let waits = jobs.lines().any(|job| job.contains(AGENT) && job.contains("waiting"));
        holds(waits, || jobs)
    });
    assert_eq!(stage.machine.main_pid(AGENT), agent, "it drains");
    // So the drain ends.
    stage.machine.sh("drainctl up");
    assert!(
        restart.wait().expect("systemctl ends").success() && agents.wait().expect("systemctl ends").success()
    );
    assert_ne!(stage.invocation(), before);
    assert_ne!(stage.machine.main_pid(AGENT), agent);
    stage.wait_for_phase("up");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
}

#[test]
fn a_drain_that_lasts_longer_than_the_limit_is_cut_and_says_so() {
    let place = Place::new("guard_limit");
    let Some(stage) = Stage::unguarded(&place, NEVER_QUIET) else { return };
    stage.machine.sh("drainctl guard apache2 --limit 5s");
    let before = stage.invocation();
    stage.machine.sh("systemctl restart apache2");
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("the limit of 5s has passed");
    stage.wait_for_phase("up");
}

#[test]
fn a_guard_waits_on_where_the_agents_own_limit_has_passed() {
    let place = Place::new("guard_agents_limit");
    let drain = "hard = { quiet = \"1s\", limit = \"2s\" }\nmin_remaining = 0";
    let Some(stage) = Stage::unguarded(&place, drain) else { return };
    // Apache would end a request that takes its time.
    stage
        .machine
        .sh("a2dismod -q reqtimeout && systemctl restart apache2 && drainctl guard apache2 --limit 10m");
    stage.wait_for_phase("up");
    let of = |address: &str| address.parse().expect("an address");
    let web = Server::new("web", of("127.0.0.1:80")).checked_at(of(HEALTH));
    let other = Server::new("other", of("127.0.0.1:81")).unchecked();
    let balancer = Haproxy::new(&place, "lb").server(web).server(other).start_unchecked();
    balancer.wait_for_status("web", "UP", PATIENCE);
    let before = stage.invocation();
    let mut user = Connection::open(of("127.0.0.1:80")).expect("Apache listens");
    user.send(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n").expect("Apache takes it");
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    stage.machine.wait_for("the agent's limit to have passed", || {
        let status = stage.status().unwrap_or_default();
        holds(status["asked"]["limit_passed"].is_string(), || status.to_string())
    });
    assert_eq!(stage.invocation(), before, "it is waited for");
    user.send(b"\r\n").expect("Apache takes it");
    let page = user.receive("GET").expect("the answer comes whole");
    assert!(page.status == 200 && !page.body.is_empty(), "{page:?}");
    drop(user);
    assert!(restart.wait().expect("systemctl ends").success());
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("drained: nobody uses the server");
}

#[test]
fn what_somebody_else_has_taken_out_stays_out() {
    let place = Place::new("guard_held");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    stage.machine.sh("drainctl hard --no-wait --reason 'by hand'; drainctl unguard apache2");
    stage.machine.sh("drainctl guard apache2 --limit 5s");
    stage.machine.sh("systemctl restart apache2");
    stage.wait_for_word("as somebody else has asked");
    let status = stage.status().expect("the agent answers");
    assert_eq!((&status["phase"], &status["asked"]["reason"]), (&"hard".into(), &"by hand".into()));
}

#[test]
fn guard_and_unguard_leave_the_unit_as_it_was() {
    let place = Place::new("guard_and_unguard");
    let Some(stage) = Stage::unguarded(&place, NEVER_QUIET) else { return };
    let as_it_is = || {
        stage
            .machine
            .sh("systemctl cat apache2; find /etc/systemd/system | sort; systemctl show apache2 -p Wants")
    };
    let (before, invocation) = (as_it_is(), stage.invocation());
    let unit = || stage.machine.sh("systemctl cat apache2");
    let unguarded = unit();
    stage.machine.sh("drainctl guard apache2 --mode soft --limit 10m");
    assert_eq!(unit(), unguarded, "the unit itself");
    assert_eq!(stage.machine.property("apache2-drain.service", "TimeoutStopUSec"), "10min 20s");
    // Other units of this machine may have faults of their own.
    let faults = |unit: &str| {
        let verified = stage.machine.try_sh(&format!("systemd-analyze verify --man=no {unit}"));
        let mut lines: Vec<String> =
            String::from_utf8_lossy(&verified.stderr).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let others = faults("apache2.service");
    assert_eq!(faults("apache2-drain.service"), others, "of a guard in soft mode");
    stage.machine.sh("drainctl guard apache2");
    assert_eq!(faults("apache2-drain.service"), others, "in hard mode");
    // Neither drains: nothing stops the server.
    stage.machine.sh("drainctl unguard apache2");
    assert_eq!(as_it_is(), before);
    assert_eq!(stage.invocation(), invocation, "nobody was restarted");
    let status = stage.status().expect("the agent answers");
    assert_eq!(status["drains"].as_array().map(Vec::len), Some(0), "nor drained: {status}");
}

#[test]
fn a_limit_that_does_not_fit_into_a_shutdown_is_told_when_it_is_given() {
    let place = Place::new("guard_unfit");
    let Some(stage) = Stage::unguarded(&place, NEVER_QUIET) else { return };
    let refused = stage.machine.try_sh("drainctl guard apache2 --limit 45m");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("does not fit into a shutdown"), "{said}");
    assert!(!stage.machine.outside("/etc/systemd/system/apache2-drain.service").exists());
}

#[test]
fn a_guard_that_does_not_fit_or_does_not_run_is_told_by_guard_and_by_the_doctor() {
    let place = Place::new("guard_doctor");
    let Some(stage) = Stage::unguarded(&place, "hard = { limit = \"30s\" }") else { return };
    let machine = &stage.machine;
    let doctor = || String::from_utf8_lossy(&machine.try_sh("drainctl doctor").stdout).into_owned();
    assert!(doctor().contains("apache2.service is not guarded"), "{}", doctor());
    let said = machine.sh("drainctl guard apache2");
    assert!(
        said.contains("apache2.service is guarded: a stop drains before (hard), for 60s at most"),
        "{said}"
    );
    let drop_in = "/etc/systemd/system/apache2-drain.service.d/short.conf";
    machine.write(drop_in, "[Service]\nTimeoutStopSec=30s\n");
    machine.sh("systemctl daemon-reload");
    assert!(doctor().contains("systemd ends apache2-drain.service after 30s"), "{}", doctor());
    machine.sh(&format!("rm {drop_in} && systemctl daemon-reload"));
    // By another name of the same unit, too.
    machine.sh("sed -i s/apache2.service/httpd.service/ /etc/drain-agent/apache2.toml");
    machine.link("/etc/systemd/system/httpd.service", "/usr/lib/systemd/system/apache2.service");
    machine.sh("systemctl daemon-reload && systemctl restart drain-agent@apache2");
    stage.wait_for_phase("up");
    assert!(doctor().contains("apache2.service is guarded"), "{}", doctor());
    machine
        .sh("rm /etc/systemd/system/apache2.service.wants/apache2-drain.service && systemctl daemon-reload");
    assert!(doctor().contains("apache2-drain.service is not enabled"), "{}", doctor());
    machine.sh("systemctl stop apache2-drain.service");
    assert!(doctor().contains("the next stop of apache2.service drains nobody"), "{}", doctor());
}

#[test]
fn all_guards_are_taken_away_though_one_of_them_does_not_stop() {
    let place = Place::new("guard_all");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let machine = &stage.machine;
    let said = machine.sh("drainctl guard nginx && drainctl guard apache2@other");
    assert!(said.contains("apache2.service is guarded by the same agent"), "{said}");
    machine.write("/etc/systemd/system/apache2-drain.service.d/never.conf", "[Unit]\nRefuseManualStop=yes\n");
    machine.sh("systemctl daemon-reload");
    let failed = machine.try_sh("drainctl unguard --all");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nginx.service")
            && said.contains("apache2@other.service")
            && said.contains("apache2-drain.service"),
        "{said}"
    );
    let left = machine.sh("find /etc/systemd/system -name '*-drain.service'");
    assert_eq!(left, "", "neither a guard nor what would start it");
}

#[test]
fn an_agent_that_is_killed_in_mid_drain_does_not_hold_the_restart() {
    let place = Place::new("guard_killed_agent");
    let Some(stage) = Stage::guarded(&place, NEVER_QUIET) else { return };
    let before = stage.invocation();
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    stage.wait_for_phase("hard");
    stage.machine.sh("systemctl kill --kill-whom=main -s KILL drain-agent@apache2");
    stage.wait_for_word("NOT DRAINED");
    restart.wait().expect("systemctl ends");
    assert_ne!(stage.invocation(), before);
    // The drain stands in the state file; the guard's start ends it.
    stage.wait_for_phase("up");
}
