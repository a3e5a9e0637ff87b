//! What is written to the log: one line for each request and each transition, with its reason and who asked.
//!
//! Texts that come from outside, such as reasons and what a command has said, stand in fields: those are quoted, so
//! that none of them can look like a line of its own.

use tracing::{error, info, warn};

use crate::{
    balancers::Unheard,
    config::LongLived,
    lifecycle::{Drain, Effects, Ended, Origin, Outcome, Ran, Refusal, Request, Said, Stage, Verdict},
    report::LeftOpen,
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
        self::ended(ended);
    }
}

/// Writes down how a drain has ended: one that has left the server out is an error, one that the agent has given up is
/// worth a look.
fn ended(ended: &Ended) {
    let Ended { id: drain, outcome, text, restart_took, .. } = ended;
    let why = text.as_str();
    let took = restart_took.map(|took| format!("{:.1}s", took.as_secs_f64()));
    let restart_took = took.as_deref();
    match outcome {
        Outcome::Failed => error!(drain, why, restart_took, "the drain has ended: {outcome}"),
        Outcome::Withdrawn => warn!(drain, why, restart_took, "the drain has ended: {outcome}"),
        Outcome::Done | Outcome::Cancelled => {
            info!(drain, why, restart_took, "the drain has ended: {outcome}");
        }
    }
}

/// Writes down that the balancers send users again after a drain, or that none has come.
pub(super) fn users_back(drain: u64, after: Option<f64>) {
    if let Some(after) = after {
        info!(drain, "the balancers send users again, {after:.1}s after the drain's end");
    } else {
        info!(drain, "no user has come since the drain's end; this is waited for no longer");
    }
}

/// Writes down that a balancer that is expected is not heard.
pub(super) fn unheard(one: &Unheard) {
    warn!(balancer = one.name, "{one}");
}

/// Writes down that one that was missed is heard, or is not expected any more.
pub(super) fn heard(one: &Unheard) {
    info!(balancer = one.name, "{} is missed no more", one.name);
}

/// Writes down that nobody is left who could say how the command has ended for which a drain holds.
pub(super) fn caller_gone(drain: u64, warning: &str) {
    warn!(drain, "{warning}");
}

/// Writes down how the command has ended for which a drain has held.
pub(super) fn ran(drain: u64, command: &str, ran: &Ran) {
    if ran.failure.is_none() {
        info!(drain, command, "{ran}");
    } else {
        warn!(drain, command, "{ran}");
    }
}

/// Writes down what was not waited for, and is still open when what was to follow zero begins. Usually that is what
/// balancers keep; who has set `rule` to wait for the rest, too, may want to know.
pub(super) fn left_open(drain: u64, open: &LeftOpen, rule: LongLived) {
    match rule {
        LongLived::Quiet => info!(drain, "{open}"),
        LongLived::Wait | LongLived::IgnoreAfter(_) => {
            warn!(drain, "what begins now cuts what may be long-lived: {open}");
        }
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

/// Writes down that the server can't be asked whether it is ready.
pub(super) fn unasked(why: &str) {
    warn!(
        why,
        "whether the server is ready is not known; what was known last holds, and at first that it is not"
    );
}

/// Writes down that it can.
pub(super) fn asked_again() {
    info!("the server can be asked again whether it is ready");
}

/// Writes down what has become of a source of traffic. `waits`: a drain waits for its silence; `stopped`: the server is,
/// and with it who would tell.
pub(super) fn source(news: &News, waits: bool, stopped: bool) {
    match news {
        News::Lost { source, why } if stopped => {
            info!(why, "{source} can't be read, as is to be expected of a server that is stopped");
        }
        News::Lost { source, why } => {
            let means =
                if waits { "holds the drain until its limit" } else { "would hold a drain until its limit" };
            warn!(why, "{source} can't be read, which {means}");
        }
        News::Back { source } => info!("{source} can be read again"),
    }
}
