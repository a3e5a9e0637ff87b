//! A record that is not whole: one drain, as it goes on.

use serde::{Deserialize, Serialize};

use super::{Acknowledgement, Record, Sample, Step, Try, curve};
use crate::{
    balancers::{Key, Standing},
    clock::Moment,
    control::api::Asked,
    lifecycle::{Ended, Level, Outcome, Stage, Transition},
};

/// How many steps are kept: a drain that waits for others may go back and forth for an hour.
pub(super) const STEPS: usize = 64;

/// How many acknowledgements are kept, soft and hard together: people have a handful of balancers.
pub(super) const ACKNOWLEDGEMENTS: usize = 64;

/// How many tries to restart are kept.
const TRIES: usize = 10;

/// How much of a try's output is kept: what went wrong stands at its end.
const OUTPUT_BYTES: usize = 4 * 1024;

/// A record that is not whole.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) record: Record,
    /// When it was asked, or the agent has taken it up after the host's restart.
    pub(super) begun: Moment,
    /// What lies before that, in seconds.
    pub(super) before: f64,
    /// Since when it waits for the users.
    pub(super) over: Option<Moment>,
    /// What a look has found last.
    seen: Option<Sample>,
}

impl Open {
    /// A drain that was asked for now.
    pub(super) fn new(asked: &Asked, server: &str, now: Moment) -> Self {
        let record = Record {
            drain: asked.drain,
            server: server.to_owned(),
            asked_unix: asked.since_unix,
            what: asked.what,
            then: asked.then.clone(),
            origin: asked.origin.clone(),
            reason: asked.reason.clone(),
            command: asked.command.clone(),
            outcome: None,
            text: String::new(),
            ended_at: None,
            steps: Vec::new(),
            acknowledgements: Vec::new(),
            traffic: Vec::new(),
            cut: None,
            left_open: None,
            restarts: Vec::new(),
            ready_at: None,
            users_back_at: None,
            agent_restarts: 0,
        };
        Self { record, begun: now, before: 0.0, over: None, seen: None }
    }

    /// It was asked for more.
    pub(super) fn joined(&mut self, asked: &Asked) {
        self.record.what = asked.what;
        self.record.then.clone_from(&asked.then);
        self.record.reason.clone_from(&asked.reason);
        self.record.command.clone_from(&asked.command);
    }

    /// A step along the life cycle.
    pub(super) fn step(&mut self, now: Moment, transition: &Transition) {
        let at = self.at(now);
        if let Some(seen) = self.seen.take() {
            curve::add(&mut self.record.traffic, seen, true);
        }
        let Transition { from, to, why, .. } = transition.clone();
        if (from, to) == (Stage::Warming, Stage::Up) {
            self.record.ready_at = Some(at);
        }
        self.record.text.clone_from(&why);
        if self.record.steps.len() < STEPS {
            self.record.steps.push(Step { at, from, to, why });
        }
    }

    /// A balancer has acted on what is announced, in this way. Says whether it had not before.
    pub(super) fn stands(&mut self, now: Moment, level: Level, key: &Key, how: Standing) -> bool {
        let at = self.at(now);
        let known = &mut self.record.acknowledgements;
        let is_it = |known: &&mut Acknowledgement| {
            known.level == level
                && known.source == key.source
                && known.node == key.node
                && known.name == key.name
        };
        if let Some(known) = known.iter_mut().find(is_it) {
            // What was only guessed may be proved yet, and one that has acted may go; its first moment counts.
            if how == Standing::Proven {
                known.how = how;
            }
            return false;
        }
        if known.len() == ACKNOWLEDGEMENTS {
            return false;
        }
        let Key { source, node, name } = key.clone();
        known.push(Acknowledgement { at, level, source, node, name, how });
        true
    }

    /// A look has found this.
    pub(super) fn seen(&mut self, now: Moment, found: Sample) {
        let sample = Sample { at: self.at(now), ..found };
        curve::add(&mut self.record.traffic, sample, false);
        self.seen = Some(sample).filter(|sample| self.record.traffic.last() != Some(sample));
    }

    /// A try to restart the server has ended.
    pub(super) fn tried(
        &mut self,
        began: Moment,
        now: Moment,
        result: &Result<(), String>,
        output: Option<&str>,
    ) {
        let one = Try {
            at: self.at(began),
            seconds: now.since(began).as_secs_f64(),
            failure: result.clone().err().map(|why| end_of(&why).to_owned()),
            output: output.filter(|output| !output.is_empty()).map(|output| end_of(output).to_owned()),
        };
        if self.record.restarts.len() < TRIES {
            self.record.restarts.push(one);
        }
    }

    /// The drain has ended. Says whether users are to come again: where the server was taken out and is back.
    pub(super) fn ended(&mut self, now: Moment, ended: &Ended) -> bool {
        self.record.outcome = Some(ended.outcome);
        end_of(&ended.text).clone_into(&mut self.record.text);
        self.record.ended_at = Some(self.at(now));
        let awaits_users = ended.outcome == Outcome::Done && self.record.ready_at.is_some();
        if awaits_users {
            self.over = Some(now);
        }
        awaits_users
    }

    /// How long after it was asked, in seconds.
    pub(super) fn at(&self, now: Moment) -> f64 {
        // To the millisecond: more says nothing, and makes the lines long.
        ((self.before + now.since(self.begun).as_secs_f64()) * 1000.0).round() / 1000.0
    }
}

/// The end of a text, as far as it is kept.
fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(OUTPUT_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
