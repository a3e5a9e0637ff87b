//! Authentication that holds for a connection instead of a request.
//!
//! NTLM, and Negotiate where it falls back to NTLM, make the user the owner of the connection: whatever comes on it
//! later is done in that user's name (RFC 4559 section 6). A server's connection that has seen either is closed after
//! the exchange and never serves anybody else. Their handshakes of several rounds therefore do not succeed through this
//! proxy; a Kerberos ticket, which needs only one, does.

/// Whether a value of `Authorization` or `WWW-Authenticate` names such a scheme, perhaps among others.
pub(super) fn binds_connection(value: &[u8]) -> bool {
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
