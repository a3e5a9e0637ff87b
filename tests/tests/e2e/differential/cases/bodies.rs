//! How the body of a request is framed.

use super::{Case, case};

const LENGTHS: [&str; 26] = [
    "5",
    "05",
    "0",
    "5, 5",
    "5,5",
    "5, 6",
    "+5",
    "-1",
    "",
    "0x5",
    "five",
    "5.0",
    "5 5",
    "5,",
    ",5",
    "5;x",
    "\t5\t",
    "\x0b5",
    "18446744073709551621",
    "9223372036854775807",
    "99999999999999999999999999",
    "5\r\nContent-Length: 5",
    "5\r\nContent-Length: 6",
    "6\r\ncontent-length: 5",
    "5\r\nContent-Length:",
    "000000000000000000000005",
];

pub(super) fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in LENGTHS {
        for method in ["POST", "GET"] {
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello");
            cases.push(case(&format!("length {length:?} of {method}"), &text));
        }
    }
    cases.push(case(
        "length name with a blank",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
    ));
    cases.push(case(
        "length after an underscore",
        "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 9\r\nContent-Length: 5\r\n\r\nhello",
    ));
    cases
}

pub(super) fn codings() -> Vec<Case> {
    const CODINGS: [&str; 20] = [
        "chunked",
        "CHUNKED",
        "\tchunked ",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "gzip, chunked",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunked;q=1",
        "",
        ",chunked",
        "chunked,",
        "\x0bchunked",
        "\r\n chunked",
    ];
    let mut cases = Vec::new();
    for coding in CODINGS {
        for (version, length) in [("1.1", ""), ("1.1", "Content-Length: 15\r\n"), ("1.0", "")] {
            let text = format!(
                "POST / HTTP/{version}\r\nHost: a\r\n{length}Transfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            );
            cases.push(case(&format!("coding {coding:?} {version} {length:?}"), &text));
        }
    }
    cases
}

pub(super) fn chunks() -> Vec<Case> {
    const BODIES: [&str; 34] = [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "A\r\n0123456789\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n0\r\n\r\n",
        "005\r\nhello\r\n000\r\n\r\n",
        "5;x\r\nhello\r\n0\r\n\r\n",
        "5;x=\"y\"\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t;x\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 x\r\nhello\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhellox\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhel",
        "ffffffffffffffff\r\nx",
        "80000000\r\nx",
        "0\r\nX-T: 1\r\n\r\n",
        "0\r\nContent-Length: 9\r\n\r\n",
        "0\r\nX T: 1\r\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\nX-T: 1\n\r\n",
    ];
    BODIES
        .iter()
        .map(|body| {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            case(&format!("chunks {body:?}"), &text)
        })
        .collect()
}
