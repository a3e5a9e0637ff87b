//! One request, from its first byte to the record of its end.

use std::{future::poll_fn, net::SocketAddr, rc::Rc, task::Poll};

use tokio::time::Instant;

use super::{
    Core,
    attempt::Attempts,
    authentication::authenticates,
    buffer::{Output, Size, poll_fill},
    capture::Captured,
    client::{After, Client},
    ending::{abandon, refuse, reply},
    pipe::Pipe,
    record::Story,
    replay::Kept,
    ruling::{self, Answer},
    sessions::Session,
};
use crate::{
    backend::{
        Key,
        persistence::{self, Persistence, cookie_passage},
    },
    clock,
    config::AddressField,
    http1::{
        Framing, HeadScan, Kind, Method, Refusal, RequestHead, Storage, Version, fault,
        forward::{self, FieldEdit, RequestEdits},
        unfold,
    },
    rules::Cookies,
};

/// What the rest of the exchange must know of a request.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says another thing, and no two exclude each other")]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    /// The client keeps its connection.
    pub(super) keep_alive: bool,
    /// The server's connection may serve others after it.
    pub(super) reusable: bool,
    /// It authenticates its user for the server's connection, not for itself alone.
    pub(super) authenticates: bool,
    /// The client asks for another protocol.
    pub(super) upgrade: bool,
    /// To WebSocket: the key of which the server must prove that it has understood it.
    pub(super) websocket_key: Option<Box<[u8]>>,
    /// Asked twice has the effect of asked once: it may be sent again after a server has seen it.
    pub(super) repeatable: bool,
    pub(super) persistence: Option<Persistence>,
    /// Where it came from, if a rule on its response may ask.
    pub(super) from: Option<Box<ruling::From>>,
    /// What it is balanced by, where the algorithm hashes.
    pub(super) key: Option<Key>,
}

/// A request on its way.
struct Prepared<'c> {
    /// Where it goes.
    core: &'c Core,
    asked: Asked,
    up: Pipe,
    /// How it is answered without any server.
    answer: Option<Answer>,
}

/// A head, written anew.
struct Written {
    asked: Asked,
    output: Output,
    framing: Framing,
    expects: bool,
}

/// Why there is no request.
pub(super) enum NoRequest {
    Refused(Refusal),
    TimedOut,
    /// The client closed within it.
    CutOff,
    /// The client closed before it.
    Gone,
}

/// Serves the request whose first bytes are there; its connection has been ready for it since `ready`.
pub(super) async fn serve(core: &Rc<Core>, client: &mut Client, ready: Instant) -> After {
    let mut story = Story::begin(clock::now(), core.sink.as_ref().map(|_| clock::wall()));
    story.idle = story.began.saturating_duration_since(ready);
    story.notes = core.frontend.takes_notes().then(|| Box::new(client.notes(&story)));
    let read = match read_head(core, client, &mut story).await {
        Ok((length, folded)) => prepare(core, client, length, folded, &mut story).map_err(NoRequest::Refused),
        Err(error) => Err(error),
    };
    let Prepared { core: to, asked, mut up, answer } = match read {
        Ok(read) => read,
        Err(error) => return Box::pin(refuse(core, client, &error, &mut story)).await,
    };
    let began = (story.began, story.began_wall);
    story.session = Some(Session::begin(core.held(to), client, began));
    let core = to;
    let answer = match answer {
        Some(Answer::Page(page)) => match Box::pin(page.made(core, client, &mut up)).await {
            Ok(reply) => Some(Box::new(reply)),
            Err(cause) => {
                story.end(cause);
                return abandon(core, client, &asked, &mut story);
            }
        },
        Some(Answer::Reply(reply)) => Some(reply),
        None => None,
    };
    if let Some(answer) = answer {
        return Box::pin(reply(core, client, &asked, &mut up, &mut story, &answer)).await;
    }
    Attempts::new(core, client, &asked, &mut up, &mut story).run().await
}

