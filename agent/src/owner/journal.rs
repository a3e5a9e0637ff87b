//! What is written to the log: one line for each request and each transition, with its reason and who asked.
//!
//! Texts that come from outside, such as reasons and what a command has said, stand in fields: those are quoted, so
//! that none of them can look like a line of its own.

use tracing::{info, warn};

use crate::{
    lifecycle::{Drain, Effects, Origin, Refusal, Request, Said, Stage, Verdict},
    traffic::sources::News,
};

/// Writes down what is asked, before anything follows from it.
pub(super) fn asked(request: &Request, origin: &Origin) {
    info!(by = origin.to_string(), "asked: {request}");
}

/// Writes down what was said to it, where no transition says so.
pub(super) fn said(said: &Result<Said, Refusal>, moved: bool) {
    match said {
        Ok(Said::Accepted { .. }) if moved => {}
        Ok(Said::Accepted { drain, text }) => info!(drain, "accepted: {text}"),
        Ok(Said::Already { drain, text }) => info!(drain, "already so: {text}"),
        Err(refusal) => warn!(why = refusal.to_string(), "refused: {}", refusal.name()),
    }
}

/// Writes down what a step has brought; `drain` is the one that is under way or was until now.
pub(super) fn write(effects: &Effects, drain: Option<&Drain>) {
    for transition in &effects.transitions {
        let asked_by = drain.map(|drain| drain.origin.to_string());
        let why = transition.why.as_str();
        info!(
            drain = transition.drain,
            why,
            asked_by = asked_by.as_deref(),
            "{} -> {}",
            transition.from,
            transition.to
        );
    }
    if effects.acknowledged {
        info!(drain = drain.map(|drain| drain.id), "acknowledged by every balancer");
    }
    for warning in &effects.warnings {
        warn!("{warning}");
    }
    for ended in &effects.ended {
        let took = ended.restart_took.map(|took| format!("{:.1}s", took.as_secs_f64()));
        let took = took.as_deref();
        info!(
            drain = ended.id,
            why = ended.text.as_str(),
            restart_took = took,
            "the drain has ended: {}",
            ended.outcome
        );
    }
}

/// Writes down that the server has become ready or unready by itself; `probed` is what the last probe has found.
pub(super) fn verdict(verdict: Verdict, stage: Stage, probed: &str) {
    match (verdict, stage) {
        // There it is expected, and the transitions tell how it ends.
        (_, Stage::Restarting | Stage::Warming) => {}
        (Verdict::Ready, _) => info!("the server is ready"),
        (_, _) => warn!(why = probed, "the server is not ready"),
    }
}

/// Writes down what has become of a source of traffic. `waits`: a drain waits for its silence.
pub(super) fn source(news: &News, waits: bool) {
    match news {
        News::Lost { source, why } => {
            let means =
                if waits { "holds the drain until its limit" } else { "would hold a drain until its limit" };
            warn!(why, "{source} can't be read, which {means}");
        }
        News::Back { source } => info!("{source} can be read again"),
    }
}
