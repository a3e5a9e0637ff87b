//! What is known of a request when it is over: what a line of the access log is made of.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{buffer::Output, capture::Captured};
use crate::{backend::Server, served::Outcome};

/// Takes the record of each request of a core, when the request is over.
pub trait Sink {
    /// Keeps what it needs of it; must not block.
    fn record(&self, record: &Record<'_>);
}

/// One request, from its first byte to its last; the names are those of HAProxy's log format (manual, 8.2.3).
#[derive(Debug)]
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
pub(super) struct Story {
    pub(super) began: Instant,
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
}

impl Story {
    pub(super) const fn begin(now: Instant, wall: Option<SystemTime>) -> Self {
        Self {
            began: now,
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
        }
    }

    /// What a server has answered counts for nothing: another is asked.
    pub(super) const fn forget_answer(&mut self) {
        (self.status, self.said, self.answered, self.cookie) = (None, None, None, *b"--");
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
        let times = answered.map(|answered| {
            let total = now.saturating_duration_since(self.began);
            [waited.unwrap_or_default(), connected.unwrap_or_default(), answered, total]
        });
        let Self { status, bytes_in, bytes, cause, refused, .. } = *self;
        Outcome { status, bytes_in, bytes_out: bytes, cause, times, refused }
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
