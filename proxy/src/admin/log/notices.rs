//! Who is told of a backend's changes, beside standard error.

use jiff::tz::TimeZone;

use super::{header::Header, writer::Feed};
use crate::clock;
use crate::config::{Level, Syslog};

/// The syslogs that are told of a backend's changes: those of the frontends before it.
#[derive(Clone, Debug, Default)]
pub struct Notices(Vec<(Feed, Syslog, usize)>);

impl Notices {
    /// Adds a syslog, whose lines have at most so many bytes, unless it is there already.
    pub(super) fn add(&mut self, feed: Feed, syslog: &Syslog, length: usize) {
        self.0.push((feed, syslog.clone(), length));
    }

    /// Sends the line to all that want lines of this level. A line for which there is no room is counted as lost.
    pub fn tell(&self, level: Level, line: &str) {
        for (feed, syslog, length) in self.0.iter().filter(|(_, syslog, _)| level <= syslog.level) {
            let mut out = Vec::with_capacity(128 + line.len());
            // Changes are rare: nothing is worth keeping for the next one.
            let mut header = Header::new(syslog, TimeZone::system(), std::process::id());
            header.write(level, clock::wall(), &mut out);
            out.extend(line.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
            out.truncate(*length);
            out.push(b'\n');
            // Counted by the feed.
            let _ = feed.send(out, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::admin::log::{line::tests::syslog, writer::Writer};
    use crate::config::LogTarget;

    #[test]
    fn a_change_is_told_at_its_level_to_whoever_wants_it() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let writer = Writer::open(&LogTarget::Udp(receiver.local_addr().unwrap())).unwrap();
        let mut notices = Notices::default();
        notices.add(writer.feed(), &syslog(), 1024);
        notices.add(writer.feed(), &Syslog { level: Level::Err, ..syslog() }, 40);
        let mut buffer = [0; 200];
        let mut receive = || {
            let length = receiver.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        notices.tell(Level::Notice, "Server shop/a is UP");
        let line = receive();
        assert!(line.starts_with("<133>") && line.ends_with("]: Server shop/a is UP\n"), "{line}");
        notices.tell(Level::Alert, "Server shop/a is\nDOWN");
        assert!(receive().ends_with("]: Server shop/a is DOWN\n"));
        let cut = receive();
        assert!(cut.starts_with("<129>") && cut.len() == 41, "{cut}");
    }
}
