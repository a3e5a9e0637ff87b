//! The attempts to have a request answered: by which server, and what follows one that failed.

mod verdict;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Core,
    answer::Status,
    client::{After, Client},
    connect::{self, NoConnection, NoSlot},
    ending::{abandon, fail, finish},
    pipe::Pipe,
    record::Story,
    relay::{End, Relay, Remains},
    request::Asked,
    resume::Resume,
    retry::{self, Failed, Next},
};
use crate::{
    backend::{
        Server, Slot, Wish,
        idle::{Claim, Connection, Shared},
        persistence::Persistence,
    },
    clock,
    config::{self, Failure, RetryOn, Reuse},
    served::Counter,
};

/// The attempts to have one request answered.
pub(super) struct Attempts<'a> {
    core: &'a Core,
    client: &'a mut Client,
    asked: &'a Asked,
    up: &'a mut Pipe,
    story: &'a mut Story,
    /// Whether an idle connection will do: what may be lost on one that its server is just closing goes out on a new
    /// one.
    reuse: bool,
    /// The response that broke off.
    rest: Option<Box<Rest>>,
}

/// A response of which the client has a part.
struct Rest {
    down: Pipe,
    resume: Box<Resume>,
}

/// What came of a server.
#[expect(clippy::large_enum_variant, reason = "it is moved once per request and never kept")]
enum Tried {
    Ended(Remains, Connection),
    Elsewhere {
        timed_out: bool,
    },
    /// Nothing; the same server is tried again after this pause.
    Again(Duration),
    /// Nothing: it drains or has gone down, and the request has no more business there.
    Left,
    /// Nothing, and nobody waits for it any more.
    ClientGone,
    /// No connection, and nothing more to try; the cause.
    NoConnection([u8; 2]),
}

impl<'a> Attempts<'a> {
    pub(super) fn new(
        core: &'a Core,
        client: &'a mut Client,
        asked: &'a Asked,
        up: &'a mut Pipe,
        story: &'a mut Story,
    ) -> Self {
        let reuse = asked.repeatable && up.is_whole();
        Self { core, client, asked, up, story, reuse, rest: None }
    }

    /// Finds a server, and has it answer.
    pub(super) async fn run(mut self) -> After {
        let wish = self.asked.persistence.as_ref().map_or(Wish::ANY, Persistence::wish);
        let mut wish = wish.with_key(self.asked.key);
        if let (Wish::Balanced { .. }, Some(index)) =
            (wish, self.client.bound_among(self.core.backend.servers()))
        {
            wish = Wish::Pinned(index);
        }
        // The server before, and how long to wait if it is the next one, too.
        let mut before: Option<(usize, Duration)> = None;
        loop {
            let slot = match connect::slot(self.core, wish, self.client, self.story).await {
                Ok(slot) => slot,
                Err(NoSlot::ClientGone) => return self.abandoned(*b"CQ"),
                Err(error) => return Box::pin(self.without_slot(error)).await,
            };
            if matches!(wish, Wish::Balanced { .. }) {
                self.core.backend.served().count(Counter::Balanced);
                slot.server().served().count(Counter::Balanced);
            }
            // A queue that was full sends its users elsewhere.
            self.story.redispatched |= matches!(wish, Wish::Pinned(index) if slot.server().index() != index);
            let is_first = before.is_none();
            if let Some((index, pause)) = before.take() {
                if slot.server().index() != index {
                    if self.story.retries > 0 {
                        self.story.redispatched = true;
                        self.core.backend.tally().redispatches.add();
                        self.core.backend.served().count(Counter::Redispatches);
                        self.core.backend.servers()[index].served().count(Counter::Redispatches);
                    }
                } else if !pause.is_zero() {
                    // There is no other. Others may use the slot meanwhile.
                    drop(slot);
                    if connect::pause(self.core, self.client, pause).await.is_err() {
                        return self.abandoned(*b"CC");
                    }
                    before = Some((index, Duration::ZERO));
                    continue;
                }
            }
            if self.rest.is_none() {
                let at_once = is_first && self.story.queued_behind == [0; 2];
                self.story.admitted = self.story.read.filter(|_| at_once).or_else(|| Some(clock::now()));
            }
            match self.on_server(&slot).await {
                Tried::Ended(mut remains, mut connection) => {
                    if remains.reusable {
                        self.assign(&mut connection, remains.authenticates);
                        self.core.idle.park(slot.server(), connection);
                    } else {
                        drop(connection);
                    }
                    drop(slot);
                    return finish(self.core, self.client, self.asked, self.up, &mut remains, self.story)
                        .await;
                }
                Tried::Elsewhere { timed_out } => {
                    let index = slot.server().index();
                    before = Some((index, retry::pause(timed_out, self.settings())));
                    wish = Wish::Balanced { avoid: Some(index), key: self.asked.key };
                }
                Tried::Again(pause) => {
                    let index = slot.server().index();
                    before = Some((index, Duration::ZERO));
                    wish = if slot.is_forced() { Wish::Forced(index) } else { Wish::Pinned(index) };
                    // Others may use it meanwhile.
                    drop(slot);
                    if connect::pause(self.core, self.client, pause).await.is_err() {
                        return self.abandoned(*b"CC");
                    }
                }
                Tried::Left => {
                    before = Some((slot.server().index(), Duration::ZERO));
                    wish = Wish::ANY.with_key(self.asked.key);
                }
                Tried::ClientGone => {
                    drop(slot);
                    return self.abandoned(*b"CC");
                }
                Tried::NoConnection(cause) => {
                    drop(slot);
                    return Box::pin(self.unavailable(cause)).await;
                }
            }
        }
    }

