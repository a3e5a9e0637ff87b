//! Rules on requests and responses: who is sent where, what is refused, what heads gain and lose.
//!
//! They are written in HAProxy's words, in a haproxy.cfg and in the TOML alike: `acl = ["static path_beg /static"]`,
//! `http_request = ["deny if !static { src 10.0.0.0/8 }"]`. Pure: a head and where it came from go in, a changed head or
//! an answer comes out.
//!
//! | | in order |
//! |---|---|
//! | request | the frontend's `monitor_uri`, `http_request`, `statistics`, `use_backend`; the backend's `persistence`, `http_request`, `statistics` |
//! | response | the backend's `http_response`, the frontend's; for all that clients get, the proxy's own answers too: the backend's `http_after_response`, the frontend's |
//!
//! A rule sees what those before it have changed. What comes out is read again like a client's own head, so no rule can
//! send what a client could not. Fields that say how a message ends are not for rules.

mod action;
mod alias;
mod answer;
mod arithmetic;
mod capture;
mod condition;
mod converter;
mod date;
mod edit;
mod farm;
mod fetch;
mod file;
mod format;
pub(crate) mod keywords;
mod map;
mod message;
mod parts;
mod pattern;
mod read;
mod redirect;
mod returned;
mod sample;
mod scope;
mod service;
mod slots;
mod statistics;
mod style;
#[cfg(test)]
pub(crate) mod tests;
mod touched;
mod unique;
mod variable;
mod words;

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::SystemTime};

use self::{action::Action, answer::ErrorPage, condition::Condition, edit::Edit};
use crate::config::Captures;

pub use self::{
    action::LineLevel,
    answer::Reply,
    farm::{Farm, Members, Occupancy},
    message::Message,
    service::{MetricsAsked, Service},
    slots::{Slots, Values},
    statistics::{Asked, Statistics},
    touched::Touched,
    unique::UniqueId,
    variable::Variables,
};
pub(crate) use self::{
    alias::{Alias, Date, Ended, Form, Portion, Time},
    format::Part,
    sample::Value,
    scope::{Names, Scope},
    style::Style,
};
pub use self::{format::Format, pattern::Regex};

/// Where a message came from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
    /// The request's method: as the client sent it, and for a response as the request's rules left it.
    pub method: &'a [u8],
    /// The request line as the client sent it; empty where there was no valid one.
    pub line: &'a [u8],
    /// It is the first of its connection.
    pub is_first: bool,
    /// When its connection was ready for it.
    pub accepted: SystemTime,
    /// How many requests the process has had before it, where they are counted.
    pub number: u64,
    /// What tells it from all others, where such a thing is made.
    pub unique_id: Option<&'a [u8]>,
    /// The frontend's name.
    pub frontend: &'a str,
    /// The backend's; the frontend's where none has been chosen so far.
    pub backend: &'a str,
    /// The server's that has answered.
    pub server: Option<&'a str>,
    /// What the frontend keeps for the log, and how much of it.
    pub captures: &'a Captures,
    /// The proxy around.
    pub farm: &'a dyn Farm,
}

/// What rules keep for those behind them.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    /// Under a name.
    pub variables: Variables,
    /// At a place that is declared.
    pub slots: Slots,
    /// Changes of the head that could not be made.
    pub failed_rewrites: u32,
    /// Of the request's line in the log, where a rule has said.
    pub line_level: Option<LineLevel>,
}

/// What rules look at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    message: &'a Message,
    origin: &'a Origin<'a>,
    memory: &'a Memory,
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
    unique_id: Option<UniqueId>,
    error_pages: Vec<(u16, ErrorPage)>,
    persistence: Vec<(Cookies, Condition)>,
}

/// What becomes of the cookies of a request that say which server it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cookies {
    /// They are obeyed although the server is down, and no retry takes the request elsewhere (HAProxy: `force-persist`).
    Forced,
    /// They are not looked at, and none is given (HAProxy: `ignore-persist`).
    Ignored,
}

/// What rules have decided on a request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// It is answered so, and goes nowhere.
    pub reply: Option<Reply>,
    /// It asks something of the proxy itself, and goes nowhere.
    pub service: Option<Service>,
}

impl Verdict {
    /// Whether the request goes nowhere.
    pub fn is_final(&self) -> bool {
        self.reply.is_some() || self.service.is_some()
    }
}

