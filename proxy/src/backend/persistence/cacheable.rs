//! Whether a cache may keep a response, as HAProxy sees it (`http_check_response_for_cacheability`).
//!
//! It must be the answer to a safe method, with a status that is cacheable by default (RFC 9110 15.1), with a freshness
//! or a validator, and nothing may forbid it. `public` allows what method and status do not.

/// Statuses that are cacheable by default.
const STATUSES: [u16; 11] = [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];

/// What the fields of a response say to caches.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// Its last word on whether it may be kept at all: `public`, or `private` and the like.
    allowed: Option<bool>,
    fresh: bool,
    validated: bool,
}

/// Whether a response with these fields may be kept; `is_safe` is its request's method.
pub(super) fn is_cacheable<'a>(
    is_safe: bool,
    status: u16,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> bool {
    let mut said = Said::default();
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"cache-control") {
            for word in value.split(|&byte| byte == b',') {
                said.take_in(word.trim_ascii());
            }
        } else if name.eq_ignore_ascii_case(b"pragma") && value.eq_ignore_ascii_case(b"no-cache") {
            return false;
        } else if name.eq_ignore_ascii_case(b"expires") {
            said.fresh = true;
        } else if name.eq_ignore_ascii_case(b"etag") || name.eq_ignore_ascii_case(b"last-modified") {
            said.validated = true;
        }
    }
    let by_default = is_safe && STATUSES.contains(&status);
    said.allowed.unwrap_or(by_default) && (said.fresh || said.validated)
}

impl Said {
    fn take_in(&mut self, word: &[u8]) {
        let is = |text: &[u8]| word.eq_ignore_ascii_case(text);
        let begins = |text: &[u8]| word.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text));
        if is(b"public") {
            self.allowed = Some(true);
        } else if [&b"private"[..], b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"].into_iter().any(is)
        {
            self.allowed = Some(false);
        } else if begins(b"max-age") || begins(b"s-maxage") {
            self.fresh = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_cacheable_when_nothing_forbids_it_and_something_tells_its_age() {
        for (is_safe, status, fields, expected) in [
            (true, 200, "", false),
            (true, 200, "etag: x", true),
            (true, 200, "Last-Modified: x", true),
            (true, 200, "expires: x", true),
            (true, 200, "cache-control: max-age=10", true),
            (true, 200, "cache-control: S-MaxAge=10", true),
            (true, 302, "etag: x", false),
            (true, 404, "etag: x", true),
            (true, 500, "etag: x", false),
            (false, 200, "etag: x", false),
            (false, 200, "etag: x|cache-control: public", true),
            (true, 302, "etag: x|cache-control: public", true),
            (true, 200, "cache-control: public", false),
            (true, 200, "etag: x|cache-control: private", false),
            (true, 200, "etag: x|cache-control: no-cache", false),
            (true, 200, "etag: x|cache-control: no-store, public", true),
            (true, 200, "etag: x|cache-control: public, no-store", false),
            (true, 200, "etag: x|cache-control: max-age=0", false),
            (true, 200, "cache-control: max-age=0, s-maxage=5", false),
            (true, 200, "cache-control: s-maxage=5, max-age=0", false),
            (true, 200, "etag: x|cache-control: s-maxage=0", false),
            (true, 200, "etag: x|pragma: no-cache", false),
            (true, 200, "etag: x|pragma: other", true),
            (true, 200, "cache-control: no-cache=\"set-cookie\", max-age=3", true),
        ] {
            let pairs = fields.split('|').filter_map(|line| line.split_once(": "));
            let pairs = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            assert_eq!(is_cacheable(is_safe, status, pairs), expected, "{status} {fields}");
        }
    }
}
