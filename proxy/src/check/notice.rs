//! The log lines of state changes, HAProxy's.

use super::answer::Report;
use crate::backend::{Administration, Backend, Moved, Operation, Server};
use crate::config::Level;

/// The line for a change of this server; `None` where HAProxy has none: a server that starts is up for it.
pub(super) fn change(
    backend: &Backend,
    server: &Server,
    before: Operation,
    report: &Report,
    moved: Moved,
) -> Option<(Level, String)> {
    let now = server.operation();
    let has_started = before == Operation::Starting && server.checks() == Operation::Up;
    if now == before || (has_started && now != Operation::Down) {
        return None;
    }
    let mut line = if server.settings().backup { "Backup Server ".to_owned() } else { "Server ".to_owned() };
    let state = match now {
        Operation::Down => "DOWN",
        // Its agent's drain is not what its checks say.
        Operation::Soft if before == Operation::Down && server.checks() != Operation::Soft => "UP",
        Operation::Soft => "stopping",
        _ => "UP",
    };
    // On purpose: the server itself has said so.
    let drain = report.drain.as_deref().map(|phase| format!(", draining: {phase}")).unwrap_or_default();
    let counts = counts(backend, server, moved);
    line.push_str(&format!(
        "{}/{} is {state}, reason: {report}{drain}.{counts}",
        backend.name(),
        server.name()
    ));
    let is_alert = now == Operation::Down && before != Operation::Soft && report.drain.is_none();
    Some((if is_alert { Level::Alert } else { Level::Notice }, line))
}

/// What is left, and what became of who waited.
fn counts(backend: &Backend, server: &Server, moved: Moved) -> String {
    let usable = backend.usable();
    let is_down = server.operation() == Operation::Down;
    let where_to = if is_down { "left" } else { "online" };
    let only_backups = if usable.active == 0 && usable.backup > 0 { " Running on backup." } else { "" };
    let servers = format!(" {} active and {} backup servers {where_to}.", usable.active, usable.backup);
    let queue = if is_down {
        let (active, requeued) = (server.in_flight(), moved.requeued);
        format!("{active} sessions active, {requeued} requeued, {} remaining in queue.", moved.remaining)
    } else {
        format!("{} sessions requeued, {} total in queue.", moved.requeued, moved.total)
    };
    format!("{servers}{only_backups} {queue}")
}

/// The line for another administration of this server than `before`, when it was `operation`.
pub(super) fn administration(
    backend: &Backend,
    server: &Server,
    (before, operation): (Administration, Operation),
    moved: Moved,
) -> Option<String> {
    use Administration::{Drain, Maintenance, Ready};
    let now = server.administration();
    let state = if server.operation() == Operation::Down { "DOWN" } else { "UP" };
    let is = match (before, now) {
        (before, now) if before == now => return None,
        (_, Maintenance) if operation == Operation::Down => "was DOWN and now enters maintenance.".to_owned(),
        (_, Maintenance) => format!("is going DOWN for maintenance.{}", counts(backend, server, moved)),
        (Maintenance, Drain) => format!("is {state}/DRAIN (leaving forced maintenance)."),
        (Maintenance, _) => format!("is {state}/READY (leaving forced maintenance)."),
        (_, Drain) => format!("enters drain state.{}", counts(backend, server, moved)),
        (_, Ready) => format!("is {state} (leaving forced drain)."),
    };
    let backup = if server.settings().backup { "Backup " } else { "" };
    Some(format!("{backup}Server {}/{} {is}", backend.name(), server.name()))
}

