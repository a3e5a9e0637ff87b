//! The proxy's admin port: health for a balancer above it, and who is let in.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt};

use drain_tests::{
    PATIENCE, Place, Proxy, child,
    client::{Connection, Response},
    place::holds,
    port,
};
use rustix::process::Signal;

use crate::upstream::Upstream;

fn asked(method: &str, port: SocketAddr, path: &str, headers: &[&str]) -> Result<Response, String> {
    let fetch = |mut connection: Connection| connection.fetch(method, path, headers, b"");
    Connection::open(port).and_then(fetch).map_err(|failure| failure.to_string())
}

/// A proxy with these keys in `[admin]`, and its admin port.
fn started(place: &Place, name: &str, upstream: &Upstream, keys: &str) -> (Proxy, SocketAddr) {
    let admin = port::free();
    let section = format!("[admin]\nlisten = \"{admin}\"\n{keys}");
    (Proxy::new(place, name).server("a", upstream.address, None).section(&section).start(), admin)
}

#[test]
fn a_balancer_above_is_told_that_the_proxy_is_to_finish_while_it_still_serves() {
    let place = Place::new("admin_port_leave");
    let upstream = Upstream::start("a");
    for (keys, status, word) in
        [("leave = { soft = \"10m\" }", 404, "soft"), ("leave = { hard = \"10m\" }", 500, "hard")]
    {
        let (mut proxy, admin) = started(&place, word, &upstream, keys);
        let ready = || asked("OPTIONS", admin, "/readyz", &[]).expect("an answer of /readyz");
        let answer = ready();
        assert_eq!(answer.status, 200);
        assert!(answer.header("x-drain-state").is_some_and(|state| state.starts_with("up; ")));
        proxy.signal(Signal::USR1);
        let answer = place.wait_for("another answer of /readyz", PATIENCE, || {
            let answer = ready();
            if answer.status == 200 { Err("200".to_owned()) } else { Ok(answer) }
        });
        let state = answer.header("x-drain-state").unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{state}");
        assert!(state.starts_with(&format!("{word}; reason=\"")), "{state}");
        // It still takes connections, and lives.
        assert_eq!(asked("GET", proxy.address(), "/", &[]).expect("a page").status, 200);
        assert_eq!(asked("GET", admin, "/healthz", &[]).expect("an answer").status, 200);
        assert_eq!(ready().status, status);
        proxy.child().may_end();
    }
}

