//! A response that broke off, continued (RFC 9110 14). Pure.
//!
//! It is continued where HTTP lets two servers' answers be one:
//!
//! | of | what must hold |
//! |---|---|
//! | the request | GET, without a body, `Range` or `If-Range` of its own |
//! | the response | 200, a strong `ETag`, `Content-Length`, `Accept-Ranges: bytes` |
//! | the rest | 206, one part, from the byte that is missing to the last one, of the same complete length; the same tag and `Content-Encoding`, no other `Content-Type`; its own `Content-Length` is what is missing |
//!
//! The same request goes out again with `Range` and `If-Range`. Of the head of what comes nothing reaches the client:
//! it has one.

use std::io::Write;

use thiserror::Error;

use crate::http1::{Fields, Framing, Method, RequestHead, ResponseHead, Storage};

/// How a response can be continued, when it breaks off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Resume {
    /// The strong entity tag, with its quotes.
    tag: Vec<u8>,
    content_type: Option<Vec<u8>>,
    content_encoding: Option<Vec<u8>>,
    /// Of the whole body.
    length: u64,
    /// The client's connection can carry another request after it.
    keep_alive: bool,
}

/// Why an answer is not the rest of the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum NotTheRest {
    /// The server sends the whole, or nothing.
    #[error("expected 206, found {0}")]
    Status(u16),
    /// Another version of it, or no word on which.
    #[error("expected the same strong ETag, found another or none")]
    Tag,
    /// Another kind of body.
    #[error("expected the same Content-Type and Content-Encoding, found others")]
    Kind,
    /// Other bytes.
    #[error("expected Content-Range with exactly the bytes that are missing, found others or none")]
    Range,
    /// Not told by its length.
    #[error("expected as many bytes as are missing, told by Content-Length, found another framing")]
    Framing,
}

impl Resume {
    /// How this response can be continued, if its request [asks for all](asks_for_all); `None`: not at all.
    pub(super) fn of(response: &ResponseHead<'_, '_>, keep_alive: bool) -> Option<Self> {
        let Framing::Length(length) = response.framing else { return None };
        let fields = response.fields;
        let ranges = sole(fields, b"accept-ranges")?;
        let tag = sole(fields, b"etag")?;
        if response.status != 200 || !ranges.eq_ignore_ascii_case(b"bytes") || !is_strong(tag) {
            return None;
        }
        let kind = |name| fields.last(name).map(<[u8]>::to_vec);
        Some(Self {
            tag: tag.to_vec(),
            content_type: kind(b"content-type"),
            content_encoding: kind(b"content-encoding"),
            length,
            keep_alive,
        })
    }

