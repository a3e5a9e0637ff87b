//! What checks have found of one server: the pure rise/fall machine, HAProxy's.
//!
//! One number, `health`, from 0 to `rise + fall - 1`; the server is up from `rise` on. It starts at `rise`: up, with
//! one failure left.
//!
//! | it is | check | health | becomes |
//! |---|---|---|---|
//! | starting | passed, soft, failed | as up | up, soft, down |
//! | up, soft | passed | full | up |
//! | up, soft | soft | full | soft |
//! | up, soft | none for long | `rise` | the same |
//! | up, soft | failed | one less; below `rise`: 0 | the same; below `rise`: down |
//! | down | passed | one more; at `rise`: full | the same; at `rise`: up |
//! | down | soft, marked as a drain | one more; at `rise`: full | the same; at `rise`: soft |
//! | down | soft, not marked | 0 | down |
//! | down | failed | 0 | down |
//!
//! Too many errors of users in a row count as no, one or more failed checks, as `on_error` says.
//!
//! HAProxy takes a server whose first check has not come back for up, and one that comes back with 404 for down even
//! where the answer is marked as a drain; here it is `Starting`, and soft.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::backend::Operation;
use crate::config::{self, OnError};

/// What one check has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finding {
    /// A good answer.
    Passed,
    /// The status that means a soft drain; `marked` where the answer says so in words too.
    Soft {
        /// It carries `x-drain-state` with a phase of a drain.
        marked: bool,
    },
    /// Anything else.
    Failed,
}

/// The machine of one server.
#[derive(Clone, Debug)]
pub struct Machine {
    rise: u32,
    fall: u32,
    health: u32,
    operation: Operation,
}

impl Machine {
    /// Before the first check.
    pub fn new(rise: NonZeroU32, fall: NonZeroU32) -> Self {
        let (rise, fall) = (rise.get(), fall.get());
        Self { rise, fall, health: rise, operation: Operation::Starting }
    }

    /// One that goes on from what has been found before, by whatever settings.
    pub fn resumed(rise: NonZeroU32, fall: NonZeroU32, operation: Operation, health: Option<u32>) -> Self {
        let mut machine = Self::new(rise, fall);
        let standing = match operation {
            Operation::Starting => return machine,
            Operation::Unchecked => Operation::Up,
            known => known,
        };
        let unknown = if standing == Operation::Down { 0 } else { machine.full() };
        (machine.operation, machine.health) = (standing, health.unwrap_or(unknown));
        machine.bound();
        machine
    }

    /// Goes on with other counts. What has been found stays; what is left until a change is bounded by the new ones.
    pub fn adapt(&mut self, rise: NonZeroU32, fall: NonZeroU32) {
        let was_full = self.health == self.full();
        let failed = self.full() - self.health;
        (self.rise, self.fall) = (rise.get(), fall.get());
        if self.operation == Operation::Starting {
            self.health = self.rise;
        } else if was_full {
            self.health = self.full();
        } else if self.operation != Operation::Down {
            self.health = self.full().saturating_sub(failed);
        }
        self.bound();
    }

    /// Health as it must be for what the server is.
    fn bound(&mut self) {
        self.health = match self.operation {
            Operation::Down => self.health.min(self.rise - 1),
            _ => self.health.clamp(self.rise, self.full()),
        };
    }

    /// So many steps from the worst.
    pub fn health(&self) -> u32 {
        self.health
    }

    /// What it has come to.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Takes in one check.
    pub fn step(&mut self, finding: Finding) {
        let is_down = self.operation == Operation::Down;
        match finding {
            Finding::Failed => self.fail(),
            Finding::Soft { marked: false } if is_down => self.fail(),
            Finding::Soft { .. } => self.pass(Operation::Soft),
            Finding::Passed => self.pass(Operation::Up),
        }
    }

    /// Users found too many errors in a row.
    pub fn observe(&mut self, follows: OnError) {
        match follows {
            OnError::Fastinter => return,
            OnError::FailCheck => {}
            OnError::SuddenDeath => self.health = self.health.min(self.rise + 1),
            OnError::MarkDown => self.health = self.health.min(self.rise),
        }
        self.fail();
    }

    /// What was found is old: if it is up, the next failure takes it down.
    pub fn doubt(&mut self) {
        if self.operation != Operation::Down {
            self.health = self.rise;
        }
    }

