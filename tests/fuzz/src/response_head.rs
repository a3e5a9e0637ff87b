//! A response. The first byte of the input chooses what was asked.

use drain_proxy::http1::{
    Framing, Method, ResponseHead, Storage, Version,
    forward::{self, FieldEdit, ResponseEdits},
    unfold,
};

use super::{
    can_be_taken, scanned,
    strict::{self, Body},
};

pub(super) const WORDS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 100 \r\n",
    b"HTTP/1.1 204 x\r\n",
    b"HTTP/1.1 304 x\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Set-Cookie: S=1; path=/\r\n",
    b"chunked",
    b"gzip, ",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r",
    b"\n",
    b"\0",
    b"+3",
    b"\xff",
];

const ASKED: [Method; 4] = [Method::Get, Method::Head, Method::Post, Method::Connect];

/// What a client behind the proxy reads of a response is what the proxy read.
pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let asked = ASKED[usize::from(*choice) % ASKED.len()];
    let keep_alive = choice & 0x80 == 0;
    let Some((length, folded)) = scanned(bytes) else { return };
    let mut bytes = bytes[..length].to_vec();
    if folded {
        unfold(&mut bytes);
    }
    let mut storage = Storage::new();
    let Ok(head) = ResponseHead::parse(&bytes, asked, &mut storage) else { return };
    let written = write(&head, asked, keep_alive);
    assert_eq!(scanned(&written), Some((written.len(), false)), "{}", written.escape_ascii());

    if !can_be_taken(&written) {
        return;
    }
    let mut again = Storage::new();
    let read = ResponseHead::parse(&written, asked, &mut again)
        .unwrap_or_else(|error| panic!("{error}: {}", written.escape_ascii()));
    assert_eq!((read.status, read.version, read.framing), (head.status, head.version, head.framing));
    assert_eq!(write(&read, asked, keep_alive), written, "{}", written.escape_ascii());

    let has_reason = written.splitn(3, |byte| *byte == b' ').count() == 3;
    let (message, rest) = match strict::head(&written) {
        Ok(read) => read,
        // The reason may be missing, with the blank before it.
        Err(_) if !has_reason || !written[13..].starts_with(b"\r\n") && written[12] == b'\r' => return,
        Err(error) => panic!("{error}: {}", written.escape_ascii()),
    };
    assert!(rest.is_empty());
    let stated = match head.framing {
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked,
        Framing::UntilClose => Body::Unstated,
        // What the body would be may be stated, but in one way.
        Framing::None => message.body,
    };
    assert_eq!(message.body, stated, "{}", written.escape_ascii());
}

fn write(head: &ResponseHead<'_, '_>, asked: Method, keep_alive: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let edits = ResponseEdits { client: Version::Http11, keep_alive, set_cookie: None, private: false };
    forward::response(head, asked, edits, |_| FieldEdit::Keep, &mut out);
    out
}
