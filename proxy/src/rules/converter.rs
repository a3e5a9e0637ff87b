//! What is made of a value.

use std::{borrow::Cow, cmp::Ordering, net::IpAddr, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};

use super::{
    arithmetic::Arithmetic,
    date::DateForm,
    keywords::{CONVERTERS, refusal, unknown},
    map::Map,
    parts::Parts,
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
    /// A plus sign is a blank behind a question mark; everywhere where it is in a form.
    UrlDecode {
        form: bool,
    },
    UrlEncode,
    Parts(Parts),
    /// Without these characters at the beginning, or the end.
    TrimLeft(Box<[u8]>),
    TrimRight(Box<[u8]>),
    Replace {
        regex: Regex,
        by: Arc<str>,
        all: bool,
    },
    /// The bits of a network, in IPv4 and IPv6.
    Mask(u8, Option<u8>),
    /// Behind the text: a text, a variable, and a text.
    Concat {
        before: Arc<str>,
        variable: Option<Name>,
        behind: Arc<str>,
    },
    Crc32,
    Number(Arithmetic),
    /// How the text stands to that of a variable: -1, 0 or 1 and the like.
    Compare(Name),
    /// One of two texts, as the flag is.
    Choose(Arc<str>, Arc<str>),
    /// What a parameter says in a text that is a query.
    Parameter(Arc<str>, u8),
    /// A time as people read it.
    Date(DateForm),
    Hex,
    FromHex,
    Base64,
    FromBase64,
    Base64Url,
    FromBase64Url,
    /// From this byte on; so many at most.
    Bytes(usize, usize),
    Map(Arc<Map>),
}

impl Converter {
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Self, String> {
        if let Some(why) = refusal(CONVERTERS, name) {
            return Err(format!("converter '{name}' is not supported: {why}"));
        }
        let expects = |what: &str| format!("converter '{name}' expects {what}");
        Ok(match (name, arguments) {
            ("lower", []) => Self::Lower,
            ("upper", []) => Self::Upper,
            ("length", []) => Self::Length,
            ("url_dec", []) => Self::UrlDecode { form: false },
            ("url_dec", [form]) => Self::UrlDecode { form: form != "0" },
            ("url_enc", []) => Self::UrlEncode,
            ("url_enc", [only]) if only == "query" => Self::UrlEncode,
            ("field" | "word", _) => Self::Parts(Parts::read(name, arguments)?),
            ("ltrim", [characters]) => Self::TrimLeft(characters.as_bytes().into()),
            ("rtrim", [characters]) => Self::TrimRight(characters.as_bytes().into()),
            ("regsub", [regex, by, flags @ ..]) => {
                let flags = flags.first().map_or("", String::as_str);
                let regex = Regex::new(regex, flags.contains('i'))?;
                Self::Replace { regex, by: by.as_str().into(), all: flags.contains('g') }
            }
            ("ipmask", [four, six @ ..]) if six.len() <= 1 => {
                let four = four.parse().ok().or_else(|| bits(four)).filter(|bits| *bits <= 32);
                let six = six.first().map(|six| bits_of_six(six.as_str()));
                let wrong =
                    || expects("a mask such as 24 or 255.255.255.0, and one such as 64 for IPv6 or nothing");
                Self::Mask(four.ok_or_else(wrong)?, six.map(|six| six.ok_or_else(wrong)).transpose()?)
            }
            ("concat", [before, rest @ ..]) if rest.len() <= 2 => {
                let variable = rest.first().filter(|name| !name.is_empty()).map(|name| Name::read(name));
                let behind = rest.get(1).map_or("", String::as_str).into();
                Self::Concat { before: before.as_str().into(), variable: variable.transpose()?, behind }
            }
            ("crc32", []) => Self::Crc32,
            ("strcmp", [name]) => Self::Compare(Name::read(name)?),
            ("iif", [yes, no]) => Self::Choose(yes.as_str().into(), no.as_str().into()),
            ("param" | "url_param", [name]) => Self::Parameter(name.as_str().into(), b'&'),
            ("param", [name, delimiter]) if delimiter.len() == 1 => {
                Self::Parameter(name.as_str().into(), delimiter.as_bytes()[0])
            }
            ("http_date" | "ltime" | "utime", _) => Self::Date(DateForm::read(name, arguments)?),
            ("hex", []) => Self::Hex,
            ("hex2i", []) => Self::FromHex,
            ("base64", []) => Self::Base64,
            ("b64dec", []) => Self::FromBase64,
            ("ub64enc", []) => Self::Base64Url,
            ("ub64dec", []) => Self::FromBase64Url,
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
            _ => match Arithmetic::read(name, arguments)? {
                Some(arithmetic) => Self::Number(arithmetic),
                None if CONVERTERS.iter().any(|known| known.name == name) => {
                    return Err(format!("converter '{name}' is not known here with these arguments"));
                }
                None => return Err(unknown(CONVERTERS, name, "converter")),
            },
        })
    }

