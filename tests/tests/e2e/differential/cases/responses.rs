//! What servers answer.

use super::{Case, case};

pub(super) fn all() -> Vec<Case> {
    const HEADS: [&str; 48] = [
        "200 OK\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "200 OK\r\nContent-Length: x\r\n\r\nok",
        "200 OK\r\nContent-Length: +2\r\n\r\nok",
        "200 OK\r\nContent-Length:\r\n\r\nok",
        "200 OK\r\nContent-Length: 2\r\n\r\nokmore",
        "200 OK\r\nContent-Length: 9\r\n\r\nok",
        "200 OK\r\n\r\nuntil close",
        "200 OK\r\nConnection: keep-alive\r\n\r\nuntil close",
        "200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "200 OK\r\nTransfer-Encoding: identity\r\n\r\nx",
        "200\r\nContent-Length: 2\r\n\r\nok",
        "200 \r\nContent-Length: 2\r\n\r\nok",
        "20 x\r\nContent-Length: 2\r\n\r\nok",
        "2000 x\r\nContent-Length: 2\r\n\r\nok",
        "abc x\r\nContent-Length: 2\r\n\r\nok",
        "099 x\r\nContent-Length: 2\r\n\r\nok",
        "600 x\r\nContent-Length: 2\r\n\r\nok",
        "999 x\r\nContent-Length: 2\r\n\r\nok",
        "100 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "102 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "101 x\r\n\r\nmore",
        "101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nmore",
        "204 x\r\n\r\n",
        "204 x\r\nContent-Length: 2\r\n\r\n",
        "204 x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "205 x\r\nContent-Length: 0\r\n\r\n",
        "304 x\r\nContent-Length: 2\r\n\r\n",
        "304 x\r\n\r\n",
        "301 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
        "404 x\r\nContent-Length: 2\r\n\r\nno",
        "500 x\r\nContent-Length: 2\r\n\r\nno",
        "503 x\r\nContent-Length: 2\r\n\r\nno",
        "200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\nContent-Length: 2\n\nok",
    ];
    let mut cases = Vec::new();
    for head in HEADS {
        for method in ["GET", "HEAD", "POST"] {
            for version in ["1.1", "1.0"] {
                let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
                let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{length}\r\n");
                let mut case = case(&format!("response {version} {head:?} to {method}"), &request);
                case.response = Some(format!("HTTP/{version} {head}").into_bytes());
                cases.push(case);
            }
        }
    }
    for host in ["Host: a:80\r\n", "Host: a\r\n", "Host: b:80\r\n", ""] {
        for answer in ["200 OK\r\n\r\nhello", "404 x\r\nContent-Length: 2\r\n\r\nno"] {
            let request = format!("CONNECT a:80 HTTP/1.1\r\n{host}\r\n");
            let mut case = case(&format!("connect with {host:?} and {answer:?}"), &request);
            case.response = Some(format!("HTTP/1.1 {answer}").into_bytes());
            cases.push(case);
        }
    }
    for head in [
        "ICY 200 OK\r\n\r\nx",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "garbage\r\n\r\n",
        "HTTP/0.9 200 x\r\n\r\nx",
    ] {
        let mut case = case(&format!("response line {head:?}"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        case.response = Some(head.as_bytes().to_vec());
        cases.push(case);
    }
    cases
}
