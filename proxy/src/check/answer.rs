//! What the answer to a check means. Pure.

use std::fmt;
use std::time::Duration;

use super::machine::Finding;
use super::verdict::{Verdict, verdict};
use crate::backend::Checked;
use crate::config::Expect;
use crate::http1::MAX_FIELDS;

/// How much of a reason phrase is kept: HAProxy's limit.
const MAX_INFO: usize = 127;

/// How much of what an agent says of its drain is kept, for whoever looks at the statistics.
const MAX_MARKER: usize = 200;

/// The header by which an agent says what its server is doing.
const MARKER: &str = "x-drain-state";

/// Phases in which a server goes on purpose.
const DRAIN_PHASES: [&str; 4] = ["soft", "hard", "restarting", "warming"];

/// HAProxy's names for how a check ends, with what it says for them in its logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    /// No socket could be had (`SOCKERR`).
    SocketError,
    /// No connection in time (`L4TOUT`).
    ConnectTimeout,
    /// No connection (`L4CON`).
    ConnectFailed,
    /// No answer in time (`L7TOUT`).
    AnswerTimeout,
    /// Something that is no HTTP answer, or none (`L7RSP`).
    BadAnswer,
    /// A status that says no (`L7STS`).
    Unexpected,
    /// A connection, where nothing else was wanted (`L4OK`).
    Connected,
    /// Users found too many errors in a row (`HANA`).
    Observed,
    /// A good answer (`L7OK`).
    Passed,
    /// The status of a soft drain (`L7OKC`).
    Conditional,
}

impl Status {
    /// As HAProxy's statistics have it, and its number in `show servers state`.
    const fn code(self) -> (&'static str, u8) {
        match self {
            Self::SocketError => ("SOCKERR", 5),
            Self::ConnectTimeout => ("L4TOUT", 7),
            Self::ConnectFailed => ("L4CON", 8),
            Self::AnswerTimeout => ("L7TOUT", 12),
            Self::BadAnswer => ("L7RSP", 13),
            Self::Unexpected => ("L7STS", 17),
            Self::Connected => ("L4OK", 6),
            Self::Observed => ("HANA", 4),
            Self::Passed => ("L7OK", 15),
            Self::Conditional => ("L7OKC", 16),
        }
    }

    /// In a sentence, for logs.
    const fn sentence(self) -> &'static str {
        match self {
            Self::SocketError => "Socket error",
            Self::ConnectTimeout => "Layer4 timeout",
            Self::ConnectFailed => "Layer4 connection problem",
            Self::AnswerTimeout => "Layer7 timeout",
            Self::BadAnswer => "Layer7 invalid response",
            Self::Unexpected => "Layer7 wrong status",
            Self::Connected => "Layer4 check passed",
            Self::Observed => "Health analyze",
            Self::Passed => "Layer7 check passed",
            Self::Conditional => "Layer7 check conditionally passed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.sentence())
    }
}

/// How one check ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Report {
    /// How it ended.
    pub(super) status: Status,
    /// The status code, where there was one.
    pub(super) code: Option<u16>,
    /// The reason phrase of a bad status, or what the system said.
    pub(super) info: String,
    /// The phase of the drain that the answer says the server is in.
    pub(super) drain: Option<String>,
    /// All that it says of that: `soft; reason="…"; since=…`.
    pub(super) marker: Option<String>,
    /// How long it took.
    pub(super) duration: Duration,
}

impl Report {
    /// A check that ended without an answer.
    pub(super) fn without_answer(status: Status, info: String) -> Self {
        Self { status, code: None, info, drain: None, marker: None, duration: Duration::ZERO }
    }

    /// For the statistics.
    pub(super) fn checked(&self) -> Checked {
        let (status, number) = self.status.code();
        Checked {
            status,
            description: self.status.sentence(),
            number,
            code: self.code,
            info: self.info.clone(),
            duration: self.duration,
            passed: self.finding() != Finding::Failed,
            drain: self.marker.clone(),
        }
    }

    /// What it means to the machine. A conditional pass that finds the server down is judged there.
    pub(super) fn finding(&self) -> Finding {
        match self.status {
            Status::Passed | Status::Connected => Finding::Passed,
            Status::Conditional => Finding::Soft { marked: self.drain.is_some() },
            _ => Finding::Failed,
        }
    }
}

/// As in HAProxy's log: `Layer7 wrong status, code: 500, info: "Boo", check duration: 0ms`.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.status)?;
        if let Some(code) = self.code {
            write!(out, ", code: {code}")?;
        }
        if !self.info.is_empty() {
            write!(out, ", info: \"{}\"", Escaped(&self.info))?;
        }
        if self.status == Status::Observed {
            return Ok(());
        }
        write!(out, ", check duration: {}ms", self.duration.as_millis())
    }
}

