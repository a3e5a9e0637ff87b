//! Traffic that a journal tells of: of the real Apache, which logs there by `systemd-cat`, and of a server that logs to
//! its standard error, which no look at the agent's ports sees.

use std::net::SocketAddr;

use drain_agent::{
    control::api::{Source, Status, Verdict},
    lifecycle::Phase,
};
use drain_tests::{Place, SystemdBox, client::Connection, clock};

use crate::host::{AGENT, APACHE, CONFIG, Host, SHOP};

/// What Apache serves, and where it logs.
const SITE: &str = r#"<VirtualHost *:80>
DocumentRoot /var/www/html
CustomLog "|/usr/bin/systemd-cat --identifier=requests" combined
</VirtualHost>
"#;

/// The other server, which the balancer's fixture starts.
const OTHER: &str = "127.0.0.1:81";

const SOURCES: &str = r#"
[[traffic]]
journal = "apache2.service"

[[traffic]]
journal = "other.service"
"#;

/// Asks a server for its first page, and closes the connection.
fn visit(machine: &SystemdBox, server: &str) {
    let server: SocketAddr = server.parse().expect("an address");
    machine.wait_for("a page", || {
        let mut connection = Connection::open(server).map_err(|e| e.to_string())?;
        let page = connection.fetch("GET", "/", &["Connection: close"], b"").map_err(|e| e.to_string())?;
        if page.status == 200 { Ok(()) } else { Err(format!("status {}", page.status)) }
    });
}

/// What the journal of this unit has told.
fn source<'a>(status: &'a Status, unit: &str) -> &'a Source {
    let name = format!("journal {unit}");
    status.traffic.sources.iter().find(|source| source.name == name).expect("each source is shown")
}

#[test]
fn what_servers_log_to_the_journal_holds_a_drain() {
    let place = Place::new("box_journal");
    let Some(host) = Host::bare(&place) else { return };
    let machine = &host.machine;
    machine.write("/etc/apache2/sites-enabled/000-default.conf", SITE);
    // So long a quiet that the soft phase ends when it is told to, however slow the machine.
    let config = CONFIG
        .replace(r#"soft = { quiet = "1s", limit = "20s" }"#, r#"soft = { quiet = "1h", limit = "2h" }"#)
        .replace(r#"hard = { limit = "2m" }"#, r#"hard = { quiet = "2s", limit = "10m" }"#);
    assert!(config.contains("2h") && config.contains("10m"));
    machine.write("/etc/drain-agent/apache2.toml", &format!("{config}{SOURCES}"));
    machine.sh(&format!("systemctl start {APACHE} {AGENT}"));
    let _balancer = host.balancer(|lb| lb);
    visit(machine, OTHER);
    let begun = host.wait_until("both journals to be read", |status| {
        let is_read = |unit| source(status, unit).verdict != Verdict::Unknown;
        status.phase == Phase::Up && is_read("apache2.service") && is_read("other.service")
    });
    let count = |status: &Status, unit| source(status, unit).requests.unwrap_or_default();
    for _ in 0..3 {
        visit(machine, SHOP);
    }
    // The agent's own requests, its probes, are in the same log and don't count.
    let before = count(&begun, "apache2.service");
    host.wait_until("three requests", |status| count(status, "apache2.service") >= before + 3);

    let out = host.ctl("restart --no-wait --force --reason journal");
    assert!(out.status.success(), "{out:?}");
    let quiet = host.wait_until("two quiet seconds in soft", |status| {
        status.phase == Phase::Soft && status.traffic.quiet_seconds.is_some_and(|quiet| quiet > 2.0)
    });
    let before = count(&quiet, "other.service");
    let visited = clock::now();
    visit(machine, OTHER);
    let seen =
        host.wait_until("the request in the journal", |status| count(status, "other.service") > before);
    assert_eq!(seen.phase, Phase::Soft);
    // The visit touched none of the agent's ports: only the journal tells of it, when it is read.
    let quiet = seen.traffic.quiet_seconds;
    assert!(
        quiet.is_none_or(|quiet| quiet <= visited.elapsed().as_secs_f64()),
        "the request begins silence anew: {:#?}",
        seen.traffic
    );
    let run = host.run();
    let out = host.ctl("restart --hard");
    assert!(out.status.success(), "{out:?}\n{}", machine.journal(AGENT));
    assert_ne!(host.run(), run, "quiet again, it is restarted");
    let log = machine.journal(AGENT);
    assert!(log.contains("hard -> restarting") && log.contains("acknowledged and quiet"), "{log}");
}
