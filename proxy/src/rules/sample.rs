//! What rules look at: HAProxy's sample fetches (manual, 7.3), as far as they are known here, with converters.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::{Context, pattern::Regex, words::call};

/// What is looked at, and what is made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sample {
    pub(super) fetch: Fetch,
    pub(super) converters: Vec<Converter>,
}

/// One sample fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fetch {
    Flag(bool),
    Text(Arc<str>),
    Number(i64),
    Method,
    /// The target as it is.
    Target,
    /// Its path, without query.
    Path,
    /// Its path and query.
    PathQuery,
    Query,
    Parameter(Arc<str>),
    /// `Host` and path.
    Base,
    Version,
    /// A field's values, parted at commas unless `whole`; the one of this number counts, from the first or (negative)
    /// the last.
    Field {
        name: Arc<str>,
        whole: bool,
        number: Option<i64>,
    },
    FieldCount {
        name: Arc<str>,
        whole: bool,
    },
    Cookie(Arc<str>),
    Source,
    SourcePort,
    Destination,
    DestinationPort,
    Frontend,
    /// Servers of a backend that are usable.
    Usable(Arc<str>),
    Status,
}

/// What is made of a value.
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

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    Number(i64),
    Address(IpAddr),
    Flag(bool),
}

impl Value<'_> {
    /// As it stands in a line.
    pub(super) fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Address(address) => Cow::Owned(address.to_canonical().to_string().into_bytes()),
            Self::Flag(flag) => Cow::Borrowed(if *flag { b"1" } else { b"0" }),
        }
    }
}

/// How a criterion's name ends, which says how it is compared.
const SUFFIXES: [(&str, &str); 9] = [
    ("_beg", "beg"),
    ("_end", "end"),
    ("_sub", "sub"),
    ("_dir", "dir"),
    ("_dom", "dom"),
    ("_reg", "reg"),
    ("_len", "len"),
    ("_cnt", "cnt"),
    ("_ip", "ip"),
];

impl Sample {
    /// Reads `hdr(host),lower`; the second is how it is compared where its name says so, as `path_beg` does.
    pub(super) fn read(text: &str) -> Result<(Self, Option<&'static str>), String> {
        let (name, arguments, mut rest) = call(text)?;
        let (mut fetch, mut method) = (Fetch::read(name, &arguments)?, None);
        if fetch.is_none() {
            for (suffix, word) in SUFFIXES {
                if let Some(base) = name.strip_suffix(suffix)
                    && let Some(found) = Fetch::read(base, &arguments)?
                {
                    (fetch, method) = (Some(found), Some(word));
                }
            }
        }
        let Some(mut fetch) = fetch else {
            return Err(format!(
                "'{name}' is no sample fetch that is known here: expected such as path, hdr(NAME), method or src"
            ));
        };
        if method == Some("cnt") {
            let Fetch::Field { name, whole, .. } = fetch else {
                return Err(format!("'{name}' can't be counted"));
            };
            (fetch, method) = (Fetch::FieldCount { name, whole }, None);
        }
        let mut converters = Vec::new();
        while let Some(behind) = rest.strip_prefix(',') {
            let (name, arguments, further) = call(behind)?;
            converters.push(Converter::read(name, &arguments)?);
            rest = further;
        }
        if !rest.is_empty() {
            return Err(format!("'{rest}' stands behind '{text}' without a comma"));
        }
        Ok((Self { fetch, converters }, method))
    }

    /// Whether it is there only when a response is.
    pub(super) fn needs_response(&self) -> bool {
        matches!(self.fetch, Fetch::Status)
    }

    /// Whether it is a number by itself.
    pub(super) fn is_number(&self) -> bool {
        let counts = matches!(
            self.fetch,
            Fetch::Number(_)
                | Fetch::FieldCount { .. }
                | Fetch::SourcePort
                | Fetch::DestinationPort
                | Fetch::Usable(_)
                | Fetch::Status
        );
        self.converters.last().map_or(counts, |last| *last == Converter::Length)
    }

