//! Rules on requests and responses: who is sent where, what is refused, what heads gain and lose.
//!
//! They are written in HAProxy's words, in a haproxy.cfg and in the TOML alike: `acl = ["static path_beg /static"]`,
//! `http_request = ["deny if !static { src 10.0.0.0/8 }"]`. Pure: a head and where it came from go in, a changed head or
//! an answer comes out.
//!
//! | | in order |
//! |---|---|
//! | request | the frontend's `monitor_uri`, `http_request`, `statistics`, `use_backend`; the backend's `http_request`, `statistics` |
//! | response | the backend's `http_response`, the frontend's; for all that clients get, the proxy's own answers too: the backend's `http_after_response`, the frontend's |
//!
//! A rule sees what those before it have changed. What comes out is read again like a client's own head, so no rule can
//! send what a client could not. Fields that say how a message ends are not for rules.

mod action;
mod answer;
mod condition;
mod converter;
mod edit;
mod fetch;
mod file;
mod format;
mod map;
mod message;
mod pattern;
mod read;
mod redirect;
mod returned;
mod sample;
mod statistics;
#[cfg(test)]
mod tests;
mod variable;
mod words;

use std::{net::SocketAddr, sync::Arc};

use self::{action::Action, condition::Condition, edit::Edit};

pub use self::{
    answer::{ErrorFile, Reply},
    message::Message,
    statistics::{Asked, Statistics},
    variable::Variables,
};

/// Where a message came from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
    /// The request's method: as the client sent it, and for a response as the request's rules left it.
    pub method: &'a [u8],
    /// Its target, likewise.
    pub target: &'a [u8],
    /// It is the first of its connection.
    pub is_first: bool,
    /// The frontend's name.
    pub frontend: &'a str,
    /// The backend's; the frontend's where none has been chosen so far.
    pub backend: &'a str,
    /// How many servers of the backend of this name are usable; `None`: it can't be told here.
    pub usable: &'a dyn Fn(&str) -> Option<u32>,
}

/// What rules look at.
#[derive(Clone, Copy)]
struct Context<'a> {
    message: &'a Message,
    origin: &'a Origin<'a>,
    variables: &'a Variables,
    /// The method that counts: of a request what rules have made of it.
    method: &'a [u8],
    /// Of a response.
    status: Option<u16>,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    action: Action,
    condition: Condition,
}

/// The rules of a frontend or a backend.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rules {
    request: Vec<Rule>,
    response: Vec<Rule>,
    after_response: Vec<Rule>,
    /// Backends by their place in the configuration.
    use_backend: Vec<(usize, Condition)>,
    monitor_uri: Option<Arc<str>>,
    monitor_fail: Vec<Condition>,
    statistics: Option<Arc<Statistics>>,
    error_files: Vec<(u16, ErrorFile)>,
}

/// What rules have decided on a request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// It is answered so, and goes nowhere.
    pub reply: Option<Reply>,
    /// The statistics are asked for, and it goes nowhere.
    pub statistics: Option<(Arc<Statistics>, Asked)>,
    /// It is in no log.
    pub is_silent: bool,
}

impl Verdict {
    /// Whether the request goes nowhere.
    pub fn is_final(&self) -> bool {
        self.reply.is_some() || self.statistics.is_some()
    }
}

