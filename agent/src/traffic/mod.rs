//! Sources of traffic, and what quiet means.

pub mod access_log;
pub mod gauge;
pub mod quiet;
pub mod reader;
pub mod sockets;
pub mod sources;

use std::time::Duration;

use self::sockets::Door;
use crate::lifecycle::Verdict;

/// What one source saw at one moment.
///
/// A source that knows only how many requests are in flight fills `busy` alone; one that sees only their ends fills
/// `ended` and `requests`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Requests that are certainly not finished.
    pub busy: u32,
    /// Connections of which it can't be told: both ends spoke within one tick of the kernel's clock. They hold
    /// a drain until they are older than such a tick can explain.
    pub unsure: Silence,
    /// Open connections of which the kernel never tells whether they carry a request, as those to a unix socket, and for
    /// how long nothing has been seen to move on them. They hold a drain as long as they are open.
    pub opaque: Silence,
    /// Connections whose last request has been answered, as far as can be seen from outside; also those of which it
    /// could not be told and which have been silent for so long that it can.
    pub answered: Silence,
    /// Connections on which nothing was ever asked.
    pub fresh: u32,
    /// The last word on the connections that have ended since the last look; `None` where none has ended that carried
    /// a request.
    pub ended: Option<LastWord>,
    /// A door of the server at which nobody listens.
    pub deserted: Option<Door>,
    /// On none of them anybody listens, though somebody did when the same source looked before: so it looks in the
    /// right place, and the server has gone.
    pub abandoned: bool,
    /// How many requests a source has seen that sees only their ends, since the agent began to read it; `None` of all
    /// others.
    pub requests: Option<u64>,
}

impl Reading {
    /// Requests that are not finished, or of which it can't be told.
    pub const fn in_flight(&self) -> u32 {
        self.busy.saturating_add(self.unsure.count).saturating_add(self.opaque.count)
    }

    /// Open connections without a request in flight.
    pub const fn idle(&self) -> u32 {
        self.answered.count.saturating_add(self.fresh)
    }

    /// Open connections.
    pub const fn open(&self) -> u32 {
        self.in_flight().saturating_add(self.idle())
    }

    /// What the reading is worth of a server whose readiness probe says so much: where one that is alive has a door at
    /// which nobody listens, somebody has looked in the wrong place, and zero means nothing. Not yet known is not dead.
    pub fn of_server(self, server: Verdict) -> Result<Self, String> {
        let known = match server {
            Verdict::NotReady => return Ok(self),
            Verdict::Ready => ", though it answers its readiness probe",
            Verdict::Unknown => ", and its readiness probe has not come back yet",
        };
        match self.deserted {
            Some(door) => Err(format!(
                "expected the server to listen on {door}, found nobody there{known}; correct server.ports and server.unix, or say with server.netns in which network namespace \
                 the server is (a container has its own, and so has a unit with PrivateNetwork=)"
            )),
            _ => Ok(self),
        }
    }

    /// How long ago the last sign of traffic may have been, over all connections that are not busy and were open at the
    /// last look or later; `None` where no such connection has ever carried anything.
    pub fn silent_for(&self) -> Option<Duration> {
        let ended = self.ended.map(|last| match last {
            LastWord::Ago(ago) => ago,
            LastWord::Unknown { .. } => Duration::ZERO,
        });
        self.spoke().into_iter().chain(ended).min()
    }

    /// The same of what was seen: that nothing is known of a time is no sign of anybody.
    pub fn spoke(&self) -> Option<Duration> {
        let ended = match self.ended {
            Some(LastWord::Ago(ago)) => Some(ago),
            Some(LastWord::Unknown { told }) => told,
            None => None,
        };
        [self.unsure.shortest, self.opaque.shortest, self.answered.shortest, ended]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The last word on connections that have ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LastWord {
    /// It was said so long ago.
    Ago(Duration),
    /// Nobody has listened for the ends of all: there may have been some, at any time until now, or none.
    Unknown {
        /// The last word on those that are known of, if there are any.
        told: Option<Duration>,
    },
}

impl LastWord {
    /// There may have been any.
    pub const UNKNOWN: Self = Self::Unknown { told: None };

    /// The same, and one more that was said so long ago.
    fn with(self, silent: Duration) -> Self {
        match self {
            Self::Ago(last) => Self::Ago(last.min(silent)),
            Self::Unknown { told } => {
                Self::Unknown { told: Some(told.map_or(silent, |last| last.min(silent))) }
            }
        }
    }

    /// The same, and others of which nobody knows.
    const fn and_unknown(self) -> Self {
        match self {
            Self::Ago(told) => Self::Unknown { told: Some(told) },
            Self::Unknown { .. } => self,
        }
    }
}

#[cfg(test)]
impl Reading {
    /// Nobody uses the server: the default, for constants.
    pub(crate) const EMPTY: Self = Self {
        busy: 0,
        unsure: Silence { count: 0, shortest: None },
        opaque: Silence { count: 0, shortest: None },
        answered: Silence { count: 0, shortest: None },
        fresh: 0,
        ended: None,
        deserted: None,
        abandoned: false,
        requests: None,
    };
}

/// Connections on which nothing moves, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Silence {
    /// How many they are.
    pub count: u32,
    /// The silence of the one that spoke last; `None` where there is none.
    pub shortest: Option<Duration>,
}

impl Silence {
    /// Counts one more connection, silent for `silent`.
    pub fn add(&mut self, silent: Duration) {
        self.count = self.count.saturating_add(1);
        self.shortest = Some(self.shortest.map_or(silent, |shortest| shortest.min(silent)));
    }
}
