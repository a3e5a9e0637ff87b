//! What is written to the log: one line for each transition, with its reason and who asked.

use tracing::{info, warn};

use crate::{
    control::api::Origin,
    lifecycle::{Drain, Effects, Stage},
};

/// Writes down what a step has brought; `drain` is the one that is under way or was until now.
pub(super) fn write(effects: &Effects, drain: Option<&Drain>) {
    let origin = drain.map_or_else(String::new, |drain| who(&drain.origin));
    for transition in &effects.transitions {
        info!(
            drain = transition.drain,
            from = word(transition.from),
            to = word(transition.to),
            why = %transition.why,
            origin = %origin,
            "{} -> {}",
            word(transition.from),
            word(transition.to),
        );
    }
    if effects.acknowledged {
        info!(drain = drain.map(|drain| drain.id), "acknowledged by every balancer");
    }
    for warning in &effects.warnings {
        warn!("{warning}");
    }
    for ended in &effects.ended {
        info!(drain = ended.id, outcome = ?ended.outcome, restart_seconds = ended.restart_took.map(|took| took.as_secs_f64()), "drain {} has ended: {}", ended.id, ended.text);
    }
}

/// Who asked, for people.
pub(super) fn who(origin: &Origin) -> String {
    match origin {
        Origin::Signal { signal, pid: Some(pid), uid: Some(uid) } => {
            format!("{signal} from pid {pid} uid {uid}")
        }
        Origin::Signal { signal, .. } => signal.clone(),
        Origin::Control { pid: Some(pid), uid, .. } => format!("control socket, pid {pid} uid {uid}"),
        Origin::Control { pid: None, uid, .. } => format!("control socket, uid {uid}"),
        Origin::Agent => "the agent".to_owned(),
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Up => "up",
        Stage::Waiting => "waiting",
        Stage::Soft => "soft",
        Stage::Hard => "hard",
        Stage::Restarting => "restarting",
        Stage::Warming => "warming",
        Stage::Failed => "failed",
    }
}
