//! The head of a request.

use super::{
    ConnectionOptions, Fields, Framing, Kind, Refusal, Storage, Version,
    field::{FieldError, elements},
    framing::{Codings, codings, content_length},
    is_token, target,
};

/// A request head that has been found sound; it borrows the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// What is asked.
    pub method: Method,
    /// The method as written.
    pub method_text: &'b [u8],
    /// The target as written.
    pub target: &'b [u8],
    /// The client's version.
    pub version: Version,
    /// The request line without its end, for the log.
    pub line: &'b [u8],
    /// All fields, in order.
    pub fields: Fields<'h, 'b>,
    /// How the body ends.
    pub framing: Framing,
    /// What `Connection` says.
    pub connection: ConnectionOptions,
    /// The framing is sound but suspicious (a length beside `chunked`, or `chunked` in HTTP/1.0): nothing that follows
    /// on the client's connection may be taken for a request, and the server's connection serves no other.
    pub close_after: bool,
}

/// Methods that a proxy treats in a way of their own; names are case-sensitive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the response has no body.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// CONNECT: success opens a tunnel.
    Connect,
    /// Any other.
    Other,
}

impl Method {
    /// Asked twice has the effect of asked once (RFC 9110 9.2.2); an unknown method is not.
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }

    /// It asks for nothing but an answer (RFC 9110 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Reads a head that [`super::HeadScan`] has found and, where it was folded, [`super::unfold`] has joined.
    pub fn parse(head: &'b [u8], storage: &'h mut Storage<'b>) -> Result<Self, Refusal> {
        let end = memchr::memchr(b'\r', head).ok_or(Refusal::RequestLine)?;
        let line = &head[..end];
        let rest = head[end..].strip_prefix(b"\r\n").ok_or(Refusal::RequestLine)?;
        let (method_text, target, version) = split(line)?;
        // The first line of HTTP/2's preface: what follows it is no HTTP/1 (RFC 9113 3.4).
        if method_text == b"PRI" {
            return Err(Refusal::RequestLine);
        }
        let fields = Fields::parse(rest, storage).map_err(|error| match error {
            FieldError::Malformed => Refusal::Field,
            FieldError::TooMany => Refusal::HeadTooLarge,
        })?;
        target::check(method_text, target, fields.all(Kind::Host))?;
        let method = Method::of(method_text);
        let (framing, suspicious) = request_framing(fields, method, version)?;
        let connection = ConnectionOptions::read(fields);
        let head = Self {
            method,
            method_text,
            target,
            version,
            line,
            fields,
            framing,
            connection,
            close_after: suspicious,
        };
        head.check_websocket()?;
        Ok(head)
    }

    /// The client keeps its connection for another request.
    pub const fn keeps_alive(&self) -> bool {
        !self.close_after
            && !self.connection.close
            && match self.version {
                Version::Http11 => true,
                Version::Http10 => self.connection.keep_alive,
            }
    }

    /// The client asks for another protocol on this connection. With a body it can't have one: whatever follows the
    /// body would be read in two ways.
    pub fn wants_upgrade(&self) -> bool {
        self.connection.upgrade
            && self.version == Version::Http11
            && self.framing.is_empty()
            && self.fields.all(Kind::Upgrade).next().is_some()
    }

    /// What a server must prove to have understood, where the client asks for WebSocket.
    pub fn websocket_key(&self) -> Option<&'b [u8]> {
        let key = || self.fields.all(Kind::SecWebSocketKey).next();
        if self.wants_upgrade() && names_websocket(self.fields) { key() } else { None }
    }

    fn check_websocket(&self) -> Result<(), Refusal> {
        if self.wants_upgrade() && names_websocket(self.fields) && self.websocket_key().is_none() {
            return Err(Refusal::WebSocketKey);
        }
        Ok(())
    }
}

/// Whether `Upgrade` names WebSocket, perhaps among others.
pub(super) fn names_websocket(fields: Fields<'_, '_>) -> bool {
    fields.all(Kind::Upgrade).flat_map(elements).any(|to| to.eq_ignore_ascii_case(b"websocket"))
}

