//! Lines for systemd's journal, with their fields as fields of the journal's.
//!
//! What people read stays the same: the message ends in the fields, as on a terminal. Besides each field is one of the
//! journal's own, so that `journalctl DRAIN_AGENT_DRAIN=7` shows a drain. (`tracing-journald` leaves the fields out of
//! the message, and with them who asked and why.) The protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
    path::Path,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::priority;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// What stands before the names of our fields, so that they are nobody else's.
const PREFIX: &str = "DRAIN_AGENT_";

/// The journal.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The one that listens at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let priority = priority(*event.metadata().level());
        let message = format!("{}{}", line.message, line.shown);
        let mut datagram = Vec::new();
        put(&mut datagram, "MESSAGE", &message);
        put(&mut datagram, "PRIORITY", &priority.to_string());
        put(&mut datagram, "SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
        put(&mut datagram, "CODE_MODULE", event.metadata().target());
        for (name, value) in &line.fields {
            put(&mut datagram, name, value);
        }
        if self.socket.send(&datagram).is_err() {
            // It is restarted at the moment, or the line is too long for it: stderr is kept for us by systemd.
            let _nowhere = writeln!(io::stderr(), "<{priority}>{message}");
        }
    }
}

/// One field of a datagram.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.as_bytes());
    datagram.push(b'\n');
}

/// What an event says.
#[derive(Default)]
struct Line {
    message: String,
    /// The fields as people see them behind the message.
    shown: String,
    /// The same for the journal.
    fields: Vec<(String, String)>,
}

impl Line {
    fn add(&mut self, field: &Field, shown: &dyn fmt::Debug, value: String) {
        if field.name() == "message" {
            self.message = value;
            return;
        }
        // Writing to a string can't fail.
        let _written = write!(self.shown, " {}={shown:?}", field.name());
        let letter = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
        let name = PREFIX.chars().chain(field.name().chars().map(letter)).collect();
        self.fields.push((name, value));
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, value, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;
    use crate::scratch::Scratch;

    fn sent(log: impl FnOnce()) -> Vec<u8> {
        let scratch = Scratch::new("journal");
        let path = scratch.join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        journald.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let subscriber = registry().with(Journal::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, log);
        let mut datagram = vec![0; 8192];
        let length = journald.recv(&mut datagram).unwrap();
        datagram.truncate(length);
        datagram
    }

    #[test]
    fn a_line_has_its_fields_in_its_message_and_beside_it() {
        let why = "acknowledged and quiet";
        let datagram = sent(|| tracing::warn!(drain = Some(7u64), why, none = None::<u64>, "soft -> hard"));
        let text = String::from_utf8(datagram).unwrap();
        for line in [
            r#"MESSAGE=soft -> hard drain=7 why="acknowledged and quiet""#,
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=drain-agent",
            "DRAIN_AGENT_DRAIN=7",
            "DRAIN_AGENT_WHY=acknowledged and quiet",
        ] {
            assert!(text.lines().any(|own| own == line), "{line:?} in\n{text}");
        }
        assert!(!text.contains("NONE"), "{text}");
    }

    #[test]
    fn no_text_can_look_like_a_field_of_its_own() {
        let datagram = sent(|| tracing::info!(why = "a\nPRIORITY=0", "said"));
        let text = String::from_utf8_lossy(&datagram);
        assert!(text.starts_with("MESSAGE=said why=\"a\\nPRIORITY=0\"\n"), "{text}");
        let field = b"DRAIN_AGENT_WHY\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert!(datagram.windows(field.len()).any(|window| window == field), "{text}");
    }
}
