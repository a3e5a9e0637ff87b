//! Request and response on their way, both at once.
//!
//! A server may answer before it has read the request, say something in between (1xx), change the protocol (101), or
//! die at any byte. The relay moves bytes until the response has been read to its end, and tells how it ended.
//!
//! A server that has answered before it has read the request, and keeps its connection, reads on: the request goes on
//! to its end behind the response. It does not where the server closes, or where the client still waits to be asked for
//! the body (`Expect: 100-continue`) and so will not send it.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{io::AsyncWrite, net::TcpStream};

use super::{
    Core,
    authentication::binds_connection,
    buffer::Size,
    pipe::{Broken, Pipe},
    record::Story,
    request::Asked,
    timer::Timer,
};
use crate::{
    backend::{
        Server,
        persistence::{Passage, set_cookie_passage},
    },
    clock,
    http1::{
        BadResponse, Framing, HeadScan, Method, ResponseHead, Storage,
        forward::{self, FieldEdit, ResponseEdits},
        unfold,
    },
};

/// An exchange with one server.
pub(super) struct Relay<'a> {
    core: &'a Core,
    asked: &'a Asked,
    server: &'a Server,
    story: &'a mut Story,
    up: &'a mut Pipe,
    down: Pipe,
    scan: HeadScan,
    stage: Stage,
    request: Request,
    remainder: Remainder,
    /// Bytes that had gone to the client before the final head, and the length of that head.
    head: (u64, usize),
    /// Only the close of the connection tells the client that the response has ended.
    ends_with_close: bool,
    reusable: bool,
    keep_alive: bool,
}

/// How far the response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Head,
    Body,
    Tunnel,
}

/// How far the request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    Sending,
    Sent,
    /// The server takes no more of it. It may still answer.
    Broken,
}

/// What becomes of the part of a request that has not been sent when the response has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Remainder {
    Dropped,
    Sent,
}

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The response has been read to its end.
    Complete,
    /// The server closed before it said anything.
    Silence,
    /// The server closed within its head.
    HeadCutOff,
    /// What it said is not a response.
    BadHead(BadResponse),
    /// It said nothing for too long.
    HeadTimeout,
    /// The response broke off.
    BodyCutOff,
    /// The response's chunks are malformed.
    BadChunks,
    /// The response stalled.
    BodyTimeout,
    /// The client went while it sent or received.
    ClientGone,
    /// The client took nothing for too long.
    ClientTimeout,
    /// The request's chunks are malformed.
    BadRequest,
}

/// What a client has of a final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// Nothing: an error can still be sent.
    Nothing,
    /// Some of one that tells its own end.
    Framed,
    /// Some of one that ends with the connection: a plain close would make what is there the whole.
    UntilClose,
}

