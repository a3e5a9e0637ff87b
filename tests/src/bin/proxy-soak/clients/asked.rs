//! A request of a client, and what its answer must be.

use std::fmt::Write as _;

use drain_tests::client::{Failure, Response};
use fastrand::Rng;

use crate::{ledger::End, page, rule::Rule};

/// How a body is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    Length,
    Chunked,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: u32,
    pub(super) method: &'static str,
    /// Of the answer's body.
    pub(super) length: usize,
    pub(super) body: Option<(usize, Framing)>,
    /// The persistence cookie's value: a server's name.
    pub(super) cookie: Option<String>,
    /// The connection is to be used again.
    pub(super) keep: bool,
}

impl Asked {
    /// A GET or, seldom, a HEAD.
    pub(super) fn page(id: u32, length: usize, random: &mut Rng) -> Self {
        let method = if random.u32(..8) == 0 { "HEAD" } else { "GET" };
        Self { id, method, length, body: None, cookie: None, keep: true }
    }

    /// A GET.
    pub(super) const fn get(id: u32, length: usize) -> Self {
        Self { id, method: "GET", length, body: None, cookie: None, keep: true }
    }

    /// A POST or a PUT with a body.
    pub(super) fn order(id: u32, random: &mut Rng) -> Self {
        let method = if random.u32(..4) == 0 { "PUT" } else { "POST" };
        let size = match random.u32(..40) {
            0 => random.usize(..2 << 20),
            1..=8 => random.usize(..200_000),
            9 => 0,
            _ => random.usize(..4_000),
        };
        let framing = if random.u32(..3) == 0 { Framing::Chunked } else { Framing::Length };
        Self { id, method, length: 48, body: Some((size, framing)), cookie: None, keep: true }
    }

    /// In words.
    pub(super) fn what(&self) -> String {
        let Self { id, method, length, body, cookie, .. } = self;
        let mut text = format!("{method} /page/{id}/{length}");
        if let Some((length, framing)) = body {
            let _ = write!(text, ", a body of {length} by {framing:?}");
        }
        if let Some(cookie) = cookie {
            let _ = write!(text, ", a user of {cookie}");
        }
        text
    }

    /// All its bytes.
    pub(super) fn bytes(&self, random: &mut Rng) -> Vec<u8> {
        let Self { id, method, length, body, cookie, keep } = self;
        let mut head = format!("{method} /page/{id}/{length} HTTP/1.1\r\nHost: shop.example\r\n");
        if !keep {
            head += "Connection: close\r\n";
        }
        if let Some(cookie) = cookie {
            let _ = write!(head, "Cookie: basket={id}; SERVERID={cookie}\r\n");
        }
        let mut bytes = Vec::new();
        if let Some((length, framing)) = body {
            let _ = write!(head, "X-Body: {length}\r\n");
            bytes = page::body(*id, *length);
            match framing {
                Framing::Length => {
                    let _ = write!(head, "Content-Length: {length}\r\n");
                }
                Framing::Chunked => {
                    head += "Transfer-Encoding: chunked\r\n";
                    bytes = chunked(&bytes, random.usize(1..30_000));
                }
            }
        }
        [head.as_bytes(), b"\r\n", &bytes].concat()
    }

    /// How it ended, and what rule that breaks.
    pub(super) fn judge(&self, answer: &Result<Response, Failure>) -> (End, Option<(Rule, String)>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(Failure::Malformed(what)) => {
                return (End::Broken(what.clone()), Some((Rule::Mixed, what.clone())));
            }
            Err(failure) => return (End::Broken(failure.to_string()), None),
        };
        let Some(server) = answer.header("x-server") else {
            let status = answer.status;
            let wrong = !matches!(status, 502..=504);
            let rule = wrong.then(|| (Rule::Mixed, format!("the proxy's own status {status}")));
            return (End::Refused(status), rule);
        };
        (End::Whole(server.to_owned()), self.mistake(answer, server).err())
    }

    fn mistake(&self, answer: &Response, server: &str) -> Result<(), (Rule, String)> {
        let mixed = |what: String| Err((Rule::Mixed, what));
        if answer.status != 200 {
            return mixed(format!("status {}", answer.status));
        }
        if answer.header("x-id") != Some(&self.id.to_string()) {
            return mixed(format!("the answer to {:?}", answer.header("x-id")));
        }
        if let Some(cookie) = answer.header("set-cookie")
            && !cookie.starts_with(&format!("SERVERID={server};"))
        {
            return mixed(format!("{server} answered, and the cookie is {cookie}"));
        }
        if self.method == "HEAD" {
            return match answer.header("content-length") {
                Some(length) if length != self.length.to_string() => {
                    mixed(format!("content-length {length}"))
                }
                _ => Ok(()),
            };
        }
        let rule = if answer.body.len() < self.length { Rule::Truncated } else { Rule::Mixed };
        page::check(self.id, self.length, &answer.body).map_err(|what| (rule, what))
    }
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u32, body: Vec<u8>) -> Response {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![header("x-server", "s1"), header("x-id", &id.to_string())];
        Response { status: 200, headers, body, keeps: true }
    }

    #[test]
    fn only_the_whole_answer_to_the_same_request_is_right() {
        let asked = Asked::get(5, 100);
        let rule = |answer| asked.judge(&answer).1.map(|(rule, _)| rule);
        assert_eq!(rule(Ok(answer(5, page::body(5, 100)))), None);
        assert_eq!(rule(Ok(answer(6, page::body(6, 100)))), Some(Rule::Mixed));
        assert_eq!(rule(Ok(answer(5, page::body(6, 100)))), Some(Rule::Mixed));
        assert_eq!(rule(Ok(answer(5, page::body(5, 99)))), Some(Rule::Truncated));
        assert_eq!(rule(Err(Failure::Truncated { got: 1, announced: None })), None);
        let status = |status| Ok(Response { status, ..Response::default() });
        assert_eq!((rule(status(502)), rule(status(400))), (None, Some(Rule::Mixed)));
    }

    #[test]
    fn chunks_end_with_the_last_one() {
        assert_eq!(chunked(b"abc", 2), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    }
}
