//! What is asked for a server beside what its checks say: by its agent, and by an operator. Pure.
//!
//! | asked by either | checks say nothing or up | starting | soft | down |
//! |---|---|---|---|---|
//! | nothing | as they say | starting | soft | down |
//! | drain | soft | starting | soft | down |
//! | maintenance, or down | down | down | down | down |
//!
//! The two are kept apart, so that no agent ends what an operator has ordered; an operator's `ready` takes back what the
//! agent has asked, until it asks again.

use super::Operation;
use crate::config;

/// What becomes of a server's users.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
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

impl Administration {
    /// What the configuration has a server begin with.
    pub const fn configured(server: &config::Server) -> Self {
        if server.disabled { Self::Maintenance } else { Self::Ready }
    }

    const fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Ready,
            1 => Self::Drain,
            _ => Self::Maintenance,
        }
    }
}

/// All together, in one number, so that nobody ever sees one changed without the others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) checks: Operation,
    /// By its agent.
    pub(super) asked: Asked,
    /// By an operator.
    pub(super) ordered: Administration,
}

impl Standing {
    const ADMINISTRATION_AT: u8 = 3;
    const DOWN: u8 = 1 << 5;
    const ORDERED_AT: u8 = 6;

    /// What checks say, and nothing asked.
    pub(super) fn of(checks: Operation) -> Self {
        Self { checks, asked: Asked::default(), ordered: Administration::Ready }
    }

    pub(super) fn operation(self) -> Operation {
        Asked { administration: self.administration(), ..self.asked }.over(self.checks)
    }

    /// Whichever of the two asks for more.
    pub(super) fn administration(self) -> Administration {
        self.asked.administration.max(self.ordered)
    }

    pub(super) fn packed(self) -> u8 {
        let down = if self.asked.down { Self::DOWN } else { 0 };
        let ordered = (self.ordered as u8) << Self::ORDERED_AT;
        self.checks as u8 | (self.asked.administration as u8) << Self::ADMINISTRATION_AT | down | ordered
    }

    pub(super) fn unpacked(bits: u8) -> Self {
        let administration = Administration::of_bits(bits >> Self::ADMINISTRATION_AT);
        let asked = Asked { administration, down: bits & Self::DOWN != 0 };
        let ordered = Administration::of_bits(bits >> Self::ORDERED_AT);
        Self { checks: Operation::from_u8(bits & 7), asked, ordered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_in_one_number() {
        for bits in 0..=u8::MAX {
            let standing = Standing::unpacked(bits);
            assert_eq!(Standing::unpacked(standing.packed()), standing);
        }
    }

    #[test]
    fn what_an_operator_orders_holds_whatever_the_agent_says() {
        use Administration::{Drain, Maintenance, Ready};
        for (agent, operator, operation) in [
            (Ready, Ready, Operation::Up),
            (Ready, Drain, Operation::Soft),
            (Ready, Maintenance, Operation::Down),
            (Drain, Ready, Operation::Soft),
            (Drain, Maintenance, Operation::Down),
            (Maintenance, Drain, Operation::Down),
        ] {
            let asked = Asked { administration: agent, down: false };
            let standing = Standing { checks: Operation::Up, asked, ordered: operator };
            assert_eq!(standing.operation(), operation, "{standing:?}");
        }
    }
}
