//! Requests, one behind the other on a connection.

use drain_proxy::http1::{
    ChunkedBody, Framing, RequestHead, Storage,
    forward::{self, FieldEdit, RequestEdits},
    unfold,
};

use super::{
    can_be_taken, scanned,
    strict::{self, Body},
};

pub(super) const WORDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"POST /a HTTP/1.1\r\n",
    b"PUT http://h/ HTTP/1.0\r\n",
    b"CONNECT h:443 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"HTTP/2.0",
    b"Host: h\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding",
    b"Connection: close, Content-Length\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n",
    b"chunked",
    b"gzip",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\r",
    b"\n",
    b"\0",
    b":",
    b",",
    b" ",
    b"\x0b",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"+3",
    b"18446744073709551616",
];

/// Requests that a client's connection may carry: more would only be the same again.
const MOST: usize = 8;

/// One request as the proxy understood it.
struct Understood {
    method: Vec<u8>,
    target: Vec<u8>,
    framing: Framing,
    /// `None`: it broke off.
    body: Option<Vec<u8>>,
}

/// What a server behind the proxy gets is a list of sound requests, to each reader the same as to the proxy.
pub(super) fn run(input: &[u8]) {
    let (mut rest, mut sent, mut understood) = (input, Vec::new(), Vec::new());
    while understood.len() < MOST {
        let Some((length, folded)) = scanned(rest) else { break };
        let mut bytes = rest[..length].to_vec();
        rest = &rest[length..];
        if folded {
            unfold(&mut bytes);
        }
        let mut storage = Storage::new();
        let Ok(head) = RequestHead::parse(&bytes, &mut storage) else { break };
        let close = head.close_after;
        let written = write(&head, close);
        if can_be_taken(&written) {
            read_again(&head, &written);
        }
        sent.extend_from_slice(&written);
        let body = body(head.framing, &mut rest, &mut sent);
        let goes_on = body.is_some() && head.keeps_alive();
        let (method, target) = (head.method_text.to_vec(), head.target.to_vec());
        understood.push(Understood { method, target, framing: head.framing, body });
        if !goes_on {
            break;
        }
    }
    judge(&understood, &sent);
}

fn write(head: &RequestHead<'_, '_>, close: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let edits = RequestEdits { close, address_fields: ["X-Forwarded-For", ""], ..RequestEdits::default() };
    forward::request(head, edits, |_| FieldEdit::Keep, &mut out);
    out
}

/// What was written is read as the same request, and written again as the same bytes.
fn read_again(head: &RequestHead<'_, '_>, written: &[u8]) {
    assert_eq!(scanned(written), Some((written.len(), false)), "{}", written.escape_ascii());
    let mut storage = Storage::new();
    let again = RequestHead::parse(written, &mut storage)
        .unwrap_or_else(|error| panic!("{error}: {}", written.escape_ascii()));
    let parts = |head: &RequestHead<'_, '_>| (head.method, head.version, head.framing);
    assert_eq!(parts(&again), parts(head));
    assert_eq!((again.method_text, again.target), (head.method_text, head.target));
    assert_eq!(write(&again, head.close_after), written, "{}", written.escape_ascii());
}

/// The data of a body, which is taken from `rest` and framed anew into `sent`.
fn body(framing: Framing, rest: &mut &[u8], sent: &mut Vec<u8>) -> Option<Vec<u8>> {
    match framing {
        Framing::None | Framing::UntilClose => Some(Vec::new()),
        Framing::Length(length) => {
            let data = rest.get(..usize::try_from(length).ok()?)?;
            *rest = &rest[data.len()..];
            sent.extend_from_slice(data);
            Some(data.to_vec())
        }
        Framing::Chunked => {
            let (mut chunks, before) = (ChunkedBody::default(), sent.len());
            let taken = chunks.advance(rest, sent).ok()?;
            *rest = &rest[taken..];
            if !chunks.is_done() {
                return None;
            }
            let (data, ..) = strict::chunks(&sent[before..]).expect("sound chunks").expect("that end");
            assert_eq!(data.len() as u64, chunks.data());
            Some(data)
        }
    }
}

fn judge(understood: &[Understood], sent: &[u8]) {
    let mut rest = sent;
    for request in understood {
        let (read, after) =
            strict::head(rest).unwrap_or_else(|error| panic!("{error}: {}", sent.escape_ascii()));
        let [method, target, version] = &read.start;
        assert_eq!((method, target), (&request.method, &request.target));
        assert!(matches!(version.as_slice(), b"HTTP/1.1" | b"HTTP/1.0"));
        assert!(read.all("host").count() <= 1, "two hosts: {}", sent.escape_ascii());
        let framing = match request.framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked,
            Framing::None | Framing::UntilClose => Body::Unstated,
        };
        assert_eq!(read.body, framing, "{}", sent.escape_ascii());
        for name in ["content-length", "transfer-encoding", "host"] {
            let named = read.all("connection").flat_map(|value| value.split(|byte| *byte == b','));
            let mut named = named.map(<[u8]>::trim_ascii);
            assert!(!named.any(|option| option.eq_ignore_ascii_case(name.as_bytes())), "{name} is named");
        }
        let Some(body) = &request.body else { return };
        rest = match read.body {
            Body::Unstated => after,
            Body::Length(_) => after.strip_prefix(body.as_slice()).expect("the body follows"),
            Body::Chunked => {
                let (data, _, after) = strict::chunks(after).expect("sound chunks").expect("that end");
                assert_eq!(&data, body);
                after
            }
        };
    }
    assert!(rest.is_empty(), "more than was understood: {}", rest.escape_ascii());
}
