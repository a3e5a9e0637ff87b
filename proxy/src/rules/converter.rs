//! What is made of a value.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    map::Map,
    pattern::Regex,
    sample::Value,
    variable::{Name, Variables},
};

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
    /// Behind the text: a text, a variable, and a text.
    Concat {
        before: Arc<str>,
        variable: Option<Name>,
        behind: Arc<str>,
    },
    Crc32,
    Not,
    Hex,
    Base64,
    FromBase64,
    /// A word, from one, between any number of any of these characters.
    Word(usize, Arc<str>),
    /// From this byte on; so many at most.
    Bytes(usize, usize),
    Map(Arc<Map>),
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
            ("concat", [before, rest @ ..]) if rest.len() <= 2 => {
                let variable = rest.first().filter(|name| !name.is_empty()).map(|name| Name::read(name));
                let behind = rest.get(1).map_or("", String::as_str).into();
                Self::Concat { before: before.as_str().into(), variable: variable.transpose()?, behind }
            }
            ("crc32", []) => Self::Crc32,
            ("not", []) => Self::Not,
            ("hex", []) => Self::Hex,
            ("base64", []) => Self::Base64,
            ("b64dec", []) => Self::FromBase64,
            ("word", [number, delimiters]) if !delimiters.is_empty() => {
                let number = number.parse().ok().filter(|number: &usize| *number > 0);
                Self::Word(number.ok_or_else(|| expects("a number from one"))?, delimiters.as_str().into())
            }
            ("bytes", [from, count @ ..]) if count.len() <= 1 => {
                let number = |text: &String| text.parse().map_err(|_| expects("numbers of bytes"));
                Self::Bytes(number(from)?, count.first().map_or(Ok(usize::MAX), number)?)
            }
            (map, [path, default @ ..])
                if default.len() <= 1 && (map == "map" || map.starts_with("map_")) =>
            {
                let method = map.strip_prefix("map_").unwrap_or("str");
                Self::Map(Map::read(method, path, default.first().map(String::as_str))?.into())
            }
            _ => {
                return Err(format!(
                    "converter '{name}' is not known here with these arguments: expected lower, upper, length, url_dec, field, word, bytes, regsub, concat, map, map_beg and its like, not, hex, base64, b64dec, crc32 or ipmask"
                ));
            }
        })
    }

    /// Whether what comes of it is a number.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Length | Self::Crc32)
    }

    pub(super) fn apply<'a>(&self, value: Value<'a>, variables: &Variables) -> Option<Value<'a>> {
        match (self, &value) {
            (Self::Not, Value::Flag(flag)) => return Some(Value::Flag(!flag)),
            (Self::Not, Value::Number(number)) => return Some(Value::Flag(*number == 0)),
            (Self::Map(map), value) => return map.value(value).map(|found| Value::Text(Cow::Owned(found))),
            _ => {}
        }
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
            Self::Concat { before, variable, behind } => {
                let mut text = text.into_owned();
                text.extend_from_slice(before.as_bytes());
                if let Some(value) = variable.as_ref().and_then(|name| variables.value(name)) {
                    text.extend_from_slice(&value.text());
                }
                text.extend_from_slice(behind.as_bytes());
                Value::Text(Cow::Owned(text))
            }
            Self::Crc32 => Value::Number(crc32(&text).into()),
            Self::Hex => {
                let hex: String = text.iter().map(|byte| format!("{byte:02X}")).collect();
                Value::Text(Cow::Owned(hex.into_bytes()))
            }
            Self::Base64 => Value::Text(Cow::Owned(BASE64_STANDARD.encode(&text).into_bytes())),
            Self::FromBase64 => Value::Text(Cow::Owned(BASE64_STANDARD.decode(&text).ok()?)),
            Self::Word(number, delimiters) => {
                let words = text.split(|byte| delimiters.as_bytes().contains(byte));
                let word = words.filter(|word| !word.is_empty()).nth(*number - 1)?.to_vec();
                Value::Text(Cow::Owned(word))
            }
            Self::Bytes(from, count) => {
                let rest = text.get(*from..).filter(|rest| !rest.is_empty())?;
                Value::Text(Cow::Owned(rest[..rest.len().min(*count)].to_vec()))
            }
            Self::Mask(_) | Self::Not | Self::Map(_) => return None,
        })
    }
}

/// As zlib and gzip have it.
fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(!0, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
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
