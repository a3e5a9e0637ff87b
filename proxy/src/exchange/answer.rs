//! What the proxy itself answers, byte for byte as HAProxy does.
//!
//! Two kinds: requests that are refused before any server is asked get a fixed text with capitals and `Connection:
//! close`; failures behind that get small letters and leave the client's connection open where its request was read to
//! the end.

use std::io::Write;

use crate::http1::Refusal;

/// The statuses that the proxy answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// 400.
    BadRequest,
    /// 408.
    RequestTimeout,
    /// 413.
    ContentTooLarge,
    /// 414.
    UriTooLong,
    /// 422.
    UnprocessableContent,
    /// 431.
    HeadTooLarge,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 504.
    GatewayTimeout,
}

impl Status {
    /// As a number.
    pub(super) const fn code(self) -> u16 {
        self.texts().0
    }

    const fn texts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad request", "Your browser sent an invalid request."),
            Self::RequestTimeout => {
                (408, "Request Time-out", "Your browser didn't send a complete request in time.")
            }
            Self::ContentTooLarge => {
                (413, "Payload Too Large", "The request entity exceeds the maximum allowed.")
            }
            Self::UriTooLong => (414, "URI Too Long", "The request target is longer than the limit allows."),
            Self::UnprocessableContent => {
                (422, "Unprocessable Content", "The server cannot process the contained instructions.")
            }
            Self::HeadTooLarge => {
                (431, "Request Header Fields Too Large", "The request head is larger than the limit allows.")
            }
            Self::BadGateway => {
                (502, "Bad Gateway", "The server returned an invalid or incomplete response.")
            }
            Self::Unavailable => {
                (503, "Service Unavailable", "No server is available to handle this request.")
            }
            Self::GatewayTimeout => (504, "Gateway Time-out", "The server didn't respond in time."),
        }
    }

    const fn is_early(self) -> bool {
        self.code() < 500
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnexpectedBody => Self::ContentTooLarge,
            Refusal::TargetTooLong => Self::UriTooLong,
            Refusal::UnknownCoding => Self::UnprocessableContent,
            Refusal::HeadTooLarge => Self::HeadTooLarge,
            Refusal::Lines(_)
            | Refusal::RequestLine
            | Refusal::Field
            | Refusal::Target
            | Refusal::Host
            | Refusal::Length(_)
            | Refusal::TransferEncoding
            | Refusal::WebSocketKey
            | Refusal::Chunk(_) => Self::BadRequest,
        }
    }
}

/// Appends the whole response; without its body where HEAD was asked.
pub(super) fn write(status: Status, keep_alive: bool, head_only: bool, out: &mut Vec<u8>) {
    let (code, reason, sentence) = status.texts();
    let body = format!("<html><body><h1>{code} {reason}</h1>\n{sentence}\n</body></html>\n");
    let length = body.len();
    let written = if status.is_early() {
        write!(
            out,
            "HTTP/1.1 {code} {reason}\r\nContent-length: {length}\r\nCache-Control: no-cache\r\nConnection: close\r\n\
             Content-Type: text/html\r\n\r\n"
        )
    } else {
        let close = if keep_alive { "" } else { "connection: close\r\n" };
        write!(
            out,
            "HTTP/1.1 {code} {reason}\r\ncontent-length: {length}\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n{close}\r\n"
        )
    };
    written.expect("a Vec takes all that is written");
    if !head_only {
        out.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Status, keep_alive: bool) -> String {
        let mut out = Vec::new();
        write(status, keep_alive, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_are_haproxys_to_the_byte() {
        assert_eq!(
            answer(Status::Unavailable, true),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\n\
             No server is available to handle this request.\n</body></html>\n"
        );
        assert_eq!(
            answer(Status::RequestTimeout, true),
            "HTTP/1.1 408 Request Time-out\r\nContent-length: 110\r\nCache-Control: no-cache\r\n\
             Connection: close\r\nContent-Type: text/html\r\n\r\n<html><body><h1>408 Request Time-out</h1>\n\
             Your browser didn't send a complete request in time.\n</body></html>\n"
        );
    }

    #[test]
    fn a_refusal_closes_and_a_failure_need_not() {
        assert!(answer(Status::BadRequest, true).contains("\r\nConnection: close\r\n"));
        assert!(!answer(Status::BadGateway, true).contains("connection"));
        assert!(answer(Status::BadGateway, false).contains("\r\nconnection: close\r\n"));
    }
}