    /// Whether what comes of it is a number.
    pub(super) fn counts(&self) -> bool {
        match self {
            Self::Length | Self::Crc32 | Self::Compare(_) | Self::FromHex => true,
            Self::Number(arithmetic) => arithmetic.counts(),
            _ => false,
        }
    }

    /// Whether what comes of it is a flag.
    pub(super) fn is_flag(&self) -> bool {
        matches!(self, Self::Number(arithmetic) if !arithmetic.counts())
    }

    pub(super) fn apply<'a>(&self, value: Value<'a>, variables: &Variables) -> Option<Value<'a>> {
        match self {
            Self::Map(map) => return map.value(&value).map(|found| Value::Text(Cow::Owned(found))),
            Self::Number(arithmetic) => return arithmetic.apply(value.number()?, variables),
            Self::Date(form) => return Some(Value::Text(Cow::Owned(form.text(value.number()?)?))),
            Self::Choose(yes, no) => {
                let chosen = if value.number()? == 0 { no } else { yes };
                return Some(Value::Text(Cow::Owned(chosen.as_bytes().to_vec())));
            }
            Self::Mask(four, six) => {
                let Value::Address(address) = value else { return None };
                let (address, bits) = match address.to_canonical() {
                    address @ IpAddr::V4(_) => (address, *four),
                    // Whoever masks addresses to tell them to nobody shall not be surprised (HAProxy).
                    address @ IpAddr::V6(_) => (address, (*six)?),
                };
                return Some(Value::Address(ipnet::IpNet::new(address, bits).ok()?.network()));
            }
            _ => {}
        }
        let text = match value {
            Value::Text(text) => text,
            other => Cow::Owned(other.text().into_owned()),
        };
        Some(match self {
            Self::Lower => Value::Text(Cow::Owned(text.to_ascii_lowercase())),
            Self::Upper => Value::Text(Cow::Owned(text.to_ascii_uppercase())),
            Self::Length => Value::Number(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Self::UrlDecode { form } => Value::Text(Cow::Owned(decoded(&text, *form)?)),
            Self::UrlEncode => Value::Text(Cow::Owned(encoded(&text))),
            Self::Parts(parts) => Value::Text(Cow::Owned(parts.of(&text)?.to_vec())),
            Self::TrimLeft(characters) => {
                let begin = text.iter().position(|byte| !characters.contains(byte)).unwrap_or(text.len());
                Value::Text(Cow::Owned(text[begin..].to_vec()))
            }
            Self::TrimRight(characters) => {
                let end = text.iter().rposition(|byte| !characters.contains(byte)).map_or(0, |at| at + 1);
                Value::Text(Cow::Owned(text[..end].to_vec()))
            }
            Self::Compare(name) => {
                let other = variables.value(name)?;
                Value::Number(match text[..].cmp(&other.text()[..]) {
                    Ordering::Less => -1,
                    Ordering::Equal => 0,
                    Ordering::Greater => 1,
                })
            }
            Self::Parameter(name, delimiter) => {
                let found = text.split(|byte| byte == delimiter).find_map(|pair| {
                    let rest = pair.strip_prefix(name.as_bytes())?;
                    rest.strip_prefix(b"=").or_else(|| rest.is_empty().then_some(rest))
                });
                Value::Text(Cow::Owned(found?.to_vec()))
            }
            Self::FromHex => {
                let digits = std::str::from_utf8(&text).ok()?;
                Value::Number(u64::from_str_radix(digits, 16).ok()?.cast_signed())
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
            Self::Base64Url => Value::Text(Cow::Owned(BASE64_URL_SAFE_NO_PAD.encode(&text).into_bytes())),
            Self::FromBase64Url => Value::Text(Cow::Owned(BASE64_URL_SAFE_NO_PAD.decode(&text).ok()?)),
            Self::Bytes(from, count) => {
                let rest = text.get(*from..).filter(|rest| !rest.is_empty())?;
                Value::Text(Cow::Owned(rest[..rest.len().min(*count)].to_vec()))
            }
            Self::Mask(..) | Self::Number(_) | Self::Map(_) | Self::Choose(..) | Self::Date(_) => {
                return None;
            }
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

/// `%41` becomes `A`, and `+` a blank where it stands for one; `None`: a percent sign is no escape.
fn decoded(text: &[u8], form: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut form) = (0, form);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let digits = std::str::from_utf8(text.get(at..at + 2)?).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
                at += 2;
            }
            b'+' if form => out.push(b' '),
            byte => {
                form |= byte == b'?';
                out.push(byte);
            }
        }
    }
    Some(out)
}

/// What is not unreserved (RFC 3986 2.3) becomes `%41`.
fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// The bits of a mask such as 255.255.255.0.
fn bits(mask: &str) -> Option<u8> {
    ipnet::ipv4_mask_to_prefix(mask.parse().ok()?).ok()
}

/// A number of bits, or a mask such as `ffff:ffff::`.
fn bits_of_six(mask: &str) -> Option<u8> {
    match mask.parse::<u8>() {
        Ok(bits) => Some(bits).filter(|bits| *bits <= 128),
        Err(_) => ipnet::ipv6_mask_to_prefix(mask.parse().ok()?).ok(),
    }
}
