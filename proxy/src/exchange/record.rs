//! What is known of a request when it is over: what a line of the access log is made of.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::Context,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{buffer::Output, capture::Captured, sessions::Session};
use crate::{
    backend::Server,
    config::Level,
    decimal::millis,
    rules::{Farm, LineLevel, Slots, Variables},
    served::Outcome,
    served::Ruled,
};

/// Takes the record of each request of a core, when the request is over.
pub trait Sink {
    /// Keeps what it needs of it; must not block.
    fn record(&self, record: &Record<'_>);
}

/// One request, from its first byte to its last; the names are those of HAProxy's log format (manual, 8.2.3).
#[derive(Clone)]
pub struct Record<'a> {
    /// The client.
    pub client: SocketAddr,
    /// When its first byte came.
    pub began: SystemTime,
    /// The frontend's name.
    pub frontend: &'a str,
    /// The backend's name.
    pub backend: &'a str,
    /// The server that it went to, last.
    pub server: Option<&'a Server>,
    /// TR, Tw, Tc, Tr: how long the head took, the queue, the connection, the server up to its head; `None`: not
    /// reached.
    pub phases: [Option<Duration>; 4],
    /// Ta: all of it.
    pub total: Duration,
    /// The status; `None`: no response went out.
    pub status: Option<u16>,
    /// Bytes that went to the client, heads included.
    pub bytes: u64,
    /// Bytes that came from it, likewise.
    pub bytes_up: u64,
    /// The four characters that tell how it ended.
    pub termination: [u8; 4],
    /// Connections: of the process, of the frontend; requests: of the backend, of the server.
    pub counts: [u32; 4],
    /// Further attempts after the first.
    pub retries: u32,
    /// One of them went to another server.
    pub redispatched: bool,
    /// Its place in the server's queue and in the backend's, from one; 0: it did not wait there.
    pub queued_behind: [usize; 2],
    /// The request line; `None`: there was no valid one.
    pub line: Option<&'a [u8]>,
    /// What was taken from its heads for the log.
    pub captured: Option<&'a Captured>,
    /// There was no request: nothing has come on the connection.
    pub silent: bool,
    /// Of its line, where a rule has said.
    pub level: Option<Level>,
    /// What else is known, where some line has a format of its own.
    pub notes: Option<&'a Notes>,
    /// The proxy around.
    pub farm: &'a dyn Farm,
}

/// What lines of a format of their own may say beside what usual ones do.
#[derive(Clone, Debug)]
pub struct Notes {
    /// What the client connected to.
    pub destination: SocketAddr,
    /// How long its connection had been idle.
    pub idle: Duration,
    /// How many requests the process has had before it.
    pub number: u64,
    /// It is the first of its connection.
    pub is_first: bool,
    /// What tells it from all others; empty where no such thing is made.
    pub unique_id: Vec<u8>,
    /// What rules have kept.
    pub variables: Variables,
}

impl Record<'_> {
    /// It went wrong, as HAProxy's `option dontlog-normal` has it: aborted, failed, answered with 5xx, or tried again.
    pub const fn is_error(&self) -> bool {
        let has_failed = match self.termination[0] {
            b'-' => self.retries > 0,
            cause => cause != b'L',
        };
        has_failed || self.redispatched || matches!(self.status, Some(500..))
    }
}

