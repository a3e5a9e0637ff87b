//! What values are compared with.

use std::{borrow::Cow, sync::Arc};

use ipnet::IpNet;

use super::sample::{Sample, Value};

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Regex(regex::bytes::Regex);

/// By what it was made from.
impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Regex {}

/// Bytes that a compiled expression may take: what ordinary ones need a thousand times.
const REGEX_BYTES: usize = 1 << 20;

impl Regex {
    pub(crate) fn new(text: &str, ignores_case: bool) -> Result<Self, String> {
        let mut builder = regex::bytes::RegexBuilder::new(text);
        builder.case_insensitive(ignores_case).size_limit(REGEX_BYTES).unicode(false);
        builder.build().map(Self).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("'{text}' is no regular expression that is known here: {last}")
        })
    }

    /// Whether it matches anywhere in a text.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// With `\1` and its like in `by`, as HAProxy writes them.
    pub(super) fn replaced(&self, text: &[u8], by: &str, all: bool) -> Vec<u8> {
        let limit = usize::from(!all);
        let expand = |captures: &regex::bytes::Captures<'_>| -> Vec<u8> { expanded(by.as_bytes(), captures) };
        self.0.replacen(text, limit, expand).into_owned()
    }

    /// What becomes of all of `text` where it matches: only `by` is left.
    pub(super) fn rewritten(&self, text: &[u8], by: &[u8]) -> Option<Vec<u8>> {
        let captures = self.0.captures(text)?;
        Some(expanded(by, &captures))
    }
}

fn expanded(by: &[u8], captures: &regex::bytes::Captures<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(by.len());
    let mut bytes = by.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (b'\\', Some(digit)) if digit.is_ascii_digit() => {
                bytes.next();
                let group = captures.get(usize::from(digit - b'0'));
                out.extend_from_slice(group.map_or(&b""[..], |group| group.as_bytes()));
            }
            (b'\\', Some(&escaped)) => {
                bytes.next();
                out.push(escaped);
            }
            _ => out.push(byte),
        }
    }
    out
}

/// How a value is compared, and with what; one of the patterns is enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Patterns {
    /// It is there.
    Found,
    /// It is true.
    True,
    Equal(Vec<Arc<[u8]>>, bool),
    Begin(Vec<Arc<[u8]>>, bool),
    End(Vec<Arc<[u8]>>, bool),
    Within(Vec<Arc<[u8]>>, bool),
    /// Between delimiters of this kind.
    Part(Vec<Arc<[u8]>>, bool, &'static [u8]),
    Expression(Vec<Regex>),
    /// Within one of these bounds.
    Number(Vec<(i64, i64)>),
    /// Its length is.
    Length(Vec<(i64, i64)>),
    Address(Vec<IpNet>),
}

impl Patterns {
    /// Reads the patterns for this method of comparing; `None`: the one that belongs to the sample.
    pub(super) fn read(
        sample: &Sample,
        method: Option<&str>,
        ignores_case: bool,
        words: &[String],
    ) -> Result<Self, String> {
        let texts = || -> Vec<Arc<[u8]>> { words.iter().map(|word| Arc::from(word.as_bytes())).collect() };
        let needs_some = |what: &str| match words {
            [] => Err(format!("a pattern is missing: expected {what}")),
            _ => Ok(()),
        };
        let default = if sample.is_number() {
            "int"
        } else if sample.is_address() {
            "ip"
        } else if sample.is_flag() {
            "bool"
        } else {
            "str"
        };
        let method = method.unwrap_or(default);
        if !matches!(method, "found" | "bool") {
            needs_some("what it is compared with")?;
        }
        Ok(match method {
            "found" => Self::Found,
            "bool" => Self::True,
            "str" => Self::Equal(texts(), ignores_case),
            "beg" => Self::Begin(texts(), ignores_case),
            "end" => Self::End(texts(), ignores_case),
            "sub" => Self::Within(texts(), ignores_case),
            "dir" => Self::Part(texts(), ignores_case, b"/?"),
            "dom" => Self::Part(texts(), ignores_case, b"/?.:"),
            "reg" => {
                let regexes = words.iter().map(|word| Regex::new(word, ignores_case));
                Self::Expression(regexes.collect::<Result<_, _>>()?)
            }
            "int" => Self::Number(bounds(words)?),
            "len" => Self::Length(bounds(words)?),
            "ip" => Self::Address(words.iter().map(|word| network(word)).collect::<Result<_, _>>()?),
            other => {
                return Err(format!(
                    "'-m {other}' is not known here: expected found, bool, str, beg, end, sub, dir, dom, reg, int, len or ip"
                ));
            }
        })
    }

