//! Processes that call themselves the same: two of HAProxy behind one address, with one `node` and one name for this
//! server.
//!
//! Nothing in a check says which of them sends it. That there are several shows in two ways:
//!
//! | when | a lone process | several |
//! |---|---|---|
//! | nothing is announced | waits for the same time before each check | come in turn, a short and a long time apart |
//! | it was told what is announced | acts on it, or counts down to that, in its next check | one says what the other was told out of |
//!
//! Where it has shown, what one says proves nothing of the others: none of them may have said otherwise for as long as it
//! would take to find out that one is gone. Two whose checks lie half an interval apart are seen in the first drain only,
//! when the second says otherwise.

use serde::{Deserialize, Serialize};

use super::{Rhythm, State};
use crate::lifecycle::Level;

/// What has shown of processes that ask in one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Namesakes {
    /// The last checks before the announcement came in turn.
    in_turn: bool,
    /// The drain before this one has shown it.
    before: bool,
    /// What this one has shown so far.
    now: Shown,
}

/// Whether somebody says, having been told what is announced, that nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    /// Nobody.
    #[default]
    Nothing,
    /// Somebody, and nobody acts on it: it may be one that ignores it.
    Otherwise,
    /// Somebody, and somebody acts on it.
    Both,
}

impl Namesakes {
    /// Whether more than one process asks.
    pub fn are_several(self) -> bool {
        self.in_turn || self.before || self.now != Shown::Nothing
    }

    /// Whether that has shown, beyond one that ignores what it is told.
    pub fn have_shown(self) -> bool {
        self.in_turn || self.before || self.now == Shown::Both
    }

    /// A check has come while nothing is announced, from one that counts no failure and so asks no faster for a while.
    pub fn heard_up(&mut self, rhythm: &Rhythm) {
        if let Some(alternates) = rhythm.alternates() {
            self.in_turn = alternates;
        }
    }

    /// One is in `state` and counts to no other, after somebody `was_told` of `level`, and perhaps has `acted`.
    pub fn told(&mut self, level: Level, state: State, was_told: bool, acted: bool) {
        let acts = proves(state, level);
        let otherwise = was_told && !acts && matches!(state, State::Up | State::Nolb);
        self.now = match self.now {
            Shown::Nothing | Shown::Otherwise if otherwise && acted => Shown::Both,
            Shown::Nothing if otherwise => Shown::Otherwise,
            Shown::Otherwise if acts => Shown::Both,
            shown => shown,
        };
    }

    /// What was announced until now is ignored by all who ask, as one that is alone does.
    pub fn ignored(&mut self) {
        if self.now == Shown::Otherwise {
            self.now = Shown::Nothing;
        }
    }

    /// The drain is over.
    pub fn drain_ended(&mut self) {
        *self = Self { before: self.now == Shown::Both, now: Shown::Nothing, ..*self };
    }
}

/// Whether a server in this state gets no new users, or none at all.
pub(super) const fn proves(state: State, level: Level) -> bool {
    match level {
        Level::Soft => matches!(state, State::Nolb | State::Down),
        Level::Hard => matches!(state, State::Down),
    }
}
