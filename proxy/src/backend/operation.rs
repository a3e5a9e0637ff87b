//! What a server is to its users.

/// What a server is, by what its checks say and what is asked for it ([`Asked`]).
///
/// | operation | new users | pinned users | idle connections |
/// |---|---|---|---|
/// | `Unchecked`, `Up` | yes | yes | kept |
/// | `Starting` | wait | wait | none yet |
/// | `Soft` | only when nothing else is left | yes | closed, but those that a user has authenticated |
/// | `Down` | no | moved elsewhere | closed |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Operation {
    /// It has no check and is taken for up.
    Unchecked = 0,
    /// Its first check has not come back yet: who wants it waits.
    Starting = 1,
    /// It takes everything.
    Up = 2,
    /// It takes no new user (`NOLB` in HAProxy's words).
    Soft = 3,
    /// It takes nobody.
    Down = 4,
}

impl Operation {
    /// Whether a new user may be sent here, its weight allowing.
    pub fn takes_new_users(self) -> bool {
        matches!(self, Self::Unchecked | Self::Up)
    }

    /// Whether a user whose cookie names this server stays with it.
    pub fn keeps_pinned_users(self) -> bool {
        self != Self::Down
    }

    /// Whether a request can be sent now.
    pub fn answers_now(self) -> bool {
        matches!(self, Self::Unchecked | Self::Up | Self::Soft)
    }

    pub(super) fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Unchecked,
            1 => Self::Starting,
            2 => Self::Up,
            3 => Self::Soft,
            _ => Self::Down,
        }
    }
}
