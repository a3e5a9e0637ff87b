//! What rules look at: HAProxy's sample fetches (manual, 7.3), as far as they are known here, with converters.

use std::{borrow::Cow, net::IpAddr};

use super::{
    Context, Scope,
    action::Side,
    converter::Converter,
    fetch::Fetch,
    keywords::{FETCHES, refusal, unknown},
    words::call,
};

/// What is looked at, and what is made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(super) fetch: Fetch,
    pub(super) converters: Vec<Converter>,
}

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    Number(i64),
    Address(IpAddr),
    Flag(bool),
}

impl Value<'_> {
    /// The same, apart from what it was found in.
    pub(super) fn kept(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Value::Number(number),
            Self::Address(address) => Value::Address(address),
            Self::Flag(flag) => Value::Flag(flag),
        }
    }

    /// As a number: of text what it begins with; `None`: it is none.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Flag(flag) => Some((*flag).into()),
            Self::Address(address) => match address.to_canonical() {
                IpAddr::V4(address) => Some(address.to_bits().into()),
                IpAddr::V6(_) => None,
            },
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => {
                let (sign, digits) = match text.split_first() {
                    Some((b'-', digits)) => (-1, digits),
                    Some((b'+', digits)) => (1, digits),
                    _ => (1, &text[..]),
                };
                let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
                Some(digits.fold(0_i64, |number, digit| {
                    number.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0'))
                }))
            }
        }
    }

    /// As it stands in a line.
    pub(crate) fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Address(address) => Cow::Owned(address.to_canonical().to_string().into_bytes()),
            Self::Flag(flag) => Cow::Borrowed(if *flag { b"1" } else { b"0" }),
        }
    }
}

/// Whose names may say in their ending how they are compared, as `path_beg` does.
const TEXTS: &[&str] = &["base", "cook", "hdr", "path", "shdr", "url", "urlp"];
const FIELDS: &[&str] = &["hdr", "req.hdr", "res.hdr", "shdr"];

/// How a criterion's name ends, how that is compared, and whose name ends so (HAProxy: `haproxy -dKall`).
const SUFFIXES: [(&str, &str, &[&str]); 13] = [
    ("_beg", "beg", TEXTS),
    ("_end", "end", TEXTS),
    ("_sub", "sub", TEXTS),
    ("_dir", "dir", TEXTS),
    ("_dom", "dom", TEXTS),
    ("_reg", "reg", TEXTS),
    ("_len", "len", TEXTS),
    ("_cnt", "cnt", FIELDS),
    ("_cnt", "cnt", &["req.fhdr", "res.fhdr"]),
    ("_ip", "ip", FIELDS),
    ("_val", "int", FIELDS),
    ("_val", "int", &["cook", "req.cook"]),
    ("_val", "int", &["urlp"]),
];

impl Sample {
    /// Reads `hdr(host),lower`; the second is how it is compared where its name says so, as `path_beg` does.
    pub(super) fn read(text: &str) -> Result<(Self, Option<&'static str>), String> {
        let (name, arguments, mut rest) = call(text)?;
        let (mut fetch, mut method) = (Fetch::read(name, &arguments)?, None);
        if let (None, Some((base, word))) = (&fetch, Self::derived(name)) {
            (fetch, method) = (Fetch::read(base, &arguments)?, Some(word));
        }
        let Some(mut fetch) = fetch else {
            return Err(match refusal(FETCHES, name) {
                Some(why) => format!("sample fetch '{name}' is not supported: {why}"),
                None => unknown(FETCHES, name, "sample fetch"),
            });
        };
        if method == Some("cnt") {
            let Fetch::Field { of, name, whole, .. } = fetch else {
                return Err(format!("'{name}' can't be counted"));
            };
            (fetch, method) = (Fetch::FieldCount { of, name, whole }, None);
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

    /// `path_beg` is `path`, compared by `beg`.
    pub(super) fn derived(name: &str) -> Option<(&str, &'static str)> {
        SUFFIXES.iter().find_map(|(suffix, word, bases)| {
            let base = name.strip_suffix(suffix)?;
            bases.contains(&base).then_some((base, *word))
        })
    }

    /// A field is the request's.
    pub(super) fn of_request(&mut self) {
        if let Fetch::Field { of, .. } | Fetch::FieldCount { of, .. } = &mut self.fetch {
            *of = Some(Side::Request);
        }
    }

    /// Why rules of this side can't have it, where they stand.
    pub(super) fn check(&self, side: Side, scope: Scope<'_>) -> Result<(), String> {
        match (&self.fetch, self.fetch.needs()) {
            (_, Some(needed)) if needed != side => Err(match needed {
                Side::Request => "what is looked at is known of a request only: keep it for the response, such as `http-request set-var(txn.path) path`",
                Side::Response => "what is looked at is known of a response only",
            }
            .into()),
            _ => self.check_names(scope),
        }
    }

    /// Whom it names that is not there.
    fn check_names(&self, scope: Scope<'_>) -> Result<(), String> {
        match &self.fetch {
            Fetch::Farm(question) => question.check(scope),
            _ => Ok(()),
        }
    }

    /// Why a line of the log can't have it.
    pub(super) fn check_at_end(&self, scope: Scope<'_>) -> Result<(), String> {
        match &self.fetch {
            Fetch::Status => Err("the status stands in a line as %ST".into()),
            fetch if !fetch.lasts() => Err("what is looked at is not there any more when the line is written: keep it, by `http-request capture` or `http-request set-var(txn.NAME) …`, and write %[capture.req.hdr(0)] or %[var(txn.NAME)]".into()),
            _ => self.check_names(scope),
        }
    }

    /// Whether rules have kept it.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.fetch, Fetch::Variable(_) | Fetch::Captured(..) | Fetch::UniqueId)
    }

    /// Whether it is a number by itself.
    pub(super) fn is_number(&self) -> bool {
        let counts = matches!(
            self.fetch,
            Fetch::Number(_)
                | Fetch::FieldCount { .. }
                | Fetch::SourcePort
                | Fetch::DestinationPort
                | Fetch::Status
        ) || matches!(&self.fetch, Fetch::Farm(question) if question.is_number());
        self.converters.last().map_or(counts, Converter::counts)
    }

    pub(super) fn is_address(&self) -> bool {
        matches!(self.fetch, Fetch::Source | Fetch::Destination)
            && self.converters.iter().all(|converter| matches!(converter, Converter::Mask(..)))
    }

    pub(super) fn is_flag(&self) -> bool {
        let is_flag = matches!(self.fetch, Fetch::Flag(_) | Fetch::First)
            || matches!(&self.fetch, Fetch::Farm(question) if question.is_flag());
        self.converters.last().map_or(is_flag, Converter::is_flag)
    }

    /// The one value, where there is one.
    pub(crate) fn value<'c>(&self, context: &'c Context<'_>) -> Option<Value<'c>> {
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
            let converted = self
                .converters
                .iter()
                .try_fold(value, |value, converter| converter.apply(value, &context.memory.variables));
            converted.is_some_and(&mut *found)
        });
    }
}
