//! What a rule does.

use std::sync::Arc;

use super::{
    Context,
    answer::Reply,
    capture::Capture,
    edit::{Edit, Names, Part, field_name},
    format::Format,
    keywords::{ACTIONS, refusal},
    pattern::Regex,
    redirect::Redirect,
    returned::Return,
    sample::{Sample, Value},
    variable::Name,
    words::call,
};
use crate::config::Level;

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
    /// The request's line in the log.
    Log(LineLevel),
    Edit(Edit),
    /// What is looked at is kept under this name.
    Keep(Name, Kept),
    /// What is looked at is put at a declared place.
    Capture(Capture),
    /// `return`, `deny` or `tarpit`.
    Return(Return),
    /// A response is kept back.
    Withhold,
    Redirect(Redirect),
    /// Numbers for Prometheus.
    Metrics,
}

/// What a rule makes of a request's line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineLevel {
    /// There is none.
    Silent,
    /// It is as urgent as that.
    Of(Level),
}

impl LineLevel {
    fn read(word: &str) -> Option<Self> {
        if word == "silent" { Some(Self::Silent) } else { Level::named(word).map(Self::Of) }
    }
}

/// What a variable is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// What was kept goes.
    Nothing,
    Sample(Sample),
    Text(Format),
}

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
            "set-log-level" => {
                let level = one("a level's name or 'silent'")?;
                Self::Log(LineLevel::read(level).ok_or_else(|| {
                    format!("'{level}' is no level: expected emerg, alert, crit, err, warning, notice, info, debug or silent")
                })?)
            }
            keeps if keeps.starts_with("set-var") || keeps.starts_with("unset-var") => {
                keep(keeps, arguments, of_request)?
            }
            "capture" => Self::Capture(Capture::read(side, arguments)?),
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
            "deny" if !of_request => match arguments {
                [] => Self::Withhold,
                [word, status] if matches!(word.as_str(), "status" | "deny_status") && status == "502" => {
                    Self::Withhold
                }
                _ => return Err("a response that is kept back is answered 502: write 'deny' alone".into()),
            },
            "deny" | "tarpit" if of_request => Self::Return(Return::refusal(arguments, name == "tarpit")?),
            "return" if of_request => Self::Return(Return::read(arguments)?),
            "redirect" if of_request => Self::Redirect(Redirect::read(arguments)?),
            "use-service" if of_request && arguments == ["prometheus-exporter"] => Self::Metrics,
            "use-service" if of_request => {
                return Err("'use-service' is only known with 'prometheus-exporter'".into());
            }
            other => return Err(no_action(side, other)),
        })
    }

    /// All that it looks at.
    pub(super) fn samples(&self) -> Vec<&Sample> {
        match self {
            Self::Edit(edit) => edit.format().into_iter().flat_map(Format::samples).collect(),
            Self::Keep(_, Kept::Sample(sample)) => vec![sample],
            Self::Capture(capture) => vec![&capture.sample],
            Self::Keep(_, Kept::Text(text)) => text.samples().collect(),
            Self::Return(answer) => answer.samples().collect(),
            Self::Redirect(redirect) => redirect.samples().collect(),
            Self::Allow | Self::Log(_) | Self::Withhold | Self::Metrics | Self::Keep(_, Kept::Nothing) => {
                Vec::new()
            }
        }
    }

    /// How it answers a request; `own` is what the proxy answers with a status.
    pub(super) fn reply(&self, context: &Context<'_>, own: impl Fn(u16) -> Option<Reply>) -> Option<Reply> {
        match self {
            Self::Return(answer) => Some(answer.reply(context, own)),
            Self::Redirect(redirect) => Some(redirect.reply(context)),
            Self::Allow
            | Self::Log(_)
            | Self::Edit(_)
            | Self::Keep(..)
            | Self::Capture(_)
            | Self::Metrics
            | Self::Withhold => None,
        }
    }
}

/// What is said of an action that there is not.
fn no_action(side: Side, name: &str) -> String {
    if let Some(why) = refusal(ACTIONS, name) {
        return format!("action '{name}' is not supported: {why}");
    }
    let letter = if side == Side::Request { 'q' } else { 's' };
    let known = ACTIONS.iter().filter(|action| action.directives.contains(letter));
    let known: Vec<_> = known.map(|action| action.name).collect();
    format!("action '{name}' is not known: expected one of {}", known.join(", "))
}

impl Kept {
    /// The value, where there is one.
    pub(super) fn value(&self, context: &Context<'_>) -> Option<Value<'static>> {
        match self {
            Self::Nothing => None,
            Self::Sample(sample) => sample.value(context).map(Value::kept),
            Self::Text(text) => Some(Value::Text(text.text(context).into())),
        }
    }
}

/// `set-var(txn.path) path`, `set-var-fmt(txn.path) "…%[path]"`, `unset-var(txn.path)`
fn keep(action: &str, arguments: &[String], of_request: bool) -> Result<Action, String> {
    let (word, names, rest) = call(action)?;
    let ([name], "") = (names.as_slice(), rest) else {
        return Err(format!("'{word}' expects a variable's name in parentheses, such as {word}(txn.path)"));
    };
    let name = Name::read(name)?;
    let elsewhere =
        if of_request { name.is_of_response() } else { name.is_of_session() || name.is_of_request() };
    if elsewhere {
        return Err("variables of sess and req are set by 'http-request', those of res by 'http-response', those of txn by both".into());
    }
    let kept = match (word, arguments) {
        ("set-var", [expression]) => {
            let (sample, None) = Sample::read(expression)? else {
                return Err(format!("'{expression}' compares a value: expected one alone, such as path"));
            };
            Kept::Sample(sample)
        }
        ("set-var-fmt", [text]) => Kept::Text(Format::read(text)?),
        ("unset-var", []) => Kept::Nothing,
        _ => return Err(format!("'{word}' expects one expression, 'unset-var' none")),
    };
    Ok(Action::Keep(name, kept))
}
