//! Rules, where a request or a response meets them.

use std::{borrow::Cow, net::SocketAddr, time::SystemTime};

use super::{Core, WantedPage, client::Client, page::Page, record::Story};
use crate::{
    backend::Server,
    clock,
    http1::{BadResponse, RequestHead, ResponseHead},
    rules::{Cookies, Memory, Message, Origin, Reply, Service, Variables},
    served::{Counter, Served},
};

/// What rules have made of a request.
pub(super) struct Ruling<'c> {
    /// Where it goes.
    pub(super) core: &'c Core,
    /// How it is answered without any server.
    pub(super) answer: Option<Answer>,
    /// Its head, where that has changed.
    pub(super) head: Option<Vec<u8>>,
    /// What a rule says of its cookies.
    pub(super) cookies: Option<Cookies>,
    /// What rules on its response may ask of it.
    pub(super) from: From,
}

/// How a request is answered without any server.
pub(super) enum Answer {
    Reply(Box<Reply>),
    Page(Box<Page>),
}

/// What rules on responses must know of the request.
#[derive(Debug)]
pub(super) struct From {
    client: SocketAddr,
    destination: SocketAddr,
    method: Vec<u8>,
    line: Vec<u8>,
    is_first: bool,
    accepted: SystemTime,
    number: u64,
    unique_id: Option<Vec<u8>>,
    variables: Variables,
    /// Its head as its rules left it, where a page of an error may ask.
    message: Option<Message>,
}

impl From {
    pub(super) fn of(client: &Client, head: &RequestHead<'_, '_>, story: &Story) -> Self {
        let noted = story.notes.as_ref().map(|notes| notes.destination);
        let ago = clock::now().saturating_duration_since(story.began) + story.idle;
        let now = clock::wall();
        Self {
            client: client.address,
            destination: noted.unwrap_or_else(|| client.passage().destination),
            method: head.method_text.to_vec(),
            line: head.line.to_vec(),
            is_first: !client.served,
            accepted: now.checked_sub(ago).unwrap_or(now),
            number: story.notes.as_ref().map_or(0, |notes| notes.number),
            unique_id: None,
            variables: client.variables(),
            message: None,
        }
    }

    fn origin<'a>(&'a self, core: &'a Core, server: Option<&'a str>) -> Origin<'a> {
        Origin {
            client: self.client,
            destination: self.destination,
            method: &self.method,
            line: &self.line,
            is_first: self.is_first,
            accepted: self.accepted,
            number: self.number,
            unique_id: self.unique_id.as_deref(),
            frontend: &core.frontend.name,
            backend: core.backend.name(),
            server,
            captures: &core.frontend.logging.captures,
            farm: core,
        }
    }
}

/// Has the rules of the frontend and of the backend look at a request.
pub(super) fn request<'c>(
    core: &'c Core,
    client: &mut Client,
    head: &RequestHead<'_, '_>,
    story: &mut Story,
) -> Ruling<'c> {
    let mut from = From::of(client, head, story);
    let variables = std::mem::take(&mut from.variables);
    let mut memory = Memory { variables, slots: story.take_slots(), ..Memory::default() };
    let mut message = Message::of_request(head);
    let rules = &core.frontend.rules;
    if let Some(unique_id) = rules.unique_id() {
        let origin = Origin { backend: &core.frontend.name, ..from.origin(core, None) };
        from.unique_id = Some(unique_id.of(&message, &origin));
    }
    let origin = Origin { backend: &core.frontend.name, ..from.origin(core, None) };
    let mut verdict = rules.request(&mut message, &origin, &mut memory, None);
    let (mut to, mut cookies) = (core, None);
    count_failures(&mut memory, [&*core.open.served]);
    let stays = verdict.is_final();
    story.stays = stays;
    if !stays {
        to = rules.backend(&message, &origin, &memory).map_or(core, |place| core.with_backend(place));
        let origin = from.origin(to, None);
        cookies = to.backend.settings().rules.cookies(&message, &origin, &memory);
        verdict = to.backend.settings().rules.request(&mut message, &origin, &mut memory, Some(rules));
        count_failures(&mut memory, [&*core.open.served, to.backend.served()]);
    }
    if let (Some(unique_id), Some(id)) = (rules.unique_id(), &from.unique_id) {
        unique_id.tell(id, &mut message);
    }
    story.line_level = memory.line_level;
    client.keep(memory.variables.of_session());
    story.put_slots(memory.slots);
    if let Some(notes) = &mut story.notes {
        notes.variables = memory.variables.of_response();
        notes.unique_id = from.unique_id.clone().unwrap_or_default();
    }
    from.variables = memory.variables.of_response();
    from.method = message.method().to_vec();
    let page = |service: Service| {
        let of = if stays { &core.frontend.name } else { &to.backend.settings().name };
        let wanted = WantedPage { service, of: of.clone(), form: Ok(Vec::new()) };
        Some(Answer::Page(Box::new(Page { pages: core.pages.get()?.clone(), wanted })))
    };
    let answer = match verdict.reply {
        Some(reply) => Some(Answer::Reply(Box::new(reply))),
        None => verdict.service.and_then(page),
    };
    let head = message.edited();
    from.message = to.makes_pages().then_some(message);
    Ruling { core: to, answer, head, cookies, from }
}

