//! For how long a certificate holds (RFC 5280, 4.1.2.5). Pure: bytes in, values out.
//!
//! No more of a certificate is read than what stands before its dates; whether it can be used otherwise is rustls'
//! business.

use jiff::civil::{DateTime, date};

/// DER's tags (X.690), as far as they are met on the way.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`, which the first version lacks.
const VERSION: u8 = 0xa0;

/// From when until when something holds, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first second.
    pub from_unix: i64,
    /// The last second.
    pub until_unix: i64,
}

impl Validity {
    /// That of the certificate `der`; `None` where it is none.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, der)?;
        let (mut rest, _) = expect(SEQUENCE, certificate)?;
        if let (VERSION, _, behind) = element(rest)? {
            rest = behind;
        }
        // Serial number, signature, issuer.
        for _ in 0..3 {
            (_, _, rest) = element(rest)?;
        }
        let (validity, _) = expect(SEQUENCE, rest)?;
        let (tag, from, rest) = element(validity)?;
        let from_unix = time(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self { from_unix, until_unix: time(tag, until)? })
    }

    /// When both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            from_unix: self.from_unix.max(other.from_unix),
            until_unix: self.until_unix.min(other.until_unix),
        }
    }
}

/// The content of the element at the beginning, which must have this tag, and what follows it.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// The element at the beginning: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], behind) = der.split_first_chunk()?;
    let (length, behind) = match first {
        0..=0x7f => (usize::from(first), behind),
        // The length of the length; a certificate of 4 GiB is none.
        0x81..=0x84 => {
            let (length, behind) = behind.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), behind)
        }
        _ => return None,
    };
    let (content, rest) = behind.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, in seconds since 1970.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let years = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    if text.len() != years + 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = text.split_at(years);
    let year: i16 = year.parse().ok()?;
    let year = match (tag, year) {
        (UTC_TIME, 50..) => 1900 + year,
        (UTC_TIME, _) => 2000 + year,
        _ => year,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let when = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    // Not by way of a timestamp: "for ever", the end of the year 9999, is none.
    Some(when.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn a_certificate_tells_from_when_until_when() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/server.pem");
        let certificate = CertificateDer::from_pem_file(path).unwrap();
        let all = Validity::of(&certificate).unwrap();
        assert_eq!(all, Validity { from_unix: 946_684_800, until_unix: 32_503_679_999 });
        for length in 0..certificate.len() {
            // Cut off anywhere it is none, or says the same.
            assert!(Validity::of(&certificate[..length]).is_none_or(|part| part == all), "{length}");
        }
    }

    #[test]
    fn both_kinds_of_dates_are_read_and_nothing_else() {
        assert_eq!(time(UTC_TIME, b"700101000001Z"), Some(1));
        assert_eq!(time(UTC_TIME, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(time(GENERALIZED_TIME, b"99991231235959Z"), Some(253_402_300_799), "for ever");
        for (tag, text) in [
            (UTC_TIME, &b"701301000000Z"[..]),
            (UTC_TIME, b"7001010000Z"),
            (UTC_TIME, b"700101000000+0100"),
            (GENERALIZED_TIME, b"700101000000Z"),
            (SEQUENCE, b"700101000000Z"),
            (UTC_TIME, b"-10101000000Z"),
            (UTC_TIME, b""),
        ] {
            assert_eq!(time(tag, text), None, "{text:?}");
        }
    }

    #[test]
    fn what_holds_together_holds_while_each_does() {
        let (one, other) =
            (Validity { from_unix: 1, until_unix: 5 }, Validity { from_unix: 2, until_unix: 9 });
        assert_eq!(one.and(other), Validity { from_unix: 2, until_unix: 5 });
    }
}
