//! The lock of the servers of a host of which only one may be out at a time.
//!
//! It is the kernel's (`flock`), on a file that all their agents share: the kernel frees it when its holder ends, however
//! that happens, and no command that the agent starts inherits it. Who holds it stands in the file, for people.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// The lock, for as long as this is held.
#[derive(Debug)]
pub(crate) struct HostLock {
    _file: File,
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

/// More of the file is not read: a name and a number.
const HOLDER_BYTES: u64 = 256;

impl HostLock {
    /// Takes it for `holder`, without waiting.
    pub(crate) fn take(path: &Path, holder: &str) -> Result<Self, NoLock> {
        let unusable = |error| NoLock::Unusable { path: path.display().to_string(), error };
        let (mut file, is_writable) = open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NoLock::Held(holder_in(&file))),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        if is_writable {
            // For people only: the lock is held, whatever stands there.
            let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
        }
        Ok(Self { _file: file })
    }
}

/// The file; one that another user's agent has made can be locked without being written.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    match options.read(true).write(true).create(true).truncate(false).mode(MODE).open(path) {
        Ok(file) => {
            // One that an earlier agent has made may be open to everybody. That of another user stays as it is.
            let _ = file.set_permissions(Permissions::from_mode(MODE));
            Ok((file, true))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok((File::open(path)?, false)),
        Err(error) => Err(error),
    }
}

fn holder_in(file: &File) -> String {
    let mut holder = String::new();
    // What can't be read is as good as nothing.
    let _ = file.take(HOLDER_BYTES).read_to_string(&mut holder);
    let holder = holder.trim();
    if holder.is_empty() {
        "its agent has not said which".to_owned()
    } else {
        holder.escape_debug().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn one_has_it_until_it_is_done() {
        let scratch = Scratch::new("host-lock");
        let path = scratch.join("host.lock");
        let lock = HostLock::take(&path, "shop (agent 7)").unwrap();
        let error = HostLock::take(&path, "blog").unwrap_err();
        assert_eq!(error.to_string(), "another server of this host is out: shop (agent 7)");
        drop(lock);
        HostLock::take(&path, "blog").unwrap();
    }

    #[test]
    fn nobody_else_may_take_it() {
        let scratch = Scratch::new("host-lock-mode");
        let path = scratch.join("host.lock");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let _lock = HostLock::take(&path, "shop").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_lock_that_can_not_be_made_is_named() {
        let scratch = Scratch::new("host-no-lock");
        let error = HostLock::take(&scratch.join("none/host.lock"), "shop").unwrap_err();
        assert!(matches!(error, NoLock::Unusable { .. }));
        assert!(error.to_string().contains("none/host.lock"), "{error}");
    }
}
