//! The lock of the servers of a host of which only one may be out at a time.
//!
//! It is the kernel's (`flock`), on a file that all their agents share: the kernel frees it when its holder ends, however
//! that happens, and no command that the agent starts inherits it. Who holds it stands in the file, for people; and where
//! it still stands there when nobody holds it, an agent has ended in the middle of a drain, whose server is out still.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// The lock, for as long as this is held.
#[derive(Debug)]
pub(crate) struct HostLock {
    file: File,
    /// What stood in the file when it was taken; nothing where its last holder was done.
    found: Option<String>,
}

/// Why the lock can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLock {
    /// Somebody has it.
    #[error("another server of this host is out: {0}")]
    Held(String),
    /// It is no lock.
    #[error(
        "whether another server of this host is out can't be known, because {path} can't be locked: {error}; let this agent's user or group read it"
    )]
    Unusable {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

/// For the agents' user and group alone: whoever may read it may lock it, and would hold every drain of the host.
const MODE: u32 = 0o640;

/// Stands between the server's name and its agent's pid.
const AGENT: &str = " (agent with pid ";

/// More of the file is not read: a name and a number.
const HOLDER_BYTES: u64 = 256;

impl HostLock {
    /// Takes it, without waiting.
    pub(crate) fn take(path: &Path) -> Result<Self, NoLock> {
        let unusable = |error| NoLock::Unusable { path: path.display().to_string(), error };
        let file = open(path).map_err(unusable)?;
        let locked = file.try_lock();
        let found = holder_in(&file);
        match locked {
            Ok(()) => Ok(Self { file, found }),
            Err(TryLockError::WouldBlock) => {
                Err(NoLock::Held(found.unwrap_or_else(|| "its agent has not said which".to_owned())))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Who has left it in the middle of a drain; nobody where that was an agent of this `server`.
    pub(crate) fn left_by(&self, server: &str) -> Option<&str> {
        let own = format!("{server}{AGENT}").escape_debug().to_string();
        self.found.as_deref().filter(|found| !found.starts_with(&own))
    }

    /// Writes down that `server` is out.
    pub(crate) fn claim(&mut self, server: &str) {
        self.write(&format!("{server}{AGENT}{})", std::process::id()));
    }

    /// Gives it back: the server is in use again.
    pub(crate) fn release(mut self) {
        self.write("");
    }

    /// What can't be written is not missed: the lock is held, whatever stands there.
    fn write(&mut self, text: &str) {
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
    }
}

/// The file; one that another user's agent has made can be locked without being written.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match options.read(true).write(true).create(true).truncate(false).mode(MODE).open(path) {
        Ok(file) => {
            // One that an earlier agent has made may be open to everybody. That of another user stays as it is.
            let _ = file.set_permissions(Permissions::from_mode(MODE));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        Err(error) => Err(error),
    }
}

/// Who stands in it. What can't be read is as good as nothing.
fn holder_in(file: &File) -> Option<String> {
    let mut holder = String::new();
    let _ = file.take(HOLDER_BYTES).read_to_string(&mut holder);
    let holder = holder.trim();
    (!holder.is_empty()).then(|| holder.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn one_has_it_until_it_is_done() {
        let scratch = Scratch::new("host-lock");
        let path = scratch.join("host.lock");
        let mut lock = HostLock::take(&path).unwrap();
        lock.claim("shop");
        let error = HostLock::take(&path).unwrap_err().to_string();
        assert!(error.starts_with("another server of this host is out: shop (agent with pid "), "{error}");
        lock.release();
        assert_eq!(HostLock::take(&path).unwrap().left_by("blog"), None);
    }

    #[test]
    fn one_whose_agent_has_ended_in_a_drain_is_told_to_all_but_its_own_server() {
        let scratch = Scratch::new("host-lock-left");
        let path = scratch.join("host.lock");
        let mut lock = HostLock::take(&path).unwrap();
        lock.claim("shop \"a\"");
        drop(lock);
        let lock = HostLock::take(&path).unwrap();
        assert!(
            lock.left_by("shop").is_some_and(|left| left.starts_with("shop \\\"a\\\" (agent ")),
            "{lock:?}"
        );
        assert_eq!(lock.left_by("shop \"a\""), None);
    }

    #[test]
    fn nobody_else_may_take_it() {
        let scratch = Scratch::new("host-lock-mode");
        let path = scratch.join("host.lock");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let _lock = HostLock::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_lock_that_can_not_be_made_is_named() {
        let scratch = Scratch::new("host-no-lock");
        let error = HostLock::take(&scratch.join("none/host.lock")).unwrap_err();
        assert!(matches!(error, NoLock::Unusable { .. }));
        assert!(error.to_string().contains("none/host.lock"), "{error}");
    }
}
