//! Request and response on their way, both at once.
//!
//! A server may answer before it has read the request, say something in between (1xx), change the protocol (101), or
//! die at any byte. The relay moves bytes until the response has been read to its end, and tells how it ended.
//!
//! A server that has answered before it has read the request, and keeps its connection, reads on: the request goes on
//! to its end behind the response. It does not where the server closes, or where the client still waits to be asked for
//! the body (`Expect: 100-continue`) and so will not send it.

mod end;
mod head;
mod tunnel;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{net::TcpStream, sync::watch, time::Instant};

pub(super) use self::end::{Answered, BY_OPERATOR, End, Remains};
use super::{
    Core,
    client::Client,
    pipe::{Broken, Pipe},
    record::Story,
    request::Asked,
    resume::Resume,
    timer::Timer,
};
use crate::{backend::Server, clock, config::RetryOn, http1::HeadScan};

/// An exchange with one server.
pub(super) struct Relay<'a> {
    core: &'a Core,
    asked: &'a Asked,
    server: &'a Server,
    story: &'a mut Story,
    up: &'a mut Pipe,
    /// Failures after which the request is sent again: a response with such a status is of no use.
    again: RetryOn,
    /// What the server shall send is the rest of this response.
    rest_of: Option<&'a Resume>,
    /// How the response can be continued, if it breaks off.
    resume: Option<Box<Resume>>,
    /// The server's own status.
    said: Option<u16>,
    down: Pipe,
    /// What had moved before this server was asked.
    moved_before: u64,
    scan: HeadScan,
    stage: Stage,
    request: Request,
    remainder: Remainder,
    /// Bytes that had gone to the client before the final head, and the length of that head.
    head: (u64, usize),
    /// Only the close of the connection tells the client that the response has ended.
    ends_with_close: bool,
    further: Further,
    keep_alive: bool,
    /// Ends when the server's sessions are to end; gives the letter for the log.
    shutdown: Option<Shutdown>,
}

type Shutdown = Pin<Box<dyn Future<Output = u8>>>;

/// Whose further requests the server's connection may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Further {
    Nobodys,
    Everybodys,
    ItsUsers,
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

impl<'a> Relay<'a> {
    pub(super) fn new(
        core: &'a Core,
        asked: &'a Asked,
        server: &'a Server,
        up: &'a mut Pipe,
        again: RetryOn,
        story: &'a mut Story,
    ) -> Self {
        Self {
            core,
            asked,
            server,
            story,
            up,
            again,
            rest_of: None,
            resume: None,
            said: None,
            down: Pipe::new(&core.pool, None, core.pool.output()),
            moved_before: 0,
            scan: HeadScan::default(),
            stage: Stage::Head,
            request: Request::Sending,
            remainder: Remainder::Dropped,
            head: (0, 0),
            ends_with_close: false,
            further: Further::Nobodys,
            keep_alive: false,
            shutdown: core
                .backend
                .shutdowns(server)
                .map(|shutdowns| Box::pin(shut_down(shutdowns)) as Shutdown),
        }
    }

