//! The request target and the host it means (RFC 9112 3.2, as HAProxy reads it).

use super::{Refusal, field::trim};

/// What a host may leave out in CONNECT, which has no scheme: HAProxy takes both for the usual port.
const TUNNEL_PORTS: &[&[u8]] = &[b"443", b"80"];

/// Checks the target's form and that no host contradicts another.
///
/// A path, `*` or an absolute URI; for CONNECT an authority and nothing else. A `Host` may be missing or empty; several
/// must be equal, and an authority in the target must be the one in `Host`.
pub(super) fn check<'b>(
    method: &[u8],
    target: &[u8],
    mut hosts: impl Iterator<Item = &'b [u8]>,
) -> Result<(), Refusal> {
    if target.iter().any(|byte| !matches!(byte, 0x21..=0x7e) || *byte == b'#') {
        return Err(Refusal::Target);
    }
    let host = hosts.next().map(trim);
    if hosts.any(|other| host != Some(trim(other))) {
        return Err(Refusal::Host);
    }
    let authority = match (method, target) {
        (b"CONNECT", _) => Some((authority_form(target)?, TUNNEL_PORTS)),
        (_, [b'/', ..] | b"*") => None,
        _ => Some(absolute_form(target)?),
    };
    match (authority, host) {
        (Some((authority, ports)), Some(host))
            if !ports.iter().any(|port| same_host(authority, host, port)) =>
        {
            Err(Refusal::Host)
        }
        _ => Ok(()),
    }
}

fn authority_form(target: &[u8]) -> Result<&[u8], Refusal> {
    let colon = memchr::memrchr(b':', target).ok_or(Refusal::Target)?;
    let (host, port) = (&target[..colon], &target[colon + 1..]);
    let valid = !host.is_empty()
        && !host.iter().any(|byte| matches!(byte, b'/' | b'?' | b'@'))
        && !port.is_empty()
        && port.iter().all(u8::is_ascii_digit);
    valid.then_some(target).ok_or(Refusal::Target)
}

/// The authority of `scheme://authority…`, and its scheme's port.
fn absolute_form(target: &[u8]) -> Result<(&[u8], &'static [&'static [u8]]), Refusal> {
    let colon = memchr::memchr(b':', target).ok_or(Refusal::Target)?;
    let scheme = &target[..colon];
    let rest = target[colon + 1..].strip_prefix(b"//").ok_or(Refusal::Target)?;
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !named || end == 0 {
        return Err(Refusal::Target);
    }
    let ports: &[&[u8]] = if scheme.eq_ignore_ascii_case(b"https") { &[b"443"] } else { &[b"80"] };
    Ok((&rest[..end], ports))
}

fn same_host(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    let bare = |host: &'_ [u8]| -> usize {
        let without_port = host.strip_suffix(default_port).and_then(|host| host.strip_suffix(b":"));
        without_port.map_or(host.len(), <[u8]>::len)
    };
    one[..bare(one)].eq_ignore_ascii_case(&other[..bare(other)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &str, target: &str, hosts: &[&str]) -> Result<(), Refusal> {
        check(method.as_bytes(), target.as_bytes(), hosts.iter().map(|host| host.as_bytes()))
    }

    #[test]
    fn each_form_of_target_is_taken_where_it_belongs() {
        for (method, target) in [
            ("GET", "/"),
            ("OPTIONS", "*"),
            ("GET", "http://h/a?b"),
            ("GET", "/\"<>|{}"),
            ("CONNECT", "h:443"),
        ] {
            assert_eq!(verdict(method, target, &["h"]), Ok(()), "{method} {target}");
        }
        for (method, target) in [
            ("GET", "foo"),
            ("GET", "h:80"),
            ("CONNECT", "/"),
            ("CONNECT", "h"),
            ("GET", "http:///x"),
            ("GET", "?a"),
        ] {
            assert_eq!(verdict(method, target, &["h"]), Err(Refusal::Target), "{method} {target}");
        }
    }

    #[test]
    fn a_fragment_or_a_byte_outside_ascii_is_refused() {
        for target in ["/a#b", "/caf\u{e9}", "/a\u{1}", "/a\u{7f}"] {
            assert_eq!(verdict("GET", target, &[]), Err(Refusal::Target), "{target:?}");
        }
    }

    #[test]
    fn hosts_may_repeat_but_not_differ() {
        assert_eq!(verdict("GET", "/", &[]), Ok(()));
        assert_eq!(verdict("GET", "/", &[""]), Ok(()));
        assert_eq!(verdict("GET", "/", &["a", "a"]), Ok(()));
        assert_eq!(verdict("GET", "/", &["a", "b"]), Err(Refusal::Host));
    }

    #[test]
    fn an_authority_in_the_target_must_be_the_host() {
        assert_eq!(verdict("GET", "http://H:80/", &["h"]), Ok(()));
        assert_eq!(verdict("GET", "https://h/", &["h:443"]), Ok(()));
        assert_eq!(verdict("GET", "http://h/", &[]), Ok(()));
        assert_eq!(verdict("GET", "http://a/", &["b"]), Err(Refusal::Host));
        assert_eq!(verdict("GET", "http://a:81/", &["a"]), Err(Refusal::Host));
        for (target, host, said) in [
            ("a:443", "a", Ok(())),
            ("a:80", "a", Ok(())),
            ("a:81", "a:81", Ok(())),
            ("a:81", "a", Err(Refusal::Host)),
            ("a:443", "a:80", Err(Refusal::Host)),
        ] {
            assert_eq!(verdict("CONNECT", target, &[host]), said, "{target} {host}");
        }
    }
}