/// The same while the request is under way.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says another thing, and no two exclude each other")]
pub(super) struct Story {
    pub(super) began: Instant,
    /// How long its connection had been ready for it.
    pub(super) idle: Duration,
    /// By the wall clock, for the log; `None` where there is none.
    pub(super) began_wall: Option<SystemTime>,
    pub(super) read: Option<Instant>,
    pub(super) admitted: Option<Instant>,
    pub(super) connected: Option<Instant>,
    pub(super) answered: Option<Instant>,
    pub(super) server: Option<Arc<Server>>,
    pub(super) status: Option<u16>,
    /// The server's own status, whatever rules have made of it.
    pub(super) said: Option<u16>,
    pub(super) bytes: u64,
    /// Bytes that went to servers, or of the head where none did.
    pub(super) bytes_in: u64,
    /// It was no request.
    pub(super) refused: bool,
    pub(super) cause: [u8; 2],
    pub(super) cookie: [u8; 2],
    pub(super) retries: u32,
    pub(super) redispatched: bool,
    pub(super) queued_behind: [usize; 2],
    pub(super) line: Option<Output>,
    pub(super) captured: Option<Box<Captured>>,
    pub(super) silent: bool,
    /// Of its line, where a rule has said.
    pub(super) line_level: Option<LineLevel>,
    /// Its place among those that are under way, once it has been read.
    pub(super) session: Option<Session>,
    /// The frontend's own rules have answered it: it has come to no backend.
    pub(super) stays: bool,
    /// A rule has had it end so.
    pub(super) ruled: Ruled,
    pub(super) notes: Option<Box<Notes>>,
}

impl Story {
    pub(super) const fn begin(now: Instant, wall: Option<SystemTime>) -> Self {
        Self {
            began: now,
            idle: Duration::ZERO,
            began_wall: wall,
            read: None,
            admitted: None,
            connected: None,
            answered: None,
            server: None,
            status: None,
            said: None,
            bytes: 0,
            bytes_in: 0,
            refused: false,
            cause: *b"--",
            cookie: *b"--",
            retries: 0,
            redispatched: false,
            queued_behind: [0; 2],
            line: None,
            captured: None,
            silent: false,
            line_level: None,
            session: None,
            stays: false,
            ruled: Ruled::Not,
            notes: None,
        }
    }

    /// What was captured so far, for rules.
    pub(super) fn take_slots(&mut self) -> Slots {
        self.captured.as_mut().map(|captured| std::mem::take(&mut captured.slots)).unwrap_or_default()
    }

    /// What rules have made of it.
    pub(super) fn put_slots(&mut self, slots: Slots) {
        if let Some(captured) = &mut self.captured {
            captured.slots = slots;
        }
    }

    /// What a server has answered counts for nothing: another is asked.
    pub(super) const fn forget_answer(&mut self) {
        (self.status, self.said, self.answered, self.cookie) = (None, None, None, *b"--");
    }

    /// It goes to the server of this place, for the first time or again.
    pub(super) fn goes_to(&self, server: usize) {
        if let Some(session) = &self.session {
            session.goes_to(server, self.retries);
        }
    }

    /// Whether an operator ends it; if not, whoever polls is woken when one does.
    pub(super) fn is_shut_down(&self, cx: &Context<'_>) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_shut_down(cx))
    }

    /// How it ended; only the first cause counts.
    pub(super) fn end(&mut self, cause: [u8; 2]) {
        if self.cause == *b"--" {
            self.cause = cause;
        }
    }

    /// For the counters, with its [`Story::phases`]; it is over at `now`.
    pub(super) fn outcome(&self, phases: [Option<Duration>; 4], now: Instant) -> Outcome {
        let [_, waited, connected, answered] = phases;
        let times_ms = answered.map(|answered| {
            let total = now.saturating_duration_since(self.began);
            [waited.unwrap_or_default(), connected.unwrap_or_default(), answered, total].map(millis)
        });
        let Self { status, said, bytes_in, bytes, cause, refused, ruled, .. } = *self;
        Outcome { status, said, bytes_in, bytes_out: bytes, cause, times_ms, refused, ruled }
    }

    /// The durations of its phases; what was not reached has none.
    pub(super) fn phases(&self) -> [Option<Duration>; 4] {
        let between = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        [
            between(Some(self.began), self.read),
            between(self.read, self.admitted),
            between(self.admitted, self.connected),
            between(self.connected, self.answered),
        ]
    }
}
