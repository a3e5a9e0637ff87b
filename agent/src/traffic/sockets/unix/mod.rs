//! Connections to a server behind a unix socket, as the kernel's `unix_diag` tells of them.
//!
//! | seen | counts as |
//! |---|---|
//! | a connection that waits to be accepted | busy |
//! | bytes that the server, or its peer, has not read | busy |
//! | any other open connection | opaque: in flight as long as it is open |
//!
//! The kernel counts no bytes and keeps no times for unix sockets, so a server that thinks looks like one whose peer
//! keeps an idle connection. Without keep-alive, which is how nginx speaks to a unix socket unless told otherwise, a
//! connection is a request. Since when nothing has been seen to move on one is known only from looks in a row.

mod message;
mod own;

pub(super) use own::OwnEnds;
pub use own::UnixEntry;

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::fs::{major, minor};

use self::message::UnixSocket;
use super::{
    Looks, Own,
    diag::State,
    listener::{Listener, Place},
    table::{LookError, Table},
};
use crate::{clock::Moment, traffic::Reading};

/// Looks that are further apart say nothing of what was between them, but in a drain.
const CLOSE: Duration = Duration::from_secs(2);

/// What is remembered of the connections between looks.
#[derive(Default)]
pub(super) struct Connections {
    /// Since when nothing has been seen to move on each, by its cookie.
    still: HashMap<u64, Moment>,
    /// The server's ends of our own connections: one that we have given up is ours until the server closes it.
    own: HashSet<u64>,
    looked: Option<Moment>,
}

/// What one look at the unix sockets has found.
#[derive(Default)]
struct Found {
    reading: Reading,
    still: HashMap<u64, Moment>,
    own: HashSet<u64>,
    /// Which of the paths somebody listens on.
    listened: Vec<bool>,
}

impl Connections {
    /// Looks at the connections to `paths`, and adds them to `reading`; which of the paths somebody listens on.
    pub(super) fn look(
        &mut self,
        table: &mut Table,
        paths: &[Arc<Path>],
        own: &Own,
        (looks, now): (Looks, Moment),
        reading: &mut Reading,
    ) -> Result<Vec<bool>, LookError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let is_far = self.looked.is_none_or(|looked| now.since(looked) > CLOSE);
        if is_far && looks == Looks::Seldom {
            self.still.clear();
        }
        self.looked = Some(now);
        let names = Names::of(paths);
        let states = [State::Established, State::Listen];
        let start = || Found { listened: vec![false; paths.len()], ..Found::default() };
        let found = table.fold_unix(
            |sequence| message::request(&states, sequence),
            start,
            |found, bytes| {
                let socket = UnixSocket::parse(bytes)?;
                let Some(path) = names.find(&socket) else { return Ok(()) };
                if socket.state == State::Listen {
                    found.listened[path] = true;
                    let waiting =
                        socket.pending().filter(|peer| *peer != 0 && !own.holds_unix(*peer)).count();
                    found.reading.busy = found.reading.busy.saturating_add(waiting as u32);
                } else if self.own.contains(&socket.cookie) || own.holds_unix(socket.peer) {
                    found.own.insert(socket.cookie);
                } else if socket.receive_queue > 0 || socket.send_queue > 0 {
                    found.reading.busy = found.reading.busy.saturating_add(1);
                } else {
                    let since = self.still.get(&socket.cookie).copied().unwrap_or(now);
                    found.still.insert(socket.cookie, since);
                    found.reading.opaque.add(now.since(since));
                }
                Ok(())
            },
        )?;
        self.own = found.own;
        self.still = found.still;
        reading.busy = reading.busy.saturating_add(found.reading.busy);
        reading.opaque = found.reading.opaque;
        Ok(found.listened)
    }
}

/// Who listens on `paths`.
pub(super) fn listeners(table: &mut Table, paths: &[Arc<Path>]) -> Result<Vec<Listener>, LookError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let names = Names::of(paths);
    table.fold_unix(
        |sequence| message::request(&[State::Listen], sequence),
        Vec::new,
        |all, bytes| {
            let socket = UnixSocket::parse(bytes)?;
            if let Some(path) = names.find(&socket) {
                let place = Place::Unix(Arc::clone(&paths[path]));
                all.push(Listener { place, inode: socket.inode, uid: socket.uid });
            }
            Ok(())
        },
    )
}

/// The paths as the kernel knows them.
struct Names<'a> {
    paths: &'a [Arc<Path>],
    /// Inode and device, as `unix_diag` gives them, of what lies there now.
    files: Vec<Option<(u32, u32)>>,
}

impl<'a> Names<'a> {
    fn of(paths: &'a [Arc<Path>]) -> Self {
        let file = |path: &Arc<Path>| {
            let metadata = fs::metadata(path).ok()?;
            // The kernel's own dev_t has the minor number in its lower 20 bits.
            Some((metadata.ino() as u32, major(metadata.dev()) << 20 | minor(metadata.dev())))
        };
        Self { paths, files: paths.iter().map(file).collect() }
    }

    /// Which of the paths is the socket's: the very file, or one of that name that a restart has replaced.
    fn find(&self, socket: &UnixSocket<'_>) -> Option<usize> {
        let is_file = |file: &Option<(u32, u32)>| file.is_some() && *file == socket.file;
        let by_name = || self.paths.iter().position(|path| path.as_os_str().as_bytes() == socket.name);
        self.files.iter().position(is_file).or_else(by_name)
    }
}

#[cfg(test)]
mod tests;