    /// The client's connection can carry another request after it.
    pub(super) const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Writes the request for what is missing, of which `left` bytes are; `request` is the head of the first one.
    pub(super) fn request(&self, request: &[u8], left: u64, out: &mut Vec<u8>) {
        let fields = request.strip_suffix(b"\r\n").unwrap_or(request);
        out.extend_from_slice(fields);
        write!(out, "range: bytes={}-\r\nif-range: ", self.length - left)
            .expect("a Vec takes all that is written");
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// Whether this is the rest, of which `left` bytes are missing.
    pub(super) fn check(&self, response: &ResponseHead<'_, '_>, left: u64) -> Result<(), NotTheRest> {
        let fields = response.fields;
        if response.status != 206 {
            return Err(NotTheRest::Status(response.status));
        }
        if sole(fields, b"etag") != Some(&self.tag) {
            return Err(NotTheRest::Tag);
        }
        let (kind, coding) = (fields.last(b"content-type"), fields.last(b"content-encoding"));
        // A server may leave the type out, because whoever asks has it (RFC 9110 15.3.7).
        if kind.is_some_and(|kind| Some(kind) != self.content_type.as_deref())
            || coding != self.content_encoding.as_deref()
        {
            return Err(NotTheRest::Kind);
        }
        let range = sole(fields, b"content-range").and_then(content_range);
        if range != Some([self.length - left, self.length - 1, self.length]) {
            return Err(NotTheRest::Range);
        }
        if response.framing != Framing::Length(left) {
            return Err(NotTheRest::Framing);
        }
        Ok(())
    }
}

/// Whether the head of a request, as it was sent, allows its response to be continued.
pub(super) fn asks_for_all(request: &[u8]) -> bool {
    let mut storage = Storage::new();
    RequestHead::parse(request, &mut storage).is_ok_and(|head| {
        let has = |name| head.fields.last(name).is_some();
        head.method == Method::Get && head.framing.is_empty() && !has(b"range") && !has(b"if-range")
    })
}

/// The value of the one field of this name; `None`: there is none, or more than one.
fn sole<'b>(fields: Fields<'_, 'b>, name: &[u8]) -> Option<&'b [u8]> {
    let mut values =
        fields.iter().filter(|(_, found, _)| found.eq_ignore_ascii_case(name)).map(|(_, _, value)| value);
    values.next().filter(|_| values.next().is_none())
}

/// An entity tag that says that two bodies are the same to the byte (RFC 9110 8.8.3), and one that can stand in a
/// field.
fn is_strong(tag: &[u8]) -> bool {
    let inner = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    inner.is_some_and(|inner| !inner.contains(&b'"'))
}

/// First and last byte and the complete length, of `bytes 2-5/9`.
fn content_range(value: &[u8]) -> Option<[u64; 3]> {
    let (unit, rest) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let (range, length) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    unit.eq_ignore_ascii_case("bytes").then_some([number(first)?, number(last)?, number(length)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /film HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n";
    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 100\r\nAccept-Ranges: bytes\r\n\
        Content-Type: video/mp4\r\n\r\n";
    const REST: &str = "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: 60\r\n\
        Content-Range: bytes 40-99/100\r\nContent-Type: video/mp4\r\n\r\n";

    fn resume(request: &str, response: &str) -> Option<Resume> {
        let mut storage = Storage::new();
        let head = ResponseHead::parse(response.as_bytes(), Method::Get, &mut storage).unwrap();
        Resume::of(&head, true).filter(|_| asks_for_all(request.as_bytes()))
    }

    fn check(rest: &str) -> Result<(), NotTheRest> {
        let mut storage = Storage::new();
        let head = ResponseHead::parse(rest.as_bytes(), Method::Get, &mut storage).unwrap();
        resume(REQUEST, RESPONSE).unwrap().check(&head, 60)
    }

    #[test]
    fn the_same_request_asks_for_what_is_missing() {
        let mut out = Vec::new();
        resume(REQUEST, RESPONSE).unwrap().request(REQUEST.as_bytes(), 60, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "GET /film HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\nrange: bytes=40-\r\nif-range: \"v1\"\r\n\r\n"
        );
    }

    #[test]
    fn each_condition_on_the_request_and_the_response_is_needed() {
        assert!(resume(REQUEST, RESPONSE).is_some());
        for (from, to) in [
            ("GET", "POST"),
            ("GET", "HEAD"),
            ("Cookie: a=b", "Range: bytes=0-9"),
            ("Cookie: a=b", "If-Range: \"v1\""),
            ("Cookie: a=b", "Content-Length: 3"),
        ] {
            assert_eq!(resume(&REQUEST.replace(from, to), RESPONSE), None, "{to}");
        }
        for (from, to) in [
            ("200 OK", "203 Non-Authoritative"),
            ("ETag: \"v1\"\r\n", ""),
            ("\"v1\"", "W/\"v1\""),
            ("\"v1\"", "v1"),
            ("\"v1\"", "\"v1\", \"v2\""),
            ("\"v1\"", "\"v1\"\r\nETag: \"v2\""),
            ("Content-Length: 100", "Transfer-Encoding: chunked"),
            ("Content-Length: 100\r\n", ""),
            ("Accept-Ranges: bytes\r\n", ""),
            ("Accept-Ranges: bytes", "Accept-Ranges: none"),
        ] {
            assert_eq!(resume(REQUEST, &RESPONSE.replace(from, to)), None, "{to}");
        }
    }

    #[test]
    fn each_condition_on_the_rest_is_needed() {
        assert_eq!(check(REST), Ok(()));
        assert_eq!(check(&REST.replace("Content-Type: video/mp4\r\n", "")), Ok(()));
        for (from, to, why) in [
            ("206 Partial Content", "200 OK", NotTheRest::Status(200)),
            ("206 Partial Content", "416 No", NotTheRest::Status(416)),
            ("\"v1\"", "\"v2\"", NotTheRest::Tag),
            ("\"v1\"", "W/\"v1\"", NotTheRest::Tag),
            ("ETag: \"v1\"\r\n", "", NotTheRest::Tag),
            ("video/mp4", "multipart/byteranges; boundary=x", NotTheRest::Kind),
            ("Content-Type", "Content-Encoding: gzip\r\nContent-Type", NotTheRest::Kind),
            ("40-99/100", "39-99/100", NotTheRest::Range),
            ("40-99/100", "40-98/100", NotTheRest::Range),
            ("40-99/100", "40-99/101", NotTheRest::Range),
            ("40-99/100", "40-99/*", NotTheRest::Range),
            ("40-99/100", "+40-99/100", NotTheRest::Range),
            ("bytes 40", "items 40", NotTheRest::Range),
            ("Content-Range: bytes 40-99/100\r\n", "", NotTheRest::Range),
            ("Content-Length: 60", "Content-Length: 59", NotTheRest::Framing),
            ("Content-Length: 60", "Transfer-Encoding: chunked", NotTheRest::Framing),
            ("Content-Length: 60\r\n", "", NotTheRest::Framing),
        ] {
            assert_eq!(check(&REST.replace(from, to)), Err(why), "{to}");
        }
    }
}
