//! What a rule does.

use std::sync::Arc;

use super::{
    Context,
    answer::{Redirect, RedirectTo, Reply, Return, has_text},
    format::Format,
    message::{Message, is_kept},
    pattern::Regex,
};

/// Whose head a rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Request,
    Response,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The rules behind it are not looked at.
    Allow,
    /// No line in the log.
    Silence,
    Edit(Edit),
    /// A refusal with HAProxy's text; the client waits first where it is to be held.
    Deny {
        status: u16,
        is_delayed: bool,
    },
    Return(Return),
    Redirect(Redirect),
}

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

const REQUEST: &str = "add-header, allow, del-header, deny, redirect, replace-header, replace-path, replace-pathq, replace-uri, replace-value, return, set-header, set-log-level silent, set-method, set-path, set-pathq, set-query, set-uri or tarpit";
const RESPONSE: &str = "add-header, allow, del-header, deny, replace-header, replace-value, set-header, set-log-level silent or set-status";

impl Action {
    /// The words of an action, without its condition.
    pub(super) fn read(side: Side, words: &[String]) -> Result<Self, String> {
        let (name, arguments) = words.split_first().ok_or("an action is missing")?;
        let of_request = side == Side::Request;
        let two = |what: &str| match arguments {
            [first, second] => Ok((first.as_str(), second.as_str())),
            _ => Err(format!("'{name}' expects {what}")),
        };
        let one = |what: &str| match arguments {
            [only] => Ok(only.as_str()),
            _ => Err(format!("'{name}' expects {what}")),
        };
        Ok(match name.as_str() {
            "allow" if arguments.is_empty() => Self::Allow,
            "set-log-level" if arguments == ["silent"] => Self::Silence,
            "set-log-level" => return Err("'set-log-level' is only known with 'silent'".into()),
            "set-header" | "add-header" => {
                let (field, value) = two("a header's name and a value")?;
                let (name_of, value) = (field_name(field)?, Format::read(value)?);
                Self::Edit(if name == "set-header" {
                    Edit::Set { name: name_of, value }
                } else {
                    Edit::Add { name: name_of, value }
                })
            }
            "del-header" => Self::Edit(Edit::Delete(Names::read(arguments)?)),
            "replace-header" | "replace-value" => {
                let [field, regex, by] = arguments else {
                    return Err(format!(
                        "'{name}' expects a header's name, a regular expression and a format"
                    ));
                };
                Self::Edit(Edit::Replace {
                    name: field_name(field)?,
                    regex: Regex::new(regex, false)?,
                    by: Format::read(by)?,
                    whole: name == "replace-header",
                })
            }
            "set-method" if of_request => Self::Edit(Edit::Method(Format::read(one("a method")?)?)),
            "set-path" | "set-pathq" | "set-query" | "set-uri" if of_request => {
                Self::Edit(Edit::Target(Part::named(&name[4..]), Format::read(one("a format")?)?))
            }
            "replace-path" | "replace-pathq" | "replace-uri" if of_request => {
                let (regex, by) = two("a regular expression and a format")?;
                let (regex, by) = (Regex::new(regex, false)?, Format::read(by)?);
                Self::Edit(Edit::ReplaceTarget { part: Part::named(&name[8..]), regex, by })
            }
            "set-status" if !of_request => {
                let (status, rest) = arguments.split_first().ok_or("'set-status' expects a status")?;
                let status = status.parse().ok().filter(|status| (200..=999).contains(status));
                let status = status.ok_or("'set-status' expects a status from 200 to 999")?;
                let reason = match rest {
                    [] => None,
                    [word, reason] if word == "reason" => Some(Arc::from(reason.as_str())),
                    _ => {
                        return Err(
                            "'set-status' expects a status, and 'reason' with a text or nothing".into()
                        );
                    }
                };
                Self::Edit(Edit::Status(status, reason))
            }
            "deny" | "tarpit" => {
                let is_delayed = name == "tarpit";
                let standard = if of_request { if is_delayed { 500 } else { 403 } } else { 502 };
                deny(arguments, standard, is_delayed)?
            }
            "return" if of_request => Self::Return(returned(arguments)?),
            "redirect" if of_request => Self::Redirect(redirect(arguments)?),
            _ => {
                let known = if of_request { REQUEST } else { RESPONSE };
                return Err(format!("action '{name}' is not known here: expected {known}"));
            }
        })
    }

    /// Whether nothing behind it is done.
    pub(super) fn reply(&self, context: &Context<'_>) -> Option<Reply> {
        match self {
            Self::Deny { status, is_delayed } => {
                let cause = if *is_delayed { *b"PT" } else { *b"PR" };
                Some(Reply { is_delayed: *is_delayed, ..Reply::standard(*status, cause) })
            }
            Self::Return(answer) => Some(answer.reply(context)),
            Self::Redirect(redirect) => Some(redirect.reply(context)),
            Self::Allow | Self::Silence | Self::Edit(_) => None,
        }
    }
}

