//! How a value stands in a text: HAProxy's flags, such as `%{+Q,-E}` (manual, 8.2.4).

use std::net::IpAddr;

use crate::decimal;

/// How a value stands in a text.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Style(u8);

impl Style {
    /// Between quotation marks (`+Q`).
    pub(crate) const QUOTED: Self = Self(1);
    /// With a backslash before what would end an element of RFC 5424 (`+E`).
    pub(crate) const ESCAPED: Self = Self(2);
    /// Numbers and addresses in hexadecimal digits (`+X`).
    pub(crate) const HEX: Self = Self(4);
    /// `-` for what is not there (`+M`), unless it is quoted.
    pub(crate) const MARKED: Self = Self(8);

    /// Whether it has this.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// This with what the flags add and take away.
    pub(super) fn with(self, flags: &str) -> Result<Self, String> {
        let known = [("Q", Self::QUOTED), ("E", Self::ESCAPED), ("X", Self::HEX), ("M", Self::MARKED)];
        let mut style = self;
        for flag in flags.split(',') {
            let sign = flag.chars().next().filter(|sign| matches!(sign, '+' | '-'));
            let found = known.iter().find(|(name, _)| sign.is_some() && flag[1..] == **name);
            let (_, found) = found.ok_or_else(|| {
                format!("'%{{{flags}}}' is no flag that is known: expected such as +Q, +E, +X, +M or -Q")
            })?;
            style.0 = if sign == Some('+') { style.0 | found.0 } else { style.0 & !found.0 };
        }
        Ok(style)
    }

    /// Appends a text.
    pub(crate) fn text(self, text: &[u8], out: &mut Vec<u8>) {
        let mark: &[u8] = if self.has(Self::QUOTED) { b"\"" } else { b"" };
        out.extend_from_slice(mark);
        if text.is_empty() && self.has(Self::MARKED) && !self.has(Self::QUOTED) {
            out.push(b'-');
        }
        self.inner(text, out);
        out.extend_from_slice(mark);
    }

    /// Appends a text without quotation marks.
    pub(crate) fn inner(self, text: &[u8], out: &mut Vec<u8>) {
        if !self.has(Self::ESCAPED) {
            return out.extend_from_slice(text);
        }
        for byte in text {
            if matches!(byte, b'"' | b'\\' | b']') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    }

    /// Appends an address.
    pub(crate) fn address(self, address: IpAddr, out: &mut Vec<u8>) {
        let address = address.to_canonical();
        if self.has(Self::HEX) {
            let (four, six);
            let bytes: &[u8] = match address {
                IpAddr::V4(address) => {
                    four = address.octets();
                    &four
                }
                IpAddr::V6(address) => {
                    six = address.octets();
                    &six
                }
            };
            let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            return out.extend_from_slice(digits.as_bytes());
        }
        let mut text = Vec::with_capacity(15);
        decimal::address(address, &mut text);
        self.text(&text, out);
    }

    /// Appends a number, in at least so many digits where they are hexadecimal.
    pub(crate) fn number(self, number: u64, digits: usize, out: &mut Vec<u8>) {
        if self.has(Self::HEX) {
            out.extend_from_slice(format!("{number:0digits$X}").as_bytes());
        } else {
            decimal::number(number, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(flags: &str, write: impl FnOnce(Style, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(Style::default().with(flags).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn flags_say_how_a_value_stands() {
        for (flags, value, expected) in [
            ("-Q", "a\"]", "a\"]"),
            ("+Q", "a b", "\"a b\""),
            ("+Q,+E", "a\"]\\", "\"a\\\"\\]\\\\\""),
            ("+M", "", "-"),
            ("+M,+Q", "", "\"\""),
            ("+M,-M", "", ""),
        ] {
            assert_eq!(text(flags, |style, out| style.text(value.as_bytes(), out)), expected, "{flags}");
        }
        let address = |address: &str| text("+X", |style, out| style.address(address.parse().unwrap(), out));
        assert_eq!(
            (address("127.0.0.1"), address("::ffff:10.0.0.1")),
            ("7F000001".into(), "0A000001".into())
        );
        assert_eq!(text("+X", |style, out| style.number(80, 4, out)), "0050");
        assert_eq!(text("-X", |style, out| style.number(80, 4, out)), "80");
        for flags in ["", "Q", "+Z", "+Q,", "+Q +E"] {
            assert!(Style::default().with(flags).is_err(), "{flags}");
        }
    }
}
