//! A line of a format of its own, as HAProxy's `log-format` writes it.

use std::net::SocketAddr;
use std::time::Duration;

use super::date::{self, DateCache};
use super::line::{backend, server};
use super::text;
use crate::config::Captures;
use crate::decimal;
use crate::escape::{IN_HEADER, escape};
use crate::exchange::{Captured, Record};
use crate::rules::{
    Alias, Context, Date, Ended, Form, Format, Memory, Message, Origin, Part, Portion, Style, Time, Value,
    Values,
};

/// Appends a request's line.
pub(super) fn line(format: &Format, record: &Record<'_>, dates: &mut DateCache, out: &mut Vec<u8>) {
    let memory = Memory {
        variables: record.notes.map(|notes| notes.variables.clone()).unwrap_or_default(),
        slots: record.captured.map(|captured| captured.slots().clone()).unwrap_or_default(),
        ..Memory::default()
    };
    let (nothing, origin) = (Message::default(), origin(record));
    let context = Context::at_end(&nothing, &origin, &memory);
    // HAProxy begins no line with blanks, and writes one where several follow each other.
    let mut is_blank = true;
    for part in format.parts() {
        let begin = out.len();
        match part {
            Part::Text(text) => {
                for byte in text.bytes() {
                    if byte != b' ' || !is_blank {
                        out.push(byte);
                    }
                    is_blank = byte == b' ';
                }
                continue;
            }
            Part::Sample(sample, style) => {
                let value = sample.value(&context);
                style.text(&value.as_ref().map(Value::text).unwrap_or_default(), out);
                keep_on_one_line(begin, out);
                is_blank = false;
                continue;
            }
            Part::Alias(Alias::Given(given), style) => given.write(&context, *style, out),
            Part::Alias(Alias::Ended(ended), style) => write(*ended, *style, record, dates, out),
        }
        is_blank &= out.len() == begin;
    }
}

/// Of no account any more: nothing is captured when a request is over.
static NO_CAPTURES: Captures =
    Captures { request_headers: Vec::new(), response_headers: Vec::new(), cookie: None };

/// What samples may look at.
fn origin<'r>(record: &'r Record<'r>) -> Origin<'r> {
    const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    let line = record.line.unwrap_or_default();
    let idle = record.notes.map_or(Duration::ZERO, |notes| notes.idle);
    Origin {
        client: record.client,
        destination: record.notes.map_or(NOWHERE, |notes| notes.destination),
        method: Portion::Method.of(line).unwrap_or_default(),
        line,
        is_first: record.notes.is_some_and(|notes| notes.is_first),
        accepted: record.began.checked_sub(idle).unwrap_or(record.began),
        number: record.notes.map_or(0, |notes| notes.number),
        unique_id: record.notes.map(|notes| &*notes.unique_id),
        frontend: record.frontend,
        backend: backend(record),
        server: record.server.map(crate::backend::Server::name),
        captures: &NO_CAPTURES,
        farm: record.farm,
    }
}