    /// Has one server answer; tries it again where that is safe and sensible.
    async fn on_server(&mut self, slot: &Slot) -> Tried {
        let server = slot.server();
        let pinned = self.client.is_bound_to(server)
            || self.asked.persistence.as_ref().is_some_and(|persistence| persistence.is_pinned_to(server));
        self.story.server = Some(server.clone());
        loop {
            let tried = self.once(slot, pinned).await;
            if server.settings().passive.observe.is_some()
                && let Some(observed) = self.observed(&tried)
            {
                server.observe(observed);
            }
            let (failure, timed_out) = match &tried {
                Tried::Ended(remains, connection) if connection.reused && self.was_closing(remains) => {
                    // No attempt: it was closing while the request was on its way.
                    self.reuse = false;
                    self.prepare(tried);
                    continue;
                }
                Tried::Ended(remains, _) if self.is_broken_off(remains) => {
                    (None, matches!(remains.end, End::HeadTimeout | End::BodyTimeout))
                }
                Tried::Ended(remains, _) => match self.failure(remains) {
                    Some(failure) => (Some(failure), failure == Failure::Timeout),
                    None => return tried,
                },
                Tried::NoConnection(cause) if cause != b"RC" => (Some(Failure::Connection), cause == b"sC"),
                _ => return tried,
            };
            let gone = !slot.stays(pinned);
            let kept = pinned && self.asked.persistence.as_ref().is_some_and(Persistence::is_kept);
            let failed = Failed { failure, pinned, kept, timed_out, gone };
            let next = retry::after(failed, self.story.retries, self.settings());
            if next == Next::GiveUp {
                return tried;
            }
            let tally = self.core.backend.tally();
            if let Tried::Ended(remains, _) = &tried {
                let end = remains.end;
                if self.is_broken_off(remains) {
                    tracing::debug!(server = server.name(), ?end, "a response is continued");
                    tally.resumes.add();
                } else {
                    tracing::debug!(server = server.name(), ?end, "a request is sent again");
                    tally.replays.add();
                }
            }
            tally.retries.add();
            self.core.backend.served().count(Counter::Retries);
            server.served().count(Counter::Retries);
            self.prepare(tried);
            self.story.retries += 1;
            match next {
                Next::Same(pause) if pause.is_zero() => {}
                Next::Same(pause) => return Tried::Again(pause),
                _ => return Tried::Elsewhere { timed_out },
            }
        }
    }

    /// One attempt, on a connection of its own or one that was idle.
    async fn once(&mut self, slot: &Slot, pinned: bool) -> Tried {
        let server = slot.server();
        let claim = self.claim(server);
        let mut connection = match connect::connection(self.core, slot, pinned, claim, self.client).await {
            Ok(connection) => {
                self.count_connection(server, connection.reused);
                connection
            }
            Err(NoConnection::Left) => return Tried::Left,
            Err(NoConnection::ClientGone) => return Tried::ClientGone,
            Err(error) => {
                tracing::debug!(server = server.name(), %error, "no connection");
                self.count_connection(server, false);
                return Tried::NoConnection(match error {
                    NoConnection::Exhausted(_) => *b"RC",
                    NoConnection::Timeout => *b"sC",
                    NoConnection::Refused(_) | NoConnection::Left | NoConnection::ClientGone => *b"SC",
                });
            }
        };
        // No time has passed since the slot was there where the first connection that will do was idle.
        let at_once = connection.reused && self.rest.is_none() && self.story.retries == 0;
        let begun = self.story.admitted.filter(|_| at_once).unwrap_or_else(clock::now);
        let remains = if let Some(rest) = self.rest.take() {
            Box::pin(self.ask_for_rest(rest, server, &mut connection, begun)).await
        } else {
            self.story.connected = if connection.reused { self.story.admitted } else { Some(begun) };
            let settings = &self.core.backend.settings().retry;
            let again = self.asked.repeatable && self.story.retries < settings.limit;
            let again = if again { settings.on } else { RetryOn::NONE };
            let Client { stream, timer, .. } = &mut *self.client;
            let mut relay = Relay::new(self.core, self.asked, server, self.up, again, self.story);
            let end = relay.run(stream, &mut connection.stream, timer, begun).await;
            relay.remains(end)
        };
        Tried::Ended(remains, connection)
    }

