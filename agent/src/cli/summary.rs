//! A configuration in one line.

use crate::config::{Config, Server};

/// One line for a file that is valid.
pub(super) fn summary(file: &str, config: &Config) -> String {
    let joined = |words: Vec<String>| words.join(", ");
    let remote = config.control.remote.as_ref();
    let remote = remote.map(|remote| format!(" and https://{}", remote.listen)).unwrap_or_default();
    let listen = joined(config.listen.iter().map(ToString::to_string).collect());
    format!(
        "{file} is valid: server {} on {}, health checks on {}, control socket {}{remote}",
        config.server.name,
        on(&config.server),
        if listen.is_empty() { "what systemd hands over" } else { &listen },
        config.control.socket.display(),
    )
}

/// Where a server listens: "port 80, 443 and /run/app.sock in /run/netns/blue".
fn on(server: &Server) -> String {
    let ports: Vec<String> = server.ports.iter().map(ToString::to_string).collect();
    let paths: Vec<String> = server.unix.iter().map(|path| path.display().to_string()).collect();
    let ports = (!ports.is_empty()).then(|| format!("port {}", ports.join(", ")));
    let paths = (!paths.is_empty()).then(|| paths.join(", "));
    let doors = [ports, paths].into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let netns = server.netns.as_ref().map(|path| format!(" in {}", path.display()));
    doors + &netns.unwrap_or_default()
}
