//! How a request ends: with the rest of its response, or an answer of the proxy's own; and with its record.

use std::{
    borrow::Cow,
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
};

use tokio::time::Instant;

use super::{
    Core,
    answer::{self, Status},
    buffer::Output,
    client::{After, Client},
    connect::{self, GivenUp},
    pipe::Pipe,
    record::{Record, Story},
    relay::{Answered, BY_OPERATOR, End, Remains},
    request::{Asked, NoRequest},
    ruling,
};
use crate::{
    backend::Server,
    clock,
    http1::{BadResponse, Method},
    rules::{LineLevel, Reply},
    served::{Counter, Outcome, Ruled},
};

/// Writes what is left of the response, or the error that stands for it. It has ended at `now`, as far as its server is
/// concerned.
pub(super) async fn finish(
    core: &Core,
    client: &mut Client,
    asked: &Asked,
    up: &mut Pipe,
    remains: &mut Remains,
    story: &mut Story,
    now: Instant,
) -> After {
    let answered = remains.answered != Answered::Nothing;
    let waits = remains.down.is_pending();
    if waits {
        match remains.end {
            End::Complete => remains.end = Box::pin(write_rest(core, client, &mut remains.down, story)).await,
            // What was good is the client's; whether it still takes it changes nothing.
            End::BadChunks if answered => {
                Box::pin(write_rest(core, client, &mut remains.down, story)).await;
            }
            _ => {}
        }
    }
    story.bytes += remains.down.written();
    story.bytes_in = story.bytes_in.max(up.written());
    let (cause, status) = match remains.end {
        End::Complete => (*b"--", None),
        // Those who were asked to continue it could not.
        End::Silence | End::HeadCutOff | End::OtherBody(_) if answered => (*b"SD", None),
        End::BadHead(_) if answered => (*b"PD", None),
        End::HeadTimeout if answered => (*b"sD", None),
        End::Silence | End::HeadCutOff | End::OtherBody(_) => (*b"SH", Some(Status::BadGateway)),
        End::BadHead(_) | End::Unwanted(_) => (*b"PH", Some(Status::BadGateway)),
        End::HeadTimeout => (*b"sH", Some(Status::GatewayTimeout)),
        End::BodyCutOff if !answered => (*b"SH", Some(Status::BadGateway)),
        End::BodyCutOff => (*b"SD", None),
        End::BadChunks if !answered => (*b"PH", Some(Status::BadGateway)),
        End::BadChunks => (*b"PD", None),
        End::BodyTimeout => (*b"sD", None),
        End::ShutDown(letter) if !answered => ([letter, b'H'], Some(Status::BadGateway)),
        End::ShutDown(letter) => ([letter, b'D'], None),
        End::ClientGone => (*b"CD", None),
        End::ClientLeft => (*b"CH", Some(Status::BadRequest)),
        End::ClientTimeout => (*b"cD", None),
        End::BadRequest => (*b"PR", Some(Status::BadRequest)),
        End::RequestLost => (*b"RH", Some(Status::BadGateway)),
    };
    if matches!(remains.end, End::BadHead(BadResponse::Denied)) {
        story.ruled = Ruled::Withheld;
    }
    story.end(cause);
    match status {
        Some(status) if !answered => Box::pin(fail(core, client, asked, up, story, status)).await,
        _ => {
            let after = if remains.end != End::Complete {
                if remains.answered == Answered::UntilClose { After::Abort } else { After::Close }
            } else if remains.keep_alive {
                After::Next
            } else if up.is_read() && !up.has_unread() && asked.reusable {
                After::Close
            } else {
                After::Linger
            };
            client.input = up.take_rest();
            log_at(core, client, story, if waits { clock::now() } else { now });
            after
        }
    }
}

