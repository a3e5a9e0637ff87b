//! A log that is followed through its rotation.
//!
//! | rotation | is seen by | and then |
//! |---|---|---|
//! | rename | another inode at the path | the old file is read to its end and still followed: a server writes there until it opens the new one, which is read from its beginning |
//! | copytruncate | a file that is shorter than what was read of it | it is read from its beginning |
//! | the file is gone | nothing at the path | for [`ROTATION`] that is a rotation under way, where an old file is followed; then it is unknown |

use std::{
    collections::VecDeque,
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::PathBuf,
    time::Duration,
};

use rustix::fs::OFlags;

use super::{LogError, lines::Lines};
use crate::{clock::Moment, config::Pattern};

/// So long may a log be missing while it is rotated: until the server has been told to open a new one.
const ROTATION: Duration = Duration::from_secs(10);
/// So many rotated logs are followed: a server whose old workers finish their requests may have the one before the last
/// open.
const OLD: usize = 2;
/// So much of a file is read at once; what was written before it is not, but counts as one request. In a drain, it is
/// read some times a second; a server that writes more is in use.
const AT_ONCE: u64 = 1024 * 1024;
/// How much one system call reads.
const CHUNK: usize = 64 * 1024;

/// A log at a path.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    ignore: Option<Pattern>,
    /// The file that is there, or was when it was looked for last.
    present: Option<Followed>,
    /// Those that were there before, the oldest first.
    old: VecDeque<Followed>,
    /// Nothing was there at an earlier reading, and since when.
    missing: Option<Moment>,
    /// A file that appears from now on has only lines that are new.
    seen: bool,
}

/// An open file and how far it was read.
#[derive(Debug)]
struct Followed {
    file: File,
    id: (u64, u64),
    read: u64,
    lines: Lines,
}

/// What is at the path.
enum There {
    Log(File, Metadata),
    Fifo,
    Nothing,
}

impl Files {
    pub(super) fn new(path: PathBuf, ignore: Option<Pattern>) -> Self {
        Self { path, ignore, present: None, old: VecDeque::new(), missing: None, seen: false }
    }

    /// How many requests have been written down since the last reading; none at the first, which begins at the end.
    /// `None` where the path is that of a FIFO.
    pub(super) fn read(&mut self, now: Moment) -> Result<Option<u64>, LogError> {
        let mut requests = self.read_old();
        if let Some(present) = &mut self.present {
            match present.read_on(self.ignore.as_ref()) {
                Ok(read) => requests += read,
                Err(error) => {
                    self.present = None;
                    return Err(self.unreadable(error));
                }
            }
        }
        let there = self.there().map_err(|error| self.unreadable(error))?;
        let (file, metadata) = match there {
            There::Fifo => return Ok(None),
            There::Nothing => return self.gone(now).map(|()| Some(requests)),
            There::Log(file, metadata) => (file, metadata),
        };
        self.missing = None;
        if self.present.as_ref().is_some_and(|present| present.id == id(&metadata)) {
            return Ok(Some(requests));
        }
        let from = if self.seen { 0 } else { metadata.len() };
        self.retire();
        let mut followed = Followed { file, id: id(&metadata), read: from, lines: Lines::default() };
        requests += followed.read_on(self.ignore.as_ref()).map_err(|error| self.unreadable(error))?;
        self.present = Some(followed);
        self.seen = true;
        Ok(Some(requests))
    }

    /// Old files may be read until they are removed; one that can't be read has nothing to say.
    fn read_old(&mut self) -> u64 {
        let mut requests = 0;
        let ignore = self.ignore.as_ref();
        self.old.retain_mut(|old| {
            // First, so that what is written until it is removed is read.
            let has_name = old.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
            let read = old.read_on(ignore);
            requests += read.as_ref().copied().unwrap_or(0);
            has_name && read.is_ok()
        });
        requests
    }

