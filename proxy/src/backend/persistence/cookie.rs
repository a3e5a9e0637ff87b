//! The `Cookie` header, read and shortened the way HAProxy does it.
//!
//! The rules are those of `http_manage_client_side_cookies`: pairs end at `;` or `,` outside of quotes, blanks around
//! `=` do not count, something without `=` is no cookie, and a `$attribute` (RFC 2109) belongs to the cookie
//! before it and goes with it.

/// One pair of a `Cookie` header, with its place in the value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Pair<'a> {
    name: &'a [u8],
    /// Without blanks at its ends, quotes included; `None` where there is no `=`.
    value: Option<&'a [u8]>,
    /// The delimiter before it, or the beginning.
    begin: usize,
    /// The delimiter behind it, or the end.
    end: usize,
}

/// The values of the cookies of this name in one `Cookie` header.
pub(super) fn values<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    pairs(header).filter(move |pair| pair.name == name.as_bytes()).filter_map(|pair| pair.value)
}

/// One `Cookie` header without the cookies of this name; `None` where there is none.
pub(super) fn without(header: &[u8], name: &str) -> Option<Vec<u8>> {
    let is_ours = |pair: &Pair<'_>| pair.value.is_some() && pair.name == name.as_bytes();
    pairs(header).find(is_ours)?;
    let mut out = Vec::with_capacity(header.len());
    // An attribute shares the fate of the cookie that it belongs to.
    let mut removing = false;
    let mut removed_before = false;
    for pair in pairs(header) {
        if !pair.name.starts_with(b"$") {
            removing = is_ours(&pair);
        }
        if removing {
            removed_before = true;
            continue;
        }
        let text = &header[pair.begin..pair.end];
        if removed_before {
            append_behind_gap(&mut out, text);
        } else {
            out.extend_from_slice(text);
        }
        removed_before = false;
    }
    out.truncate(out.trim_ascii_end().len());
    Some(out)
}

/// One `Cookie` header whose cookies of this name have lost what stands before `delimiter` in their values, and the
/// delimiter; `None` where none has it.
pub(super) fn without_prefix(header: &[u8], name: &str, delimiter: u8) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut kept = 0;
    for pair in pairs(header).filter(|pair| pair.name == name.as_bytes()) {
        let Some(value) = pair.value else { continue };
        let Some(length) = memchr::memchr(delimiter, value) else { continue };
        // The value ends its pair, but for blanks.
        let text = &header[pair.begin..pair.end];
        let begin = pair.begin + text.trim_ascii_end().len() - value.len();
        out.extend_from_slice(&header[kept..begin]);
        kept = begin + length + 1;
    }
    (kept > 0).then(|| {
        out.extend_from_slice(&header[kept..]);
        out
    })
}

/// Appends what follows a removed cookie, with its delimiter: that is dropped at the beginning, and elsewhere it is
/// followed by exactly one blank.
fn append_behind_gap(out: &mut Vec<u8>, text: &[u8]) {
    let Some((delimiter, rest)) = text.split_first() else { return };
    if !out.is_empty() {
        out.truncate(out.trim_ascii_end().len());
        out.extend_from_slice(&[*delimiter, b' ']);
    }
    out.extend_from_slice(rest.trim_ascii_start());
}

/// The first cookie in a `Cookie` or `Set-Cookie` header whose name begins with `prefix`, or is the whole of it where
/// that ends with `=`: name and value, without the blanks between them. What HAProxy captures.
pub(crate) fn captured(header: &[u8], prefix: &str) -> Option<Vec<u8>> {
    let found = pairs(header).find_map(|pair| {
        let value = pair.value.filter(|_| match prefix.strip_suffix('=') {
            Some(name) => pair.name == name.as_bytes(),
            None => pair.name.starts_with(prefix.as_bytes()),
        })?;
        Some([pair.name, value])
    });
    found.map(|parts| parts.join(&b'='))
}

fn pairs(header: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let mut begin = 0;
    let mut name_at = 0;
    let mut is_over = header.is_empty();
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let name_end = find(header, name_at, |byte| matches!(byte, b'=' | b';' | b','));
        let name = header[name_at..name_end].trim_ascii();
        let (value, end) = if header.get(name_end) == Some(&b'=') {
            let end = value_end(header, name_end + 1);
            (Some(header[name_end + 1..end].trim_ascii()), end)
        } else {
            (None, name_end)
        };
        let pair = Pair { name, value, begin, end };
        begin = end;
        name_at = end + 1;
        is_over = end >= header.len();
        Some(pair)
    })
}

