//! What a server proves when it changes to WebSocket: that it has understood the client's key (RFC 6455 4.2.2). A cache
//! or a server that only repeats what it is sent does not know the answer.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1_smol::Sha1;

/// What the key is hashed with (RFC 6455 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether this is the `Sec-WebSocket-Accept` that belongs to this `Sec-WebSocket-Key`.
pub(super) fn accepts(key: &[u8], accept: &[u8]) -> bool {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    STANDARD.decode(accept).is_ok_and(|accept| accept == hash.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_the_key_is_the_answer() {
        // The example of RFC 6455 1.3.
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        assert!(accepts(key, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for wrong in [&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOp="[..], b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo", key, b""] {
            assert!(!accepts(key, wrong), "{}", wrong.escape_ascii());
        }
        assert!(!accepts(b"", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}
