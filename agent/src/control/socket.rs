//! The socket as a file: made with its mode, replaced where a dead agent has left it, removed at the end.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use socket2::{Domain, SockAddr, Socket, Type};

/// Everybody may connect, to look; who may drain is decided by the kernel's word on the peer.
const MODE: u32 = 0o666;

/// Why there is no control socket.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// Somebody answers there.
    #[error(
        "an agent is running already: it answers on {path}; stop it, or give this one another name or control.socket"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Another agent has the lock beside the socket.
    #[error(
        "another agent starts or ends with the same control socket: it holds {lock}; wait for it or stop it, or give \
         this one another name or control.socket"
    )]
    Locked {
        /// The lock's file.
        lock: PathBuf,
    },
    /// Something else stands in its place.
    #[error(
        "{path} should be the control socket, but is something else; remove it, or set another control.socket"
    )]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The group is not known.
    #[error("expected a group that is in /etc/group, or its number, found \"{name}\"")]
    NoSuchGroup {
        /// As configured.
        name: String,
    },
    /// The file system or the kernel refused.
    #[error("can't make the control socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
}

/// A listening socket and its file, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// By which the file is known to be still ours.
    inode: u64,
    /// Keeps others from making it at the same time. Its file stays: whoever removed it might remove another's.
    _lock: fs::File,
}

impl SocketFile {
    /// Makes the socket at `path`, for the group `gid`. The file appears with its mode and group set.
    pub(super) fn create(path: &Path, gid: Option<u32>) -> Result<(UnixListener, Self), Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        if is_alive(path)? {
            return Err(Error::InUse { path: path.to_owned() });
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::create_dir(directory).map_err(failed)?;
        }
        let lock = lock(path)?;
        let make = || {
            // Beside its place first: nobody may connect before mode and group are right, and a rename
            // replaces what a dead agent has left.
            let new = path.with_extension("sock.new");
            remove_if_there(&new)?;
            let listener = UnixListener::bind(&new)?;
            give(&new, gid)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(MODE))?;
            fs::rename(&new, path)?;
            let inode = fs::symlink_metadata(path)?.ino();
            Ok((listener, Self { path: path.to_owned(), inode, _lock: lock }))
        };
        make().map_err(failed)
    }

    /// Gives the file to another group, where that may be done.
    pub(super) fn give(&self, gid: Option<u32>) -> Result<(), Error> {
        give(&self.path, gid).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Whether it is there, and still ours.
    pub(super) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            // If it stays, the next agent replaces it.
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Who is in no such group can't give it the file: who may drain is told by the peer, and not by the file.
fn give(path: &Path, gid: Option<u32>) -> io::Result<()> {
    match chown(path, None, gid) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// The number of the group `name`: a number itself, or a name in /etc/group.
///
/// # Errors
/// It is not there, or the file can't be read.
pub fn group_id(name: &str) -> Result<u32, Error> {
    let no_such_group = || Error::NoSuchGroup { name: name.to_owned() };
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let path = Path::new("/etc/group");
    let groups = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    in_group_file(&groups, name).ok_or_else(no_such_group)
}

/// Finds a group in the format of group(5): `name:password:number:members`.
fn in_group_file(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| if fields.next()? == name { fields.nth(1)?.parse().ok() } else { None })
}

/// Takes the lock beside the socket at `path`, which ends with the file that is returned.
fn lock(path: &Path) -> Result<fs::File, Error> {
    let lock = path.with_extension("sock.lock");
    let failed = |source| Error::Io { path: lock.clone(), source };
    let mut options = fs::OpenOptions::new();
    // Nobody else may open it, for whoever can may take the lock.
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&lock).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Locked { lock }),
        Err(error) => Err(failed(error.into())),
    }
}

/// Whether somebody listens at `path`.
fn is_alive(path: &Path) -> Result<bool, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(Error::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    // Without waiting: a living agent whose queue is full says EAGAIN.
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match connect() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_file_has_its_mode_and_goes_at_the_end() {
        let directory = Scratch::new("mode");
        let path = directory.join("run/a.sock");
        let (_listener, file) = SocketFile::create(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        drop(file);
        assert!(!path.exists());
        let left = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["a.sock.lock"]);
    }

    #[test]
    fn a_dead_agents_socket_is_replaced() {
        let directory = Scratch::new("dead");
        let path = directory.join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_listener, _file) = SocketFile::create(&path, None).unwrap();
        assert!(is_alive(&path).unwrap());
    }

    #[test]
    fn a_living_agents_socket_is_left_alone() {
        let directory = Scratch::new("living");
        let path = directory.join("a.sock");
        let (_listener, _file) = SocketFile::create(&path, None).unwrap();
        let refused = SocketFile::create(&path, None).unwrap_err();
        assert!(matches!(refused, Error::InUse { .. }), "{refused}");
        assert!(is_alive(&path).unwrap());
    }

    #[test]
    fn another_file_is_left_alone() {
        let directory = Scratch::new("file");
        let path = directory.join("a.sock");
        fs::write(&path, "precious").unwrap();
        let refused = SocketFile::create(&path, None).unwrap_err();
        assert!(matches!(refused, Error::NotASocket { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn of_two_agents_that_start_at_once_one_is_refused() {
        let directory = Scratch::new("next");
        let path = directory.join("a.sock");
        // As while the first has made its socket and does not listen yet.
        let (listener, file) = SocketFile::create(&path, None).unwrap();
        drop(listener);
        let refused = SocketFile::create(&path, None).unwrap_err();
        assert!(matches!(refused, Error::Locked { .. }), "{refused}");
        assert!(path.exists());
        drop(file);
        let (_listener, _file) = SocketFile::create(&path, None).unwrap();
    }

    #[test]
    fn groups_are_found_by_name_and_number() {
        let text = "root:x:0:\nwww-ops:x:1234:ann,bob\nwww:x:33:\n";
        assert_eq!(in_group_file(text, "www-ops"), Some(1234));
        assert_eq!(in_group_file(text, "www"), Some(33));
        assert_eq!(in_group_file(text, "ww"), None);
        assert_eq!(group_id("4711").unwrap(), 4711);
        assert!(matches!(group_id("no-such-group-here"), Err(Error::NoSuchGroup { .. })));
    }
}
