//! Where a body ends (RFC 9112 6), decided once per message and strictly.
//!
//! | request | decision |
//! |---|---|
//! | no length, no coding | no body |
//! | lengths that are equal, in one list or several fields | that length, written once |
//! | lengths that differ, signs, blanks, hex, overflow | 400 |
//! | `chunked`, once and alone | chunked; `Content-Length` beside it is dropped, and the connection closes after the response |
//! | other codings before `chunked` | 422 |
//! | `chunked` not last or twice, or none at all | 400 |
//!
//! A response with a bad length or any coding but `chunked` alone is 502; without either it lasts until the server
//! closes. `chunked` in an HTTP/1.0 response passes as HTTP/1.1, and both connections close after it. HEAD, 1xx, 204 and 304 have no body whatever their fields say.

use thiserror::Error;

use super::field::{Fields, Kind, elements};

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, the last of them empty, and trailers.
    Chunked,
    /// All there is until the server closes; responses only.
    UntilClose,
}

impl Framing {
    /// Nothing follows the head.
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Why a length can't be relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum LengthError {
    /// Not digits alone.
    #[error("expected digits in Content-Length, found something else")]
    Malformed,
    /// More than any body has.
    #[error("expected a Content-Length below 2^63, found a larger one")]
    TooLarge,
    /// Several that differ.
    #[error("expected one Content-Length, found different ones")]
    Conflict,
}

/// What the transfer codings of a head add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Codings {
    /// No `Transfer-Encoding`.
    Absent,
    /// `chunked` and nothing else.
    Chunked,
    /// `chunked` last, unknown ones before it.
    UnknownThenChunked,
    /// Anything else: no end can be told.
    Unusable,
}

/// The one length that all `Content-Length` fields agree on.
pub(super) fn content_length(fields: Fields<'_, '_>) -> Result<Option<u64>, LengthError> {
    let mut agreed = None;
    for list in fields.all(Kind::ContentLength) {
        for text in elements(list) {
            let length = digits(text)?;
            if agreed.is_some_and(|other| other != length) {
                return Err(LengthError::Conflict);
            }
            agreed = Some(length);
        }
    }
    Ok(agreed)
}

/// What all `Transfer-Encoding` fields say together.
pub(super) fn codings(fields: Fields<'_, '_>) -> Codings {
    let mut members = 0_u32;
    let mut chunked = 0_u32;
    let mut ends_chunked = false;
    for coding in fields.all(Kind::TransferEncoding).flat_map(elements) {
        ends_chunked = coding.eq_ignore_ascii_case(b"chunked");
        if !ends_chunked && !plainly_other(coding) {
            return Codings::Unusable;
        }
        members += 1;
        chunked += u32::from(ends_chunked);
    }
    match (members, chunked, ends_chunked) {
        (0, ..) => Codings::Absent,
        (1, 1, true) => Codings::Chunked,
        (_, 1, true) => Codings::UnknownThenChunked,
        _ => Codings::Unusable,
    }
}

/// Not empty, and nothing that somebody else may read as `chunked` (`xchunked`, `chunked;a=b`).
fn plainly_other(coding: &[u8]) -> bool {
    const CHUNKED: &[u8] = b"chunked";
    !coding.is_empty() && !coding.windows(CHUNKED.len()).any(|part| part.eq_ignore_ascii_case(CHUNKED))
}

fn digits(text: &[u8]) -> Result<u64, LengthError> {
    if text.is_empty() {
        return Err(LengthError::Malformed);
    }
    let mut length = 0_u64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return Err(LengthError::Malformed);
        }
        length = length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(byte - b'0')))
            .filter(|length| *length < 1 << 63)
            .ok_or(LengthError::TooLarge)?;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::{super::Storage, *};

    fn with<T>(lines: &str, read: impl Fn(Fields<'_, '_>) -> T) -> T {
        let bytes = format!("{lines}\r\n");
        let mut storage = Storage::new();
        read(Fields::parse(bytes.as_bytes(), &mut storage).unwrap())
    }

    #[test]
    fn lengths_that_agree_are_one() {
        for (lines, length) in [
            ("", None),
            ("Content-Length: 3\r\n", Some(3)),
            ("Content-Length: 03\r\n", Some(3)),
            ("Content-Length: 3, 3\r\n", Some(3)),
            ("Content-Length: 3\r\ncontent-length:\t3 \r\n", Some(3)),
        ] {
            assert_eq!(with(lines, content_length), Ok(length), "{lines:?}");
        }
    }

    #[test]
    fn lengths_that_can_be_read_two_ways_are_refused() {
        for (value, error) in [
            ("3\r\nContent-Length: 4", LengthError::Conflict),
            ("3, 4", LengthError::Conflict),
            ("+3", LengthError::Malformed),
            ("-1", LengthError::Malformed),
            ("", LengthError::Malformed),
            ("3,", LengthError::Malformed),
            ("0x3", LengthError::Malformed),
            ("3 3", LengthError::Malformed),
            ("18446744073709551617", LengthError::TooLarge),
            ("9223372036854775808", LengthError::TooLarge),
        ] {
            assert_eq!(
                with(&format!("Content-Length: {value}\r\n"), content_length),
                Err(error),
                "{value:?}"
            );
        }
    }

    #[test]
    fn only_chunked_once_and_alone_tells_an_end() {
        for (value, sum) in [
            ("chunked", Codings::Chunked),
            ("Chunked", Codings::Chunked),
            ("gzip, chunked", Codings::UnknownThenChunked),
            ("gzip\r\nTransfer-Encoding: chunked", Codings::UnknownThenChunked),
            ("chunked, chunked", Codings::Unusable),
            ("chunked\r\nTransfer-Encoding: chunked", Codings::Unusable),
            ("chunked, gzip", Codings::Unusable),
            ("gzip", Codings::Unusable),
            ("identity", Codings::Unusable),
            ("xchunked", Codings::Unusable),
            ("chunked;a=b", Codings::Unusable),
            ("", Codings::Unusable),
            (", chunked", Codings::Unusable),
        ] {
            assert_eq!(with(&format!("Transfer-Encoding: {value}\r\n"), codings), sum, "{value:?}");
        }
    }
}