    pub(super) fn is_address(&self) -> bool {
        matches!(self.fetch, Fetch::Source | Fetch::Destination)
            && self.converters.iter().all(|converter| matches!(converter, Converter::Mask(_)))
    }

    pub(super) fn is_flag(&self) -> bool {
        matches!(self.fetch, Fetch::Flag(_))
    }

    /// The one value, where there is one.
    pub(super) fn value<'c>(&self, context: &'c Context<'_>) -> Option<Value<'c>> {
        let mut found = None;
        let takes_last = matches!(&self.fetch, Fetch::Field { number: None, .. });
        self.each(context, &mut |value| {
            found = Some(value);
            !takes_last
        });
        found
    }

    /// Gives each value to `found` until it says that it is enough.
    pub(super) fn each<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
        self.fetch.each(context, &mut |value| {
            let converted = self.converters.iter().try_fold(value, |value, converter| converter.apply(value));
            converted.is_some_and(&mut *found)
        });
    }
}

impl Fetch {
    /// `None`: there is no such fetch.
    fn read(name: &str, arguments: &[String]) -> Result<Option<Self>, String> {
        let name_of = |what: &str| match arguments {
            [only, ..] if !only.is_empty() => Ok(Arc::from(only.as_str())),
            _ => Err(format!("'{name}' expects {what} in parentheses")),
        };
        let number = || match arguments.get(1) {
            None => Ok(None),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number != 0 => Ok(Some(number)),
                _ => Err(format!("'{name}' expects a number as its second argument (got '{text}')")),
            },
        };
        Ok(Some(match name {
            "always_true" => Self::Flag(true),
            // No connection is encrypted here.
            "always_false" | "ssl_fc" => Self::Flag(false),
            "bool" => Self::Flag(matches!(arguments, [only] if only == "1" || only == "true")),
            "str" => Self::Text(arguments.first().map_or("", String::as_str).into()),
            "int" => {
                let text = arguments.first().map_or("", String::as_str);
                Self::Number(text.parse().map_err(|_| format!("'int' expects a number (got '{text}')"))?)
            }
            "method" | "capture.req.method" => Self::Method,
            "url" | "uri" | "capture.req.uri" => Self::Target,
            "path" => Self::Path,
            "pathq" => Self::PathQuery,
            "query" => Self::Query,
            "url_param" | "urlp" => Self::Parameter(name_of("a parameter's name")?),
            "base" => Self::Base,
            "req.ver" | "req_ver" => Self::Version,
            "hdr" | "req.hdr" | "res.hdr" | "shdr" => {
                Self::Field { name: name_of("a header's name")?, whole: false, number: number()? }
            }
            "req.fhdr" | "res.fhdr" => {
                Self::Field { name: name_of("a header's name")?, whole: true, number: number()? }
            }
            "cook" | "req.cook" => Self::Cookie(name_of("a cookie's name")?),
            "src" => Self::Source,
            "src_port" => Self::SourcePort,
            "dst" => Self::Destination,
            "dst_port" => Self::DestinationPort,
            "fe_name" => Self::Frontend,
            "nbsrv" => Self::Usable(name_of("a backend's name")?),
            "status" => Self::Status,
            _ => return Ok(None),
        }))
    }

    fn each<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
        let message = context.message;
        let text = |bytes: &'c [u8]| Value::Text(Cow::Borrowed(bytes));
        match self {
            Self::Flag(flag) => {
                found(Value::Flag(*flag));
            }
            Self::Text(fixed) => {
                found(Value::Text(Cow::Owned(fixed.as_bytes().to_vec())));
            }
            Self::Number(number) => {
                found(Value::Number(*number));
            }
            Self::Method => {
                found(text(context.method));
            }
            Self::Target if !message.target.is_empty() => {
                found(text(&message.target));
            }
            Self::Path => {
                let path = path_query(&message.target);
                let path = &path[..memchr::memchr(b'?', path).unwrap_or(path.len())];
                if !path.is_empty() {
                    found(text(path));
                }
            }
            Self::PathQuery if !path_query(&message.target).is_empty() => {
                found(text(path_query(&message.target)));
            }
            Self::Query => {
                if let Some(query) = query(&message.target) {
                    found(text(query));
                }
            }
            Self::Base => {
                let mut base = message.last(b"host").unwrap_or_default().to_vec();
                let path = path_query(&message.target);
                base.extend_from_slice(&path[..memchr::memchr(b'?', path).unwrap_or(path.len())]);
                found(Value::Text(Cow::Owned(base)));
            }
            Self::Version => {
                found(text(message.version.strip_prefix(b"HTTP/").unwrap_or(&message.version)));
            }
            Self::Source => {
                found(Value::Address(context.client.ip()));
            }
            Self::SourcePort => {
                found(Value::Number(context.client.port().into()));
            }
            Self::Destination => {
                found(Value::Address(context.destination.ip()));
            }
            Self::DestinationPort => {
                found(Value::Number(context.destination.port().into()));
            }
            Self::Frontend => {
                found(text(context.frontend.as_bytes()));
            }
            Self::Usable(name) => {
                if let Some(count) = (context.usable)(name) {
                    found(Value::Number(count.into()));
                }
            }
            Self::Status => {
                if let Some(status) = context.status {
                    found(Value::Number(status.into()));
                }
            }
            Self::Target | Self::PathQuery => {}
            Self::Parameter(_) | Self::Field { .. } | Self::FieldCount { .. } | Self::Cookie(_) => {
                self.each_of_many(context, found);
            }
        }
    }

    /// Of what a head may have several of.
    fn each_of_many<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
        let message = context.message;
        let text = |bytes: &'c [u8]| Value::Text(Cow::Borrowed(bytes));
        match self {
            Self::Parameter(name) => {
                for pair in
                    query(&message.target).unwrap_or_default().split(|byte| matches!(byte, b'&' | b';'))
                {
                    let at = memchr::memchr(b'=', pair);
                    if let Some(at) = at.filter(|at| &pair[..*at] == name.as_bytes())
                        && found(text(&pair[at + 1..]))
                    {
                        return;
                    }
                }
            }
            Self::Field { name, whole, number } => {
                let values = || {
                    let values = message.all(name.as_bytes());
                    let (whole_ones, parts): (bool, _) = (*whole, values);
                    parts.flat_map(move |value| elements(value, whole_ones))
                };
                match number {
                    None => {
                        for value in values() {
                            if found(text(value)) {
                                return;
                            }
                        }
                    }
                    Some(number) => {
                        let index = usize::try_from(number.unsigned_abs() - 1).unwrap_or(usize::MAX);
                        let all: Vec<_> = values().collect();
                        let value = if *number > 0 { all.get(index) } else { all.iter().rev().nth(index) };
                        if let Some(value) = value {
                            found(text(value));
                        }
                    }
                }
            }
            Self::FieldCount { name, whole } => {
                let count = message.all(name.as_bytes()).flat_map(|value| elements(value, *whole)).count();
                found(Value::Number(i64::try_from(count).unwrap_or(i64::MAX)));
            }
            Self::Cookie(name) => {
                for header in message.all(b"cookie") {
                    for pair in header.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
                        let value =
                            pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
                        if let Some(value) = value
                            && found(text(value))
                        {
                            return;
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// A target from its path on: without scheme and authority; nothing for `*` and an authority alone.
pub(super) fn path_query(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let authority = memchr::memmem::find(target, b"://").map_or(&b""[..], |at| &target[at + 3..]);
    &authority[authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len())..]
}

/// What stands behind `?`.
pub(super) fn query(target: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'?', target).map(|at| &target[at + 1..])
}

/// The elements of a field that is a list; all of it where it is `whole`. A comma in quotes parts nothing.
fn elements(value: &[u8], whole: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest.take()?;
        let mut quoted = false;
        let comma = value.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted && !whole
        });
        match comma {
            Some(at) => {
                rest = Some(&value[at + 1..]);
                Some(value[..at].trim_ascii())
            }
            None => Some(value.trim_ascii()),
        }
    })
}

impl Converter {
    fn read(name: &str, arguments: &[String]) -> Result<Self, String> {
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

    fn apply<'a>(&self, value: Value<'a>) -> Option<Value<'a>> {
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
