//! The head of a response.

use super::{
    BadResponse, ConnectionOptions, Fields, Framing, Method, Storage, Version,
    field::FieldError,
    framing::{Codings, codings, content_length},
    request::names_websocket,
    websocket::accepts,
};

/// A response head that has been found sound; it borrows the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The version to answer the client with: the server's, but HTTP/1.1 where a faulty framing needs it to be
    /// understood.
    pub version: Version,
    /// The status; servers send all of 000 to 999, and all of them pass.
    pub status: u16,
    /// The status line without its end.
    pub line: &'b [u8],
    /// All fields, in order.
    pub fields: Fields<'h, 'b>,
    /// How the body ends.
    pub framing: Framing,
    /// What `Connection` says.
    pub connection: ConnectionOptions,
    /// The server's connection can serve another request after this response.
    pub reusable: bool,
    /// `chunked` in HTTP/1.0 (RFC 9112 6.1): the client's connection closes too after this response.
    pub faulty: bool,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Reads a head that [`super::HeadScan`] has found and, where it was folded, [`super::unfold`] has joined;
    /// `asked` is the method of the request that it answers.
    pub fn parse(head: &'b [u8], asked: Method, storage: &'h mut Storage<'b>) -> Result<Self, BadResponse> {
        let end = memchr::memchr(b'\r', head).ok_or(BadResponse::StatusLine)?;
        let line = &head[..end];
        let rest = head[end..].strip_prefix(b"\r\n").ok_or(BadResponse::StatusLine)?;
        let (version, status) = split(line)?;
        let fields = Fields::parse(rest, storage).map_err(|error| match error {
            FieldError::Malformed => BadResponse::Field,
            FieldError::TooMany => BadResponse::HeadTooLarge,
        })?;
        let codings = codings(fields);
        let (framing, ambiguous) = response_framing(fields, codings, asked, status)?;
        let faulty = version == Version::Http10 && codings == Codings::Chunked;
        let connection = ConnectionOptions::read(fields);
        let persistent = match version {
            Version::Http11 => !connection.close,
            Version::Http10 => connection.keep_alive && !connection.close,
        };
        let reusable = persistent && !ambiguous && !faulty && framing != Framing::UntilClose;
        // Who reads HTTP/1.0 by the letter takes the chunks for the body.
        let version = if faulty { Version::Http11 } else { version };
        Ok(Self { version, status, line, fields, framing, connection, reusable, faulty })
    }

    /// Another response to the same request follows.
    pub const fn is_interim(&self) -> bool {
        self.status >= 100 && self.status < 200 && self.status != 101
    }

    /// The server changes the protocol, and says so as it must.
    pub fn upgrades(&self) -> bool {
        self.status == 101 && self.connection.upgrade
    }

    /// Whether a change to WebSocket proves that the server has understood this key.
    pub fn accepts_websocket(&self, key: &[u8]) -> bool {
        !names_websocket(self.fields)
            || self.fields.last(b"sec-websocket-accept").is_some_and(|accept| accepts(key, accept))
    }

    /// The body's length as its head states it, whether or not the body is there.
    pub const fn stated_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }
}

fn split(line: &[u8]) -> Result<(Version, u16), BadResponse> {
    let (version, rest) = line.split_first_chunk::<8>().ok_or(BadResponse::StatusLine)?;
    let version = Version::read(version).ok_or(BadResponse::StatusLine)?;
    let [b' ', digits @ ..] = rest else { return Err(BadResponse::StatusLine) };
    let (digits, reason) = digits.split_at_checked(3).ok_or(BadResponse::StatusLine)?;
    let printable = reason.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) || !printable {
        return Err(BadResponse::StatusLine);
    }
    Ok((version, digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))))
}

