//! A line of the access log, to the byte as HAProxy writes it.

use jiff::tz::TimeZone;

use super::{
    date::{DATE, DateCache},
    header::Header,
    own, text,
};
use crate::{
    config::{Level, Log, LogFormat},
    decimal,
    escape::{IN_HEADER, IN_LINE, escape},
    exchange::Record,
    rules::Values,
};

/// Writes the lines of one log on one core.
#[derive(Debug)]
pub(super) struct LineWriter {
    format: LogFormat,
    length: usize,
    header: Option<Header>,
    dates: DateCache,
}

impl LineWriter {
    pub(super) fn new(log: &Log, zone: &TimeZone) -> Self {
        let zone_of_dates = if log.format == LogFormat::Clf { &TimeZone::UTC } else { zone };
        let dates = DateCache::new(zone_of_dates.clone(), DATE);
        let header = log.syslog.as_ref().map(|syslog| Header::new(syslog, zone.clone(), std::process::id()));
        Self { format: log.format.clone(), length: log.length, header, dates }
    }

    /// Appends the line of a request.
    pub(super) fn write(&mut self, record: &Record<'_>, level: Level, out: &mut Vec<u8>) {
        let begin = out.len();
        if let Some(header) = &mut self.header {
            header.write(level, record.began + record.total, out);
        }
        // HAProxy's limit on the whole, and the one on the line itself.
        let end = (begin + self.length).min(out.len() + self.length - 1);
        match &self.format {
            LogFormat::Http => self.http(record, end, out),
            LogFormat::Tcp => self.tcp(record, out),
            LogFormat::Clf => self.clf(record, end, out),
            LogFormat::Own(format) => own::line(&format.clone(), record, &mut self.dates, out),
        }
        out.truncate(end);
        out.push(b'\n');
    }

    fn http(&mut self, record: &Record<'_>, end: usize, out: &mut Vec<u8>) {
        self.origin(record, out);
        let [head, queue, connect, answer] = record.phases;
        for phase in [head, queue, connect, answer] {
            text::millis(phase, out);
            out.push(b'/');
        }
        text::millis(Some(record.total), out);
        out.push(b' ');
        text::status(record.status, out);
        out.push(b' ');
        decimal::number(record.bytes, out);
        for cookie in cookies(record) {
            out.push(b' ');
            out.extend_from_slice(cookie.unwrap_or(b"-"));
        }
        out.push(b' ');
        out.extend_from_slice(&record.termination);
        out.push(b' ');
        counts(record, b'/', b' ', out);
        for block in headers(record).filter(|block| !block.is_empty()) {
            out.extend_from_slice(b" {");
            for (index, value) in block.iter().enumerate() {
                if index > 0 {
                    out.push(b'|');
                }
                escape(value, &IN_HEADER, end, out);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b" \"");
        request_line(record, end, out);
        out.push(b'"');
    }

    fn tcp(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.origin(record, out);
        let [_, queue, connect, _] = record.phases;
        for phase in [queue, connect] {
            text::millis(phase, out);
            out.push(b'/');
        }
        text::millis(Some(record.total), out);
        out.push(b' ');
        decimal::number(record.bytes, out);
        out.push(b' ');
        out.extend_from_slice(&record.termination[..2]);
        out.push(b' ');
        counts(record, b'/', b' ', out);
    }

    fn clf(&mut self, record: &Record<'_>, end: usize, out: &mut Vec<u8>) {
        decimal::address(record.client.ip(), out);
        out.extend_from_slice(b" - - [");
        let (date, rest) = self.dates.text(record.began);
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b" +0000] \"");
        request_line(record, end, out);
        out.extend_from_slice(b"\" ");
        text::status(record.status, out);
        out.push(b' ');
        decimal::number(record.bytes, out);
        out.extend_from_slice(b" \"\" \"\" ");
        decimal::number(record.client.port().into(), out);
        out.push(b' ');
        text::padded::<3>(rest.subsec_millis(), out);
        for name in [record.frontend, backend(record), server(record)] {
            out.extend_from_slice(b" \"");
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
        for phase in record.phases.into_iter().chain([Some(record.total)]) {
            out.push(b' ');
            text::millis(phase, out);
        }
        out.push(b' ');
        out.extend_from_slice(&record.termination);
        out.push(b' ');
        counts(record, b' ', b' ', out);
        for cookie in cookies(record) {
            out.extend_from_slice(b" \"");
            out.extend_from_slice(cookie.unwrap_or_default());
            out.push(b'"');
        }
        // HAProxy writes a blank before each of both blocks, but never two in a row.
        out.push(b' ');
        for block in headers(record) {
            if out.last() != Some(&b' ') {
                out.push(b' ');
            }
            for (index, value) in block.iter().enumerate() {
                out.extend_from_slice(if index == 0 { &b"\""[..] } else { b" \"" });
                escape(value, &IN_HEADER, end, out);
                out.push(b'"');
            }
        }
    }

    /// Client, date, frontend, backend and server.
    fn origin(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        decimal::address(record.client.ip(), out);
        out.push(b':');
        decimal::number(record.client.port().into(), out);
        out.extend_from_slice(b" [");
        let (date, rest) = self.dates.text(record.began);
        out.extend_from_slice(date.as_bytes());
        out.push(b'.');
        text::padded::<3>(rest.subsec_millis(), out);
        out.extend_from_slice(b"] ");
        out.extend_from_slice(record.frontend.as_bytes());
        out.push(b' ');
        out.extend_from_slice(backend(record).as_bytes());
        out.push(b'/');
        out.extend_from_slice(server(record).as_bytes());
        out.push(b' ');
    }
}

/// Of a request that was not understood HAProxy knows no backend yet.
pub(super) const fn backend<'a>(record: &Record<'a>) -> &'a str {
    if record.line.is_some() { record.backend } else { record.frontend }
}

