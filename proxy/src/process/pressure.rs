//! A warning before a limit is hit, and a word when it is far again.

use crate::{admin::usage, worker::Generation};

/// Of a limit, in per cent: a warning from here on.
const NEAR: u64 = 80;

/// Far again; lower, so that a number that swings warns once.
const FAR: u64 = 70;

/// What is near its limit.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    near: Vec<String>,
}

impl Pressure {
    /// Looks at all limits, and says what has changed.
    pub(super) fn look(&mut self, generation: &Generation) {
        let (open, most) = generation.connections();
        self.note("the process", "connections", "limits.connections", open, most);
        for (name, open, most) in generation.crowds() {
            self.note(&format!("frontend {name}"), "connections", "maxconn", open, most);
        }
        if let (Some(open), Some(most)) = (usage::descriptors(), usage::most_descriptors()) {
            self.note("the process", "open files", "LimitNOFILE= of the unit (ulimit -n)", open, most);
        }
    }

    fn note(&mut self, whose: &str, what: &str, limit: &str, used: u64, most: u64) {
        let key = format!("{whose}: {what}");
        let known = self.near.iter().position(|near| *near == key);
        match (known, is_near(used, most, known.is_some())) {
            (None, true) => {
                tracing::warn!("{whose} has {used} {what}, of {most} at most: raise {limit}");
                self.near.push(key);
            }
            (Some(at), false) => {
                tracing::info!("{whose} has {used} {what}, of {most} at most");
                self.near.swap_remove(at);
            }
            _ => {}
        }
    }
}

fn is_near(used: u64, most: u64, was_near: bool) -> bool {
    let share = u128::from(used) * 100;
    share >= u128::from(most) * u128::from(if was_near { FAR } else { NEAR })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_swings_near_its_limit_warns_once() {
        assert!(!is_near(79, 100, false) && is_near(80, 100, false));
        assert!(is_near(70, 100, true) && !is_near(69, 100, true));
        assert!(!is_near(0, u64::MAX, false));
        let mut pressure = Pressure::default();
        for used in [79, 80, 75, 100, 70] {
            pressure.note("the process", "connections", "limits.connections", used, 100);
        }
        assert_eq!(pressure.near, ["the process: connections"]);
        pressure.note("the process", "connections", "limits.connections", 69, 100);
        assert!(pressure.near.is_empty());
    }
}
