//! Rules, where a request or a response meets them.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use super::{Core, client::Client, record::Story};
use crate::{
    http1::{BadResponse, RequestHead, ResponseHead},
    rules::{Asked, Message, Origin, Reply, Statistics, Variables},
};

/// What rules have made of a request.
pub(super) struct Ruling<'c> {
    /// Where it goes.
    pub(super) core: &'c Core,
    /// How it is answered without any server.
    pub(super) reply: Option<Reply>,
    /// Its head, where that has changed.
    pub(super) head: Option<Vec<u8>>,
    /// What rules on its response may ask of it.
    pub(super) from: From,
}

/// What rules on responses must know of the request.
#[derive(Debug)]
pub(super) struct From {
    client: SocketAddr,
    destination: SocketAddr,
    method: Vec<u8>,
    target: Vec<u8>,
    is_first: bool,
    variables: Variables,
}

impl From {
    pub(super) fn of(client: &Client, head: &RequestHead<'_, '_>) -> Self {
        let passage = client.passage();
        Self {
            client: passage.source,
            destination: passage.destination,
            method: head.method_text.to_vec(),
            target: head.target.to_vec(),
            is_first: !client.served,
            variables: client.variables(),
        }
    }

    fn origin<'a>(
        &'a self,
        core: &'a Core,
        backend: &'a str,
        usable: &'a dyn Fn(&str) -> Option<u32>,
    ) -> Origin<'a> {
        let Self { client, destination, method, target, is_first, .. } = self;
        let (client, destination, is_first) = (*client, *destination, *is_first);
        let frontend = &core.frontend.name;
        Origin { client, destination, method, target, is_first, frontend, backend, usable }
    }
}

/// Has the rules of the frontend and of the backend look at a request.
pub(super) fn request<'c>(
    core: &'c Core,
    client: &mut Client,
    head: &RequestHead<'_, '_>,
    story: &mut Story,
) -> Ruling<'c> {
    let mut from = From::of(client, head);
    let mut variables = std::mem::take(&mut from.variables);
    let usable = |name: &str| core.usable(name);
    let mut message = Message::of_request(head);
    let rules = &core.frontend.rules;
    let origin = from.origin(core, &core.frontend.name, &usable);
    let mut verdict = rules.request(&mut message, &origin, &mut variables);
    let mut is_silent = verdict.is_silent;
    let mut to = core;
    if !verdict.is_final() {
        to = rules.backend(&message, &origin, &variables).map_or(core, |place| core.with_backend(place));
        let origin = Origin { backend: to.backend.name(), ..origin };
        verdict = to.backend.settings().rules.request(&mut message, &origin, &mut variables);
        is_silent |= verdict.is_silent;
    }
    if is_silent {
        story.began_wall = None;
    }
    client.keep(variables.of_session());
    (from.variables, from.method) = (variables.of_response(), message.method().to_vec());
    let page = |(statistics, asked): (Arc<Statistics>, Asked)| {
        let of =
            if Arc::ptr_eq(&to.backend, &core.backend) { &*core.frontend.name } else { to.backend.name() };
        core.pages.get().map(|pages| pages.page(&statistics, &asked, of))
    };
    let reply = verdict.reply.or_else(|| verdict.statistics.and_then(page));
    Ruling { core: to, reply, head: message.edited(), from }
}

/// Has the rules of the backend and of the frontend look at a response; gives its head where that has changed.
pub(super) fn response(
    core: &Core,
    from: &From,
    head: &ResponseHead<'_, '_>,
) -> Result<Option<Vec<u8>>, BadResponse> {
    let usable = |name: &str| core.usable(name);
    let origin = from.origin(core, core.backend.name(), &usable);
    let (mut message, mut variables) = (Message::of_response(head), from.variables.clone());
    let rules = [&core.backend.settings().rules, &core.frontend.rules];
    for rules in rules {
        if !rules.response(&mut message, &origin, &mut variables) {
            return Err(BadResponse::Denied);
        }
    }
    for rules in rules {
        rules.after_response(&mut message, &origin, &mut variables);
    }
    Ok(message.edited())
}

/// Has the rules on whatever clients get look at an answer of the proxy's own.
pub(super) fn answer<'r>(core: &Core, from: Option<&From>, reply: Cow<'r, Reply>) -> Cow<'r, Reply> {
    let Some(from) = from.filter(|_| core.changes_answers()) else { return reply };
    let rules = [&core.backend.settings().rules, &core.frontend.rules];
    let usable = |name: &str| core.usable(name);
    let origin = from.origin(core, core.backend.name(), &usable);
    let (mut message, mut variables) = (reply.message(), from.variables.clone());
    for rules in rules {
        rules.after_response(&mut message, &origin, &mut variables);
    }
    Cow::Owned(reply.into_owned().with_head(&message))
}
