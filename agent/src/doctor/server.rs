//! The server: whether it is ready, whether that says anything, and whether its sockets can be read.

use std::{net::SocketAddr, time::Duration};

use super::Finding;
use crate::{
    config::{Config, Probe},
    control::api::Traffic,
    ready::Prober,
    traffic::sockets::{Namespace, Own},
};

/// What a server that fails answers.
const FAILING: u16 = 500;

/// What the finding of the readiness probe is about.
pub const READY: &str = "ready";

/// Asks the readiness probe now.
pub(super) async fn ready(config: &Config, own: Own) -> Finding {
    let asked = describe(&config.server.ready.probe);
    let namespace = Namespace::at(config.server.netns.as_deref());
    let prober = match Prober::new(&config.server.ready, namespace, own) {
        Ok(prober) => prober,
        Err(error) => return Finding::failure(READY, error.to_string(), "see the agent's log"),
    };
    match prober.probe().await {
        Ok(()) => Finding::ok(READY, format!("the server is ready: {asked}")),
        Err(error) if error.is_unknown() => Finding::failure(
            READY,
            format!("whether the server is ready is not known: {asked}: {error}"),
            format!(
                "let the agent's user (uid {}) connect there: by the mode or the group of a unix socket \
                 (SupplementaryGroups= in a drop-in of its unit), or give the agents root (root.conf); a restart does \
                 not end well before it can be asked",
                rustix::process::geteuid().as_raw()
            ),
        ),
        Err(error) => Finding::failure(
            READY,
            format!("the server is not ready: {asked}: {error}"),
            "start the server, or correct server.ready; without it a restart never ends well",
        ),
    }
}

/// Whether the probe could pass without the server.
pub(super) fn suspicious(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "ready_probe";
    let mut findings = Vec::new();
    let address = match &config.server.ready.probe {
        Probe::Tcp(address) => {
            findings.push(Finding::warning(
                ABOUT,
                format!("readiness is a TCP connection to {address}: the kernel accepts it for a server that hangs"),
                "set server.ready.url to a page that only a server in order can answer",
            ));
            Some(*address)
        }
        Probe::Unix(path) => {
            findings.push(Finding::warning(
                ABOUT,
                format!(
                    "readiness is a connection to {}: the kernel accepts it for a server that hangs",
                    path.display()
                ),
                "let the server listen on a port for server.ready.url as well, on loopback",
            ));
            None
        }
        Probe::Http { url, status, .. } => {
            if status.contains(FAILING) {
                findings.push(Finding::warning(
                    ABOUT,
                    format!("a server that answers {FAILING} to {url} passes for ready ({status})"),
                    "take 5xx out of server.ready.status",
                ));
            }
            let port = url.port_or_known_default().unwrap_or_default();
            let ports = &config.server.ports;
            if !ports.is_empty() && !ports.iter().any(|own| own.get() == port) {
                findings.push(Finding::warning(
                    ABOUT,
                    format!("{url} is not on one of the server's ports: something else may answer there without it"),
                    "let server.ready.url name one of server.ports",
                ));
            }
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            host.parse().ok().map(|ip| SocketAddr::new(ip, port))
        }
    };
    if let Some(address) = address.filter(|address| is_own(config, *address)) {
        findings.push(Finding::failure(
            ABOUT,
            format!("{address} is where the agent itself answers health checks"),
            "let server.ready ask the server",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(ABOUT, "the readiness probe asks the server itself"));
    }
    findings
}

/// Whether the kernel tells of the server's connections.
pub(super) fn traffic(traffic: &Traffic) -> Vec<Finding> {
    const ABOUT: &str = "traffic";
    if !traffic.unknown.is_empty() {
        let unknown = |why: &String| {
            Finding::failure(
                ABOUT,
                format!("the traffic is unknown, which holds a drain until its limit: {why}"),
                "correct what it says; `drainctl status` shows when it can be read",
            )
        };
        return traffic.unknown.iter().map(unknown).collect();
    }
    match (traffic.in_flight, traffic.idle) {
        (Some(in_flight), Some(idle)) => {
            let age = traffic.age_seconds.map(Duration::from_secs_f64).unwrap_or_default();
            vec![Finding::ok(
                ABOUT,
                format!("the sockets can be read: {in_flight} in flight, {idle} idle, {age:.0?} ago"),
            )]
        }
        _ => vec![Finding::warning(ABOUT, "nobody has looked at the sockets yet", "ask again in a moment")],
    }
}

fn is_own(config: &Config, address: SocketAddr) -> bool {
    config
        .listen
        .iter()
        .any(|own| own.port() == address.port() && (own.ip() == address.ip() || own.ip().is_unspecified()))
}

fn describe(probe: &Probe) -> String {
    match probe {
        Probe::Tcp(address) => format!("a connection to {address}"),
        Probe::Unix(path) => format!("a connection to {}", path.display()),
        Probe::Http { url, status, .. } => format!("{url} answers {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    fn config(lines: &str) -> Config {
        let text =
            format!("listen = '0.0.0.0:8404'\nrestart.command = ['true']\nserver.ports = [80]\n{lines}");
        Config::parse("f", &text, Some("s")).unwrap()
    }

    fn level(lines: &str) -> Level {
        suspicious(&config(lines)).iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn a_probe_that_needs_no_server_is_suspicious() {
        assert_eq!(level(""), Level::Warning, "a bare connection");
        assert_eq!(level("server.ready.url = 'http://127.0.0.1/health'"), Level::Ok);
        assert_eq!(level("server.ready.url = 'http://127.0.0.1:81/'"), Level::Warning, "another port");
        let lax = "server.ready = { url = 'http://127.0.0.1/', status = ['200-599'] }";
        assert_eq!(level(lax), Level::Warning);
    }

    #[test]
    fn traffic_that_is_unknown_holds_a_drain() {
        let unknown = Traffic { unknown: vec!["permission denied".into()], ..Traffic::default() };
        assert_eq!(traffic(&unknown)[0].level, Level::Failure);
        let known = Traffic { in_flight: Some(1), idle: Some(0), ..Traffic::default() };
        assert_eq!(traffic(&known)[0].level, Level::Ok);
        assert_eq!(traffic(&Traffic::default())[0].level, Level::Warning);
    }

    #[tokio::test]
    async fn the_probe_is_asked_now() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let config = config(&format!("server.ready.tcp = '{address}'"));
        assert_eq!(ready(&config, Own::default()).await.level, Level::Ok);
        drop(server);
        assert_eq!(ready(&config, Own::default()).await.level, Level::Failure);
    }
}
