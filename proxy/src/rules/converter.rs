//! What is made of a value.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::{pattern::Regex, sample::Value};

/// One converter (HAProxy's manual, 7.3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Converter {
    Lower,
    Upper,
    Length,
    UrlDecode,
    /// A part, from one, between separators.
    Part(usize, char),
    Replace {
        regex: Regex,
        by: Arc<str>,
        all: bool,
    },
    Mask(u8),
}

impl Converter {
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Self, String> {
        let expects = |what: &str| format!("converter '{name}' expects {what}");
        Ok(match (name, arguments) {
            ("lower", []) => Self::Lower,
            ("upper", []) => Self::Upper,
            ("length", []) => Self::Length,
            ("url_dec", _) => Self::UrlDecode,
            ("field", [number, separator]) => {
                let number = number.parse().ok().filter(|number: &usize| *number > 0);
                let mut characters = separator.chars();
                let one = characters.next().filter(|_| characters.next().is_none());
                Self::Part(
                    number.ok_or_else(|| expects("a number from one"))?,
                    one.ok_or_else(|| expects("one character"))?,
                )
            }
            ("regsub", [regex, by, flags @ ..]) => {
                let flags = flags.first().map_or("", String::as_str);
                let regex = Regex::new(regex, flags.contains('i'))?;
                Self::Replace { regex, by: by.as_str().into(), all: flags.contains('g') }
            }
            ("ipmask", [bits, ..]) => {
                let bits = bits.parse().ok().filter(|bits| *bits <= 32);
                Self::Mask(bits.ok_or_else(|| expects("a number of bits, at most 32"))?)
            }
            _ => {
                return Err(format!(
                    "converter '{name}' is not known here with these arguments: expected lower, upper, length, url_dec, field, regsub or ipmask"
                ));
            }
        })
    }

    pub(super) fn apply<'a>(&self, value: Value<'a>) -> Option<Value<'a>> {
        if let Self::Mask(bits) = self {
            let Value::Address(address) = value else { return None };
            return Some(Value::Address(match address.to_canonical() {
                IpAddr::V4(address) => ipnet::Ipv4Net::new(address, *bits).ok()?.network().into(),
                address @ IpAddr::V6(_) => address,
            }));
        }
        let text = match value {
            Value::Text(text) => text,
            other => Cow::Owned(other.text().into_owned()),
        };
        Some(match self {
            Self::Lower => Value::Text(Cow::Owned(text.to_ascii_lowercase())),
            Self::Upper => Value::Text(Cow::Owned(text.to_ascii_uppercase())),
            Self::Length => Value::Number(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Self::UrlDecode => Value::Text(Cow::Owned(decoded(&text))),
            Self::Part(number, separator) => {
                let mut buffer = [0; 4];
                let separator = separator.encode_utf8(&mut buffer).as_bytes();
                let part = parts(&text, separator).nth(*number - 1)?.to_vec();
                Value::Text(Cow::Owned(part))
            }
            Self::Replace { regex, by, all } => Value::Text(Cow::Owned(regex.replaced(&text, by, *all))),
            Self::Mask(_) => return None,
        })
    }
}

fn parts<'t>(text: &'t [u8], separator: &[u8]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        match memchr::memmem::find(text, separator) {
            Some(at) => {
                rest = Some(&text[at + separator.len()..]);
                Some(&text[..at])
            }
            None => Some(text),
        }
    })
}

/// `%41` becomes `A`, and `+` a blank; what is no escape stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = hex.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, hex) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    out
}
