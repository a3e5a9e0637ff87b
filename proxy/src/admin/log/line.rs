//! A line of the access log, as HAProxy's `option httplog` writes it (without the syslog prefix).

use std::io::Write;
use std::time::Duration;

use super::date::DateCache;
use crate::exchange::Record;

/// The longest line, its end included; HAProxy's. A longer one is cut.
pub(super) const MAX_LINE_BYTES: usize = 1024;

/// Appends the line of a request.
pub(super) fn write(record: &Record<'_>, dates: &mut DateCache, out: &mut Vec<u8>) {
    let begin = out.len();
    fields(record, dates, out).expect("a vector takes everything");
    out.truncate(begin + MAX_LINE_BYTES - 1);
    out.push(b'\n');
}

fn fields(record: &Record<'_>, dates: &mut DateCache, out: &mut Vec<u8>) -> std::io::Result<()> {
    // Of a request that was not understood HAProxy knows no backend yet.
    let backend = if record.line.is_some() { record.backend } else { record.frontend };
    let server = record.server.map_or("<NOSRV>", crate::backend::Server::name);
    write!(out, "{}:{} [", record.client.ip(), record.client.port())?;
    dates.write(record.began, out);
    write!(out, "] {} {backend}/{server} ", record.frontend)?;
    for phase in record.phases {
        match phase {
            Some(phase) => write!(out, "{}/", millis(phase))?,
            None => out.extend_from_slice(b"-1/"),
        }
    }
    write!(out, "{} ", millis(record.total))?;
    match record.status {
        Some(status) => write!(out, "{status}")?,
        None => out.extend_from_slice(b"-1"),
    }
    write!(out, " {} - - ", record.bytes)?;
    out.extend_from_slice(&record.termination);
    let [process, frontend, backend, server] = record.counts;
    let redispatched = if record.redispatched { "+" } else { "" };
    write!(out, " {process}/{frontend}/{backend}/{server}/{redispatched}{} ", record.retries)?;
    let [server_queue, backend_queue] = record.queued_behind;
    write!(out, "{server_queue}/{backend_queue} \"")?;
    match record.line {
        Some(line) => escape(line, out),
        None => out.extend_from_slice(b"<BADREQ>"),
    }
    out.push(b'"');
    Ok(())
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}

/// HAProxy's `url_encode_map`: what would end or blur the field is written `#XX`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'"' | b'#' | 0..32 | 127.. => {
                out.extend_from_slice(&[
                    b'#',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::backend::fixture::{backend_of, server, settings};

    fn record() -> Record<'static> {
        let ms = |millis| Some(Duration::from_millis(millis));
        Record {
            client: "127.0.0.1:41360".parse().unwrap(),
            began: UNIX_EPOCH + Duration::from_millis(1_795_354_459_519),
            frontend: "web",
            backend: "shop",
            server: None,
            phases: [ms(0), ms(0), ms(0), ms(1)],
            total: Duration::from_micros(1900),
            status: Some(200),
            bytes: 98,
            termination: *b"----",
            counts: [1, 1, 0, 0],
            retries: 0,
            redispatched: false,
            queued_behind: [0, 0],
            line: Some(b"GET /a?b=c HTTP/1.1"),
        }
    }

    fn text(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write(record, &mut DateCache::new(TimeZone::UTC), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_reads_as_in_haproxy() {
        let backend = backend_of(settings(vec![server("a")]));
        assert_eq!(
            text(&Record { server: Some(&backend.servers()[0]), ..record() }),
            "127.0.0.1:41360 [22/Nov/2026:13:34:19.519] web shop/a 0/0/0/1/1 200 98 - - ---- 1/1/0/0/0 0/0 \
             \"GET /a?b=c HTTP/1.1\"\n"
        );
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
            text(&no_server).contains(" web shop/<NOSRV> 0/-1/-1/-1/0 503 217 - - SC-- 1/1/0/0/+3 0/2 \""),
            "{}",
            text(&no_server)
        );
        assert!(text(&Record { status: None, ..record() }).contains(" -1 98 "));
    }

    #[test]
    fn a_bad_request_has_neither_backend_nor_line() {
        let bad = Record { phases: [None; 4], status: Some(400), bytes: 0, line: None, ..record() };
        assert!(
            text(&bad).contains(" web web/<NOSRV> -1/-1/-1/-1/1 400 0 - - ---- 1/1/0/0/0 0/0 \"<BADREQ>\""),
            "{}",
            text(&bad)
        );
    }

    #[test]
    fn a_client_can_not_forge_fields_or_lines() {
        let forged = Record { line: Some(b"GET /\"\n#\x7f\xe9 HTTP/1.1"), ..record() };
        assert!(text(&forged).ends_with("\"GET /#22#0A#23#7F#E9 HTTP/1.1\"\n"), "{}", text(&forged));
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = vec![b'x'; 5000];
        let text = text(&Record { line: Some(&line), ..record() });
        assert_eq!(text.len(), MAX_LINE_BYTES);
        assert!(text.ends_with("xxx\n"));
    }
}