    fn count_connection(&self, server: &Server, reused: bool) {
        let counter = if reused { Counter::Reuses } else { Counter::Connects };
        self.core.backend.served().count(counter);
        server.served().count(counter);
    }

    /// Has another server go on with a response.
    async fn ask_for_rest(
        &mut self,
        rest: Box<Rest>,
        server: &Server,
        connection: &mut Connection,
        begun: Instant,
    ) -> Remains {
        let Rest { down, resume } = *rest;
        let mut output = self.core.pool.output();
        resume.request(self.up.output.whole(), down.left().unwrap_or(0), output.append());
        let mut up = Pipe::new(&self.core.pool, None, output);
        let Client { stream, timer, .. } = &mut *self.client;
        let parties = (self.core, self.asked, server);
        let mut relay = Relay::of_rest(parties, &mut up, (down, &resume), self.story);
        let end = relay.run(stream, &mut connection.stream, timer, begun).await;
        let remains = relay.remains(end);
        Remains { resume: Some(resume), ..remains }
    }

    /// What is left of an attempt is made ready for the next one; its connection is closed.
    fn prepare(&mut self, tried: Tried) {
        let Tried::Ended(remains, _) = tried else { return };
        if self.is_broken_off(&remains)
            && let Some(resume) = remains.resume
        {
            let mut down = remains.down;
            // Of one who had another answer.
            down.forget_input();
            self.rest = Some(Box::new(Rest { down, resume }));
            return;
        }
        self.story.bytes += remains.down.written();
        self.story.forget_answer();
        if !self.up.is_untouched() {
            self.up.rewind();
        }
    }

    /// The idle connections that will do.
    fn claim(&self, server: &Server) -> Claim {
        let bound = self.client.is_bound_to(server);
        let first = !self.client.served;
        let shared = match self.core.backend.settings().reuse {
            _ if !self.reuse || !self.core.shares_idle(server) => Shared::None,
            Reuse::Safe if first => Shared::None,
            Reuse::Aggressive if first => Shared::Proven,
            _ => Shared::Any,
        };
        // What is authenticated serves whatever its user asks: there is no other way to ask it.
        Claim { own: self.client.number().filter(|_| self.reuse || bound), shared }
    }

    /// Says whom a connection belongs to after this request.
    fn assign(&mut self, connection: &mut Connection, authenticates: bool) {
        let server = connection.open.server();
        let authenticates = authenticates || self.asked.authenticates;
        if authenticates || connection.owner.is_some() || !self.core.shares_idle(server) {
            self.client.own(connection, authenticates);
        }
    }

    /// Nobody waits for the answer any more.
    fn abandoned(self, cause: [u8; 2]) -> After {
        self.story.bytes += self.rest.as_ref().map_or(0, |rest| rest.down.written());
        self.story.end(cause);
        abandon(self.core, self.client, self.asked, self.story)
    }

    /// No server has been found for it.
    async fn without_slot(mut self, error: NoSlot) -> After {
        let cause = match error {
            NoSlot::NoServer => *b"SC",
            NoSlot::QueueTimeout => {
                // Waiting is all that this request did, and Tw says for how long.
                self.story.admitted = Some(clock::now());
                *b"sQ"
            }
            NoSlot::QueueFull => *b"SQ",
            NoSlot::ClientGone => return self.abandoned(*b"CQ"),
        };
        self.unavailable(cause).await
    }

    /// No server has answered, or continued what another has begun.
    async fn unavailable(&mut self, cause: [u8; 2]) -> After {
        if let Some(rest) = self.rest.take() {
            let mut remains = Remains::cut_off(rest.down);
            return finish(self.core, self.client, self.asked, self.up, &mut remains, self.story).await;
        }
        self.story.end(cause);
        fail(self.core, self.client, self.asked, self.up, self.story, Status::Unavailable).await
    }

    fn settings(&self) -> &config::Retry {
        &self.core.backend.settings().retry
    }
}