impl Rules {
    /// Whether there is nothing to do for a request.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty()
            && self.use_backend.is_empty()
            && self.monitor_uri.is_none()
            && self.statistics.is_none()
            && self.unique_id.is_none()
            && !self.makes_pages()
            && self.persistence.is_empty()
    }

    /// What tells each request from all others, where such a thing is made.
    pub fn unique_id(&self) -> Option<&UniqueId> {
        self.unique_id.as_ref()
    }

    /// Whether servers' responses are looked at.
    pub fn has_response(&self) -> bool {
        !self.response.is_empty() || self.has_after_response()
    }

    /// Whether whatever clients get is looked at.
    pub fn has_after_response(&self) -> bool {
        !self.after_response.is_empty()
    }

    /// The highest place of a request's captures that some rule puts something at, and of its response's.
    pub(crate) fn places(&self) -> [Option<usize>; 2] {
        let highest = |rules: &mut dyn Iterator<Item = &Rule>| {
            let places = rules.filter_map(|rule| match &rule.action {
                Action::Capture(capture) => Some(capture.place),
                _ => None,
            });
            places.max()
        };
        let of_response = &mut self.response.iter().chain(&self.after_response);
        [highest(&mut self.request.iter()), highest(of_response)]
    }

    /// The backends that requests may go to beside the usual one.
    pub fn backends(&self) -> impl Iterator<Item = usize> {
        self.use_backend.iter().map(|(backend, _)| *backend)
    }

    /// Whether the answer to some error is made anew for each request.
    pub fn makes_pages(&self) -> bool {
        self.error_pages.iter().any(|(_, page)| matches!(page, ErrorPage::Made(_)))
    }

    /// The answer for this error, where there is one of its own and it can be made; `request` is what is known of the
    /// request.
    pub fn error_page<'r>(
        &'r self,
        status: u16,
        request: Option<(&Message, &Origin<'_>, &Memory)>,
    ) -> Option<Cow<'r, Reply>> {
        match self.error_pages.iter().find(|(of, _)| *of == status)? {
            (_, ErrorPage::Fixed(reply)) => Some(Cow::Borrowed(reply)),
            (_, ErrorPage::Made(page)) => {
                let (message, origin, memory) = request?;
                let context = Context::of_request(message, origin, memory);
                Some(Cow::Owned(page.reply(&context, |_| None)))
            }
        }
    }

    /// Changes a request, or says how it is answered; of an error that these
    /// have no page for, the one of those `before` them counts.
    pub fn request(
        &self,
        message: &mut Message,
        origin: &Origin<'_>,
        memory: &mut Memory,
        before: Option<&Self>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        if self.monitor_uri.as_ref().is_some_and(|uri| is_target(message, uri)) {
            let context = Context::of_request(message, origin, memory);
            let fails = self.monitor_fail.iter().any(|condition| condition.holds(&context));
            let status = if fails { 503 } else { 200 };
            let reply = Some(Reply::standard(status, *b"LR"));
            memory.line_level = Some(LineLevel::Silent);
            return Verdict { reply, ..Verdict::default() };
        }
        for rule in &self.request {
            let context = Context::of_request(message, origin, memory);
            if !rule.condition.holds(&context) {
                continue;
            }
            match &rule.action {
                Action::Allow => break,
                Action::Log(level) => memory.line_level = Some(*level),
                Action::Edit(edit) => {
                    let text = text(edit, &context);
                    memory.failed_rewrites += u32::from(!edit.apply(message, text));
                }
                Action::Keep(name, kept) => {
                    let value = kept.value(&context);
                    memory.variables.keep(name, kept, value);
                }
                Action::Capture(capture) => {
                    let value = capture.value(&context);
                    capture.keep(value, &mut memory.slots.request);
                }
                Action::Metrics => {
                    verdict.service = Some(Service::Metrics(MetricsAsked::of(&context)));
                    return verdict;
                }
                other => {
                    let known = Some((&*message, origin, &*memory));
                    let page = |rules: &Self, status| rules.error_page(status, known).map(Cow::into_owned);
                    verdict.reply =
                        other.reply(&context, |status| page(self, status).or_else(|| page(before?, status)));
                    return verdict;
                }
            }
        }
        if let Some(statistics) = &self.statistics {
            let context = Context::of_request(message, origin, memory);
            let asked = statistics.asked(&context);
            verdict.service = asked.map(|asked| Service::Statistics(statistics.clone(), asked));
        }
        verdict
    }

    /// The backend that a request is sent to beside the usual one, by its place in the configuration.
    pub fn backend(&self, message: &Message, origin: &Origin<'_>, memory: &Memory) -> Option<usize> {
        let context = Context::of_request(message, origin, memory);
        self.use_backend.iter().find(|(_, condition)| condition.holds(&context)).map(|(backend, _)| *backend)
    }

    /// What the first rule that holds says of a request's cookies.
    pub fn cookies(&self, message: &Message, origin: &Origin<'_>, memory: &Memory) -> Option<Cookies> {
        let context = Context::of_request(message, origin, memory);
        self.persistence.iter().find(|(_, condition)| condition.holds(&context)).map(|(cookies, _)| *cookies)
    }

    /// Changes a server's response; false: it may not pass.
    pub fn response(&self, message: &mut Message, origin: &Origin<'_>, memory: &mut Memory) -> bool {
        change(&self.response, message, origin, memory)
    }

    /// Changes whatever the client gets.
    pub fn after_response(&self, message: &mut Message, origin: &Origin<'_>, memory: &mut Memory) {
        change(&self.after_response, message, origin, memory);
    }
}

/// Has rules change a response; false: it may not pass.
fn change(rules: &[Rule], message: &mut Message, origin: &Origin<'_>, memory: &mut Memory) -> bool {
    for rule in rules {
        let (method, status) = (origin.method, Some(message.status));
        let context = Context { message, origin, memory, method, status };
        if !rule.condition.holds(&context) {
            continue;
        }
        match &rule.action {
            Action::Allow => break,
            Action::Edit(edit) => {
                let text = text(edit, &context);
                memory.failed_rewrites += u32::from(!edit.apply(message, text));
            }
            Action::Keep(name, kept) => {
                let value = kept.value(&context);
                memory.variables.keep(name, kept, value);
            }
            Action::Capture(capture) => {
                let value = capture.value(&context);
                capture.keep(value, &mut memory.slots.response);
            }
            Action::Withhold => return false,
            Action::Log(level) => memory.line_level = Some(*level),
            // They are of requests.
            Action::Return(_) | Action::Redirect(_) | Action::Metrics => {}
        }
    }
    true
}

impl<'a> Context<'a> {
    fn of_request(message: &'a Message, origin: &'a Origin<'a>, memory: &'a Memory) -> Self {
        Self { message, origin, memory, method: &message.method, status: None }
    }

    /// When the request is over, and no head is there any more.
    pub(crate) fn at_end(nothing: &'a Message, origin: &'a Origin<'a>, memory: &'a Memory) -> Self {
        Self { message: nothing, origin, memory, method: origin.method, status: None }
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
