//! Rules, where a request or a response meets them.

use std::net::SocketAddr;

use super::{Core, client::Client, record::Story};
use crate::{
    http1::{BadResponse, RequestHead, ResponseHead},
    rules::{Message, Origin, Reply},
};

/// What rules have made of a request.
pub(super) struct Ruling<'c> {
    /// Where it goes.
    pub(super) core: &'c Core,
    /// How it is answered without any server.
    pub(super) reply: Option<Reply>,
    /// Its head, where that has changed.
    pub(super) head: Option<Vec<u8>>,
}

/// What rules on responses must know of the request.
#[derive(Debug)]
pub(super) struct From {
    client: SocketAddr,
    destination: SocketAddr,
    method: Vec<u8>,
}

impl From {
    pub(super) fn of(client: &Client, head: &RequestHead<'_, '_>) -> Self {
        let passage = client.passage();
        let method = head.method_text.to_vec();
        Self { client: passage.source, destination: passage.destination, method }
    }
}

/// Has the rules of the frontend and of the backend look at a request.
pub(super) fn request<'c>(
    core: &'c Core,
    client: &Client,
    head: &RequestHead<'_, '_>,
    story: &mut Story,
) -> Ruling<'c> {
    let passage = client.passage();
    let usable = |name: &str| usable(core, name);
    let origin = Origin {
        client: passage.source,
        destination: passage.destination,
        frontend: &core.frontend.name,
        usable: &usable,
    };
    let mut message = Message::of_request(head);
    let rules = &core.frontend.rules;
    let mut verdict = rules.request(&mut message, &origin);
    let mut is_silent = verdict.is_silent;
    let mut to = core;
    if verdict.reply.is_none() {
        to = rules.backend(&message, &origin).map_or(core, |place| core.with_backend(place));
        verdict = to.backend.settings().rules.request(&mut message, &origin);
        is_silent |= verdict.is_silent;
    }
    if is_silent {
        story.began_wall = None;
    }
    Ruling { core: to, reply: verdict.reply, head: message.edited() }
}

/// Has the rules of the backend and of the frontend look at a response; gives its head where that has changed.
pub(super) fn response(
    core: &Core,
    from: &From,
    head: &ResponseHead<'_, '_>,
) -> Result<Option<Vec<u8>>, BadResponse> {
    let usable = |name: &str| usable(core, name);
    let origin = Origin {
        client: from.client,
        destination: from.destination,
        frontend: &core.frontend.name,
        usable: &usable,
    };
    let mut message = Message::of_response(head);
    for rules in [&core.backend.settings().rules, &core.frontend.rules] {
        if !rules.response(&mut message, &from.method, &origin) {
            return Err(BadResponse::Denied);
        }
    }
    Ok(message.edited())
}

/// Servers of the backend of this name that are usable, as far as this frontend knows it.
fn usable(core: &Core, name: &str) -> Option<u32> {
    let cores = std::iter::once(core).chain(core.others().map(|(_, core)| core));
    let mut backends = cores.map(|core| &core.backend);
    let backend = backends.find(|backend| backend.name() == name)?;
    let usable = backend.usable();
    u32::try_from(if usable.active > 0 { usable.active } else { usable.backup }).ok()
}