/// Whoever changes a password writes it into the same file.
#[test]
fn a_password_that_is_changed_in_its_file_holds_after_a_reload() {
    let place = Place::new("admin_port_password");
    let upstream = Upstream::start("a");
    let file = place.dir().join("password");
    fs::write(&file, "s3cret\n").expect("write the password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("hide the password");
    let keys = format!("auth = {{ user = \"ops\", password_file = \"{}\" }}", file.display());
    let (proxy, admin) = started(&place, "lb", &upstream, &keys);
    // `ops:s3cret` and `ops:other`
    let with = ["b3BzOnMzY3JldA==", "b3BzOm90aGVy"].map(|words| format!("authorization: Basic {words}"));
    let statuses = || {
        let status = |header: &String| asked("GET", admin, "/metrics", &[header]).map(|answer| answer.status);
        with.each_ref().map(|header| status(header).unwrap_or_default())
    };
    assert_eq!(statuses(), [200, 401]);
    fs::write(&file, "other\n").expect("write another password");
    proxy.signal(Signal::HUP);
    place.wait_for("the other password to hold", PATIENCE, || {
        let statuses = statuses();
        holds(statuses == [401, 200], || format!("{statuses:?}"))
    });
}

#[test]
fn a_proxy_that_has_told_the_balancers_above_ends_by_itself() {
    let place = Place::new("admin_port_end");
    let upstream = Upstream::start("a");
    let (mut proxy, admin) = started(&place, "lb", &upstream, "leave = { soft = \"50ms\", hard = \"50ms\" }");
    proxy.child().may_end();
    proxy.signal(Signal::USR1);
    let status = place.wait_for("the end of the proxy", PATIENCE, || {
        proxy.child().ended().ok_or_else(|| "it runs".to_owned())
    });
    assert!(status.success(), "{status}");
    assert!(Connection::open(admin).is_err(), "the port has gone with it");
    let log = proxy.child().log_text();
    let [soft, hard] = ["told: soft", "told: hard"].map(|told| log.find(told).expect("both are told"));
    assert!(soft < hard, "{log}");
}

#[test]
fn only_who_has_the_password_sees_more_than_health() {
    let place = Place::new("admin_port_auth");
    let upstream = Upstream::start("a");
    let file = place.dir().join("password");
    fs::write(&file, "s3cret\n").expect("write the password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("hide the password");
    let keys = format!("auth = {{ user = \"ops\", password_file = \"{}\" }}", file.display());
    let (_proxy, admin) = started(&place, "lb", &upstream, &keys);
    let status = |path: &str, headers: &[&str]| asked("GET", admin, path, headers).unwrap().status;
    assert_eq!((status("/healthz", &[]), status("/readyz", &[])), (200, 200));
    let refused = asked("GET", admin, "/nothing", &[]).expect("an answer");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic ")));
    // ops:wrong and ops:s3cret
    assert_eq!(status("/nothing", &["authorization: Basic b3BzOndyb25n"]), 401);
    assert_eq!(status("/nothing", &["authorization: Basic b3BzOnMzY3JldA=="]), 404);
}

#[test]
fn connections_that_say_nothing_are_closed_and_hold_up_nobody() {
    let place = Place::new("admin_port_silent");
    let upstream = Upstream::start("a");
    let (_proxy, admin) = started(&place, "lb", &upstream, "");
    let silent: Vec<_> = (0..200).map(|_| Connection::open(admin).expect("a connection")).collect();
    // They have 5 s to say something; then their places are others'.
    place.wait_for("an answer", PATIENCE, || {
        let status = asked("GET", admin, "/healthz", &[])?.status;
        holds(status == 200, || format!("status {status}"))
    });
    drop(silent);
}

#[test]
fn after_an_upgrade_the_new_process_answers_and_after_a_reload_the_new_address() {
    let place = Place::new("admin_port_upgrade");
    let upstream = Upstream::start("a");
    let (mut proxy, admin) = started(&place, "lb", &upstream, "");
    proxy.child().may_end();
    let pid = || -> Result<u64, String> {
        let answer = asked("GET", admin, "/healthz", &[])?;
        let alive: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        alive["pid"].as_u64().ok_or_else(|| alive.to_string())
    };
    let old = pid().expect("the old process answers");
    proxy.signal(Signal::USR2);
    let new = place.wait_for("the end of the old process", PATIENCE, || {
        holds(proxy.child().ended().is_some(), || "it runs".to_owned())?;
        pid()
    });
    assert_ne!(new, old);
    let other = port::free();
    let text = fs::read_to_string(proxy.config_file()).expect("read proxy.toml");
    fs::write(proxy.config_file(), text.replace(&admin.to_string(), &other.to_string())).expect("write it");
    let new = u32::try_from(new).expect("a process id");
    child::send(new, Signal::HUP).expect("signal the new process");
    place.wait_for("an answer at the other address", PATIENCE, || {
        let status = asked("GET", other, "/readyz", &[])?.status;
        holds(status == 200, || format!("status {status}"))
    });
    place.wait_for("nobody at the old address", PATIENCE, || {
        holds(Connection::open(admin).is_err(), || "somebody".to_owned())
    });
    child::send(new, Signal::TERM).expect("end the new process");
    place.wait_for("its end", PATIENCE, || holds(!child::is_alive(new), || "it runs".to_owned()));
}
