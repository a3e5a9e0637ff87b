//! Whoever asked for a drain to run a command himself (`drainctl run`), and may die before he has said how it ended.

use super::{Outside, Owner, journal};
use crate::{
    clock::Moment,
    lifecycle::{Drain, Origin, Stage},
};

impl<O: Outside> Owner<O> {
    /// Says once that nobody is left to bring the server back. The command may still be at work, so that the agent must
    /// not do it.
    pub(super) fn look_for_caller(&mut self, now: Moment) {
        let id = self.awaits_caller().map(|drain| drain.id);
        if id.is_none() || self.caller_gone == id {
            return;
        }
        let gone = self.awaits_caller().and_then(pid).is_some_and(|pid| self.outside.is_gone(pid));
        if !gone {
            return;
        }
        self.caller_gone = id;
        if let (Some(id), Some(warning)) = (id, self.caller_gone()) {
            journal::caller_gone(id, &warning);
        }
        self.publish_status(now);
    }

    /// What people should know where he has gone.
    pub(super) fn caller_gone(&self) -> Option<String> {
        let drain = self.awaits_caller().filter(|drain| self.caller_gone == Some(drain.id))?;
        let command = drain.command.as_deref().unwrap_or_default();
        Some(format!(
            "drainctl, which was to run {command:?} and to bring the server back, has gone (pid {}); whether the \
             command has begun or ended is not known: the server stays out until `drainctl up`",
            pid(drain).unwrap_or_default()
        ))
    }

    /// The drain that holds for a command.
    fn awaits_caller(&self) -> Option<&Drain> {
        let course = self.core.machine.course();
        let holds = matches!(course.stage(), Stage::Waiting | Stage::Soft | Stage::Hard);
        course.drain().filter(|drain| holds && drain.command.is_some() && !drain.follow.acts())
    }
}

/// Who asked, where the kernel has told.
fn pid(drain: &Drain) -> Option<i32> {
    match drain.origin {
        Origin::Control { pid, .. } => pid.filter(|pid| *pid > 0),
        _ => None,
    }
}