/// Method, target and version; several blanks between them are taken for one.
fn split(line: &[u8]) -> Result<(&[u8], &[u8], Version), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    let sound = line.starts_with(method) && line.ends_with(version) && method.iter().copied().all(is_token);
    match Version::read(version) {
        Some(version) if sound => Ok((method, target, version)),
        _ => Err(Refusal::RequestLine),
    }
}

fn request_framing(
    fields: Fields<'_, '_>,
    method: Method,
    version: Version,
) -> Result<(Framing, bool), Refusal> {
    let length = content_length(fields)?;
    let (framing, suspicious) = match (codings(fields), length) {
        (Codings::Absent, None) => (Framing::None, false),
        (Codings::Absent, Some(length)) => (Framing::Length(length), false),
        (Codings::Chunked, length) => (Framing::Chunked, length.is_some() || version == Version::Http10),
        (Codings::UnknownThenChunked, _) => return Err(Refusal::UnknownCoding),
        (Codings::Unusable, _) => return Err(Refusal::TransferEncoding),
    };
    let bodiless =
        matches!(method, Method::Get | Method::Head | Method::Delete) && version == Version::Http10;
    if (bodiless || method == Method::Connect) && !framing.is_empty() {
        return Err(Refusal::UnexpectedBody);
    }
    Ok((framing, suspicious))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Framing, whether the client's connection may go on, or the refusal.
    fn read(head: &str) -> Result<(Framing, bool), Refusal> {
        let mut storage = Storage::new();
        RequestHead::parse(head.as_bytes(), &mut storage).map(|head| (head.framing, head.keeps_alive()))
    }

    #[test]
    fn the_request_line_has_three_parts() {
        for line in [
            "GET / HTTP/1.1",
            "get / HTTP/1.1",
            "M-X / HTTP/1.1",
            "GET  /  HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
        ] {
            assert_eq!(read(&format!("{line}\r\n\r\n")), Ok((Framing::None, true)), "{line}");
        }
        for line in [
            "GET /",
            "GET / HTTP/0.9",
            "GET / http/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET / x HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / HTTP/1.10",
            "PRI * HTTP/2.0",
            "PRI * HTTP/1.1",
            "",
        ] {
            assert_eq!(read(&format!("{line}\r\n\r\n")), Err(Refusal::RequestLine), "{line:?}");
        }
    }

    #[test]
    fn http_1_0_closes_unless_it_says_otherwise() {
        assert_eq!(read("GET / HTTP/1.0\r\n\r\n"), Ok((Framing::None, false)));
        assert_eq!(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), Ok((Framing::None, true)));
        assert_eq!(read("GET / HTTP/1.1\r\nConnection: x, close\r\n\r\n"), Ok((Framing::None, false)));
    }

    #[test]
    fn a_length_beside_chunked_is_dropped_and_the_connection_closes() {
        assert_eq!(
            read("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Ok((Framing::Chunked, false))
        );
        assert_eq!(
            read("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Ok((Framing::Chunked, false))
        );
    }

    #[test]
    fn a_bad_length_beside_chunked_is_still_refused() {
        assert!(read("POST / HTTP/1.1\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn each_bad_framing_has_its_refusal() {
        for (fields, refusal) in [
            ("Transfer-Encoding: gzip, chunked", Refusal::UnknownCoding),
            ("Transfer-Encoding: gzip", Refusal::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked", Refusal::TransferEncoding),
            ("Transfer-Encoding : chunked", Refusal::Field),
            ("Host: a\r\nHost: b", Refusal::Host),
        ] {
            assert_eq!(read(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n")), Err(refusal), "{fields}");
        }
    }

    #[test]
    fn http_1_0_has_no_body_on_methods_that_have_none() {
        for method in ["GET", "HEAD", "DELETE"] {
            assert_eq!(
                read(&format!("{method} / HTTP/1.0\r\nContent-Length: 1\r\n\r\n")),
                Err(Refusal::UnexpectedBody)
            );
            assert!(read(&format!("{method} / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")).is_ok());
        }
    }

    #[test]
    fn a_websocket_needs_its_key() {
        let head = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(read(&format!("{head}\r\n")), Err(Refusal::WebSocketKey));
        assert!(read(&format!("{head}Sec-WebSocket-Key: x\r\n\r\n")).is_ok());
    }
}
