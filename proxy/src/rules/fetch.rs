//! One sample fetch: where a value is found.

use std::{borrow::Cow, sync::Arc};

use super::{Context, Slots, action::Side, alias::Portion, farm::Question, sample::Value, variable::Name};

/// One sample fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fetch {
    Flag(bool),
    Text(Arc<str>),
    Number(i64),
    Method,
    /// The target as it is.
    Target,
    /// A part of the request line, before rules, wherever it is asked for.
    Line(Portion),
    /// Path and query of it.
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
    /// The server's name that has answered.
    Server,
    UniqueId,
    /// What the proxy around knows.
    Farm(Question),
    /// What was captured at this place.
    Captured(Side, usize),
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
            Self::Status | Self::Server | Self::Captured(Side::Response, _) => Some(Side::Response),
            Self::Variable(name) if name.is_of_request() => Some(Side::Request),
            Self::Variable(name) if name.is_of_response() => Some(Side::Response),
            _ => None,
        }
    }

    /// Whether it is there when the request is over.
    pub(super) fn lasts(&self) -> bool {
        match self {
            Self::Variable(name) => !name.is_of_request(),
            Self::Server | Self::Captured(..) => true,
            other => {
                other.needs().is_none() && !matches!(other, Self::Field { .. } | Self::FieldCount { .. })
            }
        }
    }

    /// `None`: there is no such fetch.
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Option<Self>, String> {
        let name_of = |what: &str| match arguments {
            [only, ..] if !only.is_empty() => Ok(Arc::<str>::from(only.as_str())),
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
            "always_false" | "ssl_fc" | "ssl_bc" => Self::Flag(false),
            "hostname" => {
                let name = rustix::system::uname();
                Self::Text(name.nodename().to_string_lossy().into_owned().into())
            }
            // It does not change while the process runs.
            "env" => Self::Text(std::env::var(&*name_of("a variable's name")?).unwrap_or_default().into()),
            "bool" => Self::Flag(matches!(arguments, [only] if only == "1" || only == "true")),
            "str" => Self::Text(arguments.first().map_or("", String::as_str).into()),
            "int" => {
                let text = arguments.first().map_or("", String::as_str);
                Self::Number(text.parse().map_err(|_| format!("'int' expects a number (got '{text}')"))?)
            }
            "method" => Self::Method,
            "capture.req.method" => Self::Line(Portion::Method),
            "capture.req.ver" => Self::Line(Portion::Version),
            "capture.req.hdr" | "capture.res.hdr" => {
                let side = if name == "capture.req.hdr" { Side::Request } else { Side::Response };
                let place = name_of("the number of a capture, from 0,")?.parse();
                Self::Captured(side, place.map_err(|_| format!("'{name}' expects a number in parentheses"))?)
            }
            "url" => Self::Target,
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
            "srv_name" => Self::Server,
            "unique-id" => Self::UniqueId,
            "var" => Self::Variable(Name::read(&name_of("a variable's name")?)?),
            "http_first_req" => Self::First,
            "status" => Self::Status,
            other => return Ok(Question::read(other, arguments)?.map(Self::Farm)),
        }))
    }

    pub(super) fn each<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
        if let Self::Parameter(_) | Self::Field { .. } | Self::FieldCount { .. } | Self::Cookie(_) = self {
            return self.each_of_many(context, found);
        }
        let value = self.of_head(context).or_else(|| self.of_surroundings(context));
        if let Some(value) = value {
            found(value);
        }
    }

    /// Of what a head has one of.
    fn of_head<'c>(&self, context: &'c Context<'_>) -> Option<Value<'c>> {
        let message = context.message;
        let text = |bytes: &'c [u8]| Some(Value::Text(Cow::Borrowed(bytes)));
        let path = || {
            let path = path_query(&message.target);
            &path[..memchr::memchr(b'?', path).unwrap_or(path.len())]
        };
        match self {
            Self::Method => text(context.method),
            Self::Target => text(&message.target).filter(|_| !message.target.is_empty()),
            Self::Path => text(path()).filter(|_| !path().is_empty()),
            Self::PathQuery => {
                text(path_query(&message.target)).filter(|_| !path_query(&message.target).is_empty())
            }
            Self::Query => text(query(&message.target)?),
            Self::Base => {
                let mut base = message.last(b"host").unwrap_or_default().to_vec();
                base.extend_from_slice(path());
                Some(Value::Text(Cow::Owned(base)))
            }
            Self::Version => text(message.version.strip_prefix(b"HTTP/").unwrap_or(&message.version)),
            Self::Status => Some(Value::Number(context.status?.into())),
            _ => None,
        }
    }

    /// Of what is known of a request beside its head.
    fn of_surroundings<'c>(&self, context: &'c Context<'_>) -> Option<Value<'c>> {
        let origin = context.origin;
        let text = |bytes: &'c [u8]| Some(Value::Text(Cow::Borrowed(bytes)));
        match self {
            Self::Flag(flag) => Some(Value::Flag(*flag)),
            Self::Text(fixed) => Some(Value::Text(Cow::Owned(fixed.as_bytes().to_vec()))),
            Self::Number(number) => Some(Value::Number(*number)),
            Self::Line(portion) => text(portion.of(origin.line)?),
            Self::Asked => text(path_query(Portion::Target.of(origin.line)?)),
            Self::Source => Some(Value::Address(origin.client.ip())),
            Self::SourcePort => Some(Value::Number(origin.client.port().into())),
            Self::Destination => Some(Value::Address(origin.destination.ip())),
            Self::DestinationPort => Some(Value::Number(origin.destination.port().into())),
            Self::Frontend => text(origin.frontend.as_bytes()),
            Self::Backend => text(origin.backend.as_bytes()),
            Self::Server => text(origin.server?.as_bytes()),
            Self::UniqueId => text(origin.unique_id?),
            Self::Farm(question) => question.answer(context),
            Self::Captured(side, place) => {
                let Slots { request, response } = &context.memory.slots;
                let of = if *side == Side::Request { request } else { response };
                text(of.value(*place).filter(|value| !value.is_empty())?)
            }
            Self::Variable(name) => context.memory.variables.value(name),
            Self::First => Some(Value::Flag(origin.is_first)),
            _ => None,
        }
    }

    /// Of what a head may have several of.
    fn each_of_many<'c>(&self, context: &'c Context<'_>, found: &mut dyn FnMut(Value<'c>) -> bool) {
        let message = context.message;
        let text = |bytes: &'c [u8]| Value::Text(Cow::Borrowed(bytes));
        match self {
            Self::Parameter(name) => {
                for pair in query(&message.target)
                    .unwrap_or_default()
                    .split(|byte| matches!(byte, b'&' | b';' | b'?'))
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
