//! Whether an answer is what was wanted. Pure.

use std::borrow::Cow;

use super::answer::Status;
use crate::config::{Expect, Likeness, Wanted};

/// What comes of comparing an answer with what is wanted.
pub(super) enum Verdict {
    /// More must come.
    Waits,
    /// It is decided, for this reason.
    Ended(Status, &'static str),
}

/// Compares an answer with what is wanted, one after the other as HAProxy does. `rest` is what has come behind its head;
/// `is_all`: no more will come.
pub(super) fn verdict(
    code: u16,
    fields: &[httparse::Header<'_>],
    rest: &[u8],
    is_all: bool,
    expect: &Expect,
) -> Verdict {
    let body = Body::read(fields, rest, is_all);
    for wish in expect.wishes() {
        let (holds, status) = match &wish.wanted {
            Wanted::Status(ranges) => {
                (ranges.iter().any(|(from, to)| (*from..=*to).contains(&code)), Status::Unexpected)
            }
            Wanted::StatusLike(regex) => (regex.matches(code.to_string().as_bytes()), Status::Unexpected),
            Wanted::Field { name, value, whole } => {
                (has_field(fields, name, value.as_ref(), *whole), Status::Unexpected)
            }
            Wanted::Body(_) | Wanted::BodyLike(_) if body.bytes.is_empty() => {
                if !body.is_whole {
                    return Verdict::Waits;
                }
                return Verdict::Ended(
                    Status::BadAnswer,
                    "HTTP content check could not find a response body",
                );
            }
            Wanted::Body(text) => {
                (memchr::memmem::find(&body.bytes, text.as_bytes()).is_some(), Status::BadAnswer)
            }
            Wanted::BodyLike(regex) => (regex.matches(&body.bytes), Status::BadAnswer),
        };
        if !holds && status == Status::BadAnswer && !body.is_whole {
            return Verdict::Waits;
        }
        if holds == wish.negated {
            let why = if holds {
                "HTTP check matched unwanted content"
            } else {
                "HTTP content check did not match"
            };
            return Verdict::Ended(status, why);
        }
    }
    Verdict::Ended(Status::Passed, "")
}

/// Whether there is such a field.
fn has_field(
    fields: &[httparse::Header<'_>],
    name: &Likeness,
    value: Option<&Likeness>,
    whole: bool,
) -> bool {
    let named = fields.iter().filter(|field| name.holds(field.name.to_ascii_lowercase().as_bytes()));
    let Some(wanted) = value else { return named.count() > 0 };
    named.map(|field| field.value.trim_ascii()).any(|value| {
        let mut parts = value.split(|byte| *byte == b',' && !whole);
        parts.any(|part| wanted.holds(part.trim_ascii()))
    })
}

/// What has come of a body, without chunks.
struct Body<'a> {
    bytes: Cow<'a, [u8]>,
    /// Nothing follows.
    is_whole: bool,
}

impl<'a> Body<'a> {
    fn read(fields: &[httparse::Header<'_>], rest: &'a [u8], is_all: bool) -> Self {
        let value = |name: &str| {
            fields.iter().rev().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
        };
        if value("transfer-encoding").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        {
            let (bytes, is_done) = without_chunks(rest);
            return Self { bytes: bytes.into(), is_whole: is_done || is_all };
        }
        let length = value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let length: usize = length.unwrap_or(usize::MAX);
        let bytes = &rest[..rest.len().min(length)];
        Self { is_whole: is_all || bytes.len() == length, bytes: bytes.into() }
    }
}

/// The data of chunks, and whether the last one has come or can't come any more.
fn without_chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].trim_ascii();
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { return (bytes, true) };
        rest = &rest[end + 1..];
        bytes.extend_from_slice(&rest[..rest.len().min(size)]);
        // The end of the chunk's line goes with it.
        let Some(behind) = rest.get(size.saturating_add(2)..) else { return (bytes, false) };
        rest = behind;
    }
    (bytes, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::answer::judge;

    #[test]
    fn all_that_is_wanted_must_hold() {
        let answer = "HTTP/1.1 202 Fine\r\nX-Test1: true, next value\r\nx-end: 1\r\n\r\n";
        for (wishes, passes) in [
            (&["200-399", "hdr name x-test1"][..], true),
            (&["rstatus ^2..$", "! hdr name -m beg x-begin"], true),
            (&["status 200"], false),
            (&["! status 202"], false),
            (&["hdr name -m str X-Test1 value true"], true),
            (&["hdr name -m end 1 value -m beg next"], true),
            (&["fhdr name x-test1 value true"], false),
            (&["fhdr name -m reg ^X-T value 'true, next value'"], true),
            (&["! hdr name -m sub -en"], false),
        ] {
            let report = judge(answer.as_bytes(), false, None, &Expect::of(wishes)).unwrap();
            assert_eq!(report.status == Status::Passed, passes, "{wishes:?}: {report}");
        }
        let report = judge(answer.as_bytes(), false, None, &Expect::of(&["200-202", "hdr name x"])).unwrap();
        assert_eq!(report.to_string(), "Layer7 wrong status, code: 202, info: \"Fine\", check duration: 0ms");
    }

    /// Nobody waits for the rest of a body that has what is wanted, and nobody judges before it could have come.
    #[test]
    fn a_body_is_looked_at_as_it_comes() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (wants, hates) = (&["string ready"][..], &["! rstring ^not"][..]);
        for (answer, is_all, wishes, expected) in [
            (format!("{head}rea"), false, wants, None),
            (format!("{head}ready"), false, wants, Some(Status::Passed)),
            (format!("{head}rea"), true, wants, Some(Status::BadAnswer)),
            (format!("{head}0123456789ready"), false, wants, Some(Status::BadAnswer)),
            (head.to_owned(), false, wants, None),
            (head.to_owned(), true, wants, Some(Status::BadAnswer)),
            (format!("{chunked}3\r\nrea\r\n2\r\ndy\r\n"), false, wants, Some(Status::Passed)),
            (format!("{chunked}3\r\nrea\r\n2\r\ndo\r\n"), false, wants, None),
            (format!("{chunked}3;x\r\nrea\r\n0\r\n\r\n"), false, wants, Some(Status::BadAnswer)),
            (format!("{head}not"), false, hates, Some(Status::BadAnswer)),
            (format!("{head}is"), false, hates, None),
            (format!("{head}0123456789"), false, hates, Some(Status::Passed)),
            // What is wanted of the head is looked at first.
            (head.to_owned(), false, &["500", "string x"], Some(Status::Unexpected)),
        ] {
            let judged = judge(answer.as_bytes(), is_all, None, &Expect::of(wishes));
            assert_eq!(judged.map(|report| report.status), expected, "{answer:?} {wishes:?}");
        }
        let report = judge(format!("{head}0123456789").as_bytes(), false, None, &Expect::of(wants)).unwrap();
        assert_eq!(
            report.to_string(),
            "Layer7 invalid response, info: \"HTTP content check did not match\", check duration: 0ms"
        );
    }
}