/// Reads until the head is complete; gives its length, and whether some field is folded.
async fn read_head(core: &Core, client: &mut Client, story: &mut Story) -> Result<(usize, bool), NoRequest> {
    if client.served {
        client.timer.set(story.began + core.frontend.timeout.http_request);
    }
    let mut scan = HeadScan::default();
    // Most heads come as a whole: no time passes then.
    let mut comes_in_parts = false;
    let read = poll_fn(|cx| {
        loop {
            if scan.start_line().is_none() {
                client.skip_empty_lines();
            }
            if let Some(input) = &client.input {
                match find_head(core, &mut scan, input.filled()) {
                    Ok(None) => {}
                    Ok(Some(length)) => return Poll::Ready(Ok((length, scan.folded()))),
                    Err(refusal) => {
                        core.keep_bad_request(client, input.filled(), refusal);
                        return Poll::Ready(Err(NoRequest::Refused(refusal)));
                    }
                }
            }
            comes_in_parts = true;
            match poll_fill(cx, &mut client.stream, &mut client.input, &core.pool, Size::Head) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => {
                    let began = client.input.as_ref().is_some_and(|input| !input.is_empty());
                    return Poll::Ready(Err(if began || !client.served {
                        NoRequest::CutOff
                    } else {
                        NoRequest::Gone
                    }));
                }
                Poll::Pending => return client.timer.poll_expired(cx).map(|()| Err(NoRequest::TimedOut)),
            }
        }
    })
    .await?;
    story.read = Some(if comes_in_parts { clock::now() } else { story.began });
    Ok(read)
}

fn find_head(core: &Core, scan: &mut HeadScan, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    if bytes == b"\r" {
        return Ok(None);
    }
    let was_whole = scan.start_line().is_some();
    let length = scan.resume(bytes)?;
    let line = !was_whole && scan.start_line().is_some();
    if length.is_none() && !was_whole && fault::is_no_request(bytes, line) {
        return Err(Refusal::RequestLine);
    }
    match length.unwrap_or(bytes.len()) > core.head_bytes {
        true if scan.start_line().is_some_and(|length| length <= core.head_bytes) => {
            Err(Refusal::HeadTooLarge)
        }
        true => Err(Refusal::TargetTooLong),
        false => Ok(length),
    }
}

/// Checks the head and writes it anew, with as much of the body as is there.
fn prepare<'c>(
    core: &'c Core,
    client: &mut Client,
    length: usize,
    folded: bool,
    story: &mut Story,
) -> Result<Prepared<'c>, Refusal> {
    let mut input = client.input.take().expect("the head that was found lies in the input");
    let bytes = &mut input.filled_mut()[..length];
    if folded {
        unfold(bytes);
    }
    let mut storage = Storage::new();
    let head = match RequestHead::parse(bytes, &mut storage) {
        Ok(head) => head,
        Err(refusal) => {
            core.keep_bad_request(client, input.filled(), refusal);
            return Err(refusal);
        }
    };
    story.bytes_in = length as u64;
    if core.sink.is_some() {
        let mut line = core.pool.output();
        line.append().extend_from_slice(head.line);
        story.line = Some(line);
    }
    let captures = &core.frontend.logging.captures;
    story.captured = (!captures.is_empty()).then(|| Captured::of_request(captures, &head.fields));
    let (core, mut answer, written) = if core.has_rules() {
        ruled(core, client, &head, story)?
    } else {
        (core, None, write(core, client, &head, None, None, story))
    };
    let Written { asked, output, framing, expects } = written;
    if let (Some(Answer::Page(page)), Framing::Chunked) = (&mut answer, framing) {
        // Nobody reads chunks.
        page.wanted.form = Err("IVAL");
    }
    input.consume(length);
    let mut up = Pipe::new(&core.pool, Some(input), output);
    up.expect(framing, core.withheld.of_requests.as_ref());
    if expects {
        up.hold_back();
    }
    up.begin()?;
    if asked.repeatable && !up.is_whole() {
        keep(core, framing, &mut up);
    }
    Ok(Prepared { core, asked, up, answer })
}