/// The framing, and whether fields contradict each other so that nothing more is believed of the connection.
fn response_framing(
    fields: Fields<'_, '_>,
    codings: Codings,
    asked: Method,
    status: u16,
) -> Result<(Framing, bool), BadResponse> {
    let length = content_length(fields)?;
    if matches!(codings, Codings::UnknownThenChunked | Codings::Unusable) {
        return Err(BadResponse::TransferEncoding);
    }
    let tunnel = asked == Method::Connect && (200..300).contains(&status);
    if asked == Method::Head || (100..200).contains(&status) || matches!(status, 204 | 304) || tunnel {
        return Ok((Framing::None, false));
    }
    Ok(match (codings, length) {
        (Codings::Chunked, length) => (Framing::Chunked, length.is_some()),
        (_, Some(length)) => (Framing::Length(length), false),
        (_, None) => (Framing::UntilClose, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, head: &str) -> Result<(u16, Framing, bool), BadResponse> {
        let mut storage = Storage::new();
        ResponseHead::parse(head.as_bytes(), method, &mut storage)
            .map(|head| (head.status, head.framing, head.reusable))
    }

    #[test]
    fn the_status_line_may_lack_its_reason_but_not_its_status() {
        for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200 Fine day", "HTTP/1.1 200 caf\u{e9}"] {
            assert!(read(Method::Get, &format!("{line}\r\nContent-Length: 0\r\n\r\n")).is_ok(), "{line}");
        }
        for line in [
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1  200",
            "HTTP/0.9 200",
            "ICY 200 OK",
            "",
            "HTTP/1.1 200 a\0",
        ] {
            assert_eq!(
                read(Method::Get, &format!("{line}\r\n\r\n")),
                Err(BadResponse::StatusLine),
                "{line:?}"
            );
        }
    }

    #[test]
    fn statuses_outside_the_usual_pass() {
        for status in [99, 600, 999] {
            let head = format!("HTTP/1.1 {status:03} x\r\nContent-Length: 1\r\n\r\n");
            assert_eq!(read(Method::Get, &head), Ok((status, Framing::Length(1), true)));
        }
    }

    #[test]
    fn head_and_bodiless_statuses_have_no_body() {
        for (method, status) in [
            (Method::Head, 200),
            (Method::Get, 204),
            (Method::Get, 304),
            (Method::Get, 100),
            (Method::Get, 101),
        ] {
            for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""] {
                let head = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
                assert_eq!(
                    read(method, &head),
                    Ok((status, Framing::None, true)),
                    "{method:?} {status} {fields}"
                );
            }
        }
    }

    #[test]
    fn without_length_or_chunks_a_body_lasts_until_the_server_closes() {
        assert_eq!(read(Method::Get, "HTTP/1.1 200 x\r\n\r\n"), Ok((200, Framing::UntilClose, false)));
    }

    #[test]
    fn a_length_beside_chunked_spoils_the_connection() {
        let head = "HTTP/1.1 200 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read(Method::Get, head), Ok((200, Framing::Chunked, false)));
    }

    #[test]
    fn chunked_in_http_1_0_spoils_both_connections() {
        for (method, framing) in [(Method::Get, Framing::Chunked), (Method::Head, Framing::None)] {
            let head = "HTTP/1.0 200 x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut storage = Storage::new();
            let head = ResponseHead::parse(head.as_bytes(), method, &mut storage).unwrap();
            assert_eq!(
                (head.version, head.framing, head.reusable, head.faulty),
                (Version::Http11, framing, false, true)
            );
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (fields, error) in [
            ("Transfer-Encoding: gzip, chunked", BadResponse::TransferEncoding),
            ("Transfer-Encoding: gzip", BadResponse::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked", BadResponse::TransferEncoding),
            (
                "Content-Length: 1\r\nContent-Length: 2",
                BadResponse::Length(super::super::framing::LengthError::Conflict),
            ),
        ] {
            assert_eq!(
                read(Method::Get, &format!("HTTP/1.1 200 x\r\n{fields}\r\n\r\n")),
                Err(error),
                "{fields}"
            );
        }
    }

    #[test]
    fn http_1_0_servers_close_unless_they_say_otherwise() {
        let head = |fields: &str| format!("HTTP/1.0 200 x\r\nContent-Length: 1\r\n{fields}\r\n");
        assert_eq!(read(Method::Get, &head("")), Ok((200, Framing::Length(1), false)));
        assert_eq!(
            read(Method::Get, &head("Connection: keep-alive\r\n")),
            Ok((200, Framing::Length(1), true))
        );
    }
}
