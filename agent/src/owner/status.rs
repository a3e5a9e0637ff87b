//! The status, as people and programs see it.

use std::{process, sync::Arc, time::Duration};

use super::{Outside, Owner};
use crate::{
    clock::Moment,
    control::api,
    lifecycle::{Course, Drain, Level, Phase, Traffic, Verdict, phase},
    traffic::Reading,
};

/// Those who watch a drain are told at least so often that what they show is still so.
const AGED: Duration = Duration::from_secs(1);

impl<O: Outside> Owner<O> {
    /// Everything that can be seen now.
    pub(super) fn status(&self, now: Moment) -> api::Status {
        let machine = &self.core.machine;
        let answer = self.outlets.answer.borrow().clone();
        let (count, of) = self.core.table.count(now);
        let acknowledged = match machine.course() {
            Course::Soft(out) | Course::Hard(out) => out.acknowledged.is_some(),
            _ => false,
        };
        api::Status {
            server: self.config.server.name.to_string(),
            phase: answer.as_ref().map_or(Phase::Down, |answer| answer.phase),
            answer: answer.as_ref().map_or(self.config.answers.hard, |answer| answer.status),
            reason: answer
                .as_ref()
                .map_or_else(|| "no verdict yet".to_owned(), |answer| answer.reason.clone()),
            since_unix: answer.as_ref().map_or(0, |answer| answer.since_unix),
            generation: self.generation,
            asked: machine.course().drain().map(|drain| self.asked(drain)),
            limit: machine.waits().map(|waiting| api::Limit {
                waits_for: waiting.what,
                seconds_left: waiting.until.since(now).as_secs_f64(),
                then: waiting.then.to_owned(),
            }),
            acknowledged: api::Acknowledged {
                count,
                of,
                complete: acknowledged,
                awaits: self.core.table.awaits(now).filter(|_| !acknowledged),
            },
            balancers: self.core.table.shown(self.config.drain.min_remaining, now),
            absent: self.core.table.absent().collect(),
            traffic: self.traffic(now),
            readiness: api::Readiness {
                ready: match machine.server() {
                    _ if self.unasked.is_some() => None,
                    Verdict::Unknown => None,
                    verdict => Some(verdict == Verdict::Ready),
                },
                text: self.unasked.as_ref().unwrap_or(&self.found).clone(),
                settles_seconds: self.config.server.ready.settles().as_secs_f64(),
            },
            drains: self.core.drains.iter().cloned().collect(),
            warnings: self.warnings(now),
            agent: api::Agent {
                pid: process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                uptime_seconds: now.since(self.started).as_secs_f64(),
            },
            taken: now,
        }
    }

    /// Publishes it; those who watch are woken only if it shows more than the passing of time, or a drain is announced
    /// and they have shown the same look for a second.
    pub(super) fn publish_status(&mut self, now: Moment) {
        self.status_published = now;
        self.status_stale = false;
        let status = Arc::new(self.status(now));
        let announced = self.core.machine.announcement().is_some();
        let aged = announced && now >= self.watchers_woken + AGED;
        let woken = self.outlets.status.send_if_modified(|published| {
            let news = aged || still(published) != still(&status);
            *published = status;
            news
        });
        if woken {
            self.watchers_woken = now;
        }
    }

    pub(super) fn asked(&self, drain: &Drain) -> api::Asked {
        let machine = &self.core.machine;
        api::Asked {
            drain: drain.id,
            what: match drain.level {
                Level::Soft => api::Target::Soft,
                Level::Hard => api::Target::Hard,
            },
            then: drain.then(),
            until_unix: drain.until_unix,
            origin: drain.origin.clone(),
            reason: drain.reason.clone(),
            since_unix: drain.asked_unix,
            reached: machine.reached(),
            limit_passed: machine.limit_passed().map(ToOwned::to_owned),
            again: self.core.machine.course().next().is_some(),
            stopped: drain.stopped,
            command: drain.command.clone(),
        }
    }

    fn traffic(&self, now: Moment) -> api::Traffic {
        let (looked, found) = match self.sources.sockets() {
            Some((at, found)) => (Some(*at), Some(found)),
            None => (None, None),
        };
        let reading = found.and_then(|found| found.as_ref().ok());
        let draining = self.core.machine.announcement().is_some();
        let quiet = match self.sources.traffic(false) {
            Traffic::Quiet { since, .. } if draining => Some(now.since(since).as_secs_f64()),
            _ => None,
        };
        api::Traffic {
            in_flight: self.in_flight(),
            idle: reading.map(Reading::idle),
            quiet_seconds: quiet,
            needed_seconds: self.core.machine.needed_quiet().map(|needed| needed.as_secs_f64()),
            age_seconds: looked.map(|at| now.since(at).as_secs_f64()),
            unknown: self.sources.unknown(),
            sources: self.sources.shown(now, draining),
        }
    }

    fn warnings(&self, now: Moment) -> Vec<String> {
        let mut warnings = self.core.table.warnings(now);
        warnings.extend(self.standing_warning.clone());
        warnings.extend(self.readiness_unknown());
        warnings.extend(self.caller_gone());
        warnings.extend(self.inlets.faults.borrow().values().cloned());
        warnings.extend(self.sources.ignored().filter(|_| self.core.machine.announcement().is_some()));
        warnings.extend(
            self.records
                .trouble
                .as_ref()
                .map(|trouble| format!("drains are refused, because the agent {trouble}")),
        );
        warnings
    }

    /// What a health check is answered, and why in one line; `None` where nothing can be said yet.
    pub(super) fn shown(&self) -> Option<(Phase, String)> {
        let course = self.core.machine.course();
        let phase = phase(course.stage(), self.core.machine.server())?;
        let reason = match phase {
            Phase::Up if course.why().is_empty() => "ready".to_owned(),
            Phase::Down => self
                .readiness_unknown()
                .unwrap_or_else(|| "the server does not answer its readiness probe".to_owned()),
            _ => course.why().to_owned(),
        };
        Some((phase, reason))
    }
}

/// A status without what runs with the clock.
fn still(status: &api::Status) -> api::Status {
    let mut status = status.clone();
    status.taken = Moment::default();
    status.agent.uptime_seconds = 0.0;
    status.traffic.age_seconds = None;
    status.traffic.quiet_seconds = status.traffic.quiet_seconds.map(|_| 0.0);
    if let Some(limit) = &mut status.limit {
        limit.seconds_left = 0.0;
    }
    for source in &mut status.traffic.sources {
        source.age_seconds = None;
        source.last_seconds = None;
        source.quiet_seconds = source.quiet_seconds.map(|_| 0.0);
    }
    for balancer in &mut status.balancers {
        balancer.last_seconds = 0.0;
        balancer.interval_seconds = None;
    }
    status
}