    fn there(&self) -> io::Result<There> {
        // Where a FIFO is there, opening it would wait for a writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
            Err(error) => return Err(error),
        };
        if metadata.file_type().is_fifo() {
            return Ok(There::Fifo);
        }
        if !metadata.is_file() {
            return Err(io::Error::other("it is neither a file nor a FIFO"));
        }
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(There::Log(file, metadata))
    }

    /// There is nothing at the path.
    fn gone(&mut self, now: Moment) -> Result<(), LogError> {
        self.seen = true;
        self.retire();
        let since = *self.missing.get_or_insert(now);
        if self.old.is_empty() || now.since(since) > ROTATION {
            return Err(LogError::Missing { path: self.path.clone() });
        }
        Ok(())
    }

    /// The present file is one of the old.
    fn retire(&mut self) {
        self.old.extend(self.present.take());
        while self.old.len() > OLD {
            self.old.pop_front();
        }
    }

    fn unreadable(&self, error: io::Error) -> LogError {
        LogError::Unreadable { path: self.path.clone(), error }
    }
}

impl Followed {
    /// How many requests have been written down since the last reading.
    fn read_on(&mut self, ignore: Option<&Pattern>) -> io::Result<u64> {
        let length = self.file.metadata()?.len();
        let mut requests = 0;
        if length < self.read {
            self.read = 0;
            self.lines.break_off();
        }
        if length - self.read > AT_ONCE {
            self.read = length - AT_ONCE;
            self.lines.break_off();
            requests += 1;
        }
        let mut chunk = vec![0; CHUNK.min((length - self.read) as usize)];
        while self.read < length {
            let wanted = chunk.len().min((length - self.read) as usize);
            match self.file.read_at(&mut chunk[..wanted], self.read) {
                // It was cut in this moment.
                Ok(0) => break,
                Ok(read) => {
                    self.read += read as u64;
                    requests += self.lines.take(&chunk[..read], ignore);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(requests)
    }
}

/// What tells files apart.
fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::scratch::Scratch;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(1000 + seconds))
    }

    /// A log of a test, and a server that has it open.
    struct Log {
        scratch: Scratch,
        files: Files,
    }

    impl Log {
        fn new(test: &str) -> Self {
            let scratch = Scratch::new(test);
            let files = Files::new(scratch.join("access.log"), None);
            Self { scratch, files }
        }

        /// As a server opens it.
        fn open(&self) -> File {
            OpenOptions::new().append(true).create(true).open(&self.files.path).unwrap()
        }

        fn rename(&self, to: &str) {
            fs::rename(&self.files.path, self.scratch.join(to)).unwrap();
        }

        fn read(&mut self) -> u64 {
            self.files.read(at(0)).unwrap().expect("no FIFO")
        }
    }

    #[test]
    fn what_was_there_before_is_no_news_and_what_follows_is() {
        let mut log = Log::new("log_end");
        let mut server = log.open();
        server.write_all(b"1\n2\n3\n").unwrap();
        assert_eq!(log.read(), 0);
        assert_eq!(log.read(), 0);
        server.write_all(b"4\n5").unwrap();
        assert_eq!(log.read(), 1);
        server.write_all(b"5\n").unwrap();
        assert_eq!(log.read(), 1);
    }

    #[test]
    fn a_renamed_log_is_read_to_its_end_and_so_is_the_new_one() {
        let mut log = Log::new("log_rename");
        let mut old = log.open();
        log.read();
        old.write_all(b"1\n").unwrap();
        log.rename("access.log.1");
        old.write_all(b"2\n").unwrap();
        let mut new = log.open();
        new.write_all(b"3\n4\n").unwrap();
        assert_eq!(log.read(), 4);
        // A worker that finishes its request has the old one open.
        old.write_all(b"5\n").unwrap();
        new.write_all(b"6\n").unwrap();
        assert_eq!(log.read(), 2);
        fs::remove_file(log.scratch.join("access.log.1")).unwrap();
        old.write_all(b"7\n").unwrap();
        assert_eq!(log.read(), 1, "until it is removed");
        assert!(log.files.old.is_empty(), "a removed log must not fill the disk");
        assert_eq!(log.read(), 0);
    }