/// Judges what has come so far; `None`: more must come. `is_all`: no more will come.
pub(super) fn judge(
    bytes: &[u8],
    is_all: bool,
    soft_drain_on: Option<u16>,
    expect: &Expect,
) -> Option<Report> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::Status) if has_long_status(bytes) => {
            return Some(Report::without_answer(Status::Unexpected, String::new()));
        }
        Err(_) => return Some(Report::without_answer(Status::BadAnswer, String::new())),
    };
    let all = |name: &'static str| {
        response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    };
    let is_number = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if !all("content-length").all(|header| is_number(header.value)) {
        return Some(Report::without_answer(Status::BadAnswer, String::new()));
    }
    let code = response.code.unwrap_or_default();
    let verdict = if Some(code) == soft_drain_on {
        Verdict::Ended(Status::Conditional, "")
    } else {
        verdict(code, response.headers, &bytes[head..], is_all, expect)
    };
    let (status, why) = match verdict {
        Verdict::Waits => return None,
        Verdict::Ended(status, why) => (status, why),
    };
    let info = if status == Status::Unexpected { response.reason.unwrap_or_default() } else { why };
    let marked = all(MARKER).find_map(|header| Some((drain_phase(header.value)?, header.value)));
    let marker =
        marked.as_ref().map(|(_, marker)| String::from_utf8_lossy(marker).chars().take(MAX_MARKER).collect());
    let drain = marked.map(|(phase, _)| phase);
    let info = info.chars().take(MAX_INFO).collect();
    // HAProxy names no code where it is not the code that was bad.
    let code = (status != Status::BadAnswer).then_some(code);
    Some(Report { status, code, info, drain, marker, duration: Duration::ZERO })
}

/// More than three digits where the status stands: a status for HAProxy, though no good one.
fn has_long_status(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let status = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    status.len() > 3 && status.iter().all(u8::is_ascii_digit)
}

/// `soft; reason="…"; since=…` is a drain; `down; …` is not.
fn drain_phase(marker: &[u8]) -> Option<String> {
    let phase = marker.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    DRAIN_PHASES.iter().find(|drain| drain.as_bytes() == phase).map(|&drain| drain.to_owned())
}

/// As HAProxy writes what others said into its log.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'"' | 0..32 | 127.. => write!(out, "<{byte:02X}>")?,
                _ => write!(out, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Option<Status>) {
        let judged =
            judge(answer.as_bytes(), false, Some(404), &Expect::default()).map(|report| report.status);
        assert_eq!(judged, expected, "{answer:?}");
    }

    #[test]
    fn an_answer_is_judged_when_its_head_is_complete() {
        check("", None);
        check("HTTP/1.1 200 OK\r\nserver: x\r\n", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", Some(Status::Passed));
    }

    #[test]
    fn the_status_decides() {
        for (code, expected) in [
            (100, Status::Unexpected),
            (103, Status::Unexpected),
            (200, Status::Passed),
            (302, Status::Passed),
            (399, Status::Passed),
            (400, Status::Unexpected),
            (404, Status::Conditional),
            (500, Status::Unexpected),
            (600, Status::Unexpected),
        ] {
            check(&format!("HTTP/1.0 {code} Text\r\n\r\n"), Some(expected));
        }
        let without_drain =
            judge(b"HTTP/1.0 404 Not Found\r\n\r\n", false, None, &Expect::default()).unwrap();
        assert_eq!((without_drain.status, without_drain.info.as_str()), (Status::Unexpected, "Not Found"));
    }

    #[test]
    fn odd_but_readable_answers_are_accepted_and_others_are_not() {
        check("HTTP/1.0 200\r\n\r\n", Some(Status::Passed));
        check("HTTP/1.0 200 OK\nserver: x\n\n", Some(Status::Passed));
        check("SSH-2.0-OpenSSH\r\n", Some(Status::BadAnswer));
        check("hello world, here is a page", Some(Status::BadAnswer));
        check("HTTP/1.0 200 OK\r\ncontent-length: abc\r\n\r\n", Some(Status::BadAnswer));
        check("HTTP/1.0 2000 OK\r\n\r\n", Some(Status::Unexpected));
        check("HTTP/1.0 200x OK\r\n\r\n", Some(Status::BadAnswer));
    }

    #[test]
    fn an_answer_may_have_as_many_fields_as_haproxys() {
        let answer = |count| format!("HTTP/1.0 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        check(&answer(MAX_FIELDS), Some(Status::Passed));
        check(&answer(MAX_FIELDS + 1), Some(Status::BadAnswer));
    }

    #[test]
    fn the_marker_tells_a_drain_from_any_404() {
        for (marker, expected) in [
            ("soft; reason=\"deploy\"; since=1", Some("soft")),
            ("hard", Some("hard")),
            ("warming; since=1", Some("warming")),
            ("up", None),
            ("down; reason=\"not ready\"", None),
            ("failed", None),
            ("softly", None),
        ] {
            let answer = format!("HTTP/1.0 404 Not Found\r\nX-Drain-State: {marker}\r\n\r\n");
            let report = judge(answer.as_bytes(), false, Some(404), &Expect::default()).unwrap();
            assert_eq!(report.drain.as_deref(), expected, "{marker}");
            assert_eq!(report.finding(), Finding::Soft { marked: expected.is_some() });
        }
        assert_eq!(
            judge(b"HTTP/1.0 404 Not Found\r\n\r\n", false, Some(404), &Expect::default()).unwrap().drain,
            None
        );
    }

    #[test]
    fn a_report_reads_as_in_haproxy() {
        let mut report = judge(b"HTTP/1.0 500 Bo\"o\r\n\r\n", false, Some(404), &Expect::default()).unwrap();
        report.duration = Duration::from_micros(2700);
        assert_eq!(
            report.to_string(),
            "Layer7 wrong status, code: 500, info: \"Bo<22>o\", check duration: 2ms"
        );
        let refused = Report::without_answer(Status::ConnectFailed, "Connection refused".to_owned());
        assert_eq!(
            refused.to_string(),
            "Layer4 connection problem, info: \"Connection refused\", check duration: 0ms"
        );
        let passed = judge(b"HTTP/1.0 200 OK\r\n\r\n", false, Some(404), &Expect::default()).unwrap();
        assert_eq!(passed.to_string(), "Layer7 check passed, code: 200, check duration: 0ms");
    }
}
