//! The fields of a head, and which of them a proxy must know.

use httparse::Header;

use super::MAX_FIELDS;

/// Room for the fields of one head; lives on the stack of whoever parses.
#[derive(Debug)]
pub struct Storage<'b> {
    fields: [Header<'b>; MAX_FIELDS],
    kinds: [Kind; MAX_FIELDS],
}

/// The fields of a head, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b> {
    fields: &'h [Header<'b>],
    kinds: &'h [Kind],
}

/// Fields that decide something here; all others pass as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Cookie`.
    Cookie,
    /// `Host`.
    Host,
    /// `Sec-WebSocket-Key`.
    SecWebSocketKey,
    /// `Set-Cookie`.
    SetCookie,
    /// `TE`.
    Te,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// Any other.
    Other,
}

/// Why [`Fields::parse`] gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldError {
    /// A malformed name or value.
    Malformed,
    /// More than [`MAX_FIELDS`].
    TooMany,
}

impl Storage<'_> {
    /// Room for one head.
    pub const fn new() -> Self {
        Self { fields: [httparse::EMPTY_HEADER; MAX_FIELDS], kinds: [Kind::Other; MAX_FIELDS] }
    }
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'h, 'b> Fields<'h, 'b> {
    /// Reads field lines up to and with the empty line that ends them; `bytes` must end there.
    pub(super) fn parse(bytes: &'b [u8], storage: &'h mut Storage<'b>) -> Result<Self, FieldError> {
        let fields = match httparse::parse_headers(bytes, &mut storage.fields) {
            Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => fields,
            Err(httparse::Error::TooManyHeaders) => return Err(FieldError::TooMany),
            _ => return Err(FieldError::Malformed),
        };
        for (kind, field) in storage.kinds.iter_mut().zip(fields) {
            *kind = Kind::of(field.name.as_bytes());
        }
        Ok(Self { fields, kinds: &storage.kinds[..fields.len()] })
    }

    /// Kind, name and value of each field.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &'b [u8], &'b [u8])> + use<'h, 'b> {
        self.kinds.iter().zip(self.fields).map(|(kind, field)| (*kind, field.name.as_bytes(), field.value))
    }

    /// The values of all fields of this kind, in order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        self.iter().filter(move |(k, ..)| *k == kind).map(|(.., value)| value)
    }

    /// The value of the first field of this name, whatever its case: what HAProxy hashes.
    pub fn first(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.fields
            .iter()
            .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The value of the last field of this name, whatever its case: what HAProxy captures.
    pub fn last(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.fields
            .iter()
            .rev()
            .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let (wanted, kind): (&[u8], _) = match name.len() {
            2 => (b"te", Self::Te),
            4 => (b"host", Self::Host),
            6 => (b"cookie", Self::Cookie),
            7 => (b"upgrade", Self::Upgrade),
            10 if name[0] | 0x20 == b's' => (b"set-cookie", Self::SetCookie),
            10 => (b"connection", Self::Connection),
            14 => (b"content-length", Self::ContentLength),
            17 if name[0] | 0x20 == b's' => (b"sec-websocket-key", Self::SecWebSocketKey),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(wanted) { kind } else { Self::Other }
    }
}

/// The elements of a comma-separated list, without the blanks around them; empty ones included.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Without blanks at either end.
pub(super) const fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(bytes: &[u8]) -> bool {
        Fields::parse(bytes, &mut Storage::new()).is_err()
    }

    #[test]
    fn names_are_tokens_directly_before_their_colon() {
        for bytes in [
            &b"A : b\r\n\r\n"[..],
            b": b\r\n\r\n",
            b"A(: b\r\n\r\n",
            b"A\r\n\r\n",
            b"A b: c\r\n\r\n",
            b"\xc3\xa9: b\r\n\r\n",
        ] {
            assert!(malformed(bytes), "{}", bytes.escape_ascii());
        }
        assert!(!malformed(b"under_score: b\r\n\r\n"));
    }

    #[test]
    fn values_have_no_nul_and_no_bare_cr() {
        for bytes in [&b"A: b\0c\r\n\r\n"[..], b"A: b\rc\r\n\r\n", b"A: b\x01\r\n\r\n", b"A: b\x7f\r\n\r\n"] {
            assert!(malformed(bytes), "{}", bytes.escape_ascii());
        }
        assert!(!malformed(b"A: caf\xe9\tb\r\nB:\r\n\r\n"));
    }

    #[test]
    fn the_limit_on_fields_holds() {
        let head = |count: usize| [b"a: b\r\n".repeat(count), b"\r\n".to_vec()].concat();
        assert!(Fields::parse(&head(MAX_FIELDS), &mut Storage::new()).is_ok());
        assert_eq!(
            Fields::parse(&head(MAX_FIELDS + 1), &mut Storage::new()).err(),
            Some(FieldError::TooMany)
        );
    }

    #[test]
    fn kinds_are_told_whatever_the_case() {
        assert_eq!(Kind::of(b"TRANSFER-encoding"), Kind::TransferEncoding);
        assert_eq!(Kind::of(b"transfer-encodinh"), Kind::Other);
        assert_eq!(Kind::of(b"Set-Cookie"), Kind::SetCookie);
        assert_eq!(Kind::of(b"Connection"), Kind::Connection);
    }
}
