//! The header of the PROXY protocol.

use drain_proxy::proxy_protocol::{MAX_V1_BYTES, MAX_V2_BYTES, Read, Version, read, write};

use super::cuts;

pub(super) const WORDS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x02\0\x01\0\x02",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"::ffff:1.2.3.4",
    b"0",
    b" ",
    b"\r\n",
    b"\x21\x21\0\x24",
    b"\x04\0\x02ab",
];

/// However a header comes, it says the same; and what it says can be said again, in both versions.
pub(super) fn run(input: &[u8]) {
    let whole = read(input);
    let mut in_parts = Ok(Read::Incomplete);
    for end in cuts(input) {
        in_parts = read(&input[..end]);
        if in_parts != Ok(Read::Incomplete) {
            break;
        }
    }
    assert_eq!(in_parts, whole, "what a header says depends on how it came");
    if whole == Ok(Read::Incomplete) {
        assert!(input.len() < MAX_V2_BYTES, "it waits for more than it would take");
    }
    let Ok(Read::Header { length, passage }) = whole else { return };
    assert!(length <= input.len() && length <= MAX_V2_BYTES.max(MAX_V1_BYTES));
    assert_eq!(read(&input[..length]), whole, "it depends on what follows it");
    let Some(passage) = passage else { return };
    let canonical = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
    for version in [Version::V1, Version::V2] {
        let mut out = Vec::new();
        write(version, passage, &mut out);
        let Ok(Read::Header { length, passage: again }) = read(&out) else {
            panic!("what was written is no header: {}", out.escape_ascii());
        };
        assert_eq!(length, out.len());
        let [source, destination] = [passage.source, passage.destination].map(canonical);
        let is_one_family = source.0.is_ipv4() == destination.0.is_ipv4();
        let again = again.map(|again| (canonical(again.source), canonical(again.destination)));
        assert_eq!(again, is_one_family.then_some((source, destination)));
    }
}