fn find(header: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> usize {
    header[from..].iter().position(|&byte| is_it(byte)).map_or(header.len(), |at| from + at)
}

/// Where a value that begins here ends: at a delimiter that is not quoted.
pub(super) fn value_end(header: &[u8], from: usize) -> usize {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, &byte) in header.iter().enumerate().skip(from) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' | b',' if !is_quoted => return at,
            _ => {}
        }
    }
    header.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected_values: &[&str], expected_rest: Option<&str>) {
        let found: Vec<_> = values(header.as_bytes(), "SID")
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        assert_eq!(found, expected_values, "values in {header:?}");
        let rest = without(header.as_bytes(), "SID").map(|rest| String::from_utf8(rest).unwrap());
        assert_eq!(rest.as_deref(), expected_rest, "what is left of {header:?}");
    }

    #[test]
    fn our_cookies_are_found_and_taken_out_wherever_they_stand() {
        check("SID=A", &["A"], Some(""));
        check("SID=A; x=1", &["A"], Some("x=1"));
        check("x=1; SID=A", &["A"], Some("x=1"));
        check("x=1; SID=A; y=2", &["A"], Some("x=1; y=2"));
        check("x=1;SID=A;y=2", &["A"], Some("x=1; y=2"));
        check("SID=A; SID=B", &["A", "B"], Some(""));
        check("SID=A; x=1; SID=B", &["A", "B"], Some("x=1"));
        check("x=1, SID=A, y=2", &["A"], Some("x=1, y=2"));
        check("SID=; x=1", &[""], Some("x=1"));
        check("SID=A;", &["A"], Some(""));
    }

    #[test]
    fn a_cookie_is_captured_by_the_beginning_of_its_name_or_all_of_it() {
        let captured = |prefix| {
            captured(b"x=1; SIDA = \"a;b\"; SID=2; SID=3", prefix)
                .map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(captured("SID").as_deref(), Some("SIDA=\"a;b\""));
        assert_eq!(captured("SID=").as_deref(), Some("SID=2"));
        assert_eq!(captured("ID"), None);
    }

    #[test]
    fn other_cookies_stay_as_they_are() {
        for header in ["", "x=1; y=2", "sid=A", "SIDX=A", "XSID=A", "SID", "x=\"; SID=A\"", ";;", "x==SID=A"]
        {
            check(header, &[], None);
        }
        check("SID; SID=A", &["A"], Some("SID"));
    }

    #[test]
    fn blanks_around_the_equals_sign_do_not_count() {
        check("SID = A ; x=1", &["A"], Some("x=1"));
        check(" SID\t=\tA", &["A"], Some(""));
    }

    #[test]
    fn quotes_are_part_of_the_value() {
        check("SID=\"A\"", &["\"A\""], Some(""));
        check("SID=\"A;\\\"B\"; x=1", &["\"A;\\\"B\""], Some("x=1"));
    }

    #[test]
    fn attributes_go_with_their_cookie() {
        check("$Version=1; SID=A; $Path=/; x=1; $Path=/y", &["A"], Some("$Version=1; x=1; $Path=/y"));
    }

    #[test]
    fn a_prefix_is_taken_off_and_the_rest_stays() {
        for (header, expected) in [
            ("SID=a~x", Some("SID=x")),
            ("SID=a~", Some("SID=")),
            ("x=1; SID = a~y~z ;  z=2", Some("x=1; SID = y~z ;  z=2")),
            ("SID=a~x; SID=b~y", Some("SID=x; SID=y")),
            ("SID=a~x, SID=b", Some("SID=x, SID=b")),
            ("SID=a", None),
            ("x=a~b; SID", None),
            ("", None),
        ] {
            let rest = without_prefix(header.as_bytes(), "SID", b'~');
            assert_eq!(rest.as_deref().map(String::from_utf8_lossy).as_deref(), expected, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_of_ours_is_left_and_nothing_else_is_lost(header in "[ASIDx=;, \"$\\\\]{0,40}") {
            if let Some(rest) = without(header.as_bytes(), "SID") {
                proptest::prop_assert!(rest.len() < header.len() + 1);
                proptest::prop_assert_eq!(values(&rest, "SID").count(), 0);
                let others = |header: &[u8]| pairs(header)
                    .filter(|pair| !(pair.name.starts_with(b"$") || pair.name == b"SID" && pair.value.is_some()))
                    .filter(|pair| !pair.name.is_empty() || pair.value.is_some())
                    .map(|pair| (pair.name.to_vec(), pair.value.map(<[u8]>::to_vec)))
                    .collect::<Vec<_>>();
                proptest::prop_assert_eq!(others(&rest), others(header.as_bytes()));
            }
        }
    }
}
