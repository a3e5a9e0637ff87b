//! A socket as a file: there with its mode and owner from the first moment, in the place of what a dead process has left
//! or a living one is about to give up, and removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::config::AdminSocket;

/// Why there is no socket for commands at a path.
#[derive(Debug, Error)]
pub enum FileError {
    /// The file system or the kernel refused.
    #[error("can't make the admin socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// Only root may give a file to a group that this process is not in.
    #[error(
        "can't give the admin socket {path} to the group {name}: {source}; the proxy must be in it: of the unit by \
         `systemctl edit drain-proxy`, [Service] SupplementaryGroups={name}"
    )]
    Group {
        /// The socket.
        path: PathBuf,
        /// As configured.
        name: Arc<str>,
        /// What was said.
        source: io::Error,
    },
    /// Only root may give a file away.
    #[error(
        "can't give the admin socket {path} to the user {name}: {source}; leave the user out, or start the proxy as root"
    )]
    User {
        /// The socket.
        path: PathBuf,
        /// As configured.
        name: Arc<str>,
        /// What was said.
        source: io::Error,
    },
    /// Whoever should own it is not known.
    #[error("\"{name}\", who should own the admin socket, is not in {list}; give one that is, or a number")]
    Unknown {
        /// As configured.
        name: String,
        /// Where it was looked for.
        list: &'static str,
    },
}

/// The file, which goes when this is dropped, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    /// Listens at the path, as the configuration says.
    pub(super) fn make(path: &Path, settings: &AdminSocket) -> Result<(UnixListener, Self), FileError> {
        let group = settings.group.as_deref().map(|name| number(name, "/etc/group")).transpose()?;
        let user = settings.user.as_deref().map(|name| number(name, "/etc/passwd")).transpose()?;
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::create_dir(directory).map_err(failed)?;
        }
        // Beside its place first: nobody may connect before all is right, and a rename replaces what is there.
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let ours = give(settings, path, &new, user, group)
            .and_then(|()| put(settings.mode, path, &new).map_err(failed));
        let inode = ours.inspect_err(|_| drop(fs::remove_file(&new)))?;
        Ok((listener, Self { path: path.to_owned(), inode }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            // If it stays, the next one replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives the socket at `new`, which is to be at `path`, to whom the configuration says.
fn give(
    settings: &AdminSocket,
    path: &Path,
    new: &Path,
    user: Option<u32>,
    group: Option<u32>,
) -> Result<(), FileError> {
    let path = || path.to_owned();
    if let Some(name) = &settings.group {
        chown(new, None, group).map_err(|source| FileError::Group {
            path: path(),
            name: name.clone(),
            source,
        })?;
    }
    if let Some(name) = &settings.user {
        chown(new, user, None).map_err(|source| FileError::User {
            path: path(),
            name: name.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Puts it in its place, with these permissions; gives its inode.
fn put(mode: Option<u32>, path: &Path, new: &Path) -> io::Result<u64> {
    if let Some(mode) = mode {
        fs::set_permissions(new, fs::Permissions::from_mode(mode))?;
    }
    fs::rename(new, path)?;
    Ok(fs::symlink_metadata(path)?.ino())
}

/// The number of a user or a group: a number itself, or the third field of its line in the list.
fn number(name: &str, list: &'static str) -> Result<u32, FileError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string(list)
        .map_err(|source| FileError::Io { path: Path::new(list).to_owned(), source })?;
    in_list(&text, name).ok_or_else(|| FileError::Unknown { name: name.to_owned(), list })
}

fn in_list(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    let mut found = lines.find(|fields| fields.clone().next() == Some(name))?;
    found.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_found_by_name_or_number() {
        assert_eq!(in_list("root:x:0:\nwww-ops:x:77:a,b\n", "www-ops"), Some(77));
        assert_eq!(in_list("root:x:0:\n", "roo"), None);
        assert_eq!(number("12", "/nonexistent").unwrap(), 12);
        assert!(number("no-such-group", "/etc/group").is_err());
    }
}