impl Rules {
    /// Whether there is nothing to do for a request.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty()
            && self.use_backend.is_empty()
            && self.monitor_uri.is_none()
            && self.statistics.is_none()
    }

    /// Whether servers' responses are looked at.
    pub fn has_response(&self) -> bool {
        !self.response.is_empty() || self.has_after_response()
    }

    /// Whether whatever clients get is looked at.
    pub fn has_after_response(&self) -> bool {
        !self.after_response.is_empty()
    }

    /// The backends that requests may go to beside the usual one.
    pub fn backends(&self) -> impl Iterator<Item = usize> {
        self.use_backend.iter().map(|(backend, _)| *backend)
    }

    /// The answer for this error, where a file has it.
    pub fn error_file(&self, status: u16) -> Option<&Reply> {
        self.error_files.iter().find(|(of, _)| *of == status).map(|(_, file)| file.reply())
    }

    /// Changes a request, or says how it is answered.
    pub fn request(&self, message: &mut Message, origin: &Origin<'_>, variables: &mut Variables) -> Verdict {
        let mut verdict = Verdict::default();
        if self.monitor_uri.as_ref().is_some_and(|uri| is_target(message, uri)) {
            let context = Context::of_request(message, origin, variables);
            let fails = self.monitor_fail.iter().any(|condition| condition.holds(&context));
            let status = if fails { 503 } else { 200 };
            let reply = Some(Reply::standard(status, *b"LR"));
            return Verdict { reply, is_silent: true, ..Verdict::default() };
        }
        for rule in &self.request {
            let context = Context::of_request(message, origin, variables);
            if !rule.condition.holds(&context) {
                continue;
            }
            match &rule.action {
                Action::Allow => break,
                Action::Silence => verdict.is_silent = true,
                Action::Edit(edit) => {
                    let text = text(edit, &context);
                    edit.apply(message, text);
                }
                Action::Keep(name, kept) => {
                    let value = kept.value(&context);
                    variables.keep(name, kept, value);
                }
                other => {
                    verdict.reply = other.reply(&context, |status| self.error_file(status).cloned());
                    return verdict;
                }
            }
        }
        if let Some(statistics) = &self.statistics {
            verdict.statistics = statistics.asked(message).map(|asked| (statistics.clone(), asked));
        }
        verdict
    }

    /// The backend that a request is sent to beside the usual one, by its place in the configuration.
    pub fn backend(&self, message: &Message, origin: &Origin<'_>, variables: &Variables) -> Option<usize> {
        let context = Context::of_request(message, origin, variables);
        self.use_backend.iter().find(|(_, condition)| condition.holds(&context)).map(|(backend, _)| *backend)
    }

    /// Changes a server's response; false: it may not pass.
    pub fn response(&self, message: &mut Message, origin: &Origin<'_>, variables: &mut Variables) -> bool {
        change(&self.response, message, origin, variables)
    }

    /// Changes whatever the client gets.
    pub fn after_response(&self, message: &mut Message, origin: &Origin<'_>, variables: &mut Variables) {
        change(&self.after_response, message, origin, variables);
    }
}

/// Has rules change a response; false: it may not pass.
fn change(rules: &[Rule], message: &mut Message, origin: &Origin<'_>, variables: &mut Variables) -> bool {
    for rule in rules {
        let (method, status) = (origin.method, Some(message.status));
        let context = Context { message, origin, variables, method, status };
        if !rule.condition.holds(&context) {
            continue;
        }
        match &rule.action {
            Action::Allow => break,
            Action::Edit(edit) => {
                let text = text(edit, &context);
                edit.apply(message, text);
            }
            Action::Keep(name, kept) => {
                let value = kept.value(&context);
                variables.keep(name, kept, value);
            }
            Action::Withhold => return false,
            // They are of requests.
            Action::Silence | Action::Return(_) | Action::Redirect(_) => {}
        }
    }
    true
}

impl<'a> Context<'a> {
    fn of_request(message: &'a Message, origin: &'a Origin<'a>, variables: &'a Variables) -> Self {
        Self { message, origin, variables, method: &message.method, status: None }
    }
}

/// Whether a request is for this; a path is looked for in a target with scheme and authority, too.
fn is_target(message: &Message, uri: &str) -> bool {
    let target = if uri.starts_with('/') { fetch::path_query(&message.target) } else { &message.target };
    target == uri.as_bytes()
}

/// What an edit puts in.
fn text(edit: &Edit, context: &Context<'_>) -> Vec<u8> {
    edit.format().map(|format| format.text(context)).unwrap_or_default()
}
