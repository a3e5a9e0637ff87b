//! The bounded table of all who ask.

mod expected;
mod room;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::expected::Unheard;
use self::room::TurnedAway;
use super::{Balancer, Header, Heard, Key, Rhythm, Standing, rhythm::UNKNOWN, visitors::Visitors};
use crate::{
    clock::Moment,
    config::{Balancers as Rules, MinRemaining},
    health::{Check, Way},
    lifecycle::{Acknowledgement, Level, Remaining},
};

/// Who asks, and what each has acknowledged.
#[derive(Clone, Debug)]
pub struct Table {
    rules: Rules,
    fall: u32,
    balancers: BTreeMap<Key, Balancer>,
    visitors: Visitors,
    announced: Option<Announced>,
    /// Since when the agent has answered and heard: silence before that is its own.
    accepting: Moment,
    /// Balancers were known when it began, so that there is nobody to be waited for who has not come yet.
    settled: bool,
    /// Those for whom there was no room.
    turned_away: Option<TurnedAway>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Announced {
    level: Level,
    /// Answers of this generation and later say so.
    generation: u64,
    /// When the first announcement of this drain was made.
    first: Moment,
}

/// What of a table outlives the agent's process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    balancers: Vec<Balancer>,
    announced: Option<Announced>,
}

/// What the balancers report of their sessions on this server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sessions {
    /// Requests in flight, over all balancers that say so; `None` where none does.
    pub in_flight: Option<u32>,
    /// The same of open connections without a request.
    pub idle: Option<u32>,
    /// The same of users whose cookie names this server.
    pub users: Option<u32>,
    /// Every balancer has reported zero since it acknowledged, and none has shown a new process.
    pub all_zero: bool,
}

/// A balancer that was silent for so long is forgotten.
const FORGET: Duration = Duration::from_hours(1);

impl Table {
    /// An empty table of an agent that answers since `now`.
    pub fn new(rules: Rules, fall: u32, now: Moment) -> Self {
        Self {
            rules,
            fall,
            balancers: BTreeMap::new(),
            visitors: Visitors::default(),
            announced: None,
            accepting: now,
            settled: false,
            turned_away: None,
        }
    }

    /// The table of an agent that has been away; `generation` is the one that its next answer will have.
    #[must_use]
    pub fn restored(mut self, saved: Saved, same_boot: bool, generation: u64) -> Self {
        self.settled = !saved.balancers.is_empty();
        self.announced = saved.announced.map(|announced| Announced {
            generation,
            first: if same_boot { announced.first } else { self.accepting },
            ..announced
        });
        for mut balancer in saved.balancers {
            if same_boot {
                balancer.rhythm.interrupted();
            } else {
                balancer.rhythm.rebased(self.accepting);
                balancer.heard = Heard::default();
                balancer.full_at = None;
                balancer.in_use = None;
                balancer.used = None;
            }
            self.balancers.insert(balancer.key.clone(), balancer);
        }
        self
    }

    /// What must be written down.
    pub fn saved(&self) -> Saved {
        Saved { balancers: self.balancers.values().cloned().collect(), announced: self.announced }
    }

    /// Other rules, from a reloaded configuration.
    pub fn reload(&mut self, rules: Rules, fall: u32) {
        let ignore = rules.ignore.clone();
        self.balancers.retain(|key, _| !ignore.iter().any(|net| net.contains(&key.source)));
        self.rules = rules;
        self.fall = fall;
    }

    /// From the answer with this generation on, `level` is announced; or nothing is.
    pub fn announce(&mut self, level: Option<Level>, generation: u64, now: Moment) {
        let first = self.announced.map_or(now, |announced| announced.first);
        let was = self.announced.map(|announced| announced.level);
        self.announced = level.map(|level| Announced { level, generation, first });
        for balancer in self.balancers.values_mut() {
            let standing = was.map(|was| balancer.standing(was, self.fall, Duration::ZERO));
            if standing == Some(Standing::Unproven) {
                balancer.namesakes.ignored();
            }
            balancer.heard = Heard::default();
            if level.is_none() {
                balancer.namesakes.drain_ended();
            }
        }
    }

    /// Until `now` the agent may have missed checks: whatever silence there was is its own.
    pub fn missed(&mut self, now: Moment) {
        self.accepting = now;
    }

    /// What is announced.
    pub fn announced(&self) -> Option<Level> {
        self.announced.map(|announced| announced.level)
    }

