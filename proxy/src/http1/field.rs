//! The fields of a head, and which of them a proxy must know.

use httparse::Header;

use super::MAX_FIELDS;

/// Fields that most heads keep to. Room for all of [`MAX_FIELDS`] takes so much memory that filling it anew for each head
/// would cost more than reading the few heads twice that have more.
const USUAL_FIELDS: usize = 32;

/// Room for the fields of one head; lives on the stack of whoever parses.
#[derive(Debug)]
pub struct Storage<'b> {
    usual: [Header<'b>; USUAL_FIELDS],
    /// Empty until a head has more than the usual.
    many: Vec<Header<'b>>,
    kinds: [Kind; MAX_FIELDS],
}

/// The fields of a head, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b> {
    /// As they came, up to and with the empty line that ends them.
    pub(super) bytes: &'b [u8],
    lines: &'h [Header<'b>],
    kinds: &'h [Kind],
    present: Kinds,
}

/// Which kinds of fields a head has, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds(u16);

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
        Self {
            usual: [httparse::EMPTY_HEADER; USUAL_FIELDS],
            many: Vec::new(),
            kinds: [Kind::Other; MAX_FIELDS],
        }
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
        let Storage { usual, many, kinds } = storage;
        let mut parsed = httparse::parse_headers(bytes, usual);
        if parsed == Err(httparse::Error::TooManyHeaders) {
            many.resize(MAX_FIELDS, httparse::EMPTY_HEADER);
            parsed = httparse::parse_headers(bytes, many);
        }
        let fields = match parsed {
            Ok(httparse::Status::Complete((length, fields))) if length == bytes.len() => fields,
            Err(httparse::Error::TooManyHeaders) => return Err(FieldError::TooMany),
            _ => return Err(FieldError::Malformed),
        };
        let mut present = Kinds::default();
        for (kind, field) in kinds.iter_mut().zip(fields) {
            *kind = Kind::of(field.name.as_bytes());
            present.add(*kind);
        }
        Ok(Self { bytes, lines: fields, kinds: &kinds[..fields.len()], present })
    }

    /// Kind, name and value of each field.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &'b [u8], &'b [u8])> + use<'h, 'b> {
        self.kinds.iter().zip(self.lines).map(|(kind, field)| (*kind, field.name.as_bytes(), field.value))
    }

    /// The values of all fields of this kind, in order.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        // Most kinds that are asked for are not there.
        let kinds = if self.present.contain(kind) { self.kinds } else { &[] };
        let of_kind = move |(&found, field): (&Kind, &Header<'b>)| (found == kind).then_some(field.value);
        kinds.iter().zip(self.lines).filter_map(of_kind)
    }

    /// The value of the first field of this name, whatever its case: what HAProxy hashes.
    pub fn first(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.lines
            .iter()
            .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The value of the last field of this name, whatever its case: what HAProxy captures.
    pub fn last(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.lines
            .iter()
            .rev()
            .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

impl Kinds {
    const fn add(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u16;
    }

    const fn contain(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
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
    fn a_head_with_more_fields_than_usual_is_read_like_any_other() {
        for count in [USUAL_FIELDS - 1, USUAL_FIELDS, USUAL_FIELDS + 1] {
            let head = [b"a: b\r\n".repeat(count - 1), b"Host: h\r\n\r\n".to_vec()].concat();
            let mut storage = Storage::new();
            let fields = Fields::parse(&head, &mut storage).unwrap();
            assert_eq!(fields.iter().count(), count);
            assert_eq!(fields.all(Kind::Host).collect::<Vec<_>>(), [b"h"]);
            assert_eq!(fields.all(Kind::Cookie).count(), 0);
        }
    }

    #[test]
    fn kinds_are_told_whatever_the_case() {
        assert_eq!(Kind::of(b"TRANSFER-encoding"), Kind::TransferEncoding);
        assert_eq!(Kind::of(b"transfer-encodinh"), Kind::Other);
        assert_eq!(Kind::of(b"Set-Cookie"), Kind::SetCookie);
        assert_eq!(Kind::of(b"Connection"), Kind::Connection);
    }
}
