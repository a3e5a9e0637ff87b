//! One sample fetch: where a value is found.

use std::{borrow::Cow, sync::Arc};

use super::{Context, action::Side, sample::Value, variable::Name};

/// One sample fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fetch {
    Flag(bool),
    Text(Arc<str>),
    Number(i64),
    Method,
    /// The target as it is.
    Target,
    /// The target of the request, before rules, wherever it is asked for.
    Asked,
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
        /// Whose head it stands in; `None`: the one that the rule is about.
        of: Option<Side>,
        name: Arc<str>,
        whole: bool,
        number: Option<i64>,
    },
    FieldCount {
        of: Option<Side>,
        name: Arc<str>,
        whole: bool,
    },
    Cookie(Arc<str>),
    Source,
    SourcePort,
    Destination,
    DestinationPort,
    Frontend,
    Backend,
    /// Servers of a backend that are usable; `None`: of the rule's own.
    Usable(Option<Arc<str>>),
    Status,
    Variable(Name),
    /// Whether it is the first request of its connection.
    First,
}

impl Fetch {
    /// Whose head must be there for it; `None`: any is enough.
    pub(super) fn needs(&self) -> Option<Side> {
        match self {
            Self::Target
            | Self::Path
            | Self::PathQuery
            | Self::Query
            | Self::Parameter(_)
            | Self::Base
            | Self::Version
            | Self::Cookie(_) => Some(Side::Request),
            Self::Field { of, .. } | Self::FieldCount { of, .. } => *of,
            Self::Status => Some(Side::Response),
            Self::Variable(name) if name.is_of_request() => Some(Side::Request),
            Self::Variable(name) if name.is_of_response() => Some(Side::Response),
            _ => None,
        }
    }

    /// `None`: there is no such fetch.
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Option<Self>, String> {
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
            "url" | "uri" => Self::Target,
            "capture.req.uri" => Self::Asked,
            "path" => Self::Path,
            "pathq" => Self::PathQuery,
            "query" => Self::Query,
            "url_param" | "urlp" => Self::Parameter(name_of("a parameter's name")?),
            "base" => Self::Base,
            "req.ver" | "req_ver" => Self::Version,
            "hdr" | "req.hdr" | "res.hdr" | "shdr" | "req.fhdr" | "res.fhdr" => {
                let of = match name {
                    "hdr" => None,
                    "req.hdr" | "req.fhdr" => Some(Side::Request),
                    _ => Some(Side::Response),
                };
                let whole = name.ends_with("fhdr");
                Self::Field { of, name: name_of("a header's name")?, whole, number: number()? }
            }
            "cook" | "req.cook" => Self::Cookie(name_of("a cookie's name")?),
            "src" => Self::Source,
            "src_port" => Self::SourcePort,
            "dst" => Self::Destination,
            "dst_port" => Self::DestinationPort,
            "fe_name" => Self::Frontend,
            "be_name" => Self::Backend,
            "nbsrv" => Self::Usable(arguments.first().map(|name| name.as_str().into())),
            "var" => Self::Variable(Name::read(&name_of("a variable's name")?)?),
            "http_first_req" => Self::First,
            "status" => Self::Status,
            _ => return Ok(None),
        }))
    }

    pub(super) fn each<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
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
            Self::Asked => {
                found(text(context.origin.target));
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
                found(Value::Address(context.origin.client.ip()));
            }
            Self::SourcePort => {
                found(Value::Number(context.origin.client.port().into()));
            }
            Self::Destination => {
                found(Value::Address(context.origin.destination.ip()));
            }
            Self::DestinationPort => {
                found(Value::Number(context.origin.destination.port().into()));
            }
            Self::Frontend => {
                found(text(context.origin.frontend.as_bytes()));
            }
            Self::Backend => {
                found(text(context.origin.backend.as_bytes()));
            }
            Self::Usable(name) => {
                let name = name.as_deref().unwrap_or(context.origin.backend);
                if let Some(count) = (context.origin.usable)(name) {
                    found(Value::Number(count.into()));
                }
            }
            Self::Variable(name) => {
                if let Some(value) = context.variables.value(name) {
                    found(value);
                }
            }
            Self::First => {
                found(Value::Flag(context.origin.is_first));
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
            Self::Field { name, whole, number, .. } => {
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
            Self::FieldCount { name, whole, .. } => {
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
