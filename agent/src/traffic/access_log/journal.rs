//! A log that is written to the journal of a unit.
//!
//! Each reading asks `journalctl` for what has come since the last one: what it does not say was not logged, and where
//! it can't say, its exit status tells. One that follows by itself (`--follow`) never tells when it has begun to, nor
//! that it is behind.

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::Mutex,
    time::timeout,
};

use super::{Seen, lines::Lines};
use crate::{clock::Moment, config::Pattern, traffic::Reading};

/// A journal of some gigabytes on a slow disk takes as long at the first reading.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// So much is read of what it says; a server that writes more between two readings is in use.
const OUTPUT_MAX: u64 = 1024 * 1024;
/// So much of an error is kept.
const ERROR_MAX: u64 = 4096;
/// Where a reading ends.
const CURSOR: &[u8] = b"-- cursor: ";
/// How it says that it may read a part of the journal only.
const BLIND: &str = "not seeing messages";

/// The journal of a unit.
#[derive(Debug)]
pub struct Journal {
    program: PathBuf,
    unit: Arc<str>,
    ignore: Option<Pattern>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the last reading has ended.
    cursor: Option<String>,
    /// It was not read to its end, so that what came until the present reading was never seen.
    overrun: bool,
    seen: Seen,
}

/// Why a journal can't be read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// There is no `journalctl`.
    #[error("expected to run journalctl: {0}; install it, or name a file by `access_log`")]
    NotStarted(std::io::Error),
    /// It has failed.
    #[error("expected journalctl to read the journal of {unit}, found: {said}")]
    Failed {
        /// Of this unit.
        unit: Arc<str>,
        /// What it has said.
        said: String,
    },
    /// It takes too long.
    #[error("expected the journal of {unit} within {READ_WITHIN:?}, found nothing")]
    TimedOut {
        /// Of this unit.
        unit: Arc<str>,
    },
    /// The agent is shown a part of the journal.
    #[error("expected to read the whole journal; add the agent's user to the group systemd-journal")]
    Blind,
    /// The unit has never written anything.
    #[error(
        "expected entries of {unit} in the journal, found none; correct the unit's name, or let its server log there"
    )]
    Empty {
        /// Of this unit.
        unit: Arc<str>,
    },
}

impl Journal {
    /// The journal of `unit`, but for the lines that match `ignore`.
    pub fn new(unit: Arc<str>, ignore: Option<Pattern>) -> Self {
        Self { program: "journalctl".into(), unit, ignore, state: Mutex::default() }
    }

    /// Reads what has been written since the last reading; the first one begins at the end.
    pub async fn read(&self) -> Result<Reading, JournalError> {
        let mut state = self.state.lock().await;
        let read = match timeout(READ_WITHIN, self.ask(state.cursor.as_deref())).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                // A position in a journal that was vacuumed is worth nothing.
                state.cursor = None;
                return Err(error);
            }
            Err(_) => return Err(JournalError::TimedOut { unit: Arc::clone(&self.unit) }),
        };
        let began = state.cursor.is_none();
        let (lines, cursor) = split(&read);
        let is_whole = (read.len() as u64) < OUTPUT_MAX;
        let requests = Lines::default().take(lines, self.ignore.as_ref());
        match cursor.filter(|_| is_whole) {
            Some(cursor) => state.cursor = Some(cursor),
            None if began => return Err(JournalError::Empty { unit: Arc::clone(&self.unit) }),
            // It goes on at the end.
            None if !is_whole => state.cursor = None,
            None => {}
        }
        let overrun = std::mem::replace(&mut state.overrun, !is_whole);
        if !began || overrun {
            let requests = if began { 0 } else { requests };
            state.seen.add(requests.max(u64::from(!is_whole || overrun)), Moment::now());
        }
        Ok(state.seen.reading(Moment::now()))
    }

    /// What it says of all that follows `cursor`; without one, of the last entry.
    async fn ask(&self, cursor: Option<&str>) -> Result<Vec<u8>, JournalError> {
        let mut command = Command::new(&self.program);
        // What the unit's processes say, and not what systemd says of them.
        command.arg(format!("_SYSTEMD_UNIT={}", self.unit));
        command.args(["--output=cat", "--no-pager", "--show-cursor"]);
        match cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => command.arg("--lines=1"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(JournalError::NotStarted)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (output, errors) = tokio::join!(read(stdout, OUTPUT_MAX), read(stderr, ERROR_MAX));
        if output.len() as u64 >= OUTPUT_MAX {
            // It is in the middle of a line.
            return Ok(output);
        }
        let status = child.wait().await.map_err(JournalError::NotStarted)?;
        let errors = String::from_utf8_lossy(&errors);
        if errors.contains(BLIND) {
            return Err(JournalError::Blind);
        }
        if !status.success() && cursor.is_none() && errors.trim().is_empty() {
            // That is how it says that nothing matches.
            return Err(JournalError::Empty { unit: Arc::clone(&self.unit) });
        }
        if !status.success() {
            let said = match errors.trim() {
                "" => status.to_string(),
                said => said.to_owned(),
            };
            return Err(JournalError::Failed { unit: Arc::clone(&self.unit), said });
        }
        Ok(output)
    }

    #[cfg(test)]
    fn asking(program: PathBuf) -> Self {
        Self { program, ..Self::new("shop.service".into(), None) }
    }
}