/// What is left when an exchange has ended.
pub(super) struct Remains {
    /// How it ended.
    pub(super) end: End,
    /// The response; some of it may still have to be written.
    pub(super) down: Pipe,
    /// What the client has, or shall have, of a final response.
    pub(super) answered: Answered,
    /// The server's connection can serve another request.
    pub(super) reusable: bool,
    /// The client's connection can carry another request.
    pub(super) keep_alive: bool,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        core: &'a Core,
        asked: &'a Asked,
        server: &'a Server,
        up: &'a mut Pipe,
        story: &'a mut Story,
    ) -> Self {
        Self {
            core,
            asked,
            server,
            story,
            up,
            down: Pipe::new(&core.pool, None, core.pool.output()),
            scan: HeadScan::default(),
            stage: Stage::Head,
            request: Request::Sending,
            remainder: Remainder::Dropped,
            head: (0, 0),
            ends_with_close: false,
            reusable: false,
            keep_alive: false,
        }
    }

    /// Moves bytes until it ends.
    pub(super) async fn run(
        mut self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        timer: &mut Timer,
    ) -> Remains {
        let mut moved = None;
        let end = poll_fn(|cx| {
            if let Poll::Ready(end) = self.poll(cx, client, server) {
                return Poll::Ready(end);
            }
            // What is left to write needs no server: a slow client must not hold its slot.
            if self.stage == Stage::Body && self.request == Request::Sent && self.down.is_read() {
                return Poll::Ready(End::Complete);
            }
            let now_moved = self.up.moved() + self.down.moved();
            if moved != Some(now_moved) {
                moved = Some(now_moved);
                timer.set(clock::now() + self.patience());
            }
            timer.poll_expired(cx).map(|()| self.timeout())
        })
        .await;
        let is_over = end == End::Complete && self.request == Request::Sent && self.stage != Stage::Tunnel;
        let extra = self.down.is_read() && self.down.has_unread();
        Remains {
            end,
            answered: match self.stage != Stage::Head && self.has_begun() {
                true if self.ends_with_close => Answered::UntilClose,
                true => Answered::Framed,
                false => Answered::Nothing,
            },
            reusable: is_over && self.reusable && !extra,
            keep_alive: is_over && self.keep_alive,
            down: self.down,
        }
    }

    /// Some of the final head has been written, or some of the body is there to follow it.
    fn has_begun(&self) -> bool {
        let (before, length) = self.head;
        self.down.written() > before || self.down.output.rest().len() > length
    }

    /// The client has the whole response.
    const fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Body) && self.down.is_read() && !self.down.is_pending()
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut TcpStream, server: &mut TcpStream) -> Poll<End> {
        if self.stage == Stage::Tunnel {
            return self.poll_tunnel(cx, client, server);
        }
        if self.request == Request::Sending {
            match self.up.poll_transfer(cx, client, server) {
                Poll::Ready(Ok(())) => self.request = Request::Sent,
                Poll::Ready(Err(Broken::Sink)) => self.request = Request::Broken,
                // The response stands, whatever becomes of the rest of the request.
                Poll::Ready(Err(_)) if self.is_answered() => self.request = Request::Broken,
                Poll::Ready(Err(Broken::Source)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Err(Broken::Chunks(error))) => {
                    tracing::debug!(%error, "request body refused");
                    return Poll::Ready(End::BadRequest);
                }
                Poll::Pending => {}
            }
        }
        if self.stage == Stage::Head
            && let Err(end) = ready!(self.poll_head(cx, client, server))
        {
            return Poll::Ready(end);
        }
        if self.stage == Stage::Tunnel {
            return self.poll_tunnel(cx, client, server);
        }
        match ready!(self.down.poll_transfer(cx, server, client)) {
            Ok(()) if self.request == Request::Sending && self.remainder == Remainder::Sent => Poll::Pending,
            Ok(()) => Poll::Ready(End::Complete),
            Err(Broken::Source) => Poll::Ready(End::BodyCutOff),
            Err(Broken::Chunks(error)) => {
                tracing::debug!(server = self.server.name(), %error, "response body refused");
                Poll::Ready(End::BadChunks)
            }
            Err(Broken::Sink) => Poll::Ready(End::ClientGone),
        }
    }

    /// Reads heads until the final one, and passes on those before it.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Poll<Result<(), End>> {
        while self.stage == Stage::Head {
            if self.down.is_pending() && ready!(self.down.poll_flush(cx, client)).is_err() {
                return Poll::Ready(Err(End::ClientGone));
            }
            match self.next_head() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(server = self.server.name(), %error, "response refused");
                    return Poll::Ready(Err(End::BadHead(error)));
                }
            }
            match ready!(self.down.poll_fill(cx, server, Size::Relay)) {
                Ok(count) if count > 0 => {}
                _ if self.down.moved() == 0 => return Poll::Ready(Err(End::Silence)),
                _ => return Poll::Ready(Err(End::HeadCutOff)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a head from what has been read; false: there is none yet.
    fn next_head(&mut self) -> Result<bool, BadResponse> {
        let Some(input) = self.down.input.as_mut().filter(|input| !input.is_empty()) else {
            return Ok(false);
        };
        let length = self.scan.resume(input.filled())?;
        if length.unwrap_or(input.filled().len()) > self.core.head_bytes {
            return Err(BadResponse::HeadTooLarge);
        }
        let Some(length) = length else { return Ok(false) };
        let bytes = &mut input.filled_mut()[..length];
        if self.scan.folded() {
            unfold(bytes);
        }
        self.scan = HeadScan::default();
        let mut storage = Storage::new();
        let head = ResponseHead::parse(bytes, self.asked.method, &mut storage)?;
        if head.status == 101 && !(self.asked.upgrade && head.upgrades()) {
            return Err(BadResponse::Upgrade);
        }
        if head.is_interim() {
            let edits = ResponseEdits { client: self.asked.version, keep_alive: true, set_cookie: None };
            forward::response(
                &head,
                self.asked.method,
                edits,
                |_| FieldEdit::Keep,
                self.down.output.append(),
            );
            if head.status == 100 {
                self.up.ask();
            }
            input.consume(length);
            return Ok(true);
        }
        let tunnel =
            head.status == 101 || (self.asked.method == Method::Connect && (200..300).contains(&head.status));
        let goes_on = self.request == Request::Sending && head.reusable && !self.up.is_held_back();
        self.remainder = if goes_on { Remainder::Sent } else { Remainder::Dropped };
        self.keep_alive = self.asked.keep_alive
            && head.framing != Framing::UntilClose
            && !head.faulty
            // What is left of a request that does not go on lies in the client's connection.
            && (self.request == Request::Sent || goes_on)
            && !tunnel
            && !self.core.is_stopping();
        let challenges = head.status == 401
            && head.fields.iter().any(|(_, name, value)| {
                name.eq_ignore_ascii_case(b"www-authenticate") && binds_connection(value)
            });
        self.reusable = head.reusable && self.asked.reusable && !challenges;
        let framing = head.framing;
        self.story.status = Some(head.status);
        let now = clock::now();
        self.story.answered = Some(now);
        // Only who is answered is a user here: one who moved on meanwhile must not hold the drain of the server before.
        if let Some(persistence) = &self.asked.persistence {
            self.server.users().touch(persistence.user(), now);
        }
        let backend = &self.core.backend;
        let sent = self
            .asked
            .persistence
            .as_ref()
            .and_then(|persistence| persistence.set_cookie(backend, self.server));
        let mut dropped = false;
        let edits = ResponseEdits {
            client: self.asked.version,
            keep_alive: self.keep_alive,
            set_cookie: sent.as_ref().map(|cookie| cookie.value.as_slice()),
        };
        let set_cookie = |value: &[u8]| {
            let edit = FieldEdit::from(set_cookie_passage(backend, value));
            dropped |= edit == FieldEdit::Drop;
            edit
        };
        forward::response(&head, self.asked.method, edits, set_cookie, self.down.output.append());
        if let Some(persistence) = &self.asked.persistence {
            self.story.cookie = persistence.log_flags(Some(self.server), sent.as_ref(), dropped);
        }
        input.consume(length);
        // What came before it has been written: nothing else is in the output.
        self.head = (self.down.written(), self.down.output.rest().len());
        self.ends_with_close = tunnel || framing == Framing::UntilClose;
        self.stage = if tunnel { Stage::Tunnel } else { Stage::Body };
        self.down.expect(framing);
        if tunnel {
            self.open_tunnel();
        }
        Ok(true)
    }

    fn open_tunnel(&mut self) {
        self.up.open();
        self.down.open();
        self.request = Request::Sending;
    }

    /// Both directions until both have ended; the end of one is passed on at once.
    fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Poll<End> {
        if self.request == Request::Sending {
            match self.up.poll_transfer(cx, client, server) {
                Poll::Ready(Ok(())) => {
                    drop(std::pin::Pin::new(&mut *server).poll_shutdown(cx));
                    self.request = Request::Sent;
                }
                Poll::Ready(Err(Broken::Source)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Err(_)) => return Poll::Ready(End::BodyCutOff),
                Poll::Pending => {}
            }
        }
        if !self.down.is_read() || self.down.is_pending() {
            match ready!(self.down.poll_transfer(cx, server, client)) {
                Ok(()) => drop(std::pin::Pin::new(&mut *client).poll_shutdown(cx)),
                Err(Broken::Sink) => return Poll::Ready(End::ClientGone),
                Err(_) => return Poll::Ready(End::BodyCutOff),
            }
        }
        if self.request == Request::Sent { Poll::Ready(End::Complete) } else { Poll::Pending }
    }

    /// How long whoever is waited for may take.
    fn patience(&self) -> Duration {
        let settings = &self.core.backend.settings().timeout;
        let client = self.core.frontend.timeout.client;
        match self.stage {
            Stage::Tunnel => settings.tunnel.unwrap_or(client.min(settings.server)),
            _ if self.down.is_pending() => client,
            _ if self.is_answered() && !self.up.is_pending() => client,
            _ => settings.server,
        }
    }

    fn timeout(&self) -> End {
        match self.stage {
            Stage::Tunnel => End::ClientTimeout,
            _ if self.down.is_pending() => End::ClientTimeout,
            // The rest of the request has not come, or was not taken.
            _ if self.is_answered() => End::Complete,
            Stage::Head => End::HeadTimeout,
            Stage::Body => End::BodyTimeout,
        }
    }
}

impl From<Passage> for FieldEdit {
    fn from(passage: Passage) -> Self {
        match passage {
            Passage::Unchanged => Self::Keep,
            Passage::Dropped => Self::Drop,
            Passage::Replaced(value) => Self::Replace(value),
        }
    }
}