/// The same for a head that rules look at first.
fn ruled<'c>(
    core: &'c Core,
    client: &mut Client,
    head: &RequestHead<'_, '_>,
    story: &mut Story,
) -> Result<(&'c Core, Option<Answer>, Written), Refusal> {
    let ruling = ruling::request(core, client, head, story);
    let core = ruling.core;
    let from = core.asks_again().then(|| Box::new(ruling.from));
    let written = match &ruling.head {
        Some(changed) => {
            let mut storage = Storage::new();
            write(core, client, &RequestHead::parse(changed, &mut storage)?, from, ruling.cookies, story)
        }
        None => write(core, client, head, from, ruling.cookies, story),
    };
    Ok((core, ruling.answer, written))
}

/// Writes a head anew; `from` is what rules on its response may ask, where rules have looked at it, and `ruled` what they
/// say of its cookies.
fn write<'h>(
    core: &'h Core,
    client: &Client,
    head: &RequestHead<'_, '_>,
    from: Option<Box<ruling::From>>,
    ruled: Option<Cookies>,
    story: &Story,
) -> Written {
    let backend = &core.backend;
    let cookies = head.fields.all(Kind::Cookie);
    let visitor = persistence::Request { target: head.target, client: client.address.ip(), ruled };
    // A server that overlooks a body where it expects none takes it for the next request.
    let close = head.close_after || (!head.framing.is_empty() && !is_sent_with_bodies(head.method));
    let asked = Asked {
        method: head.method,
        version: head.version,
        keep_alive: head.keeps_alive(),
        reusable: !close,
        authenticates: authenticates(head.fields),
        upgrade: head.wants_upgrade(),
        websocket_key: head.websocket_key().map(Box::from),
        repeatable: head.method.is_idempotent()
            || (backend.settings().retry.with_idempotency_key
                && head.fields.last(b"idempotency-key").is_some_and(|key| !key.is_empty())),
        persistence: Persistence::read(backend, cookies, visitor, clock::wall),
        key: backend.key(head, client.address.ip()),
        from: from.or_else(|| core.asks_again().then(|| Box::new(ruling::From::of(client, head, story)))),
    };
    let told = |field: &'h AddressField, address: SocketAddr| {
        let present = field.if_none && head.fields.last(field.header.as_bytes()).is_some();
        Some((&*field.header, field.told(address, present)?))
    };
    let [forward_for, original_to] = core.address_fields.each_ref().map(Option::as_ref);
    let edits = RequestEdits {
        forwarded_for: forward_for.and_then(|field| told(field, client.address)),
        original_to: original_to.and_then(|field| told(field, client.passage().destination)),
        address_fields: [forward_for, original_to].map(|field| field.map_or("", |field| &field.header)),
        close,
    };
    let mut output = core.pool.output();
    forward::request(head, edits, |value| FieldEdit::from(cookie_passage(backend, value)), output.append());
    let expects =
        head.fields.last(b"expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    Written { asked, output, framing: head.framing, expects }
}

/// Has a request that is still coming kept, where it can be sent again at all.
fn keep(core: &Core, framing: Framing, up: &mut Pipe) {
    let settings = &core.backend.settings().retry;
    let limits = settings.replay;
    let fits = |length| length <= limits.memory.max(limits.disk);
    let known = if let Framing::Length(length) = framing { length } else { 0 };
    if settings.limit > 0 && settings.on.sends_again() && fits(known) {
        up.keep(Kept::new(&core.budget, limits));
    }
}

/// Every server reads a body that comes with this method.
const fn is_sent_with_bodies(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Connect | Method::Other)
}
