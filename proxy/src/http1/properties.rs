//! What holds for every head that is taken, whatever it is made of: the next hop reads the same message.

use proptest::prelude::*;

use super::{
    HeadScan, Kind, Method, RequestHead, ResponseHead, Storage, Version, fault,
    field::elements,
    forward::{FieldEdit, RequestEdits, ResponseEdits, request, response},
    unfold,
};

/// Lines that heads are made of: sound ones, odd ones, and those that attacks are made of.
fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "Host: h",
            "Host: other",
            "A: b",
            "A : b",
            " folded",
            "\tfolded",
            "Content-Length: 3",
            "Content-Length: 3, 3",
            "Content-Length: 4",
            "Content-Length: 0",
            "Content-Length:",
            "content-length: +3",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: x",
            "Transfer-Encoding:\x0bchunked",
            "Transfer-Encoding",
            "Connection: close",
            "Connection: Content-Length, transfer-encoding",
            "Connection: Upgrade, x",
            "Upgrade: y",
            "TE: trailers, chunked",
            "Cookie: a=b",
            "",
            "X: a\nTransfer-Encoding: chunked",
            "X: a\rTransfer-Encoding: chunked",
            "X: a\0b",
        ]),
        0..7,
    )
}

/// The head of these lines, if one is found in them.
fn head_of(start: &str, lines: &[&str]) -> Option<Vec<u8>> {
    let mut bytes = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
    let mut scan = HeadScan::default();
    let length = scan.resume(&bytes).ok()??;
    bytes.truncate(length);
    if scan.folded() {
        unfold(&mut bytes);
    }
    Some(bytes)
}

fn is_clean(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n');
    head.ends_with(b"\r\n\r\n")
        && !head.contains(&0)
        && lines.clone().all(|line| {
            line.is_empty() || line.iter().position(|byte| *byte == b'\r') == Some(line.len() - 1)
        })
}

fn count(head: &[u8], name: &str) -> usize {
    let text = String::from_utf8_lossy(head).to_lowercase();
    text.lines().filter(|line| line.starts_with(name)).count()
}

proptest! {
    #[test]
    fn the_next_hop_reads_a_request_as_we_do(
        start in prop::sample::select(vec!["GET / HTTP/1.1", "POST  /a HTTP/1.1", "VERSION-CONTROL   /  HTTP/2.0", "POST / HTTP/1.0", "PUT http://h/ HTTP/1.3"]),
        lines in lines(),
    ) {
        let Some(bytes) = head_of(start, &lines) else { return Ok(()) };
        let mut storage = Storage::new();
        let Ok(head) = RequestHead::parse(&bytes, &mut storage) else { return Ok(()) };
        for begins in (0..bytes.len()).map(|length| &bytes[..length]) {
            prop_assert!(!fault::is_no_request(begins, begins.contains(&b'\n')), "{}", begins.escape_ascii());
        }
        let mut out = Vec::new();
        request(&head, RequestEdits { close: head.close_after, ..RequestEdits::default() }, |_| FieldEdit::Keep, &mut out);
        prop_assert!(is_clean(&out), "{}", out.escape_ascii());
        let (lengths, codings) = (count(&out, "content-length"), count(&out, "transfer-encoding"));
        prop_assert!(lengths + codings <= 1, "{}", out.escape_ascii());
        let mut again = Storage::new();
        let read = RequestHead::parse(&out, &mut again).expect("what goes out is sound");
        prop_assert_eq!((read.method, read.target, read.framing), (head.method, head.target, head.framing));
        for named in ["content-length", "transfer-encoding"] {
            let options = read.fields.all(Kind::Connection).flat_map(elements);
            prop_assert!(!options.into_iter().any(|option| option.eq_ignore_ascii_case(named.as_bytes())));
        }
    }

    #[test]
    fn the_client_reads_a_response_as_we_do(
        line in prop::sample::select(vec![
            "HTTP/1.1 100 x", "HTTP/1.0 200", "HTTP/1.1 204 ", "HTTP/1.3 304 a b", "HTTP/1.1 404 \u{e9}", "HTTP/2.0 200 x",
        ]),
        asked in prop::sample::select(vec![Method::Get, Method::Head, Method::Post]),
        lines in lines(),
    ) {
        let Some(bytes) = head_of(line, &lines) else { return Ok(()) };
        let mut storage = Storage::new();
        let Ok(head) = ResponseHead::parse(&bytes, asked, &mut storage) else { return Ok(()) };
        for begins in (0..bytes.len()).map(|length| &bytes[..length]) {
            prop_assert!(!fault::is_no_response(begins, begins.contains(&b'\n')), "{}", begins.escape_ascii());
        }
        let mut out = Vec::new();
        let edits = ResponseEdits { client: Version::Http11, keep_alive: true, set_cookie: None, private: false };
        response(&head, asked, edits, |_| FieldEdit::Keep, &mut out);
        prop_assert!(is_clean(&out), "{}", out.escape_ascii());
        let mut again = Storage::new();
        let read = ResponseHead::parse(&out, asked, &mut again).expect("what goes out is sound");
        prop_assert_eq!((read.status, read.framing), (head.status, head.framing));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        bytes.extend_from_slice(b"\r\n\r\n");
        prop_assert!(RequestHead::parse(&bytes, &mut Storage::new()).is_err() || bytes[0].is_ascii_graphic());
        prop_assert!(ResponseHead::parse(&bytes, Method::Get, &mut Storage::new()).is_err() || bytes[0] == b'H');
    }
}
