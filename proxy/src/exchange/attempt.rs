//! The attempts to have a request answered: by which server, and what follows one that failed.

mod claim;
mod progress;
mod unanswered;
mod verdict;

use std::time::Duration;

use tokio::time::Instant;

use self::progress::Progress;
use super::{
    Core,
    client::{After, Client},
    connect::{self, GivenUp, NoConnection, NoSlot},
    ending::finish,
    pipe::Pipe,
    record::Story,
    relay::{End, Relay, Remains},
    request::Asked,
    resume::Resume,
    retry::{self, Failed, Next},
};
use crate::{
    backend::{Server, Slot, Wish, idle::Connection, persistence::Persistence},
    clock,
    config::{self, Failure, RetryOn},
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
    progress: Progress,
}

/// A response of which the client has a part.
struct Rest {
    down: Pipe,
    resume: Box<Resume>,
    /// How it did so last.
    end: End,
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
    /// Nothing, and the request waits no longer.
    GivenUp(GivenUp),
    /// No connection.
    NoConnection(NoConnection),
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
        Self { core, client, asked, up, story, reuse, rest: None, progress: Progress::default() }
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
        // What comes next is a retry that nobody has counted: as in HAProxy one that goes elsewhere is a redispatch alone.
        let mut uncounted = false;
        loop {
            let slot = match connect::slot(self.core, wish, self.client, self.story).await {
                Ok(slot) => slot,
                Err(NoSlot::GivenUp(why)) => return Box::pin(self.given_up(why, b'Q')).await,
                Err(error) => return Box::pin(self.without_slot(error)).await,
            };
            let is_first = before.is_none();
            self.note_choice(wish, slot.server(), is_first);
            if let Some((index, pause)) = before.take() {
                if slot.server().index() != index {
                    if self.story.retries > 0 {
                        self.story.redispatched = true;
                        self.core.backend.tally().redispatches.add();
                        self.count_for(&self.core.backend.servers()[index], Counter::Redispatches);
                    }
                } else if !pause.is_zero() {
                    // There is no other. Others may use the slot meanwhile.
                    drop(slot);
                    if let Err(why) = self.pause(pause).await {
                        return Box::pin(self.given_up(why, b'C')).await;
                    }
                    before = Some((index, Duration::ZERO));
                    continue;
                } else if uncounted {
                    self.count_for(slot.server(), Counter::Retries);
                }
                uncounted = false;
            }
            if self.rest.is_none() {
                let at_once = is_first && self.story.queued_behind == [0; 2];
                self.story.admitted = self.story.read.filter(|_| at_once).or_else(|| Some(clock::now()));
            }
            match self.on_server(&slot).await {
                Tried::Ended(mut remains, mut connection) => {
                    let now = clock::now();
                    if remains.reusable {
                        self.assign(&mut connection, remains.authenticates);
                        self.core.idle.park(slot.server(), connection, now);
                    } else {
                        drop(connection);
                    }
                    drop(slot);
                    return finish(
                        self.core,
                        self.client,
                        self.asked,
                        self.up,
                        &mut remains,
                        self.story,
                        now,
                    )
                    .await;
                }
                Tried::Elsewhere { timed_out } => {
                    let index = slot.server().index();
                    before = Some((index, retry::pause(timed_out, self.settings())));
                    uncounted = true;
                    wish = Wish::Balanced { avoid: Some(index), key: self.asked.key };
                }
                Tried::Again(pause) => {
                    let index = slot.server().index();
                    before = Some((index, Duration::ZERO));
                    uncounted = true;
                    wish = match self.is_pinned_to(slot.server()) {
                        _ if slot.is_forced() => Wish::Forced(index),
                        true => Wish::Pinned(index),
                        false => Wish::Again { index, key: self.asked.key },
                    };
                    // Others may use it meanwhile.
                    drop(slot);
                    if let Err(why) = self.pause(pause).await {
                        return Box::pin(self.given_up(why, b'C')).await;
                    }
                }
                Tried::Left => {
                    before = Some((slot.server().index(), Duration::ZERO));
                    wish = Wish::ANY.with_key(self.asked.key);
                }
                Tried::GivenUp(why) => {
                    drop(slot);
                    return Box::pin(self.given_up(why, b'C')).await;
                }
                Tried::NoConnection(error) => {
                    drop(slot);
                    return Box::pin(self.unavailable(error.cause())).await;
                }
            }
        }
    }

    /// Counts how this server was come by.
    fn note_choice(&mut self, wish: Wish, server: &Server, is_first: bool) {
        // As in HAProxy nobody has chosen a server for who waited for any.
        if matches!(wish, Wish::Balanced { .. }) && self.story.queued_behind[1] == 0 {
            self.count_for(server, Counter::Balanced);
        }
        // A queue that was full sends its users elsewhere.
        if let Wish::Pinned(index) = wish
            && server.index() != index
        {
            self.story.redispatched = true;
            if is_first {
                self.core.backend.tally().redispatches.add();
                self.count_for(&self.core.backend.servers()[index], Counter::Redispatches);
                self.count_for(server, Counter::Balanced);
            }
        }
    }

    /// Has one server answer; tries it again where that is safe and sensible.
    async fn on_server(&mut self, slot: &Slot) -> Tried {
        let server = slot.server();
        let pinned = self.is_pinned_to(server);
        self.story.server = Some(server.clone());
        self.story.goes_to(server.index());
        loop {
            let tried = self.once(slot, pinned).await;
            if let Tried::Ended(remains, _) = &tried {
                self.core.keep_bad_response(self.client, server, remains);
            }
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
                    self.story.goes_to(server.index());
                    continue;
                }
                Tried::Ended(remains, _) if self.is_broken_off(remains) => {
                    (None, matches!(remains.end, End::HeadTimeout | End::BodyTimeout))
                }
                Tried::Ended(remains, _) => match self.failure(remains) {
                    Some(failure) => (Some(failure), failure == Failure::Timeout),
                    None => return tried,
                },
                // Another attempt of one who belongs there would wait as long; who belongs to nobody goes elsewhere.
                Tried::NoConnection(NoConnection::NoRoom) if pinned => return tried,
                Tried::NoConnection(error) => {
                    let timed_out = matches!(error, NoConnection::Timeout | NoConnection::NoRoom);
                    (Some(Failure::Connection), timed_out)
                }
                _ => return tried,
            };
            let gone = !slot.stays(pinned);
            let kept = pinned && self.asked.persistence.as_ref().is_some_and(Persistence::is_kept);
            let lacks = matches!(tried, Tried::NoConnection(NoConnection::Exhausted(_)));
            let failed = Failed { failure, pinned, kept, timed_out, gone, lacks };
            let mut next = retry::after(failed, self.spent(&tried), self.settings());
            if next == Next::GiveUp {
                return tried;
            }
            // With one idle connection less there is a descriptor for this one.
            if lacks && matches!(next, Next::Same(_)) && self.core.idle.close_any() {
                next = Next::Same(Duration::ZERO);
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
            self.prepare(tried);
            self.story.retries += 1;
            self.story.goes_to(server.index());
            match next {
                Next::Same(pause) if pause.is_zero() => self.count_for(server, Counter::Retries),
                Next::Same(pause) => return Tried::Again(pause),
                _ => return Tried::Elsewhere { timed_out },
            }
        }
    }

    /// One attempt, on a connection of its own or one that was idle.
    async fn once(&mut self, slot: &Slot, pinned: bool) -> Tried {
        let server = slot.server();
        let claim = self.claim(server);
        let mut connection =
            match connect::connection(self.core, slot, pinned, claim, (self.client, self.story)).await {
                Ok(connection) => {
                    if let Some(session) = &self.story.session {
                        session.is_on(&connection.stream);
                    }
                    self.count_connection(server, connection.reused);
                    connection
                }
                Err(NoConnection::Left) => return Tried::Left,
                Err(NoConnection::GivenUp(why)) => return Tried::GivenUp(why),
                Err(NoConnection::NoRoom) => return Tried::NoConnection(NoConnection::NoRoom),
                Err(error) => {
                    tracing::debug!(server = server.name(), %error, "no connection");
                    self.count_connection(server, false);
                    return Tried::NoConnection(error);
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

    /// Further attempts so far; of a response that breaks off, since the last one that got further with it.
    fn spent(&mut self, tried: &Tried) -> u32 {
        let left = match tried {
            Tried::Ended(remains, _) if self.is_broken_off(remains) => remains.down.left(),
            _ => None,
        };
        self.progress.spent(self.story.retries, left)
    }

    fn count_connection(&self, server: &Server, reused: bool) {
        self.count_for(server, if reused { Counter::Reuses } else { Counter::Connects });
    }

    fn count_for(&self, server: &Server, counter: Counter) {
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
        let Rest { down, resume, .. } = *rest;
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
            self.rest = Some(Box::new(Rest { down, resume, end: remains.end }));
            return;
        }
        self.story.bytes += remains.down.written();
        self.story.forget_answer();
        if !self.up.is_untouched() {
            self.up.rewind();
        }
    }

    /// Leaves a server in peace for so long.
    async fn pause(&mut self, time: Duration) -> Result<(), GivenUp> {
        connect::pause(self.core, self.client, self.story, time).await
    }

    /// Whether the request belongs to this server.
    fn is_pinned_to(&self, server: &Server) -> bool {
        self.client.is_bound_to(server)
            || self.asked.persistence.as_ref().is_some_and(|persistence| persistence.is_pinned_to(server))
    }

    fn settings(&self) -> &config::Retry {
        &self.core.backend.settings().retry
    }
}