    #[test]
    fn old_logs_are_followed_in_a_small_number() {
        let mut log = Log::new("log_old");
        for n in 0..6 {
            let mut server = log.open();
            log.read();
            server.write_all(b"1\n").unwrap();
            log.rename(&format!("access.log.{n}"));
            assert_eq!(log.read(), 1);
        }
        assert_eq!(log.files.old.len(), OLD);
    }

    #[test]
    fn a_log_that_is_copied_and_truncated_is_read_from_its_beginning() {
        let mut log = Log::new("log_truncate");
        let mut server = log.open();
        server.write_all(b"1\n2\n3\nhalf").unwrap();
        log.read();
        fs::copy(&log.files.path, log.scratch.join("access.log.1")).unwrap();
        File::options().write(true).open(&log.files.path).unwrap().set_len(0).unwrap();
        assert_eq!(log.read(), 0);
        server.write_all(b"4\n5\n").unwrap();
        assert_eq!(log.read(), 2);
    }

    #[test]
    fn a_log_is_missing_for_a_moment_while_it_is_rotated() {
        let mut log = Log::new("log_moment");
        let mut server = log.open();
        log.read();
        log.rename("access.log.1");
        server.write_all(b"1\n").unwrap();
        assert_eq!(log.files.read(at(0)).unwrap(), Some(1));
        assert_eq!(log.files.read(at(9)).unwrap(), Some(0));
        let error = log.files.read(at(11)).unwrap_err();
        assert!(matches!(error, LogError::Missing { .. }), "{error}");
        server.write_all(b"2\n").unwrap();
        log.open().write_all(b"3\n").unwrap();
        let _unknown = log.files.read(at(12)).unwrap();
        assert_eq!(log.files.missing, None);
    }

    #[test]
    fn a_log_that_appears_later_is_read_from_its_beginning() {
        let mut log = Log::new("log_later");
        assert!(matches!(log.files.read(at(0)), Err(LogError::Missing { .. })));
        log.open().write_all(b"1\n2\n").unwrap();
        assert_eq!(log.read(), 2);
    }

    #[test]
    fn a_log_that_is_none_is_unknown() {
        let mut log = Log::new("log_none");
        fs::create_dir(&log.files.path).unwrap();
        let error = log.files.read(at(0)).unwrap_err().to_string();
        assert!(error.contains("neither a file nor a FIFO"), "{error}");
    }

    #[test]
    fn a_log_that_may_not_be_read_is_unknown() {
        let mut log = Log::new("log_denied");
        drop(log.open());
        fs::set_permissions(&log.files.path, fs::Permissions::from_mode(0o000)).unwrap();
        // Root may read everything.
        if File::open(&log.files.path).is_err() {
            let error = log.files.read(at(0)).unwrap_err().to_string();
            assert!(error.contains("Permission denied") && error.contains("access.log"), "{error}");
        }
    }

    #[test]
    fn of_more_than_can_be_read_at_once_the_end_is_read() {
        let mut log = Log::new("log_much");
        let mut server = log.open();
        log.read();
        server.write_all(&b"0123456789abcde\n".repeat(200_000)).unwrap();
        let read = log.read();
        assert!((1..=AT_ONCE / 16 + 1).contains(&read), "{read}");
        server.write_all(b"1\n").unwrap();
        assert_eq!(log.read(), 1);
    }

    #[test]
    fn a_log_that_was_cut_under_a_server_that_does_not_append_goes_on() {
        let mut log = Log::new("log_hole");
        let mut server = File::create(&log.files.path).unwrap();
        log.read();
        server.write_all(&b"1\n".repeat(1000)).unwrap();
        assert_eq!(log.read(), 1000);
        File::options().write(true).open(&log.files.path).unwrap().set_len(0).unwrap();
        assert_eq!(log.read(), 0);
        server.write_all(b"2\n").unwrap();
        assert_eq!(log.read(), 1);
    }
}
