//! What is asked for a server beside what its checks say: by its agent, at present. Pure.
//!
//! | asked | checks say nothing or up | starting | soft | down |
//! |---|---|---|---|---|
//! | nothing | as they say | starting | soft | down |
//! | drain | soft | starting | soft | down |
//! | maintenance, or down | down | down | down | down |

use super::Operation;

/// What becomes of a server's users.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Administration {
    /// It takes everything.
    #[default]
    Ready = 0,
    /// No new users.
    Drain = 1,
    /// Nobody, and no checks.
    Maintenance = 2,
}

/// What is asked for a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// What becomes of its users.
    pub administration: Administration,
    /// It is down, whatever its checks find.
    pub down: bool,
}

impl Asked {
    /// What a server is of which the checks say this.
    pub fn over(self, checks: Operation) -> Operation {
        match (self.administration, checks) {
            (Administration::Maintenance, _) => Operation::Down,
            _ if self.down => Operation::Down,
            (Administration::Drain, Operation::Unchecked | Operation::Up) => Operation::Soft,
            _ => checks,
        }
    }
}

/// Both together, in one number, so that nobody ever sees one changed without the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) checks: Operation,
    pub(super) asked: Asked,
}

impl Standing {
    const ADMINISTRATION_AT: u8 = 3;
    const DOWN: u8 = 1 << 5;

    pub(super) fn operation(self) -> Operation {
        self.asked.over(self.checks)
    }

    pub(super) fn packed(self) -> u8 {
        let down = if self.asked.down { Self::DOWN } else { 0 };
        self.checks as u8 | (self.asked.administration as u8) << Self::ADMINISTRATION_AT | down
    }

    pub(super) fn unpacked(bits: u8) -> Self {
        let administration = match bits >> Self::ADMINISTRATION_AT & 3 {
            0 => Administration::Ready,
            1 => Administration::Drain,
            _ => Administration::Maintenance,
        };
        let asked = Asked { administration, down: bits & Self::DOWN != 0 };
        Self { checks: Operation::from_u8(bits & 7), asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_in_one_number() {
        use Operation::{Down, Soft, Starting, Unchecked, Up};
        for checks in [Unchecked, Starting, Up, Soft, Down] {
            for administration in [Administration::Ready, Administration::Drain, Administration::Maintenance]
            {
                for down in [false, true] {
                    let standing = Standing { checks, asked: Asked { administration, down } };
                    assert_eq!(Standing::unpacked(standing.packed()), standing);
                }
            }
        }
    }
}
