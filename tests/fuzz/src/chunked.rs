//! Chunked bodies.

use drain_proxy::http1::ChunkedBody;

use super::{cuts, strict};

pub(super) const WORDS: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"A \r\n0123456789\r\n",
    b"1;a=\"b\"\r\nx\r\n",
    b"0\r\nX-Sum: 1\r\n\r\n",
    b"Content-Length: 9\r\n",
    b"00000000000000003\r\n",
    b"ffffffffffffffff\r\n",
    b"\r\n ",
    b"\r\n",
    b"\r",
    b"\n",
    b";",
    b"\t",
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
];

/// However a body comes, its data, trailers and end are the same, and so they are to who reads what is passed on.
pub(super) fn run(input: &[u8]) {
    let whole = decode(input, std::iter::once(input.len()));
    let parts = decode(input, cuts(input));
    match (&whole, &parts) {
        (None, None) => return,
        (Some(whole), Some(parts)) => {
            assert_eq!(whole.taken, parts.taken, "the end of a body depends on how it came");
        }
        _ => panic!("whether a body is sound depends on how it came"),
    }
    let (Some(whole), Some(parts)) = (whole, parts) else { return };
    let [one, other] = [&whole, &parts].map(|decoded| {
        strict::chunks(&decoded.out).unwrap_or_else(|error| panic!("{error}: {}", decoded.out.escape_ascii()))
    });
    assert_eq!(whole.done, one.is_some(), "an end without an end: {}", whole.out.escape_ascii());
    if let (Some((data, trailers, rest)), Some((others_data, others_trailers, others_rest))) = (one, other) {
        assert_eq!((&data, &trailers), (&others_data, &others_trailers));
        assert!(rest.is_empty() && others_rest.is_empty());
        assert_eq!(data.len() as u64, whole.data);
        assert!(
            !trailers
                .iter()
                .any(|(name, _)| matches!(name.as_slice(), b"content-length" | b"transfer-encoding"))
        );
    }
}

struct Decoded {
    out: Vec<u8>,
    taken: usize,
    done: bool,
    data: u64,
}

/// `None`: it is malformed.
fn decode(input: &[u8], ends: impl Iterator<Item = usize>) -> Option<Decoded> {
    let (mut body, mut out, mut taken) = (ChunkedBody::default(), Vec::new(), 0);
    for end in ends {
        taken += body.advance(&input[taken..end], &mut out).ok()?;
        assert!(taken == end || body.is_done(), "bytes were left though the body goes on");
        if body.is_done() {
            break;
        }
    }
    Some(Decoded { out, taken, done: body.is_done(), data: body.data() })
}
