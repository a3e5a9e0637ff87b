//! Those that have not asked although they are expected, or might be.

use std::fmt;

use super::{Announced, Balancer, FORGET, Key, Moment, Table, UNKNOWN};
use crate::config::Expected;

/// One that is expected, and whom nobody hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unheard {
    /// As `balancers.expect` names it.
    pub name: String,
    /// It has asked once, and was silent for so long that a drain does not wait for it.
    pub is_gone: bool,
}

impl Table {
    /// Those that are expected and have never asked, as `balancers.expect` names them.
    pub fn absent(&self) -> impl Iterator<Item = String> {
        self.rules.expect.iter().filter(|expected| self.all_of(expected).next().is_none()).map(name)
    }

    /// Those that are expected and that nobody hears; `None` where the agent has not listened for long enough to tell.
    pub fn unheard(&self, now: Moment) -> Option<Vec<Unheard>> {
        if now < self.accepting + UNKNOWN {
            return None;
        }
        let is_unheard =
            |expected: &&Expected| self.all_of(expected).all(|balancer| self.is_gone(balancer, now));
        let unheard = self.rules.expect.iter().filter(is_unheard);
        let told =
            |expected| Unheard { name: name(expected), is_gone: self.all_of(expected).next().is_some() };
        Some(unheard.map(told).collect())
    }

    /// What is waited for beside those that are known, for people.
    pub fn awaits(&self, now: Moment) -> Option<String> {
        self.not_yet_come(self.announced?, now).or_else(|| self.turned_away(now))
    }

    /// Forgets those that have been silent for long, while nothing is announced. Of each that is expected the one that was
    /// heard last stays: it has asked, and what it has shown since is its silence.
    pub fn tidy(&mut self, now: Moment) {
        if self.announced.is_some() {
            return;
        }
        let is_old = |balancer: &&Balancer| now.since(self.heard_last(balancer)) >= FORGET;
        let old =
            self.balancers.values().filter(is_old).filter(|balancer| !self.stands_for_expected(balancer));
        for key in old.map(|balancer| balancer.key.clone()).collect::<Vec<_>>() {
            self.balancers.remove(&key);
        }
    }

    /// Who has not been seen although they are expected, or might be.
    pub(super) fn not_yet_come(&self, announced: Announced, now: Moment) -> Option<String> {
        if let Some(name) = self.absent().next() {
            return Some(format!("{name} is expected and has never asked"));
        }
        if !self.rules.expect.is_empty() {
            return None;
        }
        if self.balancers.is_empty() {
            return (now < announced.first + UNKNOWN).then(|| "nobody has asked yet".to_owned());
        }
        let young = !self.settled && now < self.accepting + self.settle_time();
        young.then(|| "the agent has just begun, and others may not have asked yet".to_owned())
    }

    /// How long an agent that knew nobody waits for others once the first has asked: as long as one may be silent
    /// before it is gone.
    pub(super) fn settle_time(&self) -> std::time::Duration {
        let longest = self.balancers.values().map(|balancer| balancer.rhythm.patience()).max();
        longest.unwrap_or(UNKNOWN).min(UNKNOWN)
    }

    /// Whether this is one of those that are expected.
    pub(super) fn expects(&self, key: &Key) -> bool {
        self.rules.expect.iter().any(|expected| is(key, expected))
    }

    /// Whether it was heard last of all that are expected by the same name.
    pub(super) fn stands_for_expected(&self, balancer: &Balancer) -> bool {
        let heard = |balancer: &Balancer| (balancer.rhythm.last(), balancer.key.clone());
        let expected = self.rules.expect.iter().filter(|expected| is(&balancer.key, expected));
        expected
            .into_iter()
            .any(|expected| self.all_of(expected).all(|other| heard(other) <= heard(balancer)))
    }

    fn all_of(&self, expected: &Expected) -> impl Iterator<Item = &Balancer> {
        self.balancers.values().filter(move |balancer| is(&balancer.key, expected))
    }
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, is_gone } = self;
        if *is_gone {
            return write!(
                f,
                "{name} is expected (balancers.expect) and does not ask any more; a drain does not wait for it"
            );
        }
        write!(
            f,
            "{name} is expected (balancers.expect) and has never asked; no drain is acknowledged without it"
        )
    }
}

fn name(expected: &Expected) -> String {
    match expected {
        Expected::Address(address) => address.to_string(),
        Expected::Node(node) => node.to_string(),
    }
}

fn is(key: &Key, expected: &Expected) -> bool {
    match expected {
        Expected::Address(address) => key.source == *address,
        Expected::Node(node) => key.node.as_ref().is_some_and(|own| **own == **node),
    }
}
