//! A change of a head.

use std::sync::Arc;

use super::{
    format::Format,
    message::{Message, is_kept},
    pattern::Regex,
};

/// A change of the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Edit {
    Set {
        name: Arc<str>,
        value: Format,
    },
    Add {
        name: Arc<str>,
        value: Format,
    },
    Delete(Names),
    /// The values of fields of this name; each element of a list by itself unless `whole`.
    Replace {
        name: Arc<str>,
        regex: Regex,
        by: Format,
        whole: bool,
    },
    Target(Part, Format),
    ReplaceTarget {
        part: Part,
        regex: Regex,
        by: Format,
    },
    Method(Format),
    Status(u16, Option<Arc<str>>),
}

/// Names of fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Names {
    Is(Arc<str>),
    Begins(Arc<str>),
    Ends(Arc<str>),
    Has(Arc<str>),
    Matches(Regex),
}

/// A part of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Whole,
    Path,
    PathQuery,
    Query,
}

impl Edit {
    /// Changes the head; `text` is what is put in. False: it may not be changed so.
    pub(super) fn apply(&self, message: &mut Message, text: Vec<u8>) -> bool {
        match self {
            Self::Set { name, .. } => {
                message.remove(|field| field.eq_ignore_ascii_case(name.as_bytes()));
                message.add(name.as_bytes(), text);
            }
            Self::Add { name, .. } => message.add(name.as_bytes(), text),
            Self::Delete(names) => message.remove(|field| names.are(field)),
            Self::Replace { name, regex, whole, .. } => {
                message.change(name.as_bytes(), |value| {
                    if *whole {
                        return regex.rewritten(value, &text);
                    }
                    let parts: Vec<Vec<u8>> = value
                        .split(|byte| *byte == b',')
                        .map(<[u8]>::trim_ascii)
                        .map(|part| regex.rewritten(part, &text).unwrap_or_else(|| part.to_vec()))
                        .collect();
                    Some(parts.join(&b", "[..]))
                });
            }
            Self::Target(part, _) => part.set(message, &text),
            Self::ReplaceTarget { part, regex, .. } => {
                if let Some(changed) = regex.rewritten(&part.of(message), &text) {
                    part.set(message, &changed);
                }
            }
            Self::Method(_) => {
                // The client reads the answer by the method that it has sent.
                if decides_answers_end(&message.method) || decides_answers_end(&text) {
                    return false;
                }
                message.method = text;
                message.is_edited = true;
            }
            // The body that the server sends, or does not send, is there by its own status.
            Self::Status(status, _) if has_body(*status) != has_body(message.status) => return false,
            Self::Status(status, reason) => {
                message.status = *status;
                message.reason = reason.as_ref().map_or_else(
                    || super::answer::reason(*status).as_bytes().to_vec(),
                    |reason| reason.as_bytes().to_vec(),
                );
                message.is_edited = true;
            }
        }
        true
    }

    /// What is put in.
    pub(super) fn format(&self) -> Option<&Format> {
        match self {
            Self::Set { value, .. } | Self::Add { value, .. } => Some(value),
            Self::Replace { by, .. } | Self::ReplaceTarget { by, .. } => Some(by),
            Self::Target(_, format) | Self::Method(format) => Some(format),
            Self::Delete(_) | Self::Status(..) => None,
        }
    }
}

impl Part {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "path" => Self::Path,
            "pathq" => Self::PathQuery,
            "query" => Self::Query,
            _ => Self::Whole,
        }
    }

    /// Where it lies in the target.
    fn range(self, target: &[u8]) -> std::ops::Range<usize> {
        let start = target.len() - super::fetch::path_query(target).len();
        let query = memchr::memchr(b'?', &target[start..]).map_or(target.len(), |at| start + at);
        match self {
            Self::Whole => 0..target.len(),
            Self::Path => start..query,
            Self::PathQuery => start..target.len(),
            Self::Query => (query + 1).min(target.len())..target.len(),
        }
    }

    fn of(self, message: &Message) -> Vec<u8> {
        message.target[self.range(&message.target)].to_vec()
    }

    fn set(self, message: &mut Message, value: &[u8]) {
        let range = self.range(&message.target);
        let needs_mark = self == Self::Query && !message.target.contains(&b'?') && !value.is_empty();
        let mark: &[u8] = if needs_mark { b"?" } else { b"" };
        message.target.splice(range, mark.iter().chain(value).copied());
        message.is_edited = true;
    }
}

impl Names {
    pub(super) fn read(arguments: &[String]) -> Result<Self, String> {
        let (name, method) = match arguments {
            [name] => (name.as_str(), "str"),
            [name, flag, method] if flag == "-m" => (name.as_str(), method.as_str()),
            _ => return Err(
                "'del-header' expects a header's name, and '-m' with str, beg, end, sub or reg or nothing"
                    .into(),
            ),
        };
        Ok(match method {
            "str" => Self::Is(field_name(name)?),
            "beg" => Self::Begins(name.to_ascii_lowercase().into()),
            "end" => Self::Ends(name.to_ascii_lowercase().into()),
            "sub" => Self::Has(name.to_ascii_lowercase().into()),
            "reg" => Self::Matches(Regex::new(name, true)?),
            other => {
                return Err(format!("'-m {other}' is not known here: expected str, beg, end, sub or reg"));
            }
        })
    }

    pub(super) fn are(&self, name: &[u8]) -> bool {
        let name = name.to_ascii_lowercase();
        match self {
            Self::Is(wanted) => name.eq_ignore_ascii_case(wanted.as_bytes()),
            Self::Begins(wanted) => name.starts_with(wanted.as_bytes()),
            Self::Ends(wanted) => name.ends_with(wanted.as_bytes()),
            Self::Has(wanted) => memchr::memmem::find(&name, wanted.as_bytes()).is_some(),
            Self::Matches(regex) => regex.matches(&name),
        }
    }
}

/// Whether an answer to this method ends otherwise than its head says. One that is no token is not let in either.
fn decides_answers_end(method: &[u8]) -> bool {
    let word = method.split(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(word, b"HEAD" | b"CONNECT")
}

/// Whether an answer of this status has a body, be it an empty one.
const fn has_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// The name of a field that rules may touch.
pub(super) fn field_name(name: &str) -> Result<Arc<str>, String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("'{name}' is no header's name"));
    }
    if is_kept(name.as_bytes()) {
        return Err(format!(
            "'{name}' says how a message ends or what becomes of its connection, which is not for rules"
        ));
    }
    Ok(name.into())
}