    /// The first check takes too long: the server is taken for up until it comes back.
    pub fn stop_waiting(&mut self) {
        if self.operation == Operation::Starting {
            self.operation = Operation::Up;
        }
    }

    /// From the end of a check to the start of the next one.
    pub fn interval(&self, check: &config::Check) -> Duration {
        if self.health == self.full() {
            check.inter
        } else if self.health == 0 {
            check.downinter
        } else {
            check.fastinter
        }
    }

    fn pass(&mut self, becomes: Operation) {
        if self.operation == Operation::Down {
            self.health += 1;
            if self.health < self.rise {
                return;
            }
        }
        self.health = self.full();
        self.operation = becomes;
    }

    fn fail(&mut self) {
        let left = self.health.saturating_sub(1);
        if self.operation != Operation::Down && left >= self.rise {
            self.health = left;
        } else {
            self.health = 0;
            self.operation = Operation::Down;
        }
    }

    fn full(&self) -> u32 {
        self.rise + self.fall - 1
    }
}

/// As it stands in `X-Haproxy-Server-State`: `UP`, `UP 1/3`, `NOLB 2/3`, `DOWN 1/2`, `DOWN`.
impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = match self.operation {
            Operation::Down if self.health == 0 => return out.write_str("DOWN"),
            Operation::Down => return write!(out, "DOWN {}/{}", self.health, self.rise),
            Operation::Soft => "NOLB",
            Operation::Up | Operation::Starting | Operation::Unchecked => "UP",
        };
        if self.health == self.full() {
            out.write_str(up)
        } else {
            write!(out, "{up} {}/{}", self.health + 1 - self.rise, self.fall)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: Finding = Finding::Soft { marked: false };
    const MARKED: Finding = Finding::Soft { marked: true };

    fn machine(rise: u32, fall: u32) -> Machine {
        Machine::new(NonZeroU32::new(rise).unwrap(), NonZeroU32::new(fall).unwrap())
    }

    /// Letters: `+` passed, `-` failed, `~` soft, `=` soft and marked.
    #[track_caller]
    fn check(rise: u32, fall: u32, findings: &str, expected: &[&str]) {
        let mut machine = machine(rise, fall);
        let seen: Vec<String> = findings
            .chars()
            .map(|letter| {
                machine.step(match letter {
                    '+' => Finding::Passed,
                    '-' => Finding::Failed,
                    '~' => SOFT,
                    _ => MARKED,
                });
                machine.to_string()
            })
            .collect();
        assert_eq!(seen, expected, "after {findings}");
    }

    #[test]
    fn before_the_first_check_it_says_up_with_one_failure_left_but_is_starting() {
        assert_eq!(machine(2, 3).to_string(), "UP 1/3");
        assert_eq!(machine(2, 1).to_string(), "UP");
        assert_eq!(machine(2, 3).operation(), Operation::Starting);
    }

    #[test]
    fn the_first_failure_takes_it_down_whatever_fall_is() {
        check(2, 5, "-", &["DOWN"]);
    }

    #[test]
    fn one_good_check_erases_all_failures() {
        check(2, 3, "+--+---", &["UP", "UP 2/3", "UP 1/3", "UP", "UP 2/3", "UP 1/3", "DOWN"]);
    }

    #[test]
    fn rise_good_checks_in_a_row_bring_it_back() {
        check(3, 1, "-++-+++", &["DOWN", "DOWN 1/3", "DOWN 2/3", "DOWN", "DOWN 1/3", "DOWN 2/3", "UP"]);
    }

    #[test]
    fn one_404_makes_it_soft_and_one_200_brings_it_back() {
        check(2, 3, "+~+", &["UP", "NOLB", "UP"]);
        check(2, 3, "~", &["NOLB"]);
        check(2, 3, "+--~", &["UP", "UP 2/3", "UP 1/3", "NOLB"]);
    }

    #[test]
    fn a_soft_server_that_fails_goes_down_after_fall() {
        check(2, 3, "~---", &["NOLB", "NOLB 2/3", "NOLB 1/3", "DOWN"]);
        check(2, 3, "~-~", &["NOLB", "NOLB 2/3", "NOLB"]);
    }

    #[test]
    fn a_404_that_nobody_marked_is_a_failure_of_a_server_that_is_down() {
        check(2, 1, "-~", &["DOWN", "DOWN"]);
        check(3, 1, "-+~", &["DOWN", "DOWN 1/3", "DOWN"]);
    }

    #[test]
    fn a_marked_404_brings_a_server_from_down_to_soft() {
        check(2, 1, "-==", &["DOWN", "DOWN 1/2", "NOLB"]);
        check(2, 1, "-+=+", &["DOWN", "DOWN 1/2", "NOLB", "UP"]);
    }

    #[test]
    fn too_many_errors_count_as_the_configuration_says() {
        for (before, follows, after) in [
            ("+", OnError::Fastinter, "UP"),
            ("+", OnError::FailCheck, "UP 3/4"),
            ("+-", OnError::FailCheck, "UP 2/4"),
            ("+---", OnError::FailCheck, "DOWN"),
            ("+", OnError::SuddenDeath, "UP 1/4"),
            ("+--", OnError::SuddenDeath, "UP 1/4"),
            ("+---", OnError::SuddenDeath, "DOWN"),
            ("+", OnError::MarkDown, "DOWN"),
            ("~", OnError::MarkDown, "DOWN"),
            ("-+", OnError::MarkDown, "DOWN"),
        ] {
            let mut machine = machine(2, 4);
            for letter in before.chars() {
                machine.step(match letter {
                    '+' => Finding::Passed,
                    '-' => Finding::Failed,
                    _ => SOFT,
                });
            }
            machine.observe(follows);
            assert_eq!(machine.to_string(), after, "{before} {follows:?}");
        }
    }

    #[test]
    fn the_interval_is_fast_in_between_and_long_at_the_ends() {
        let check = config::Check {
            inter: Duration::from_millis(600),
            fastinter: Duration::from_millis(100),
            downinter: Duration::from_millis(300),
            ..crate::backend::fixture::check()
        };
        let mut machine = machine(2, 3);
        let mut intervals = vec![machine.interval(&check).as_millis()];
        for letter in "+---++".chars() {
            machine.step(if letter == '+' { Finding::Passed } else { Finding::Failed });
            intervals.push(machine.interval(&check).as_millis());
        }
        assert_eq!(intervals, [100, 600, 100, 100, 300, 100, 600]);
    }

    #[test]
    fn a_first_check_that_takes_too_long_is_not_waited_for() {
        let mut machine = machine(2, 3);
        machine.stop_waiting();
        assert_eq!(machine.operation(), Operation::Up);
        machine.step(Finding::Failed);
        machine.stop_waiting();
        assert_eq!(machine.operation(), Operation::Down);
    }

    #[test]
    fn the_next_failure_takes_a_server_down_of_which_all_is_old() {
        for (findings, seen) in [("+", "UP 1/3"), ("~", "NOLB 1/3"), ("-", "DOWN"), ("-+", "DOWN 1/2")] {
            let mut machine = machine(2, 3);
            for letter in findings.chars() {
                machine.step(match letter {
                    '+' => Finding::Passed,
                    '-' => Finding::Failed,
                    _ => SOFT,
                });
            }
            machine.doubt();
            assert_eq!(machine.to_string(), seen, "{findings}");
            machine.step(Finding::Failed);
            assert_eq!(machine.operation(), Operation::Down);
        }
    }

    #[test]
    fn other_counts_keep_what_was_found() {
        let count = |count| NonZeroU32::new(count).unwrap();
        for (findings, rise, fall, seen) in [
            ("+", 5, 5, "UP"),
            ("+-", 2, 5, "UP 4/5"),
            ("+-", 2, 2, "UP 1/2"),
            ("+-", 2, 1, "UP"),
            ("+---", 2, 9, "DOWN"),
            ("+---+", 4, 3, "DOWN 1/4"),
            ("+---++", 4, 3, "UP"),
            ("~", 1, 1, "NOLB"),
        ] {
            let mut machine = machine(2, 3);
            for letter in findings.chars() {
                machine.step(match letter {
                    '+' => Finding::Passed,
                    '-' => Finding::Failed,
                    _ => SOFT,
                });
            }
            let mut resumed =
                Machine::resumed(count(2), count(3), machine.operation(), Some(machine.health()));
            assert_eq!(resumed.to_string(), machine.to_string());
            for machine in [&mut machine, &mut resumed] {
                machine.adapt(count(rise), count(fall));
                assert_eq!(machine.to_string(), seen, "{findings}, then rise {rise} and fall {fall}");
            }
        }
        assert_eq!(Machine::resumed(count(2), count(3), Operation::Unchecked, None).to_string(), "UP");
    }
}
