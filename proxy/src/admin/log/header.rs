//! What stands before a line for syslog.

use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::{date::DateCache, text};
use crate::config::{Level, Syslog, SyslogHeader};
use crate::decimal;

/// Where the offset begins in a date of RFC 5424; the fraction of the second stands before it.
const BEFORE_OFFSET: usize = "2026-11-22T13:34:19".len();

/// Writes what stands before a line, to the byte as HAProxy does with its formats `rfc3164` and `rfc5424`.
#[derive(Debug)]
pub(super) struct Header {
    kind: SyslogHeader,
    facility: u8,
    min_level: Level,
    dates: DateCache,
    /// What stands between the date and the line.
    sender: String,
}

impl Header {
    pub(super) fn new(syslog: &Syslog, zone: TimeZone, pid: u32) -> Self {
        let Syslog { header, tag, hostname, .. } = syslog;
        let (format, sender) = match header {
            SyslogHeader::Rfc3164 => {
                let host = hostname.as_ref().map(|host| format!("{host} ")).unwrap_or_default();
                ("%b %e %H:%M:%S", format!(" {host}{tag}[{pid}]: "))
            }
            SyslogHeader::Rfc5424 => {
                let host = hostname.as_deref().unwrap_or("-");
                ("%Y-%m-%dT%H:%M:%S%:z", format!(" {host} {tag} {pid} - - "))
            }
        };
        let dates = DateCache::new(zone, format);
        Self { kind: *header, facility: syslog.facility, min_level: syslog.min_level, dates, sender }
    }

    pub(super) fn write(&mut self, level: Level, now: SystemTime, out: &mut Vec<u8>) {
        let level = level.max(self.min_level) as u8;
        out.push(b'<');
        decimal::number((self.facility * 8 + level).into(), out);
        let (date, rest) = self.dates.text(now);
        match self.kind {
            SyslogHeader::Rfc3164 => {
                out.push(b'>');
                out.extend_from_slice(date.as_bytes());
            }
            SyslogHeader::Rfc5424 => {
                let (date, offset) = date.split_at(BEFORE_OFFSET);
                out.extend_from_slice(b">1 ");
                out.extend_from_slice(date.as_bytes());
                out.push(b'.');
                text::padded::<6>(rest.subsec_micros(), out);
                out.extend_from_slice(offset.as_bytes());
            }
        }
        out.extend_from_slice(self.sender.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::admin::log::line::tests::syslog;

    fn header(syslog: &Syslog, level: Level) -> String {
        let mut out = Vec::new();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let time = UNIX_EPOCH + Duration::from_micros(1_793_625_259_519_007);
        Header::new(syslog, zone, 14_724).write(level, time, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc_3164_is_as_haproxy_sends_it() {
        assert_eq!(header(&syslog(), Level::Info), "<134>Nov  2 14:14:19 drain-proxy[14724]: ");
        let named = Syslog { hostname: Some("lb1".into()), tag: "lb".into(), facility: 17, ..syslog() };
        assert_eq!(header(&named, Level::Alert), "<137>Nov  2 14:14:19 lb1 lb[14724]: ");
    }

    #[test]
    fn rfc_5424_is_as_haproxy_sends_it() {
        let bare = Syslog { header: SyslogHeader::Rfc5424, ..syslog() };
        assert_eq!(
            header(&bare, Level::Info),
            "<134>1 2026-11-02T14:14:19.519007+01:00 - drain-proxy 14724 - - "
        );
        let named = Syslog { hostname: Some("lb1".into()), ..bare };
        assert!(header(&named, Level::Info).contains("+01:00 lb1 drain-proxy 14724 - - "));
    }

    #[test]
    fn a_line_is_never_more_urgent_than_allowed() {
        let bounded = Syslog { min_level: Level::Err, ..syslog() };
        assert!(header(&bounded, Level::Alert).starts_with("<131>"));
        assert!(header(&bounded, Level::Info).starts_with("<134>"));
    }
}
