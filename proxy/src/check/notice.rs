//! The log lines of state changes, HAProxy's.

use std::fmt::Write;

use super::answer::Report;
use crate::backend::{Backend, Moved, Operation, Server};
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
    if now == before || (before == Operation::Starting && now == Operation::Up) {
        return None;
    }
    let mut line = if server.settings().backup { "Backup Server ".to_owned() } else { "Server ".to_owned() };
    let state = match now {
        Operation::Down => "DOWN",
        Operation::Soft => "stopping",
        _ => "UP",
    };
    let usable = backend.usable();
    let where_to = if now == Operation::Down { "left" } else { "online" };
    let only_backups = if usable.active == 0 && usable.backup > 0 { " Running on backup." } else { "" };
    // On purpose: the server itself has said so.
    let drain = report.drain.as_deref().map(|phase| format!(", draining: {phase}")).unwrap_or_default();
    write!(
        line,
        "{}/{} is {state}, reason: {report}{drain}. {} active and {} backup servers {where_to}.{only_backups}",
        backend.name(),
        server.name(),
        usable.active,
        usable.backup,
    )
    .expect("a string takes everything");
    let counts = if now == Operation::Down {
        let active = server.in_flight();
        format!(
            " {active} sessions active, {} requeued, {} remaining in queue.",
            moved.requeued, moved.remaining
        )
    } else {
        format!(" {} sessions requeued, {} total in queue.", moved.requeued, moved.total)
    };
    line.push_str(&counts);
    let is_alert = now == Operation::Down && before != Operation::Soft && report.drain.is_none();
    Some((if is_alert { Level::Alert } else { Level::Notice }, line))
}

/// The line for a backend that has just lost its last usable server.
pub(super) fn nobody_left(backend: &Backend) -> String {
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
        Report { duration: Duration::from_millis(2), ..judge(answer.as_bytes(), Some(404)).unwrap() }
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
