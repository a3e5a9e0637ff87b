//! What is taken from heads for the log.

use crate::{
    backend::captured_cookie,
    config::{Capture, Captures},
    http1::{Fields, Kind},
    rules::{Slots, Values},
};

/// What was taken from the heads of a request and its response, cut to what was asked for.
#[derive(Debug, Default)]
pub struct Captured {
    /// Fields, and what rules have put there.
    pub(super) slots: Slots,
    request_cookie: Option<Vec<u8>>,
    response_cookie: Option<Vec<u8>>,
}

impl Captured {
    /// From a request's head. Of its response there is nothing yet.
    pub(super) fn of_request(captures: &Captures, fields: &Fields<'_, '_>) -> Box<Self> {
        let cookie = captures.cookie.as_ref();
        Box::new(Self {
            slots: Slots {
                request: Values::of(&captures.request_headers, fields),
                response: Values::absent(captures.response_headers.len()),
            },
            request_cookie: cookie.and_then(|cookie| of_cookies(cookie, fields, Kind::Cookie)),
            response_cookie: None,
        })
    }

    /// From the final response's head; what another server has answered before is forgotten.
    pub(super) fn set_response(&mut self, captures: &Captures, fields: &Fields<'_, '_>) {
        self.slots.response = Values::of(&captures.response_headers, fields);
        let cookie = captures.cookie.as_ref();
        self.response_cookie = cookie.and_then(|cookie| of_cookies(cookie, fields, Kind::SetCookie));
    }

    /// What was captured of fields, and by rules.
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The captured fields of the request.
    pub const fn request(&self) -> &Values {
        &self.slots.request
    }

    /// The captured fields of the response.
    pub const fn response(&self) -> &Values {
        &self.slots.response
    }

    /// The captured cookie as the client sent it, name and value.
    pub fn request_cookie(&self) -> Option<&[u8]> {
        self.request_cookie.as_deref()
    }

    /// The captured cookie as the server set it, name and value.
    pub fn response_cookie(&self) -> Option<&[u8]> {
        self.response_cookie.as_deref()
    }
}

/// The first cookie of that name.
fn of_cookies(capture: &Capture, fields: &Fields<'_, '_>, kind: Kind) -> Option<Vec<u8>> {
    let mut found = fields.all(kind).find_map(|header| captured_cookie(header, &capture.name))?;
    found.truncate(capture.length);
    Some(found)
}

#[cfg(test)]
impl Captured {
    /// What comes of these two heads.
    pub(crate) fn of_heads(captures: &Captures, request: &[u8], response: &[u8]) -> Self {
        use crate::http1::{Method, RequestHead, ResponseHead, Storage};
        let (mut first, mut second) = (Storage::new(), Storage::new());
        let request = RequestHead::parse(request, &mut first).unwrap();
        let mut captured = Self::of_request(captures, &request.fields);
        let response = ResponseHead::parse(response, Method::Get, &mut second).unwrap();
        captured.set_response(captures, &response.fields);
        *captured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn the_last_field_of_a_name_is_taken_and_cut() {
        let capture = |name: &str, length| Capture { name: name.into(), length };
        let captures = Captures {
            request_headers: vec![capture("host", 3), capture("Absent", 9)],
            response_headers: vec![capture("x-a", 9), capture("Server", 9)],
            cookie: Some(capture("S", 5)),
        };
        let captured = Captured::of_heads(
            &captures,
            b"GET / HTTP/1.1\r\nHost: shop.example\r\nCookie: x=1; SID = abc\r\nCookie: S=2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: one\r\nX-A: two\r\nSet-Cookie: S=1; path=/\r\n\r\n",
        );
        assert_eq!(texts(captured.request().iter()), ["sho", ""]);
        assert_eq!(texts(captured.response().iter()), ["two", ""]);
        assert_eq!(captured.request_cookie(), Some(&b"SID=a"[..]));
        assert_eq!(captured.response_cookie(), Some(&b"S=1"[..]));
    }

    #[test]
    fn without_a_response_its_values_are_empty() {
        let captures = Captures {
            response_headers: vec![Capture { name: "a".into(), length: 1 }; 2],
            ..Captures::default()
        };
        let response = Values::absent(captures.response_headers.len());
        let captured = Captured { slots: Slots { response, ..Slots::default() }, ..Captured::default() };
        assert_eq!(texts(captured.response().iter()), ["", ""]);
    }
}
