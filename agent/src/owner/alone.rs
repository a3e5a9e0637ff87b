//! The guard `drain.exclusive`: of the servers that share a lock one is out at a time.

use std::{path::Path, time::Duration};

use tracing::warn;

use super::{Outside, Owner};
use crate::{clock::Moment, host_lock::HostLock, lifecycle::Stage};

/// How often a drain that is out without the lock tries to get it: one by force, or one that goes on after the agent's
/// end, where another was faster.
const TRY: Duration = Duration::from_secs(1);

/// How long a lock is left alone whose last holder has ended in the middle of a drain: systemd starts an agent again
/// within a second, after an upgrade of its package within some, and it goes on with the drain.
const LEFT: Duration = Duration::from_secs(10);

/// The owner's hand on the lock.
#[derive(Debug, Default)]
pub(super) struct Alone {
    lock: Option<HostLock>,
    /// Who has it instead, for people, as it was found for the present request.
    pub(super) others_out: Option<String>,
    /// When it was last tried in the middle of a drain.
    tried: Option<Moment>,
    /// Who has left it in the middle of a drain, and since when that is known.
    left: Option<(String, Moment)>,
}

impl Alone {
    /// Takes the lock for `server`.
    fn take(&mut self, path: &Path, server: &str, now: Moment) -> Result<(), String> {
        let mut lock = HostLock::take(path).map_err(|why| {
            // Somebody lives who has it, or nobody can tell.
            self.left = None;
            why.to_string()
        })?;
        if let Some(holder) = lock.left_by(server) {
            let known = self.left.as_ref().filter(|(known, _)| known == holder).map(|(_, since)| *since);
            let since = known.unwrap_or(now);
            self.left = Some((holder.to_owned(), since));
            if now < since + LEFT {
                return Err(format!(
                    "another server of this host is out: {holder}, which has ended in the middle of a drain; where it does \
                     not come back this drain may begin in {} s",
                    (since + LEFT).since(now).as_secs_f64().ceil()
                ));
            }
        }
        lock.claim(server);
        (self.lock, self.left) = (Some(lock), None);
        Ok(())
    }

    /// The server is in use, or has no such lock any more.
    fn release(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release();
        }
        (self.others_out, self.tried) = (None, None);
    }
}

impl<O: Outside> Owner<O> {
    /// Takes the lock, before a drain is asked for.
    pub(super) fn take_lock(&mut self) {
        let Some(path) = &self.config.drain.exclusive else { return self.alone.release() };
        if self.alone.lock.is_none() {
            let now = self.outside.now();
            self.alone.others_out = self.alone.take(path, &self.config.server.name, now).err();
        }
    }

    /// The lock is held as long as a drain is under way, or has left the server out by its failure, and no longer.
    pub(super) fn keep_lock(&mut self, now: Moment) {
        let course = self.core.machine.course();
        if course.stage() == Stage::Up {
            return self.alone.release();
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
