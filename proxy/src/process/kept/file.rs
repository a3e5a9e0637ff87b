//! A file that is kept: written as a whole when what it says has changed, again and again until that succeeds, and at the
//! end not over what a newer process has written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that is kept.
#[derive(Debug, Default)]
pub(super) struct KeptFile {
    /// What it says, as far as that lasts, and where.
    written: Option<(PathBuf, String)>,
    /// As this process has written it last.
    own: Option<Identity>,
    /// It can't be written, which has been said.
    fails: bool,
}

/// Tells one file from all that were ever in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    /// When it was written last: a number may be given again.
    written: (i64, i64),
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It says what it should, or is another process's.
    Kept,
    /// It can't be written, and will be tried again.
    Failed,
}

impl KeptFile {
    /// Has it say this, of which `lasting` is what counts. Where another process has written it, that had not heard of
    /// what this one does.
    pub(super) fn renew(&mut self, path: &Path, lasting: String, text: &str) -> Outcome {
        let now = Some((path.to_owned(), lasting));
        if self.written == now && !self.is_others(path) {
            return Outcome::Kept;
        }
        self.write(path, now, text)
    }

    /// The same for the last time, whatever it says. What another process has written stays: it is newer.
    pub(super) fn renew_at_last(&mut self, path: &Path, text: &str) -> Outcome {
        if self.is_others(path) {
            tracing::info!("{} stays as another process has written it", path.display());
            return Outcome::Kept;
        }
        self.write(path, None, text)
    }

    fn write(&mut self, path: &Path, written: Option<(PathBuf, String)>, text: &str) -> Outcome {
        match replace(path, text) {
            Ok(own) => {
                if std::mem::take(&mut self.fails) {
                    tracing::info!("what is to be kept is written to {} again", path.display());
                }
                (self.written, self.own) = (written, Some(own));
                Outcome::Kept
            }
            Err(error) => {
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(
                        "what is to be kept can't be written to {}: {error}; it is tried again until it can",
                        path.display()
                    );
                }
                self.written = None;
                Outcome::Failed
            }
        }
    }

    /// Whether another process has put a file in the place of this one's.
    fn is_others(&self, path: &Path) -> bool {
        let is_there = self.written.as_ref().is_none_or(|(known, _)| known == path);
        let found = fs::symlink_metadata(path).ok().map(|meta| Identity::of(&meta));
        is_there && self.own.is_some() && found.is_some() && found != self.own
    }
}

impl Identity {
    fn of(meta: &fs::Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), written: (meta.mtime(), meta.mtime_nsec()) }
    }
}

/// As a whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<Identity> {
    // Another process may be about to write the same file.
    let new = super::beside(path, &format!("{}.new", std::process::id()));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let own = Identity::of(&file.metadata()?);
        fs::rename(&new, path)?;
        Ok(own)
    };
    write().inspect_err(|_| {
        // It is of no use; what went wrong is said.
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("drain-proxy-{name}-{}", std::process::id()))
    }

    #[test]
    fn what_could_not_be_written_is_written_when_it_can() {
        let directory = directory("unwritten");
        let path = directory.join("state");
        let mut file = KeptFile::default();
        for _ in 0..2 {
            assert_eq!(file.renew(&path, "a".into(), "a 1"), Outcome::Failed);
        }
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(file.renew(&path, "a".into(), "a 2"), Outcome::Kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 2");
        assert_eq!(file.renew(&path, "a".into(), "a 3"), Outcome::Kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 2", "nothing that lasts has changed");
        assert_eq!(file.renew(&path, "b".into(), "b 4"), Outcome::Kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "b 4");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_newer_process_wins_whoever_writes_first() {
        let directory = directory("newer");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state");
        let says = || fs::read_to_string(&path).unwrap();
        let (mut old, mut new) = (KeptFile::default(), KeptFile::default());
        old.renew(&path, "old".into(), "old");
        new.renew(&path, "new".into(), "new");
        old.renew_at_last(&path, "old at last");
        assert_eq!(says(), "new");
        // And where the older one is late.
        let (mut old, mut new) = (KeptFile::default(), KeptFile::default());
        new.renew(&path, "new".into(), "new");
        old.renew_at_last(&path, "old at last");
        assert_eq!(says(), "old at last");
        new.renew(&path, "new".into(), "new");
        assert_eq!(says(), "new");
        new.renew_at_last(&path, "new at last");
        assert_eq!(says(), "new at last");
        fs::remove_dir_all(&directory).unwrap();
    }
}
