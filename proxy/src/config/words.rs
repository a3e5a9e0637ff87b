//! Words that may stand in a request, a log line or a state header.

use std::sync::Arc;

use drain_config::{Mistake, Table, Value};

/// The name of a frontend or a backend, as its table has it: of the characters that HAProxy allows, so that it can
/// stand in logs and in the state header.
pub(super) fn object_name(name: &str, table: &Table<'_>) -> Option<Arc<str>> {
    if is_object_name(name) {
        return Some(name.into());
    }
    let title = format!("the name {name:?} has characters that no name may have");
    table.report(Mistake::new(table.place(), title, OBJECT_NAME));
    None
}

/// The name of a server.
pub(super) fn server_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text()?;
    if !is_object_name(name) {
        value.wrong("has characters that no name may have", OBJECT_NAME);
        return None;
    }
    Some(name.into())
}

/// What is said where a name is none.
const OBJECT_NAME: &str = "expected letters, digits, `-`, `_`, `.` or `:`";

fn is_object_name(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    !name.is_empty() && name.bytes().all(sound)
}

/// A token (RFC 9110 section 5.6.2), which is `what`.
pub(super) fn token(value: &Value<'_>, what: &str) -> Option<Arc<str>> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    characters(value, is_token, &format!("expected {what}: letters, digits and !#$%&'*+-.^_`|~"))
}

/// The value of a cookie (RFC 6265 `cookie-octet`), without the `|` that parts a server's id from a user's token.
pub(super) fn cookie_value(value: &Value<'_>) -> Option<Arc<str>> {
    let is_octet = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\' | b'|');
    characters(value, is_octet, "expected visible ASCII characters but `\"`, `,`, `;`, `\\` and `|`")
}

/// The beginning of a cookie's name, or all of it with `=` behind it.
pub(super) fn cookie_prefix(value: &Value<'_>) -> Option<Arc<str>> {
    let is_name = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'=');
    let text = value.text()?;
    if text == "=" || !text.strip_suffix('=').unwrap_or(text).bytes().all(is_name) {
        value.wrong(
            "is not a cookie's name",
            "expected the beginning of a cookie's name, or all of it and `=`",
        );
        return None;
    }
    Some(text.into())
}

/// A word of a log line's beginning, of at most so many bytes.
pub(super) fn word(value: &Value<'_>, longest: usize) -> Option<Arc<str>> {
    if value.text()?.len() > longest {
        value.wrong("is too long", format!("expected at most {longest} characters"));
        return None;
    }
    characters(value, |b| b.is_ascii_graphic(), "expected visible ASCII characters")
}

/// The domain of a cookie (RFC 6265 5.2.3).
pub(super) fn domain(value: &Value<'_>) -> Option<Arc<str>> {
    let is_sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    characters(value, is_sound, "expected a host's name, such as \"shop.example\"")
}

/// An attribute of a cookie (RFC 6265 `av-octet`).
pub(super) fn cookie_attribute(value: &Value<'_>) -> Option<Arc<str>> {
    let is_octet = |b: u8| (b.is_ascii_graphic() || b == b' ') && b != b';';
    characters(value, is_octet, "expected ASCII text without `;`, such as \"SameSite=Lax\"")
}

/// A request target: a path, or `*`.
pub(super) fn target(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text != "*" && !text.starts_with('/') {
        value.wrong("is not the path of a URL", "expected it to begin with `/`");
        return None;
    }
    characters(value, |b| b.is_ascii_graphic() && b != b'#', "expected visible ASCII characters without `#`")
}

/// The value of a header, on one line.
pub(super) fn header_value(value: &Value<'_>) -> Option<Arc<str>> {
    characters(value, |b| b.is_ascii_graphic(), "expected visible ASCII characters")
}

fn characters(value: &Value<'_>, is_sound: impl Fn(u8) -> bool, expected: &str) -> Option<Arc<str>> {
    let text = value.text()?;
    if !text.bytes().all(is_sound) {
        value.wrong("has a character that can't stand there", expected);
        return None;
    }
    Some(text.into())
}

/// Refuses words of HAProxy that have no meaning here yet, where `supported` would be right; gives nothing then.
pub(super) fn later_words(value: &Value<'_>, words: &[&str], supported: &str) -> Option<()> {
    let is_later = value.is_text() && words.contains(&value.string()?);
    if is_later {
        value.wrong("is not supported in this version", format!("expected {supported}"));
    }
    (!is_later).then_some(())
}
