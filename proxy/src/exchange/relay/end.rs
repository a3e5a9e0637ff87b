//! How an exchange with a server ended, and what is left of it.

use super::super::{
    pipe::Pipe,
    resume::{NotTheRest, Resume},
};
use crate::{backend::MARKED_DOWN, config::Failure, http1::BadResponse};

/// HAProxy's letter for a request that an operator has ended.
pub(in crate::exchange) const BY_OPERATOR: u8 = b'K';

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::exchange) enum End {
    /// The response has been read to its end.
    Complete,
    /// The server closed before it said anything.
    Silence,
    /// The server closed within its head.
    HeadCutOff,
    /// What it said is not a response.
    BadHead(BadResponse),
    /// Its status is among those after which the request is sent again.
    Unwanted(u16),
    /// It said nothing for too long.
    HeadTimeout,
    /// What came is not the rest of the response that it should continue.
    OtherBody(NotTheRest),
    /// The response broke off.
    BodyCutOff,
    /// The response's chunks are malformed.
    BadChunks,
    /// The response stalled.
    BodyTimeout,
    /// Its sessions are ended, because it went down or another came up; HAProxy's letter for the log.
    ShutDown(u8),
    /// The client went while it sent or received.
    ClientGone,
    /// The client has closed its half of the connection while it waited, and that is to end the request.
    ClientLeft,
    /// The client took nothing for too long.
    ClientTimeout,
    /// The request's chunks are malformed.
    BadRequest,
    /// What was kept of the request is gone: it can't be sent again to its end.
    RequestLost,
}

/// What a client has of a final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::exchange) enum Answered {
    /// Nothing: an error can still be sent.
    Nothing,
    /// Some of one that tells its own end.
    Framed,
    /// Some of one that ends with the connection: a plain close would make what is there the whole.
    UntilClose,
}

/// What is left when an exchange has ended.
pub(in crate::exchange) struct Remains {
    /// How it ended.
    pub(in crate::exchange) end: End,
    /// The status that this server has answered with, whatever rules have made of it.
    pub(in crate::exchange) said: Option<u16>,
    /// The response; some of it may still have to be written.
    pub(in crate::exchange) down: Pipe,
    /// What the client has, or shall have, of a final response.
    pub(in crate::exchange) answered: Answered,
    /// The server has asked for, or been given, an authentication that holds for its connection.
    pub(in crate::exchange) authenticates: bool,
    /// The server's connection can serve another request.
    pub(in crate::exchange) reusable: bool,
    /// The client's connection can carry another request.
    pub(in crate::exchange) keep_alive: bool,
    /// How the response can be continued.
    pub(in crate::exchange) resume: Option<Box<Resume>>,
}

impl From<BadResponse> for End {
    fn from(error: BadResponse) -> Self {
        Self::BadHead(error)
    }
}

impl From<NotTheRest> for End {
    fn from(error: NotTheRest) -> Self {
        Self::OtherBody(error)
    }
}

impl Remains {
    /// Of a response that ended so, and that nobody continues.
    pub(in crate::exchange) const fn cut_off(end: End, down: Pipe) -> Self {
        Self {
            end,
            said: None,
            down,
            answered: Answered::Framed,
            authenticates: false,
            reusable: false,
            keep_alive: false,
            resume: None,
        }
    }

    /// Whether the server has left the client with a part of a response that can be continued.
    pub(in crate::exchange) const fn is_broken_off(&self) -> bool {
        let by_the_server = match self.end {
            End::Silence
            | End::HeadCutOff
            | End::BadHead(_)
            | End::Unwanted(_)
            | End::HeadTimeout
            | End::OtherBody(_)
            | End::BodyCutOff
            | End::BodyTimeout
            | End::ShutDown(MARKED_DOWN) => true,
            End::Complete
            | End::BadChunks
            | End::ShutDown(_)
            | End::ClientGone
            | End::ClientLeft
            | End::ClientTimeout
            | End::BadRequest
            | End::RequestLost => false,
        };
        by_the_server && self.resume.is_some() && matches!(self.answered, Answered::Framed)
    }

    /// What the server has failed in, where the client has nothing of a final response.
    pub(in crate::exchange) const fn failure(&self) -> Option<Failure> {
        if !matches!(self.answered, Answered::Nothing) {
            return None;
        }
        match self.end {
            // It is a rule that does not let it pass: no other server's would be welcome.
            End::BadHead(BadResponse::Denied) => None,
            End::Silence | End::HeadCutOff | End::BodyCutOff | End::ShutDown(MARKED_DOWN) => {
                Some(Failure::Empty)
            }
            End::BadHead(_) | End::OtherBody(_) | End::BadChunks => Some(Failure::Junk),
            End::HeadTimeout | End::BodyTimeout => Some(Failure::Timeout),
            End::Unwanted(status) => Some(Failure::Status(status)),
            End::Complete
            | End::ShutDown(_)
            | End::ClientGone
            | End::ClientLeft
            | End::ClientTimeout
            | End::BadRequest
            | End::RequestLost => None,
        }
    }
}