pub(super) fn server<'a>(record: &Record<'a>) -> &'a str {
    record.server.map_or("<NOSRV>", crate::backend::Server::name)
}

/// What was captured of the client's cookie and of the server's.
fn cookies<'a>(record: &Record<'a>) -> [Option<&'a [u8]>; 2] {
    record.captured.map_or([None; 2], |captured| [captured.request_cookie(), captured.response_cookie()])
}

/// What was captured of the request's fields, and of the response's.
fn headers<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a Values> + use<'a> {
    record.captured.into_iter().flat_map(|captured| [captured.request(), captured.response()])
}

fn counts(record: &Record<'_>, separator: u8, gap: u8, out: &mut Vec<u8>) {
    for count in record.counts {
        decimal::number(count.into(), out);
        out.push(separator);
    }
    if record.redispatched {
        out.push(b'+');
    }
    decimal::number(record.retries.into(), out);
    let [server_queue, backend_queue] = record.queued_behind;
    out.push(gap);
    decimal::number(server_queue as u64, out);
    out.push(separator);
    decimal::number(backend_queue as u64, out);
}

fn request_line(record: &Record<'_>, end: usize, out: &mut Vec<u8>) {
    match record.line {
        Some(line) => escape(line, &IN_LINE, end, out),
        None => out.extend_from_slice(b"<BADREQ>"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::backend::fixture::{backend_of, server, settings};
    use crate::config::{Capture, Captures, LogTarget, Syslog, SyslogHeader};
    use crate::exchange::Captured;
    use crate::rules::tests::Village;

    pub(in crate::admin::log) fn record() -> Record<'static> {
        let ms = |millis| Some(Duration::from_millis(millis));
        Record {
            client: "127.0.0.1:41360".parse().unwrap(),
            began: UNIX_EPOCH + Duration::from_millis(1_795_354_459_019),
            frontend: "web",
            backend: "shop",
            server: None,
            phases: [ms(0), ms(0), ms(0), ms(1)],
            total: Duration::from_micros(1900),
            status: Some(200),
            bytes: 98,
            bytes_up: 71,
            termination: *b"--NI",
            counts: [1, 1, 0, 0],
            retries: 0,
            redispatched: false,
            queued_behind: [0, 0],
            line: Some(b"GET /a?b=c HTTP/1.1"),
            captured: None,
            silent: false,
            level: None,
            notes: None,
            farm: &Village,
        }
    }

    pub(in crate::admin::log) fn log(format: LogFormat) -> Log {
        Log { format, target: LogTarget::Stdout, length: 1024, syslog: None }
    }

    pub(in crate::admin::log) fn syslog() -> Syslog {
        Syslog {
            header: SyslogHeader::Rfc3164,
            facility: 16,
            level: Level::Info,
            min_level: Level::Emerg,
            tag: "drain-proxy".into(),
            hostname: None,
        }
    }

    fn line(log: &Log, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        LineWriter::new(log, &TimeZone::UTC).write(record, Level::Info, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn http(record: &Record<'_>) -> String {
        line(&log(LogFormat::Http), record)
    }

    /// What is captured where so many request and response fields are asked for.
    fn captured(request: &[&str], response: &[&str], cookie: bool) -> Captured {
        let list = |values: &[&str]| {
            let capture = |at: usize| Capture { name: format!("h{at}").into(), length: 30 };
            (0..values.len()).map(capture).collect::<Vec<_>>()
        };
        let cookie = cookie.then(|| Capture { name: "S=".into(), length: 16 });
        let captures = Captures { request_headers: list(request), response_headers: list(response), cookie };
        let head = |first: &str, values: &[&str], last: &str| {
            let fields: String =
                values.iter().enumerate().map(|(at, value)| format!("h{at}: {value}\r\n")).collect();
            format!("{first}\r\n{fields}{last}\r\n\r\n")
        };
        Captured::of_heads(
            &captures,
            head("GET / HTTP/1.1", request, "cookie: S=v\"al ue").as_bytes(),
            head("HTTP/1.1 200 OK", response, "set-cookie: S=x; path=/").as_bytes(),
        )
    }

    #[test]
    fn an_http_line_reads_as_in_haproxy() {
        let backend = backend_of(settings(vec![server("a")]));
        assert_eq!(
            http(&Record { server: Some(&backend.servers()[0]), ..record() }),
            "127.0.0.1:41360 [22/Nov/2026:13:34:19.019] web shop/a 0/0/0/1/1 200 98 - - --NI 1/1/0/0/0 0/0 \
             \"GET /a?b=c HTTP/1.1\"\n"
        );
    }

    #[test]
    fn a_tcp_line_reads_as_in_haproxy() {
        let log = log(LogFormat::Tcp);
        assert_eq!(
            line(&log, &record()),
            "127.0.0.1:41360 [22/Nov/2026:13:34:19.019] web shop/<NOSRV> 0/0/1 98 -- 1/1/0/0/0 0/0\n"
        );
        let bad = Record { phases: [None; 4], status: Some(400), bytes: 0, line: None, ..record() };
        assert!(line(&log, &bad).contains(" web web/<NOSRV> -1/-1/1 0 -- 1/1/0/0/0 0/0\n"));
    }

    #[test]
    fn a_clf_line_reads_as_in_haproxy() {
        let log = log(LogFormat::Clf);
        assert_eq!(
            line(&log, &record()),
            "127.0.0.1 - - [22/Nov/2026:13:34:19 +0000] \"GET /a?b=c HTTP/1.1\" 200 98 \"\" \"\" 41360 019 \
             \"web\" \"shop\" \"<NOSRV>\" 0 0 0 1 1 --NI 1 1 0 0 0 0 0 \"\" \"\" \n"
        );
        for (request, response, end) in [
            (&["a", "b|"][..], &["c"][..], "\"S=v\"al ue\" \"S=x\" \"a\" \"b#7C\" \"c\"\n"),
            (&["a"], &[], "\"S=v\"al ue\" \"S=x\" \"a\" \n"),
            (&[], &["c"], "\"S=v\"al ue\" \"S=x\" \"c\"\n"),
            (&[], &[], "\"S=v\"al ue\" \"S=x\" \n"),
        ] {
            let captured = captured(request, response, true);
            let line = line(&log, &Record { captured: Some(&captured), ..record() });
            assert!(line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn captures_stand_before_the_request() {
        let all = captured(&["a.host", "x{y}"], &["", "nginx"], true);
        let line = http(&Record { captured: Some(&all), ..record() });
        assert!(
            line.contains(" 98 S=v\"al ue S=x --NI 1/1/0/0/0 0/0 {a.host|x#7By#7D} {|nginx} \"GET "),
            "{line}"
        );
        let few = captured(&[], &["x"], false);
        let line = http(&Record { captured: Some(&few), ..record() });
        assert!(line.contains(" - - --NI 1/1/0/0/0 0/0 {x} \"GET "), "{line}");
    }

    #[test]
    fn what_was_not_reached_is_minus_one() {
        let no_server = Record {
            phases: [Some(Duration::ZERO), None, None, None],
            total: Duration::ZERO,
            status: Some(503),
            bytes: 217,
            termination: *b"SC--",
            retries: 3,
            redispatched: true,
            queued_behind: [0, 2],
            ..record()
        };
        assert!(
            http(&no_server).contains(" web shop/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/+3 0/2 \""),
            "{}",
            http(&no_server)
        );
        assert!(http(&Record { status: None, ..record() }).contains(" -1 98 "));
    }

    #[test]
    fn a_bad_request_has_neither_backend_nor_line() {
        let bad = Record { phases: [None; 4], status: Some(400), bytes: 0, line: None, ..record() };
        assert!(
            http(&bad).contains(" web web/<NOSRV> -1/-1/-1/-1/1 400 0 - - --NI 1/1/0/0/0 0/0 \"<BADREQ>\""),
            "{}",
            http(&bad)
        );
    }

    #[test]
    fn a_client_can_not_forge_lines() {
        let forged = Record { line: Some(b"GET /\"\n#\x7f\xe9 HTTP/1.1"), ..record() };
        assert!(http(&forged).ends_with("\"GET /#22#0A#23#7F#E9 HTTP/1.1\"\n"), "{}", http(&forged));
    }

    #[test]
    fn a_long_line_is_cut_where_haproxy_cuts_it() {
        let request = vec![b'x'; 5000];
        let long = Record { line: Some(&request), ..record() };
        // Of which the end is one byte.
        assert_eq!(http(&long).len(), 1024);
        assert!(http(&long).ends_with("xxx\n"));
        let sent = Log { syslog: Some(syslog()), ..log(LogFormat::Http) };
        assert_eq!(line(&sent, &long).len(), 1025);
        assert_eq!(line(&Log { length: 120, ..sent }, &long).len(), 121);
        assert_eq!(line(&Log { length: 4000, ..log(LogFormat::Clf) }, &long).len(), 4000);
    }
}
