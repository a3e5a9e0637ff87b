//! What the `Connection` fields of a head say.

use super::field::{Fields, Kind, elements};

/// The options of all `Connection` fields of a head (RFC 9110 7.6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions {
    /// `close`: no further message follows.
    pub close: bool,
    /// `keep-alive`: an HTTP/1.0 sender keeps the connection.
    pub keep_alive: bool,
    /// `upgrade`: the `Upgrade` field is meant for this hop.
    pub upgrade: bool,
}

impl ConnectionOptions {
    pub(super) fn read(fields: Fields<'_, '_>) -> Self {
        let mut options = Self::default();
        for list in fields.all(Kind::Connection) {
            for option in elements(list) {
                options.close |= option.eq_ignore_ascii_case(b"close");
                options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        options
    }
}

/// The options of one `Connection` field that go on to the next hop, as written.
///
/// `close` and `keep-alive` are this hop's. Fields that frame, route or authenticate a message must reach the next hop
/// whole: an option that names one would have it removed there, and is left out. So is one that names one of its `own`, the
/// fields in which the proxy tells addresses.
pub(super) fn passed_on<'a>(value: &'a [u8], own: [&str; 2]) -> impl Iterator<Item = &'a [u8]> {
    const NEVER_NAMED: [&[u8]; 7] = [
        b"close",
        b"keep-alive",
        b"content-length",
        b"transfer-encoding",
        b"host",
        b"cookie",
        b"authorization",
    ];
    elements(value).filter(move |option| {
        !option.is_empty()
            && !own.iter().any(|own| option.eq_ignore_ascii_case(own.as_bytes()))
            && !is_told_by_proxies(option)
            && !NEVER_NAMED.iter().any(|never| option.eq_ignore_ascii_case(never))
    })
}

/// Whether this is a field in which proxies tell servers where a request came from.
pub(super) fn is_told_by_proxies(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"forwarded", b"x-real-ip"];
    const BEGINNING: &[u8] = b"x-forwarded-";
    name.get(..BEGINNING.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(BEGINNING))
        || NAMES.iter().any(|told| name.eq_ignore_ascii_case(told))
}

/// `trailers` is the one member of `TE` that survives a hop: the body is framed anew, so that no other coding can.
pub(super) fn wants_trailers(te: &[u8]) -> bool {
    elements(te).any(|member| member.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(value: &str) -> String {
        let passed: Vec<_> = passed_on(value.as_bytes(), ["X-Client-IP", "X-Original-To"])
            .map(|option| String::from_utf8_lossy(option))
            .collect();
        passed.join(",")
    }

    #[test]
    fn options_of_this_hop_are_consumed_and_others_go_on() {
        assert_eq!(passed("close, X-Foo, TE"), "X-Foo,TE");
        assert_eq!(passed("Keep-Alive"), "");
        assert_eq!(passed("Upgrade"), "Upgrade");
    }

    #[test]
    fn a_field_that_frames_or_routes_is_never_named() {
        assert_eq!(passed("Content-Length, transfer-encoding, HOST, Cookie, x"), "x");
    }

    #[test]
    fn a_field_that_names_the_client_is_never_named() {
        assert_eq!(
            passed(
                "X-Forwarded-For, x-forwarded-proto, Forwarded, X-Real-IP, x-client-ip, X-ORIGINAL-TO, x-forward"
            ),
            "x-forward"
        );
    }
}
