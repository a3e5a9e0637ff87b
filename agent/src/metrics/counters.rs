//! What is counted since the agent began.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    balancers::Standing,
    clock::Moment,
    faults::Part,
    lifecycle::{Level, Outcome, Phase, Then},
};

/// How many balancers and visitors have answers of their own; those of others are counted together, because each
/// label costs whoever stores it for years.
const SOURCES: usize = 64;

/// A label of what is one of too many.
const OTHER: &str = "other";

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Counter<f64, AtomicU64>;

/// What is counted. A clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    answers: Family<Labels<2>, Counter>,
    /// Who has a label of answers, and the phase that is shown, since when.
    shown: Arc<Mutex<Shown>>,
    acknowledgements: Family<Labels<2>, Counter>,
    drains: Family<Labels<1>, Counter>,
    phase: Family<Labels<1>, Seconds>,
    cut: Counter,
    restarts: Family<Labels<1>, Counter>,
    stops: Family<Labels<1>, Counter>,
    runs: Family<Labels<2>, Counter>,
    failures: Family<Labels<1>, Counter>,
    /// When the certificates of the control port end: the one standing number that no status has.
    certificates: Family<Labels<1>, Gauge<f64, AtomicU64>>,
}

#[derive(Debug, Default)]
struct Shown {
    sources: Vec<IpAddr>,
    phase: Option<(Phase, Moment)>,
}

/// What has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// A readiness probe.
    Probe,
    /// To ask the server whether it is ready.
    Unasked,
    /// A look at the sockets.
    Look,
    /// A write of the state file.
    State,
    /// A write of a report.
    Report,
    /// To have a part of the agent.
    Part(Part),
}

impl Counters {
    /// A health check was answered.
    pub fn answered(&self, source: IpAddr, code: u16) {
        let mut shown = self.shown();
        if !shown.sources.contains(&source) && shown.sources.len() < SOURCES {
            shown.sources.push(source);
        }
        let known = shown.sources.contains(&source);
        drop(shown);
        let source = if known { source.to_string() } else { OTHER.to_owned() };
        self.answers.get_or_create(&[("code", code.to_string()), ("balancer", source)]).inc();
    }

    /// A balancer has acknowledged, or is taken for having done so.
    pub fn acknowledged(&self, level: Level, how: Standing) {
        let level = match level {
            Level::Soft => "soft",
            Level::Hard => "hard",
        };
        let how = match how {
            Standing::Proven => "proven",
            Standing::TookForFailure => "took_for_failure",
            Standing::Answered => "answered",
            Standing::Gone => "gone",
            Standing::Unproven => "unproven",
            Standing::Pending => return,
        };
        self.acknowledgements.get_or_create(&[("level", level.to_owned()), ("how", how.to_owned())]).inc();
    }

    /// A drain has ended.
    pub fn ended(&self, outcome: Outcome) {
        self.drains.get_or_create(&[("outcome", outcome.to_string())]).inc();
    }

    /// A try to do what follows a drain has ended.
    pub fn tried(&self, what: &Then, well: bool) {
        let result = ("result", if well { "done" } else { "failed" }.to_owned());
        match what {
            Then::Restart => self.restarts.get_or_create(&[result]).inc(),
            Then::Stop => self.stops.get_or_create(&[result]).inc(),
            Then::Run(name) => self.runs.get_or_create(&[("command", name.clone()), result]).inc(),
            Then::Hold => return,
        };
    }

    /// So many requests were cut at a limit.
    pub fn cut(&self, count: u32) {
        self.cut.inc_by(count.into());
    }

    /// Something of the agent's own has failed.
    pub fn failed(&self, what: Failed) {
        let what = match what {
            Failed::Probe => "readiness_probe",
            Failed::Unasked => "readiness_unknown",
            Failed::Look => "sockets",
            Failed::State => "state_file",
            Failed::Report => "history",
            Failed::Part(part) => part.name(),
        };
        self.failures.get_or_create(&[("what", what.to_owned())]).inc();
    }

    /// The control port goes by these certificates from now on, each of which ends so many seconds after 1970, where
    /// that is known.
    pub fn certificates(&self, ends: impl IntoIterator<Item = (&'static str, Option<i64>)>) {
        self.certificates.clear();
        for (name, end) in ends {
            if let Some(end) = end {
                self.certificates.get_or_create(&[("certificate", name.to_owned())]).set(end as f64);
            }
        }
    }

    /// `phase` is shown `now`; what has passed since then counts for the one that was shown before.
    pub fn shows(&self, phase: Phase, now: Moment) {
        let mut shown = self.shown();
        if let Some((before, since)) = shown.phase.replace((phase, now)) {
            let passed = now.since(since).as_secs_f64();
            self.phase.get_or_create(&[("phase", before.to_string())]).inc_by(passed);
        }
    }

    /// Has the time in the present phase counted until `now`.
    pub(super) fn keep_time(&self, now: Moment) {
        let phase = self.shown().phase;
        if let Some((phase, _)) = phase {
            self.shows(phase, now);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("answers", "Answers to health checks", self.answers.clone());
        registry.register(
            "acknowledgements",
            "Balancers that have acknowledged a drain, by what was asked and how it is known",
            self.acknowledgements.clone(),
        );
        registry.register("drains", "Drains that have ended", self.drains.clone());
        registry.register_with_unit("phase", "Time spent in each phase", Unit::Seconds, self.phase.clone());
        registry.register("cut_requests", "Requests in flight when a limit had passed", self.cut.clone());
        registry.register("restarts", "Tries to restart the server", self.restarts.clone());
        registry.register("stops", "Tries to stop the server", self.stops.clone());
        registry.register("runs", "Commands of the configuration that were run", self.runs.clone());
        registry.register("failures", "What has failed", self.failures.clone());
        registry.register_with_unit(
            "control_certificate_expiry_timestamp",
            "When the certificates of the control port end, in seconds since 1970",
            Unit::Seconds,
            self.certificates.clone(),
        );
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Each change is whole even if a thread has died in it.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
