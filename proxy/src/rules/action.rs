//! What a rule does.

use std::sync::Arc;

use super::{
    Context,
    answer::{Redirect, RedirectTo, Reply, Return, has_text},
    edit::{Edit, Names, Part, field_name},
    format::Format,
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