    /// From where is asked.
    pub fn sources(&self) -> impl Iterator<Item = IpAddr> {
        self.balancers.keys().map(|key| key.source)
    }

    /// Somebody has asked and was answered. Says whether the table has a balancer more.
    pub fn observe(&mut self, check: &Check, unix: u64) -> bool {
        let source = check.source.ip().to_canonical();
        if self.rules.ignore.iter().any(|net| net.contains(&source)) {
            return false;
        }
        let trusted = self.rules.trust.is_empty() || self.rules.trust.iter().any(|net| net.contains(&source));
        let header = check.state.as_deref().filter(|_| trusted).and_then(Header::parse);
        let key = match &header {
            Some(header) => Key { source, node: header.node.clone(), name: header.name.clone() },
            None => Key::nameless(source, check.way, check.asks.as_deref()),
        };
        let says = self.announced.filter(|announced| check.generation >= announced.generation);
        let says = says.map(|announced| announced.level);
        if check.way == Way::AgentCheck && self.tell(source, says) {
            return false;
        }
        if let Some(balancer) = self.balancers.get_mut(&key) {
            balancer.asked(check, header, says);
            return false;
        }
        let mut newcomer = Balancer::new(key.clone(), unix);
        if header.is_none() {
            let Some(rhythm) = self.visitors.visit(&key, check.at) else { return false };
            newcomer.rhythm = rhythm;
        }
        if !self.has_room(&key, check.at) {
            return false;
        }
        if header.is_some() {
            // What it does is told by its header from now on.
            self.balancers.remove(&Key::nameless(source, Way::AgentCheck, None));
        }
        newcomer.asked(check, header, says);
        self.visitors.remove(&key);
        self.balancers.insert(key, newcomer);
        true
    }

    /// Whether all act on what is announced.
    pub fn acknowledged(&self, now: Moment) -> Acknowledgement {
        if self.announced.is_none() {
            return Acknowledgement::Pending { missing: "nothing is announced".into() };
        }
        if let Some(missing) = self.awaits(now) {
            return Acknowledgement::Pending { missing };
        }
        let missing: Vec<String> = self
            .balancers
            .values()
            .filter(|balancer| self.standing(balancer, now) == Some(Standing::Pending))
            .map(Balancer::called)
            .collect();
        if missing.is_empty() {
            return Acknowledgement::Complete;
        }
        Acknowledgement::Pending { missing: format!("missing: {}", missing.join(", ")) }
    }

    /// Whether the others suffice, in the eyes of every balancer that still asks.
    pub fn remaining(&self, least: MinRemaining, now: Moment) -> Remaining {
        self.balancers
            .values()
            .filter(|balancer| !self.is_gone(balancer, now))
            .find_map(|balancer| balancer.too_few(least))
            .map_or_else(|| self.confirmed(least, now), Remaining::TooFew)
    }

    /// Whether those balancers that have acknowledged would also show it if others went at the same time.
    fn confirmed(&self, least: MinRemaining, now: Moment) -> Remaining {
        let acts = |standing| matches!(standing, Some(Standing::Proven | Standing::TookForFailure));
        let early = self
            .balancers
            .values()
            .filter(|balancer| !self.is_gone(balancer, now) && acts(self.standing(balancer, now)))
            .find(|balancer| balancer.may_miss_others());
        match early {
            Some(balancer) if least != MinRemaining::Weight(0) => Remaining::Unconfirmed(format!(
                "{} has yet to show whether others go at the same time",
                balancer.called()
            )),
            _ => Remaining::Enough,
        }
    }

    /// What they report of their sessions.
    pub fn sessions(&self, now: Moment) -> Sessions {
        let is_complete = self.absent().next().is_none() && self.turned_away(now).is_none();
        let all_are_known = !self.balancers.is_empty() && is_complete;
        let mut sessions = Sessions { all_zero: all_are_known, ..Sessions::default() };
        for balancer in self.balancers.values() {
            let is_alone = !balancer.restarted && !balancer.namesakes.are_several();
            sessions.all_zero &= balancer.heard.zero && is_alone && !self.is_gone(balancer, now);
            let Some(header) = balancer.header.as_ref().filter(|_| !self.is_gone(balancer, now)) else {
                continue;
            };
            add(&mut sessions.in_flight, balancer.in_all(header.scur, balancer.in_use, now));
            add(&mut sessions.idle, header.idle);
            add(&mut sessions.users, balancer.in_all(header.users, balancer.used, now));
        }
        sessions
    }

