//! What HAProxy calls the state of a server. Pure.
//!
//! | administration | health | it is called |
//! |---|---|---|
//! | maintenance | any | `MAINT` |
//! | drain | up or unchecked | `DRAIN`; `DRAIN (agent)` where it has an agent; `DRAIN k/fall` while it fails |
//! | ready, drain | soft | `NOLB`; `NOLB k/fall` while it fails |
//! | ready | up, starting | `UP`; `UP k/fall` while it fails; `no check` without checks |
//! | any but maintenance | down | `DOWN (agent)` by its agent's word; `DOWN k/rise` while it rises; else `DOWN` |

use crate::backend::{Administration, Operation, Server};

/// Of one server.
pub(super) fn of(server: &Server) -> String {
    let check = server.settings().check.as_ref().filter(|_| !server.forced().is_unchecked());
    Looks {
        administration: server.administration(),
        operation: server.operation(),
        agent_down: server.asked().down,
        has_agent: server.settings().agent.is_some() && !server.forced().is_unasked(),
        check: check.map(|check| {
            let (rise, fall) = (check.rise.get(), check.fall.get());
            Health { rise, fall, steps: health(server).unwrap_or(rise) }
        }),
    }
    .to_string()
}

/// The health of its check machine, as HAProxy has it: nothing in maintenance, and `rise` before the first check.
pub(super) fn health(server: &Server) -> Option<u32> {
    let rise = server.settings().check.as_ref()?.rise.get();
    if server.administration() == Administration::Maintenance {
        return Some(0);
    }
    Some(server.health().unwrap_or(rise))
}

/// What it depends on.
#[derive(Clone, Copy, Debug)]
struct Looks {
    administration: Administration,
    operation: Operation,
    agent_down: bool,
    has_agent: bool,
    /// `None`: it is not checked.
    check: Option<Health>,
}

#[derive(Clone, Copy, Debug)]
struct Health {
    rise: u32,
    fall: u32,
    steps: u32,
}

impl std::fmt::Display for Looks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fails =
            self.check.filter(|check| check.steps >= check.rise && check.steps < check.rise + check.fall - 1);
        let name = match (self.administration, self.operation) {
            (Administration::Maintenance, _) => return out.write_str("MAINT"),
            (_, Operation::Down) if self.agent_down => return out.write_str("DOWN (agent)"),
            (_, Operation::Down) => {
                return match self.check.filter(|check| check.steps > 0 && check.steps < check.rise) {
                    Some(check) => write!(out, "DOWN {}/{}", check.steps, check.rise),
                    None => out.write_str("DOWN"),
                };
            }
            (Administration::Drain, _) if self.has_agent => return out.write_str("DRAIN (agent)"),
            (Administration::Drain, _) => "DRAIN",
            (Administration::Ready, Operation::Soft) => "NOLB",
            (Administration::Ready, _) if self.check.is_none() => return out.write_str("no check"),
            (Administration::Ready, _) => "UP",
        };
        match fails {
            Some(check) => write!(out, "{name} {}/{}", check.steps + 1 - check.rise, check.fall),
            None => out.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_called_as_haproxy_calls_them() {
        use Administration::{Drain, Maintenance, Ready};
        use Operation::{Down, Soft, Starting, Unchecked, Up};
        let check = |steps| Some(Health { rise: 2, fall: 3, steps });
        for (administration, operation, agent, check, expected) in [
            (Ready, Up, None, check(4), "UP"),
            (Ready, Up, None, check(3), "UP 2/3"),
            (Ready, Starting, None, check(2), "UP 1/3"),
            (Ready, Unchecked, None, None, "no check"),
            (Ready, Down, None, check(0), "DOWN"),
            (Ready, Down, None, check(1), "DOWN 1/2"),
            (Ready, Down, None, None, "DOWN"),
            (Ready, Down, Some(true), check(4), "DOWN (agent)"),
            (Ready, Soft, None, check(4), "NOLB"),
            (Ready, Soft, None, check(2), "NOLB 1/3"),
            (Drain, Soft, None, check(4), "DRAIN"),
            (Drain, Soft, None, check(3), "DRAIN 2/3"),
            (Drain, Soft, Some(false), check(4), "DRAIN (agent)"),
            (Drain, Soft, None, None, "DRAIN"),
            (Drain, Down, None, check(0), "DOWN"),
            (Maintenance, Down, None, check(0), "MAINT"),
            (Maintenance, Down, Some(true), None, "MAINT"),
        ] {
            let looks = Looks {
                administration,
                operation,
                agent_down: agent == Some(true),
                has_agent: agent.is_some(),
                check,
            };
            assert_eq!(looks.to_string(), expected, "{looks:?}");
        }
    }
}