    pub(super) fn match_value(&self, value: &Value<'_>) -> bool {
        let any = |patterns: &[Arc<[u8]>], ignores_case: bool, holds: &dyn Fn(&[u8], &[u8]) -> bool| {
            let mut text = value.text();
            if ignores_case {
                text = Cow::Owned(text.to_ascii_lowercase());
            }
            patterns.iter().any(|pattern| {
                if ignores_case { holds(&text, &pattern.to_ascii_lowercase()) } else { holds(&text, pattern) }
            })
        };
        match self {
            Self::Found => true,
            Self::True => match value {
                Value::Flag(flag) => *flag,
                Value::Number(number) => *number != 0,
                Value::Text(_) | Value::Address(_) => false,
            },
            Self::Equal(patterns, i) => any(patterns, *i, &|text, pattern| text == pattern),
            Self::Begin(patterns, i) => any(patterns, *i, &|text, pattern| text.starts_with(pattern)),
            Self::End(patterns, i) => any(patterns, *i, &|text, pattern| text.ends_with(pattern)),
            Self::Within(patterns, i) => {
                any(patterns, *i, &|text, pattern| memchr::memmem::find(text, pattern).is_some())
            }
            Self::Part(patterns, i, delimiters) => {
                any(patterns, *i, &|text, pattern| is_part(text, pattern, delimiters))
            }
            Self::Expression(regexes) => {
                let text = value.text();
                regexes.iter().any(|regex| regex.matches(&text))
            }
            Self::Number(bounds) => {
                let number = match value {
                    Value::Number(number) => Some(*number),
                    Value::Flag(flag) => Some(i64::from(*flag)),
                    Value::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                    Value::Address(_) => None,
                };
                number.is_some_and(|number| within(bounds, number))
            }
            Self::Length(bounds) => within(bounds, i64::try_from(value.text().len()).unwrap_or(i64::MAX)),
            Self::Address(networks) => {
                let address = match value {
                    Value::Address(address) => Some(*address),
                    Value::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
                    Value::Number(_) | Value::Flag(_) => None,
                };
                address
                    .is_some_and(|address| networks.iter().any(|net| net.contains(&address.to_canonical())))
            }
        }
    }
}

fn within(bounds: &[(i64, i64)], number: i64) -> bool {
    bounds.iter().any(|(least, most)| (*least..=*most).contains(&number))
}

/// Whether `pattern` stands in `text` with a delimiter or an end on both sides.
fn is_part(text: &[u8], pattern: &[u8], delimiters: &[u8]) -> bool {
    let trims = |byte: &u8| delimiters.contains(byte);
    let start = pattern.iter().position(|byte| !trims(byte)).unwrap_or(pattern.len());
    let end = pattern.iter().rposition(|byte| !trims(byte)).map_or(start, |at| at + 1);
    let pattern = &pattern[start..end];
    !pattern.is_empty()
        && memchr::memmem::find_iter(text, pattern).any(|at| {
            let before = at == 0 || trims(&text[at - 1]);
            let behind = text.get(at + pattern.len()).is_none_or(trims);
            before && behind
        })
}

/// `gt 5`, `1024:2048`, `80`
fn bounds(words: &[String]) -> Result<Vec<(i64, i64)>, String> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("'{text}' is no number"));
    let mut bounds = Vec::new();
    let mut operator = "eq";
    for word in words {
        if ["eq", "gt", "ge", "lt", "le"].contains(&word.as_str()) {
            operator = word;
            continue;
        }
        let found = match (operator, word.split_once(':')) {
            ("eq", Some((least, most))) => {
                let least = if least.is_empty() { i64::MIN } else { number(least)? };
                (least, if most.is_empty() { i64::MAX } else { number(most)? })
            }
            ("eq", None) => (number(word)?, number(word)?),
            ("gt", _) => (number(word)?.saturating_add(1), i64::MAX),
            ("ge", _) => (number(word)?, i64::MAX),
            ("lt", _) => (i64::MIN, number(word)?.saturating_sub(1)),
            _ => (i64::MIN, number(word)?),
        };
        bounds.push(found);
    }
    if bounds.is_empty() {
        return Err("a number is missing".into());
    }
    Ok(bounds)
}

fn network(word: &str) -> Result<IpNet, String> {
    let one = word.parse().map(|address: std::net::IpAddr| IpNet::from(address.to_canonical()));
    one.or_else(|_| word.parse::<IpNet>())
        .map_err(|_| format!("'{word}' is no address or network, such as 10.0.0.0/8"))
}
