//! What an attempt says: of its server, and of whether another one may follow.

use super::{
    super::{
        connect::NoConnection,
        relay::{End, Remains},
        resume,
    },
    Attempts, Tried,
};
use crate::{backend::observed::Observed, config::Failure};

impl Attempts<'_> {
    /// The server has closed an idle connection while the request was on its way there.
    pub(super) fn was_closing(&self, remains: &Remains) -> bool {
        remains.end == End::Silence && (self.is_broken_off(remains) || self.failure(remains).is_some())
    }

    /// The client has a part of a response that can be continued.
    pub(super) fn is_broken_off(&self, remains: &Remains) -> bool {
        remains.is_broken_off() && resume::asks_for_all(self.up.output.whole())
    }

    /// What the server has failed in, where the request may be sent again.
    pub(super) fn failure(&self, remains: &Remains) -> Option<Failure> {
        if remains.end == End::Silence && self.up.is_untouched() {
            return Some(Failure::Connection);
        }
        remains
            .failure()
            .filter(|_| self.asked.repeatable && self.up.is_rewindable() && !self.is_clients_delay(remains))
    }

    /// The server had nothing to answer yet: the rest of the request has not come. Another would wait as long.
    pub(super) fn is_clients_delay(&self, remains: &Remains) -> bool {
        remains.end == End::HeadTimeout && self.up.waits_for_source()
    }

    /// What a server's passive health has from an attempt; `None`: the server had no part in it.
    pub(super) fn observed(&self, tried: &Tried) -> Option<Observed> {
        let (remains, connection) = match tried {
            Tried::Ended(remains, _) if self.is_clients_delay(remains) => return None,
            Tried::Ended(remains, connection) => (remains, connection),
            Tried::NoConnection(NoConnection::Refused(_) | NoConnection::Timeout) => {
                return Some(Observed::NoConnection);
            }
            _ => return None,
        };
        Some(match (remains.end, remains.said) {
            // Whatever rules make of it.
            (End::Unwanted(status), _) | (_, Some(status)) => Observed::of_status(status),
            // It was closing an idle connection, as it may.
            (End::Silence, None) if connection.reused => Observed::Connected,
            (End::Silence | End::HeadCutOff, None) => Observed::Broken,
            (End::BadHead(_), None) => Observed::BadAnswer,
            (End::HeadTimeout, None) => Observed::Late,
            (_, None) => Observed::Connected,
        })
    }
}
