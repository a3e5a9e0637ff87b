//! The file of all reports that are whole: a line of JSON each.
//!
//! When it is full it becomes the older of two, and the older one goes. A line that a crash has left half written is
//! no record, and no error.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use thiserror::Error;

use super::Record;

/// How long the file may become before it is the older one: some hundred drains, and with the older one beside it
/// nothing to a disk.
const FILE_BYTES: u64 = 1024 * 1024;

/// The longest line: the most that a record can hold.
const LINE_BYTES: u64 = 512 * 1024;

/// Where the reports lie that are whole. All of it is blocking.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    /// Who writes, so that no two lines mix.
    writing: Mutex<()>,
}

/// The history can't be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The system says why.
    #[error("can't read the history {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that read it has died.
    #[error("the thread that read the history has ended early")]
    Stopped,
}

impl History {
    /// The one at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), writing: Mutex::new(()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `record`. What follows a crash of the host may lack it: it is not synced.
    pub fn append(&self, record: &Record) -> io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut file = self.open()?;
        let length = file.metadata()?.size();
        if length > 0 && length + line.len() as u64 > FILE_BYTES {
            fs::rename(&self.path, self.older())?;
            file = self.open()?;
        } else if is_half(&file, length)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)
    }

    /// The last `count`, the oldest first, without what makes them long.
    pub fn last(&self, count: usize) -> Result<Vec<Record>, Unreadable> {
        let mut last = VecDeque::new();
        self.each(|record| {
            if last.len() == count {
                last.pop_front();
            }
            if count > 0 {
                last.push_back(record.brief());
            }
        })?;
        Ok(last.into())
    }

    /// That of the drain `id`; of several the youngest.
    pub fn of(&self, id: u64) -> Result<Option<Record>, Unreadable> {
        let mut found = None;
        self.each(|record| {
            if record.drain == id {
                found = Some(record);
            }
        })?;
        Ok(found)
    }

    /// Whether `record` is in it.
    pub fn has(&self, record: &Record) -> bool {
        self.of(record.drain).is_ok_and(|found| found.is_some_and(|found| found.is_same(record)))
    }

    /// Shows `each` all records, the oldest first.
    fn each(&self, mut each: impl FnMut(Record)) -> Result<(), Unreadable> {
        for path in [self.older(), self.path.clone()] {
            match read(&path, &mut each) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Unreadable::Io { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        // It names users' addresses: not for everybody.
        OpenOptions::new().create(true).read(true).append(true).mode(0o640).open(&self.path)
    }

    fn older(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".1");
        path.into()
    }
}

/// Whether the last line has no end.
fn is_half(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn read(path: &Path, each: &mut impl FnMut(Record)) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.size();
    // One that somebody else has made longer is read from where ours may begin.
    file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES + LINE_BYTES)))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // What is no record is half a line, or of another version.
        if let Ok(record) = serde_json::from_slice(&line) {
            each(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::recorder::tests::record, *};
    use crate::scratch::Scratch;

    fn ids(history: &History, count: usize) -> Vec<u64> {
        history.last(count).unwrap().iter().map(|record| record.drain).collect()
    }

    #[test]
    fn without_a_file_there_is_no_history() {
        let scratch = Scratch::new("history-none");
        let history = History::at(&scratch.join("a.jsonl"));
        assert!(ids(&history, 9).is_empty());
        assert!(history.of(1).unwrap().is_none());
    }

    #[test]
    fn the_last_ones_are_told_in_order_and_one_by_its_number() {
        let scratch = Scratch::new("history-order");
        let history = History::at(&scratch.join("a.jsonl"));
        for id in 1..=5 {
            history.append(&record(id)).unwrap();
        }
        assert_eq!(ids(&history, 2), [4, 5]);
        assert!(ids(&history, 0).is_empty());
        assert_eq!(history.of(3).unwrap().unwrap(), record(3));
    }

    #[test]
    fn half_a_line_costs_only_itself() {
        let scratch = Scratch::new("history-half");
        let path = scratch.join("a.jsonl");
        let history = History::at(&path);
        history.append(&record(1)).unwrap();
        history.append(&record(2)).unwrap();
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 20]).unwrap();
        assert_eq!(ids(&history, 9), [1]);
        history.append(&record(3)).unwrap();
        assert_eq!(ids(&history, 9), [1, 3]);
    }

    #[test]
    fn what_is_no_text_costs_only_itself() {
        let scratch = Scratch::new("history-garbage");
        let path = scratch.join("a.jsonl");
        fs::write(&path, b"\xff\xfe\n\n{}\n[]\n").unwrap();
        let history = History::at(&path);
        history.append(&record(1)).unwrap();
        assert_eq!(ids(&history, 9), [1]);
    }

    #[test]
    fn two_files_of_a_bounded_size_hold_the_youngest() {
        let scratch = Scratch::new("history-rotation");
        let path = scratch.join("a.jsonl");
        let history = History::at(&path);
        let long = |id| Record { text: "x".repeat(100_000), ..record(id) };
        for id in 1..=40 {
            history.append(&long(id)).unwrap();
        }
        let size = |path: &Path| fs::metadata(path).unwrap().size();
        assert!(size(&path) <= FILE_BYTES && size(&history.older()) <= FILE_BYTES);
        let ids = ids(&history, 100);
        assert!(ids.len() >= 10, "{ids:?}");
        assert_eq!(ids.last(), Some(&40));
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    }

    #[test]
    fn one_that_can_not_be_read_is_told() {
        let scratch = Scratch::new("history-directory");
        let error = History::at(scratch.path()).last(1).unwrap_err();
        assert!(error.to_string().starts_with("can't read the history"), "{error}");
    }
}
