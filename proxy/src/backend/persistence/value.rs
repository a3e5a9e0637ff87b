//! What the value of a persistence cookie says.
//!
//! | mode | value |
//! |---|---|
//! | passive, rewrite, insert | `ID`, `ID\|LAST`, `ID\|LAST\|FIRST`, each with or without `~TOKEN` behind a bar |
//! | prefix | `ID~VALUE`, and the value is the server's |
//!
//! HAProxy reads the same dates and takes a token for nothing: a bar must stand before it, five letters behind a bar
//! are a date, and what follows them is not looked at.

use super::date::Date;
use super::token::Token;
use crate::config::CookieMode;

/// Between the server's id and what follows it, except in mode prefix.
pub(super) const BAR: u8 = b'|';

/// Before a token; in mode prefix between the server's id and the server's own value.
pub(super) const TILDE: u8 = b'~';

/// What one cookie says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Value<'a> {
    /// Which server.
    pub(super) id: &'a [u8],
    /// When the user was seen last.
    pub(super) last: Option<Date>,
    /// When the user got the cookie first.
    pub(super) first: Option<Date>,
    /// What tells the user from others, as it stands there; not empty.
    pub(super) token: Option<&'a [u8]>,
}

impl<'a> Value<'a> {
    /// Reads a value of a cookie of this mode.
    pub(super) fn read(mode: CookieMode, value: &'a [u8]) -> Self {
        if mode == CookieMode::Prefix {
            // Without the delimiter all of it may be an id, as in HAProxy.
            return Self { id: split(value, TILDE).0, ..Self::default() };
        }
        let (id, Some(rest)) = split(value, BAR) else { return Self { id: value, ..Self::default() } };
        let first = split(rest, BAR).1.and_then(Date::read);
        let token = split(rest, TILDE).1.filter(|token| !token.is_empty());
        Self { id, last: Date::read(rest), first, token }
    }
}

/// Writes what stands behind the id.
pub(super) fn write_rest(last: Option<Date>, first: Option<Date>, token: Option<&Token>, out: &mut Vec<u8>) {
    if let Some(last) = last {
        out.push(BAR);
        last.write(out);
    }
    if let Some(first) = first {
        out.push(BAR);
        first.write(out);
    }
    if let Some(token) = token {
        if last.is_none() {
            out.push(BAR);
        }
        out.push(TILDE);
        out.extend_from_slice(token.as_bytes());
    }
}

/// What stands before the first `delimiter`, and what stands behind it if it is there.
pub(super) fn split(text: &[u8], delimiter: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(delimiter, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_tokens_stand_behind_bars() {
        // value, id, last, first, token
        for (value, id, last, first, token) in [
            ("a", "a", "", "", ""),
            ("", "", "", "", ""),
            ("a|", "a", "", "", ""),
            ("a|aSIGo", "a", "aSIGo", "", ""),
            ("a|aSIGoX", "a", "aSIGo", "", ""),
            ("a|aSIG", "a", "", "", ""),
            ("a|aSIGo|aSHHi", "a", "aSIGo", "aSHHi", ""),
            ("a||aSHHi", "a", "", "aSHHi", ""),
            ("a|?????|aSHHi", "a", "", "aSHHi", ""),
            ("a|~token", "a", "", "", "token"),
            ("a|~", "a", "", "", ""),
            ("a|aSIGo~token", "a", "aSIGo", "", "token"),
            ("a|aSIGo|aSHHi~token", "a", "aSIGo", "aSHHi", "token"),
            ("a~token", "a~token", "", "", ""),
        ] {
            let expected = Value {
                id: id.as_bytes(),
                last: Date::read(last.as_bytes()),
                first: Date::read(first.as_bytes()),
                token: Some(token.as_bytes()).filter(|token| !token.is_empty()),
            };
            assert_eq!(Value::read(CookieMode::Insert, value.as_bytes()), expected, "{value}");
            let is_whole = expected.last.is_some() || expected.first.is_none();
            let mut written = id.as_bytes().to_vec();
            let sound = expected.token.and_then(Token::read);
            write_rest(expected.last, expected.first, sound.as_ref(), &mut written);
            if is_whole && token.is_empty() && value.len() == written.len() {
                assert_eq!(written, value.as_bytes(), "{value}");
            }
        }
    }

    #[test]
    fn a_prefix_ends_at_the_first_tilde() {
        for (value, id) in [("a~x", "a"), ("a~x~y|z", "a"), ("a", "a"), ("a|b~x", "a|b"), ("~x", "")] {
            let read = Value::read(CookieMode::Prefix, value.as_bytes());
            assert_eq!(read, Value { id: id.as_bytes(), ..Value::default() }, "{value}");
        }
    }

    #[test]
    fn a_token_stands_where_haproxy_does_not_look() {
        let token = Token::read(b"abcDEF123456").unwrap();
        let (last, first) = (Date::read(b"aSIGo"), Date::read(b"aSHHi"));
        for (last, first, expected) in [
            (None, None, "|~abcDEF123456"),
            (last, None, "|aSIGo~abcDEF123456"),
            (last, first, "|aSIGo|aSHHi~abcDEF123456"),
        ] {
            let mut out = Vec::new();
            write_rest(last, first, Some(&token), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
            let value = [b"a", out.as_slice()].concat();
            let read = Value::read(CookieMode::Insert, &value);
            assert_eq!((read.last, read.first, read.token), (last, first, Some(token.as_bytes())));
        }
    }
}