/// Answers with an error; the connection goes on where the request has been read to its end.
pub(super) async fn fail(
    core: &Core,
    client: &mut Client,
    asked: &Asked,
    up: &mut Pipe,
    story: &mut Story,
    status: Status,
) -> After {
    let file = ruling::error_page(core, asked.from.as_deref(), status.code());
    // Rules look at a text of HAProxy's as at any other answer.
    let file = if core.changes_answers() {
        let reply = file.unwrap_or_else(|| Cow::Owned(Reply::standard(status.code(), story.cause)));
        Some(ruling::answer(core, asked.from.as_deref(), reply, story))
    } else {
        file
    };
    let keep_alive = asked.keep_alive
        && up.is_read()
        && !core.is_stopping()
        && status != Status::BadRequest
        && file.as_ref().is_none_or(|file| !file.is_nothing);
    let clean = up.is_read() && asked.reusable;
    story.bytes_in = story.bytes_in.max(up.written());
    client.input = up.take_rest();
    let mut output = core.pool.output();
    let head_only = asked.method == Method::Head;
    match &file {
        Some(file) => file.write(keep_alive, head_only, output.append()),
        None => answer::write(status, keep_alive, head_only, output.append()),
    }
    let status = file.as_ref().map_or(status.code(), |file| file.code);
    let written = write_answer(core, client, output, story, status).await;
    if story.cookie == *b"--"
        && let Some(persistence) = &asked.persistence
    {
        story.cookie = persistence.unanswered(&core.backend, story.server.as_deref());
    }
    log(core, client, story);
    after_own(written, keep_alive, clean, client)
}

/// Answers as a rule says; the connection goes on where the request has been read to its end.
pub(super) async fn reply(
    core: &Core,
    client: &mut Client,
    asked: &Asked,
    up: &mut Pipe,
    story: &mut Story,
    answer: &Reply,
) -> After {
    story.end(answer.cause);
    story.ruled = match answer.is_refusal() {
        true => Ruled::Denied,
        // Those of backends are nobody's (HAProxy).
        false if story.stays => Ruled::Intercepted,
        false => Ruled::Not,
    };
    let answer = ruling::answer(core, asked.from.as_deref(), Cow::Borrowed(answer), story);
    if answer.is_delayed {
        let time = core.frontend.timeout.tarpit.unwrap_or(core.backend.settings().timeout.connect);
        // Whom an operator ends waits no longer.
        if let Err(GivenUp::ForNobody) = connect::pause(core, client, story, time).await {
            return abandon(core, client, asked, story);
        }
    }
    let keep_alive = asked.keep_alive && up.is_read() && !core.is_stopping() && !answer.is_nothing;
    let clean = up.is_read() && asked.reusable;
    client.input = up.take_rest();
    let mut output = core.pool.output();
    answer.write(keep_alive, asked.method == Method::Head, output.append());
    let written = write_answer(core, client, output, story, answer.code).await;
    log(core, client, story);
    after_own(written, keep_alive, clean, client)
}

/// What becomes of the connection after an answer of the proxy's own; `clean`: the request has been read to its end, and
/// nothing can follow it unseen.
const fn after_own(written: bool, keep_alive: bool, clean: bool, client: &Client) -> After {
    match written {
        false => After::Close,
        true if keep_alive => After::Next,
        true if clean && client.input.is_none() => After::Close,
        true => After::Linger,
    }
}

/// Records a request whose client has gone before there was anything to answer.
pub(super) fn abandon(core: &Core, client: &mut Client, asked: &Asked, story: &mut Story) -> After {
    if let Some(persistence) = &asked.persistence {
        story.cookie = persistence.unanswered(&core.backend, story.server.as_deref());
    }
    log(core, client, story);
    After::Close
}

/// Answers a request that no server is asked for.
pub(super) async fn refuse(core: &Core, client: &mut Client, error: &NoRequest, story: &mut Story) -> After {
    let (status, cause) = match error {
        NoRequest::Gone => return After::Close,
        NoRequest::Refused(refusal) => {
            tracing::debug!(client = %client.address, error = %refusal, "request refused");
            (Status::from(*refusal), *b"PR")
        }
        NoRequest::TimedOut => (Status::RequestTimeout, *b"cR"),
        NoRequest::CutOff => (Status::BadRequest, *b"CR"),
    };
    story.end(cause);
    story.refused = true;
    story.line = None;
    story.captured = None;
    // HAProxy reads the chunks that came with a head as a part of it.
    story.read = None;
    story.silent = matches!(error, NoRequest::CutOff | NoRequest::TimedOut) && client.is_silent();
    let mut output = core.pool.output();
    // It has come to no backend.
    match core.frontend.rules.error_page(status.code(), None) {
        Some(file) => file.write(false, false, output.append()),
        None => answer::write(status, false, false, output.append()),
    }
    let written = write_answer(core, client, output, story, status.code()).await;
    story.bytes = 0;
    log(core, client, story);
    if written && !matches!(error, NoRequest::CutOff) { After::Linger } else { After::Close }
}