/// What others said may not end the line.
fn keep_on_one_line(begin: usize, out: &mut Vec<u8>) {
    let is_control = |byte: &u8| *byte < 32 || *byte == 127;
    if !out[begin..].iter().any(is_control) {
        return;
    }
    let written = out.split_off(begin);
    for byte in written {
        if is_control(&byte) {
            out.extend_from_slice(format!("#{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// Appends what is known when a request is over.
fn write(ended: Ended, style: Style, record: &Record<'_>, dates: &mut DateCache, out: &mut Vec<u8>) {
    let reached =
        record.server.filter(|_| record.phases[2].is_some()).map(|server| server.settings().address);
    let cookie = |taken: Option<&[u8]>, out: &mut Vec<u8>| style.text(taken.unwrap_or_default(), out);
    match ended {
        Ended::Bytes => decimal::number(record.bytes, out),
        Ended::BytesUp => decimal::number(record.bytes_up, out),
        Ended::RequestCookie => cookie(record.captured.and_then(Captured::request_cookie), out),
        Ended::ResponseCookie => cookie(record.captured.and_then(Captured::response_cookie), out),
        Ended::Status => text::status(record.status, out),
        Ended::Server => style.text(server(record).as_bytes(), out),
        Ended::ServerAddress => match reached {
            Some(address) => style.address(address.ip(), out),
            None => style.text(b"", out),
        },
        Ended::ServerPort => match reached {
            Some(address) => style.number(address.port().into(), 4, out),
            None => style.text(b"", out),
        },
        Ended::Retries => {
            if record.redispatched {
                out.push(b'+');
            }
            decimal::number(record.retries.into(), out);
        }
        Ended::Count(place) => decimal::number(record.counts[place].into(), out),
        Ended::Queue(place) => decimal::number(record.queued_behind[place] as u64, out),
        Ended::Date(date) => write_date(date, record, dates, out),
        Ended::Time(time) => text::millis(duration(time, record), out),
        Ended::Termination => out.extend_from_slice(&record.termination[..2]),
        Ended::TerminationCookie => out.extend_from_slice(&record.termination),
        Ended::RequestHeaders => block(record.captured.map(Captured::request), style, out),
        Ended::ResponseHeaders => block(record.captured.map(Captured::response), style, out),
        Ended::RequestHeaderList => list(record.captured.map(Captured::request), style, out),
        Ended::ResponseHeaderList => list(record.captured.map(Captured::response), style, out),
        Ended::Nothing => style.text(b"", out),
    }
}

fn write_date(date: Date, record: &Record<'_>, dates: &mut DateCache, out: &mut Vec<u8>) {
    let idle = record.notes.map_or(Duration::ZERO, |notes| notes.idle);
    let accepted = record.began.checked_sub(idle).unwrap_or(record.began);
    let time = if date.of_request { record.began } else { accepted };
    match date.form {
        Form::Millis => {
            let (second, rest) = dates.text(time);
            out.extend_from_slice(second.as_bytes());
            out.push(b'.');
            text::padded::<3>(rest.subsec_millis(), out);
        }
        Form::Local => out.extend_from_slice(dates.with_offset(time).as_bytes()),
        Form::Utc => out.extend_from_slice(date::utc(time).as_bytes()),
    }
}

/// `None`: it was not reached.
fn duration(time: Time, record: &Record<'_>) -> Option<Duration> {
    let idle = record.notes.map_or(Duration::ZERO, |notes| notes.idle);
    let [request, queue, connect, response] = record.phases;
    match time {
        // Nothing is negotiated before the request.
        Time::Handshake => Some(Duration::ZERO),
        Time::Idle => Some(idle),
        Time::Request => request,
        Time::Query => request.map(|request| request + idle),
        Time::Queue => queue,
        Time::Connect => connect,
        Time::Response => response,
        Time::Data => {
            let before = request? + queue? + connect? + response?;
            Some(record.total.saturating_sub(before))
        }
        Time::Active | Time::User => Some(record.total),
        Time::Total => Some(record.total + idle),
    }
}

/// `{a|b}`; nothing where none is asked for, or there was no request.
fn block(values: Option<&Values>, style: Style, out: &mut Vec<u8>) {
    let Some(values) = values.filter(|values| !values.is_empty()) else { return };
    let mark: &[u8] = if style.has(Style::QUOTED) { b"\"" } else { b"" };
    out.extend_from_slice(mark);
    out.push(b'{');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b'|');
        }
        captured(value, style, out);
    }
    out.push(b'}');
    out.extend_from_slice(mark);
}

/// `a b`
fn list(values: Option<&Values>, style: Style, out: &mut Vec<u8>) {
    let quoted = style.has(Style::QUOTED);
    let mark: &[u8] = if quoted { b"\"" } else { b"" };
    for (index, value) in values.into_iter().flat_map(Values::iter).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(mark);
        if value.is_empty() && !quoted {
            out.push(b'-');
        }
        captured(value, style, out);
        out.extend_from_slice(mark);
    }
}

fn captured(value: &[u8], style: Style, out: &mut Vec<u8>) {
    let mut escaped = Vec::with_capacity(value.len());
    escape(value, &IN_HEADER, usize::MAX, &mut escaped);
    style.inner(&escaped, out);
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::admin::log::date::DATE;
    use crate::admin::log::line::tests::record;
    use crate::backend::fixture::{backend_of, server, settings};
    use crate::config::Capture;
    use crate::exchange::Notes;
    use crate::rules::Variables;

    fn notes() -> Notes {
        Notes {
            destination: "127.0.0.1:80".parse().unwrap(),
            idle: Duration::from_secs(2),
            number: 16,
            is_first: true,
            unique_id: b"id7".to_vec(),
            variables: Variables::default(),
        }
    }

    fn written(format: &str, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        let format = Format::of_shops_line(format).unwrap();
        line(&format, record, &mut DateCache::new(TimeZone::fixed(jiff::tz::offset(1)), DATE), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn usual_lines_can_be_written_as_formats() {
        let backend = backend_of(settings(vec![server("a")]));
        let record = Record { server: Some(&backend.servers()[0]), ..record() };
        assert_eq!(
            written(
                "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r",
                &record
            ),
            "127.0.0.1:41360 [22/Nov/2026:14:34:19.019] web shop/a 0/0/0/1/1 200 98 - - --NI 1/1/0/0/0 0/0 \"GET /a?b=c HTTP/1.1\""
        );
        assert_eq!(
            written("%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ft %b %s %CC %hrl", &record),
            "127.0.0.1 - - [22/Nov/2026:13:34:19 +0000] \"GET /a?b=c HTTP/1.1\" 200 98 \"\" \"\" 41360 \"web\" \"shop\" \"a\" \"\" "
        );
    }

    #[test]
    fn each_variable_stands_for_what_haproxy_has() {
        let (backend, notes) = (backend_of(settings(vec![server("a")])), notes());
        let captures = Captures {
            request_headers: vec![
                Capture { name: "host".into(), length: 9 },
                Capture { name: "".into(), length: 9 },
            ],
            ..Captures::default()
        };
        let captured =
            Captured::of_heads(&captures, b"GET / HTTP/1.1\r\nhost: a|b\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n");
        let served = Record {
            server: Some(&backend.servers()[0]),
            notes: Some(&notes),
            captured: Some(&captured),
            retries: 1,
            redispatched: true,
            ..record()
        };
        let refused = Record { phases: [None; 4], status: Some(400), line: None, notes: None, ..record() };
        for (format, of_served, of_refused) in [
            (
                "%HM|%HP|%HPO|%HQ|%HU|%HV",
                "GET|/a|/a|?b=c|/a?b=c|HTTP/1.1",
                "<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>",
            ),
            ("%Ti %Tq %TR %Tt %Ta %Td %Th", "2000 2000 0 2001 1 0 0", "0 -1 -1 1 1 -1 0"),
            (
                "%t %T %Ts %ms",
                "22/Nov/2026:14:34:17.019 22/Nov/2026:13:34:17 +0000 1795354457 019",
                "22/Nov/2026:14:34:19.019 22/Nov/2026:13:34:19 +0000 1795354459 019",
            ),
            (
                "%Tl|%trl",
                "22/Nov/2026:14:34:17 +0100|22/Nov/2026:14:34:19 +0100",
                "22/Nov/2026:14:34:19 +0100|22/Nov/2026:14:34:19 +0100",
            ),
            ("%si:%sp %fi:%fp", "127.0.0.1:80 127.0.0.1:80", "-:- 0.0.0.0:0"),
            ("%{+X}ci:%{+X}cp_%{+X}rt %rt %ID", "7F000001:A190_0010 16 id7", "7F000001:A190_0000 0 -"),
            ("%hr %{+Q}hr %hrl x", "{a#7Cb|} \"{a#7Cb|}\" a#7Cb - x", "x"),
            ("%rc %ts %U %sslv", "+1 -- 71 -", "0 -- 71 -"),
            (
                "%[method] %[src] %[capture.req.uri] %{+Q}[var(txn.x)] %[var(txn.x)] %[capture.req.hdr(0)]",
                "GET 127.0.0.1 /a?b=c \"\" - a|b",
                "- 127.0.0.1 - \"\" - -",
            ),
            ("%[unique-id] %[http_first_req] %[be_name] %[nbsrv(shop)]", "id7 1 shop 0", "- 0 web 0"),
        ] {
            assert_eq!(written(format, &served), of_served, "{format}");
            assert_eq!(written(format, &refused), of_refused, "{format}");
        }
    }

    #[test]
    fn no_value_ends_a_line() {
        let forged = Record { line: Some(b"GET /a\nb\"c HTTP/1.1"), ..record() };
        assert_eq!(
            written("%HU %[capture.req.uri] %{+E}[capture.req.uri]", &forged),
            "/a#0Ab#22c /a#0Ab\"c /a#0Ab\\\"c"
        );
        let early = Record { began: UNIX_EPOCH, notes: None, ..record() };
        assert_eq!(written("  %Ts  x ", &early), "0 x ");
    }

    #[test]
    fn what_is_gone_by_then_is_refused() {
        for (format, expected) in [
            ("%[path]", "%[var(txn.NAME)]"),
            ("%[req.hdr(host)]", "capture"),
            ("%[hdr(host)]", "capture"),
            ("%[res.hdr(server)]", "capture"),
            ("%[var(req.x)]", "var(txn.NAME)"),
            ("%[status]", "%ST"),
            ("%bi", "no note"),
            ("%lc", "not counted"),
            ("%{+Q", "no closing brace"),
            ("%{Q}ci", "no flag"),
            ("%nope", "no such format variable"),
            ("100%", "no such format variable ''"),
        ] {
            let said = Format::of_shops_line(format).unwrap_err();
            assert!(said.contains(expected), "{format}: {said}");
        }
    }
}
