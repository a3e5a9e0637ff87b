//! The guard `drain.exclusive`: of the servers that share a lock one is out at a time.

use std::time::Duration;

use tracing::warn;

use super::{Outside, Owner};
use crate::{clock::Moment, host_lock::HostLock, lifecycle::Stage};

/// How often a drain that is out without the lock tries to get it: one by force, or one that goes on after the agent's
/// end, where another was faster.
const TRY: Duration = Duration::from_secs(1);

/// The owner's hand on the lock.
#[derive(Debug, Default)]
pub(super) struct Alone {
    lock: Option<HostLock>,
    /// Who has it instead, for people, as it was found for the present request.
    pub(super) others_out: Option<String>,
    /// When it was last tried in the middle of a drain.
    tried: Option<Moment>,
}

impl<O: Outside> Owner<O> {
    /// Takes the lock, before a drain is asked for.
    pub(super) fn take_lock(&mut self) {
        let Some(path) = &self.config.drain.exclusive else {
            self.alone = Alone::default();
            return;
        };
        if self.alone.lock.is_some() {
            return;
        }
        let holder = format!("{} (agent with pid {})", self.config.server.name, std::process::id());
        match HostLock::take(path, &holder) {
            Ok(lock) => (self.alone.lock, self.alone.others_out) = (Some(lock), None),
            Err(why) => self.alone.others_out = Some(why.to_string()),
        }
    }

    /// The lock is held as long as a drain is under way, or has left the server out by its failure, and no longer.
    pub(super) fn keep_lock(&mut self, now: Moment) {
        let course = self.core.machine.course();
        if course.stage() == Stage::Up {
            self.alone = Alone::default();
            return;
        }
        if self.config.drain.exclusive.is_none()
            || self.alone.lock.is_some()
            || self.alone.tried.is_some_and(|tried| now < tried + TRY)
        {
            return;
        }
        let (first, id) = (self.alone.tried.is_none(), course.drain().map(|drain| drain.id));
        self.alone.tried = Some(now);
        self.take_lock();
        // It guards the beginning of a drain; what has begun goes on.
        if let Some(why) = self.alone.others_out.take().filter(|_| first) {
            warn!(drain = id, "goes on without the host's lock: {why}");
        }
    }
}