impl Edit {
    /// What it comes to for this request: the change itself.
    pub(super) fn apply(&self, message: &mut Message, context: impl Fn(&Message) -> Vec<u8>) {
        match self {
            Self::Set { name, .. } => {
                let value = context(message);
                message.remove(|field| field.eq_ignore_ascii_case(name.as_bytes()));
                message.add(name.as_bytes(), value);
            }
            Self::Add { name, .. } => {
                let value = context(message);
                message.add(name.as_bytes(), value);
            }
            Self::Delete(names) => message.remove(|field| names.are(field)),
            Self::Replace { name, regex, whole, .. } => {
                let by = context(message);
                message.change(name.as_bytes(), |value| {
                    if *whole {
                        return regex.rewritten(value, &by);
                    }
                    let parts: Vec<Vec<u8>> = value
                        .split(|byte| *byte == b',')
                        .map(<[u8]>::trim_ascii)
                        .map(|part| regex.rewritten(part, &by).unwrap_or_else(|| part.to_vec()))
                        .collect();
                    Some(parts.join(&b", "[..]))
                });
            }
            Self::Target(part, _) => {
                let value = context(message);
                part.set(message, &value);
            }
            Self::ReplaceTarget { part, regex, .. } => {
                let by = context(message);
                if let Some(changed) = regex.rewritten(&part.of(message), &by) {
                    part.set(message, &changed);
                }
            }
            Self::Method(_) => {
                let method = context(message);
                // The client reads the answer by the method that it has sent.
                if decides_answers_end(&message.method) || decides_answers_end(&method) {
                    return;
                }
                message.method = method;
                message.is_edited = true;
            }
            // The body that the server sends, or does not send, is there by its own status.
            Self::Status(status, _) if has_body(*status) != has_body(message.status) => {}
            Self::Status(status, reason) => {
                message.status = *status;
                message.reason = reason.as_ref().map_or_else(
                    || super::answer::reason(*status).as_bytes().to_vec(),
                    |reason| reason.as_bytes().to_vec(),
                );
                message.is_edited = true;
            }
        }
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
    fn named(name: &str) -> Self {
        match name {
            "path" => Self::Path,
            "pathq" => Self::PathQuery,
            "query" => Self::Query,
            _ => Self::Whole,
        }
    }

    /// Where it lies in the target.
    fn range(self, target: &[u8]) -> std::ops::Range<usize> {
        let start = target.len() - super::sample::path_query(target).len();
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
    fn read(arguments: &[String]) -> Result<Self, String> {
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

    fn are(&self, name: &[u8]) -> bool {
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
fn field_name(name: &str) -> Result<Arc<str>, String> {
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

/// `deny [deny_status N]`
fn deny(arguments: &[String], standard: u16, is_delayed: bool) -> Result<Action, String> {
    let status = match arguments {
        [] => standard,
        [word, status] if word == "deny_status" || word == "status" => {
            let status = status.parse().ok().filter(|status| has_text(*status));
            status.ok_or("the status of a refusal is one of 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 425, 429 and 500 to 504")?
        }
        [word, ..] => {
            return Err(format!(
                "'{word}' is not known here behind 'deny': expected 'deny_status' and a status"
            ));
        }
    };
    Ok(Action::Deny { status, is_delayed })
}

/// `return [status N] [content-type T] [string S | lf-string F | file P | lf-file P] [hdr NAME F]…`
fn returned(arguments: &[String]) -> Result<Return, String> {
    let mut answer =
        Return { status: 200, content_type: None, body: None, fields: Vec::new(), cause: *b"LR" };
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut argument = || words.next().ok_or_else(|| format!("'{word}' expects an argument"));
        match word {
            "status" => {
                let status = argument()?.parse().ok().filter(|status| (200..=599).contains(status));
                answer.status = status.ok_or("'status' expects a number from 200 to 599")?;
            }
            "content-type" => answer.content_type = Some(argument()?.into()),
            "string" => answer.body = Some(Format::plain(argument()?)),
            "lf-string" => answer.body = Some(Format::read(argument()?)?),
            "file" | "lf-file" => {
                let path = argument()?;
                let text =
                    std::fs::read_to_string(path).map_err(|error| format!("can't read '{path}': {error}"))?;
                answer.body = Some(if word == "file" { Format::plain(&text) } else { Format::read(&text)? });
            }
            "hdr" => {
                let name = field_name(argument()?)?;
                answer.fields.push((name, Format::read(argument()?)?));
            }
            other => {
                return Err(format!(
                    "'{other}' is not known here behind 'return': expected status, content-type, string, lf-string, file, lf-file or hdr"
                ));
            }
        }
    }
    if answer.body.is_some() && answer.content_type.is_none() {
        return Err("'return' with a body expects 'content-type'".into());
    }
    Ok(answer)
}

/// `redirect {location | prefix | scheme} FORMAT [code N] [drop-query] [append-slash] [set-cookie C] [clear-cookie C]`
fn redirect(arguments: &[String]) -> Result<Redirect, String> {
    let mut target = None;
    let (mut status, mut drops_query, mut appends_slash, mut cookie) = (302, false, false, None);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut argument = || words.next().ok_or_else(|| format!("'{word}' expects an argument"));
        match word {
            "location" => target = Some((RedirectTo::Location, Format::read(argument()?)?)),
            "prefix" => target = Some((RedirectTo::Prefix, Format::read(argument()?)?)),
            "scheme" => target = Some((RedirectTo::Scheme, Format::read(argument()?)?)),
            "code" => {
                let code = argument()?.parse().ok();
                status = code
                    .filter(|code| [301, 302, 303, 307, 308].contains(code))
                    .ok_or("'code' expects 301, 302, 303, 307 or 308")?;
            }
            "drop-query" => drops_query = true,
            "append-slash" => appends_slash = true,
            "set-cookie" => cookie = Some(format!("{}; path=/;", argument()?)),
            "clear-cookie" => cookie = Some(format!("{}; path=/; Max-Age=0;", argument()?)),
            other => {
                return Err(format!(
                    "'{other}' is not known here behind 'redirect': expected location, prefix, scheme, code, drop-query, append-slash, set-cookie or clear-cookie"
                ));
            }
        }
    }
    let (kind, to) = target.ok_or("'redirect' expects 'location', 'prefix' or 'scheme'")?;
    Ok(Redirect { kind, to, status, drops_query, appends_slash, cookie })
}