/// What comes, up to `limit`.
async fn read(from: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut read = Vec::new();
    if let Some(from) = from {
        // What can't be read is missing in the end, and the exit status tells.
        let _broken_off = from.take(limit).read_to_end(&mut read).await;
    }
    read
}

/// The entries, and the position behind them, which stands in the last line.
fn split(output: &[u8]) -> (&[u8], Option<String>) {
    let trimmed = output.trim_ascii_end();
    let begin = trimmed.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    match trimmed[begin..].strip_prefix(CURSOR) {
        Some(cursor) => (&output[..begin], Some(String::from_utf8_lossy(cursor).into_owned())),
        // It says so in words.
        None => (&[], None),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::scratch::Scratch;

    /// A `journalctl` that shows the files `entries` after the line that its cursor tells.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
[ -e fails ] && { cat fails >&2; exit 1; }
[ -e hint ] && cat hint >&2
count=$(wc -l <entries)
for argument in "$@"; do
    case $argument in
    --after-cursor=*) after=${argument#--after-cursor=s=} ;;
    --lines=1) after=$((count > 0 ? count - 1 : 0)) ;;
    esac
done
if [ "$count" = 0 ]; then echo "-- No entries --"; exit 1; fi
tail -n +$((after + 1)) entries
echo "-- cursor: s=$count"
"#;

    fn journal(test: &str, entries: &str) -> (Scratch, Journal) {
        let scratch = Scratch::new(test);
        let program = scratch.join("journalctl");
        fs::write(&program, SCRIPT).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(scratch.join("entries"), entries).unwrap();
        (scratch, Journal::asking(program))
    }

    fn log(scratch: &Scratch, more: &str) {
        let path = scratch.join("entries");
        let entries = fs::read_to_string(&path).unwrap() + more;
        fs::write(path, entries).unwrap();
    }

    #[tokio::test]
    async fn what_follows_the_first_reading_is_counted() {
        let (scratch, journal) = journal("journal", "1\n2\n");
        let first = journal.read().await.unwrap();
        assert_eq!((first.requests, first.ended), (Some(0), None));
        log(&scratch, "3\n4\n-- cursor: s=1\n");
        let second = journal.read().await.unwrap();
        assert_eq!(second.requests, Some(3), "an entry that looks like a position is an entry");
        assert!(second.ended.is_some());
        assert_eq!(journal.read().await.unwrap().requests, Some(3));
    }

    #[tokio::test]
    async fn a_unit_that_never_wrote_is_unknown() {
        let (_scratch, journal) = journal("journal_empty", "");
        let error = journal.read().await.unwrap_err();
        assert!(matches!(error, JournalError::Empty { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_journal_that_is_shown_in_part_is_unknown() {
        let (scratch, journal) = journal("journal_blind", "1\n");
        let hint = "Hint: You are currently not seeing messages from other users and the system.\n";
        fs::write(scratch.join("hint"), hint).unwrap();
        let error = journal.read().await.unwrap_err();
        assert!(matches!(error, JournalError::Blind), "{error}");
    }

    #[tokio::test]
    async fn a_failure_is_told_and_the_next_reading_begins_anew() {
        let (scratch, journal) = journal("journal_fails", "1\n");
        journal.read().await.unwrap();
        fs::write(scratch.join("fails"), "Failed to seek to cursor: Invalid argument\n").unwrap();
        let error = journal.read().await.unwrap_err().to_string();
        assert!(error.contains("Failed to seek") && error.contains("shop.service"), "{error}");
        fs::remove_file(scratch.join("fails")).unwrap();
        log(&scratch, "2\n");
        assert_eq!(journal.read().await.unwrap().requests, Some(0));
        log(&scratch, "3\n");
        assert_eq!(journal.read().await.unwrap().requests, Some(1));
    }

    #[tokio::test]
    async fn of_more_than_can_be_read_at_once_it_is_known_that_it_was() {
        let (scratch, journal) = journal("journal_much", "1\n");
        journal.read().await.unwrap();
        log(&scratch, &"0123456789abcdef\n".repeat(100_000));
        let overrun = journal.read().await.unwrap();
        assert!(overrun.ended.is_some());
        let all = journal.read().await.unwrap().requests;
        assert_eq!(all, overrun.requests.map(|some| some + 1), "what came since then was not seen");
        log(&scratch, "2\n");
        assert_eq!(journal.read().await.unwrap().requests, all.map(|all| all + 1));
    }

    #[tokio::test]
    async fn without_journalctl_it_is_unknown() {
        let error = Journal::asking(Path::new("/nowhere/journalctl").into()).read().await.unwrap_err();
        assert!(matches!(error, JournalError::NotStarted(_)), "{error}");
    }
}