    /// A look has found no open connection: no balancer's old process can hold one.
    pub fn nothing_open(&mut self) {
        for balancer in self.balancers.values_mut() {
            balancer.restarted = false;
        }
    }

    /// What people should know of this drain's balancers.
    pub fn warnings(&self, now: Moment) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .balancers
            .values()
            .filter_map(|balancer| match self.standing(balancer, now)? {
                Standing::TookForFailure => Some(format!(
                    "{} takes soft for a failure and has moved the users; it lacks `http-check disable-on-404`",
                    balancer.called()
                )),
                // Answers to those who ask alike are counted together: of three backends that ask every 2 s, each may have
                // got one.
                Standing::Answered if balancer.is_agent_check() => Some(format!(
                    "{} asks by the agent protocol only, which does not say what it does with the answers, so they are only counted; let it check by HTTP too, with `http-check send-state`",
                    balancer.called()
                )),
                Standing::Answered if balancer.header.is_none() => Some(format!(
                    "{} does not say what it does with the answers, which are only counted; where several backends behind this address ask alike, that is too early: let it use `http-check send-state`",
                    balancer.called()
                )),
                Standing::Unproven => Some(format!(
                    "{} does not act on the answers: it ignores the convention, or somebody has drained the server there by hand",
                    balancer.called()
                )),
                _ => None,
            })
            .collect();
        let several = self.balancers.values().filter(|one| one.namesakes.have_shown());
        warnings.extend(several.filter(|_| self.announced.is_some()).map(|balancer| {
            format!(
                "{} seems to be more than one process, each of which is waited for: give each a `node` of its own, by which they are told apart",
                balancer.called()
            )
        }));
        warnings.extend(self.unheard(now).iter().flatten().map(ToString::to_string));
        warnings
            .extend(self.turned_away(now).map(|why| format!("{why}; no drain is acknowledged meanwhile")));
        warnings
    }

    /// When something will have changed although nobody has asked.
    pub fn deadline(&self, now: Moment) -> Option<Moment> {
        let announced = self.announced?;
        let gone =
            self.balancers.values().map(|balancer| self.heard_last(balancer) + balancer.rhythm.patience());
        let alike = self.balancers.values().filter_map(|balancer| balancer.settles_at(self.accepting));
        let settled = self.accepting + self.settle_time();
        let moments =
            gone.chain(alike).chain([announced.first + UNKNOWN, settled]).chain(self.turned_away_until());
        moments.filter(|moment| *moment > now).min()
    }

    /// Where `balancer` stands to what is announced.
    pub(super) fn standing(&self, balancer: &Balancer, now: Moment) -> Option<Standing> {
        let silent = now.since(self.heard_last(balancer));
        let standing = balancer.standing(self.announced?.level, self.fall, silent);
        let settles_at = balancer.settles_at(self.accepting);
        let is_early = balancer.heard.proven && settles_at.is_some_and(|at| now < at);
        Some(match standing {
            standing if !is_early && standing != Standing::Pending => standing,
            _ if balancer.one_refuses(self.fall) => Standing::Unproven,
            _ => Standing::Pending,
        })
    }

    pub(super) fn balancers(&self) -> impl Iterator<Item = &Balancer> {
        self.balancers.values()
    }

    /// When it was last heard, counted from where the agent could hear it.
    fn heard_last(&self, balancer: &Balancer) -> Moment {
        balancer.rhythm.last().unwrap_or(self.accepting).max(self.accepting)
    }

    pub(super) fn is_gone(&self, balancer: &Balancer, now: Moment) -> bool {
        now.since(self.heard_last(balancer)) >= balancer.rhythm.patience()
    }

    /// Notes what the balancers at `source` that send a header were told by the agent protocol. Says whether there
    /// are any: what they do with it is then in their headers.
    fn tell(&mut self, source: IpAddr, says: Option<Level>) -> bool {
        let mut any = false;
        let there = |balancer: &&mut Balancer| balancer.key.source == source && balancer.header.is_some();
        for balancer in self.balancers.values_mut().filter(there) {
            // What was a drain is one until `ready` is said, also while the server is down.
            balancer.told_drain = says.is_some_and(|level| level == Level::Soft || balancer.told_drain);
            any = true;
        }
        any
    }
}

fn add(sum: &mut Option<u32>, more: Option<u32>) {
    *sum = sum.map_or(more, |sum| Some(sum.saturating_add(more.unwrap_or(0))));
}

#[cfg(test)]
mod tests;
