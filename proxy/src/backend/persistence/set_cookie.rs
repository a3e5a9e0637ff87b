//! The `Set-Cookie` header of a server: whose cookie it is, and a new value for it.
//!
//! The rules are those of HAProxy's `http_manage_server_side_cookies`: one cookie per header, blanks around `=` do not
//! count, something without `=` is no cookie, and a value ends at `;` outside of quotes.

use std::ops::Range;

/// Where the value lies, in a `Set-Cookie` header of a cookie of this name; `None`: it is none.
pub(super) fn value_of(header: &[u8], name: &str) -> Option<Range<usize>> {
    let equals = header.iter().position(|byte| matches!(byte, b'=' | b';'))?;
    if header[equals] != b'=' || header[..equals].trim_ascii() != name.as_bytes() {
        return None;
    }
    let end = super::cookie::value_end(header, equals + 1);
    let text = &header[equals + 1..end];
    let begin = end - text.trim_ascii_start().len();
    Some(begin..begin + text.trim_ascii().len())
}

/// The header with `insertion` in the place of these bytes.
pub(super) fn with(header: &[u8], place: &Range<usize>, insertion: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + insertion.iter().map(|part| part.len()).sum::<usize>());
    // No blanks stay around the equals sign, as in HAProxy.
    let name = header[..place.start].trim_ascii_end();
    let name = name.strip_suffix(b"=").unwrap_or(name).trim_ascii_end();
    out.extend_from_slice(name);
    out.push(b'=');
    for part in insertion {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&header[place.end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_and_replaced_and_the_attributes_stay() {
        for (header, expected) in [
            ("SID=x; path=/; HttpOnly", Some("SID=new; path=/; HttpOnly")),
            ("SID=x", Some("SID=new")),
            ("SID=", Some("SID=new")),
            ("SID = x ; path=/", Some("SID=new ; path=/")),
            ("SID=\"a;b\"; path=/", Some("SID=new; path=/")),
            ("SIDE=x; path=/", None),
            ("sid=x", None),
            ("SID", None),
            ("SID; path=/", None),
            ("", None),
        ] {
            let found = value_of(header.as_bytes(), "SID");
            let replaced = found.map(|place| with(header.as_bytes(), &place, &[b"new"]));
            let text = replaced.as_deref().map(String::from_utf8_lossy);
            assert_eq!(text.as_deref(), expected, "{header}");
        }
    }
}
