//! A socket as a file: there with its mode and owner from the first moment, in the place of what a dead process has left
//! or a living one is about to give up, and removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::AdminSocket;

/// Why there is no socket for commands.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The file system or the kernel refused.
    #[error("can't make the admin socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
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

/// A socket that is listened on.
#[derive(Debug)]
pub struct Bound {
    pub(super) listener: UnixListener,
    pub(in crate::admin) settings: AdminSocket,
    pub(super) file: SocketFile,
}

/// The file, which goes when this is dropped, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Bound {
    /// Listens as the configuration says.
    pub fn open(settings: &AdminSocket) -> Result<Self, SocketError> {
        let path = &settings.path;
        let group = settings.group.as_deref().map(|name| number(name, "/etc/group")).transpose()?;
        let user = settings.user.as_deref().map(|name| number(name, "/etc/passwd")).transpose()?;
        let make = || {
            if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
                fs::create_dir(directory)?;
            }
            // Beside its place first: nobody may connect before all is right, and a rename replaces what is there.
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let _ = fs::remove_file(&new);
            let listener = UnixListener::bind(&new)?;
            listener.set_nonblocking(true)?;
            chown(&new, user, group)?;
            if let Some(mode) = settings.mode {
                fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
            }
            fs::rename(&new, path)?;
            let file = SocketFile { path: path.clone(), inode: fs::symlink_metadata(path)?.ino() };
            Ok(Self { listener, settings: settings.clone(), file })
        };
        make().map_err(|source| SocketError::Io { path: path.clone(), source })
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

/// The number of a user or a group: a number itself, or the third field of its line in the list.
fn number(name: &str, list: &'static str) -> Result<u32, SocketError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string(list)
        .map_err(|source| SocketError::Io { path: Path::new(list).to_owned(), source })?;
    in_list(&text, name).ok_or_else(|| SocketError::Unknown { name: name.to_owned(), list })
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