/// The line for a change of health that an operator has ordered.
pub(super) fn forced(
    backend: &Backend,
    server: &Server,
    before: Operation,
    moved: Moved,
) -> Option<(Level, String)> {
    let now = server.operation();
    if now == before {
        return None;
    }
    let state = match now {
        Operation::Down => "DOWN",
        Operation::Soft => "stopping",
        _ => "UP",
    };
    let backup = if server.settings().backup { "Backup " } else { "" };
    let counts = counts(backend, server, moved);
    let line =
        format!("{backup}Server {}/{} is {state}, changed from CLI.{counts}", backend.name(), server.name());
    let is_alert = now == Operation::Down && before != Operation::Soft;
    Some((if is_alert { Level::Alert } else { Level::Notice }, line))
}

/// Makes a change and tells of it, and of a backend that has lost its last usable server by it.
pub(super) fn watching(backend: &Backend, change: impl FnOnce() -> Option<(Level, String)>) {
    let has_servers = || {
        let usable = backend.usable();
        usable.active + usable.backup > 0
    };
    let had_servers = has_servers();
    if let Some((level, line)) = change() {
        backend.announce(level, &line);
    }
    if had_servers && !has_servers() {
        backend.announce(Level::Emerg, &nobody_left(backend));
    }
}

/// The line for a backend that has just lost its last usable server.
fn nobody_left(backend: &Backend) -> String {
    format!("backend {} has no server available!", backend.name())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::fixture::{backend_of, checked, settings};
    use crate::check::answer::judge;
    use crate::config;

    fn report(answer: &str) -> Report {
        Report {
            duration: Duration::from_millis(2),
            ..judge(answer.as_bytes(), false, Some(404), &config::Expect::default()).unwrap()
        }
    }

    #[test]
    fn changes_read_as_in_haproxy() {
        let backup = config::Server { backup: true, ..checked("x") };
        let backend = backend_of(settings(vec![checked("a"), checked("b"), backup]));
        let servers = backend.servers();
        let change_to = |index: usize, operation, answer: &str| {
            let before = servers[index].operation();
            let moved = backend.set_operation(index, operation, false);
            change(&backend, &servers[index], before, &report(answer), moved)
        };
        assert_eq!(change_to(0, Operation::Up, "HTTP/1.0 200 OK\r\n\r\n"), None);
        assert_eq!(
            change_to(0, Operation::Soft, "HTTP/1.0 404 Not Found\r\n\r\n"),
            Some((
                Level::Notice,
                "Server shop/a is stopping, reason: Layer7 check conditionally passed, code: 404, check duration: \
                 2ms. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue."
                    .to_owned()
            ))
        );
        assert_eq!(
            change_to(1, Operation::Down, "HTTP/1.0 500 Boo\r\n\r\n"),
            Some((
                Level::Alert,
                "Server shop/b is DOWN, reason: Layer7 wrong status, code: 500, info: \"Boo\", check duration: 2ms. \
                 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining \
                 in queue."
                    .to_owned()
            ))
        );
        let (level, line) = change_to(0, Operation::Down, "HTTP/1.0 500 Boo\r\n\r\n").unwrap();
        assert!(
            level == Level::Notice && line.starts_with("Server shop/a is DOWN"),
            "it was stopping before"
        );
        let (_, line) = change_to(2, Operation::Down, "HTTP/1.0 500 Boo\r\n\r\n").unwrap();
        assert!(line.starts_with("Backup Server shop/x is DOWN"), "{line}");
        assert_eq!(nobody_left(&backend), "backend shop has no server available!");
    }

    #[test]
    fn a_server_that_says_it_drains_is_no_alert() {
        let backend = backend_of(settings(vec![checked("a"), checked("b")]));
        backend.set_operation(0, Operation::Up, false);
        let moved = backend.set_operation(0, Operation::Down, true);
        let hard = report("HTTP/1.0 500 Hard\r\nx-drain-state: hard; reason=\"deploy\"; since=1\r\n\r\n");
        let (level, line) = change(&backend, &backend.servers()[0], Operation::Up, &hard, moved).unwrap();
        assert_eq!(level, Level::Notice);
        assert!(line.contains("check duration: 2ms, draining: hard. 1 active"), "{line}");
    }
}