    /// The same for the rest of a response, of which `down` has had a part from another connection; `up` asks for it.
    pub(super) fn of_rest(
        (core, asked, server): (&'a Core, &'a Asked, &'a Server),
        up: &'a mut Pipe,
        (down, resume): (Pipe, &'a Resume),
        story: &'a mut Story,
    ) -> Self {
        let moved_before = down.moved();
        let keep_alive = resume.keep_alive();
        let whole = Self::new(core, asked, server, up, RetryOn::NONE, story);
        Self { rest_of: Some(resume), down, moved_before, keep_alive, ..whole }
    }

    /// Moves bytes until it ends; `begun` is now.
    pub(super) async fn run(
        &mut self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        timer: &mut Timer,
        begun: Instant,
    ) -> End {
        let mut moved = None;
        let mut begun = Some(begun);
        poll_fn(|cx| {
            if let Poll::Ready(end) = self.poll(cx, client, server) {
                return Poll::Ready(end);
            }
            // What is left to write needs no server: a slow client must not hold its slot.
            if self.stage == Stage::Body && self.request == Request::Sent && self.down.is_read() {
                return Poll::Ready(End::Complete);
            }
            // The end of one direction moves nothing, but changes how long the other may take.
            let now_moved = (self.up.moved() + self.down.moved(), self.request, self.down.is_read());
            if moved != Some(now_moved) {
                moved = Some(now_moved);
                let deadline = begun.take().unwrap_or_else(clock::now) + self.patience();
                timer.set(deadline);
                if let Some(session) = &self.story.session {
                    session.expires(deadline);
                }
            }
            // There is none where nobody can end sessions (`Backend::expect_commands`): then nobody looks.
            if let Some(shutdown) = &mut self.shutdown {
                if let Poll::Ready(letter) = shutdown.as_mut().poll(cx) {
                    return Poll::Ready(End::ShutDown(letter));
                }
                if self.story.is_shut_down(cx) {
                    return Poll::Ready(End::ShutDown(BY_OPERATOR));
                }
            }
            timer.poll_expired(cx).map(|()| self.timeout())
        })
        .await
    }

    /// What is left when it has ended so.
    pub(super) fn remains(self, end: End) -> Remains {
        let is_over = end == End::Complete && self.request == Request::Sent && self.stage != Stage::Tunnel;
        let extra = self.down.is_read() && self.down.has_unread();
        Remains {
            end,
            answered: match self.rest_of.is_some() || (self.stage != Stage::Head && self.has_begun()) {
                true if self.ends_with_close => Answered::UntilClose,
                true => Answered::Framed,
                false => Answered::Nothing,
            },
            reusable: is_over && self.further != Further::Nobodys && !extra,
            authenticates: self.further == Further::ItsUsers,
            keep_alive: is_over && self.keep_alive,
            resume: self.resume,
            said: self.said,
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
                Poll::Ready(Err(Broken::Kept(error))) => {
                    tracing::debug!(%error, "request that was kept can't be read");
                    return Poll::Ready(End::RequestLost);
                }
                Poll::Pending => {}
            }
        }
        if self.stage == Stage::Head {
            match self.poll_head(cx, client, server) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending if self.is_left(cx, client) => return Poll::Ready(End::ClientLeft),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.stage == Stage::Tunnel {
            return self.poll_tunnel(cx, client, server);
        }
        match ready!(self.down.poll_transfer(cx, server, client)) {
            Ok(()) if self.request == Request::Sending && self.remainder == Remainder::Sent => Poll::Pending,
            Ok(()) => Poll::Ready(End::Complete),
            Err(Broken::Source | Broken::Kept(_)) => Poll::Ready(End::BodyCutOff),
            Err(Broken::Chunks(error)) => {
                tracing::debug!(server = self.server.name(), %error, "response body refused");
                Poll::Ready(End::BadChunks)
            }
            Err(Broken::Sink) => Poll::Ready(End::ClientGone),
        }
    }

    /// The client has closed its half, and whoever does that gets no answer here.
    fn is_left(&self, cx: &mut Context<'_>, client: &TcpStream) -> bool {
        self.core.backend.settings().abort_on_close
            && self.request == Request::Sent
            && Client::poll_closed(client, cx).is_ready()
    }

    /// How long whoever is waited for may take.
    fn patience(&self) -> Duration {
        let settings = &self.core.backend.settings().timeout;
        let client = self.core.frontend.timeout.client;
        match self.stage {
            Stage::Tunnel => {
                let half_closed = match (self.request, self.down.is_read()) {
                    (Request::Sent, _) => settings.server_fin,
                    (_, true) => self.core.frontend.timeout.client_fin,
                    _ => None,
                };
                half_closed.or(settings.tunnel).unwrap_or(client.min(settings.server))
            }
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

/// Waits until the sessions are to end.
async fn shut_down(mut shutdowns: watch::Receiver<(u64, u8)>) -> u8 {
    match shutdowns.changed().await {
        Ok(()) => shutdowns.borrow().1,
        // Its sender lives as long as the server, which is being asked.
        Err(_) => std::future::pending().await,
    }
}
