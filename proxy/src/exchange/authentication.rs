//! Authentication that holds for a connection instead of a request.
//!
//! NTLM, and Negotiate where it falls back to NTLM, make the user the owner of the connection: whatever comes on it
//! later is done in that user's name (RFC 4559 section 6). A server's connection that has seen either therefore belongs
//! to its client's connection: it serves nobody else, is used for whatever comes next on that one (a handshake takes
//! several rounds), and closes with it. Requests without a cookie go to that server, too.

use crate::http1::{Fields, ResponseHead};

/// Whether a request brings such an authentication.
pub(super) fn authenticates(fields: Fields<'_, '_>) -> bool {
    let given = |name: &[u8]| fields.last(name).is_some_and(binds_connection);
    given(b"authorization") || given(b"proxy-authorization")
}

/// Whether a response asks for one.
pub(super) fn challenges(head: &ResponseHead<'_, '_>) -> bool {
    let name: &[u8] = match head.status {
        401 => b"www-authenticate",
        407 => b"proxy-authenticate",
        _ => return false,
    };
    let mut fields = head.fields.iter();
    fields.any(|(_, own, value)| own.eq_ignore_ascii_case(name) && binds_connection(value))
}

/// Whether a value of `Authorization` or `WWW-Authenticate` names such a scheme, perhaps among others.
fn binds_connection(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let scheme = part.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"NTLM") || scheme.eq_ignore_ascii_case(b"Negotiate")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_in_any_case_and_place_and_nothing_else_is() {
        for value in ["NTLM", "negotiate YIIC=", "Basic realm=\"a\", Ntlm", "Negotiate,Basic", " NTLM\tTlRM"]
        {
            assert!(binds_connection(value.as_bytes()), "{value}");
        }
        for value in ["", "Basic bnRsbQ==", "Bearer NTLM", "Digest realm=ntlm", "NTLMv3 x"] {
            assert!(!binds_connection(value.as_bytes()), "{value}");
        }
    }
}