/// Writes an answer of the proxy's own; false: the client is gone.
async fn write_answer(
    core: &Core,
    client: &mut Client,
    output: Output,
    story: &mut Story,
    status: u16,
) -> bool {
    story.status = Some(status);
    let mut pipe = Pipe::new(&core.pool, None, output);
    let end = write_rest(core, client, &mut pipe, story).await;
    story.bytes += pipe.written();
    end == End::Complete
}

/// Writes what waits for the client.
async fn write_rest(core: &Core, client: &mut Client, pipe: &mut Pipe, story: &Story) -> End {
    let patience = core.frontend.timeout.client;
    client.timer.set(clock::now() + patience);
    let mut moved = pipe.moved();
    poll_fn(|cx| {
        if let Poll::Ready(result) = pipe.poll_flush(cx, &mut client.stream) {
            return Poll::Ready(if result.is_ok() { End::Complete } else { End::ClientGone });
        }
        if moved != pipe.moved() {
            moved = pipe.moved();
            client.timer.set(clock::now() + patience);
        }
        if story.is_shut_down(cx) {
            return Poll::Ready(End::ShutDown(BY_OPERATOR));
        }
        client.timer.poll_expired(cx).map(|()| End::ClientTimeout)
    })
    .await
}

/// Counts a request that is over; `stays`: it has come to no backend.
fn count(core: &Core, outcome: &Outcome, stays: bool, server: Option<&Server>) {
    core.open.served.note(outcome, false);
    if outcome.refused {
        return;
    }
    let backend = core.backend.served();
    if stays {
        // What HAProxy's `listen` has of it for its other half.
        if core.frontend.name == core.backend.settings().name {
            backend.add(Counter::BytesIn, outcome.bytes_in);
            backend.add(Counter::BytesOut, outcome.bytes_out);
        }
        return;
    }
    backend.note(outcome, false);
    if let Some(server) = server {
        server.served().note(outcome, true);
    }
}

/// Writes down what has become of a request that is over. The time for the next one begins.
fn log(core: &Core, client: &mut Client, story: &Story) {
    log_at(core, client, story, clock::now());
}

/// The same; `now` is known.
fn log_at(core: &Core, client: &mut Client, story: &Story, now: Instant) {
    client.timer.set(now + core.frontend.timeout.http_keep_alive);
    let phases = story.phases();
    count(core, &story.outcome(phases, now), story.stays, story.server.as_deref());
    let Some(sink) = &core.sink else { return };
    let level = match story.line_level {
        Some(LineLevel::Silent) => return,
        Some(LineLevel::Of(level)) => Some(level),
        None => None,
    };
    let [cause, stage] = story.cause;
    let [named, set] = story.cookie;
    let server = story.server.as_deref();
    let open = |count: &AtomicU32| count.load(Ordering::Relaxed);
    let Some(began) = story.began_wall else { return };
    sink.record(&Record {
        client: client.address,
        began,
        frontend: &core.frontend.name,
        backend: if story.stays { &core.frontend.name } else { core.backend.name() },
        server,
        phases,
        total: now.saturating_duration_since(story.began),
        status: story.status,
        bytes: story.bytes,
        bytes_up: story.bytes_in,
        termination: [cause, stage, named, set],
        counts: [
            open(&core.open.process),
            open(&core.open.frontend),
            core.backend.in_flight(),
            server.map_or(0, Server::in_flight),
        ],
        retries: story.retries,
        redispatched: story.redispatched,
        queued_behind: story.queued_behind,
        line: story.line.as_ref().map(Output::rest),
        captured: story.captured.as_deref(),
        silent: story.silent,
        level,
        notes: story.notes.as_deref(),
        farm: core,
    });
}