/// The answer of the configuration to an error, where it has one; `from` is the request, where there was a valid one.
pub(super) fn error_page<'c>(core: &'c Core, from: Option<&From>, status: u16) -> Option<Cow<'c, Reply>> {
    let memory = from.map(|from| Memory { variables: from.variables.clone(), ..Memory::default() });
    let origin = from.map(|from| from.origin(core, None));
    let nothing = Message::default();
    let message = from.and_then(|from| from.message.as_ref()).unwrap_or(&nothing);
    let request = origin.as_ref().zip(memory.as_ref()).map(|(origin, memory)| (message, origin, memory));
    let own = core.backend.settings().rules.error_page(status, request);
    own.or_else(|| core.frontend.rules.error_page(status, request))
}

/// Has the rules of the backend and of the frontend look at a response; gives its head where that has changed.
pub(super) fn response(
    core: &Core,
    from: &From,
    head: &ResponseHead<'_, '_>,
    story: &mut Story,
) -> Result<Option<Vec<u8>>, BadResponse> {
    let variables = from.variables.clone();
    let mut memory = Memory { variables, slots: story.take_slots(), ..Memory::default() };
    let origin = from.origin(core, story.server.as_deref().map(Server::name));
    let mut message = Message::of_response(head);
    let rules = [&core.backend.settings().rules, &core.frontend.rules];
    let passes = rules.iter().all(|rules| rules.response(&mut message, &origin, &mut memory));
    if passes {
        for rules in rules {
            rules.after_response(&mut message, &origin, &mut memory);
        }
    }
    count_failures(&mut memory, through(core, story));
    remember(memory, story);
    if passes { Ok(message.edited()) } else { Err(BadResponse::Denied) }
}

/// Has the rules on whatever clients get look at an answer of the proxy's own.
pub(super) fn answer<'r>(
    core: &Core,
    from: Option<&From>,
    reply: Cow<'r, Reply>,
    story: &mut Story,
) -> Cow<'r, Reply> {
    let Some(from) = from.filter(|_| core.changes_answers()) else { return reply };
    let rules = [&core.backend.settings().rules, &core.frontend.rules];
    let origin = from.origin(core, None);
    let mut message = reply.message();
    let variables = from.variables.clone();
    let mut memory = Memory { variables, slots: story.take_slots(), ..Memory::default() };
    for rules in rules {
        rules.after_response(&mut message, &origin, &mut memory);
    }
    count_failures(&mut memory, through(core, story));
    remember(memory, story);
    Cow::Owned(reply.into_owned().with_head(&message))
}

/// Those through whom an answer comes: the frontend, the backend if the request has come to it, and the server that it
/// went to last, whoever has made the answer (HAProxy).
fn through<'a>(core: &'a Core, story: &'a Story) -> impl Iterator<Item = &'a Served> {
    let backend = (!story.stays).then(|| core.backend.served());
    let server = story.server.as_deref().map(Server::served);
    [Some(&*core.open.served), backend, server].into_iter().flatten()
}

/// Counts changes of heads that could not be made, for those through whom the message has come.
fn count_failures<'a>(memory: &mut Memory, through: impl IntoIterator<Item = &'a Served>) {
    let count = std::mem::take(&mut memory.failed_rewrites);
    if count > 0 {
        for served in through {
            served.add(Counter::FailedRewrites, count.into());
        }
    }
}

/// What rules on a response have kept is the log's.
fn remember(memory: Memory, story: &mut Story) {
    story.line_level = memory.line_level.or(story.line_level);
    story.put_slots(memory.slots);
    if let Some(notes) = &mut story.notes {
        notes.variables = memory.variables;
    }
}
