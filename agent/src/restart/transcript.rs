//! The file that the restart command writes to.
//!
//! A pipe would tie whoever writes to the agent's life: a server that the command has started, or the command itself,
//! would be ended by SIGPIPE when the agent ends. So it is a file beside the state file, opened for appending, which
//! nobody who has it open has to give up. It has a name, so that the next agent finds it: as long as any agent
//! lives, it is cut from the front when it becomes long, whoever writes there and for how many years.
//!
//! What can't be helped: without an agent nobody cuts it. It is where people look for what fills a disk.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use super::{
    IdentityError, Output,
    output::KEPT,
    process::{all, blocking, find},
};

/// How much of it may lie on the disk before it is cut: a restart's whole output in any case that people read, and
/// nothing to a disk.
const ON_DISK: u64 = 1024 * 1024;

/// How long it may be, holes included, before it is emptied: some file systems end a file at 16 GiB.
const LONGEST: u64 = 8 * 1024 * 1024 * 1024;

/// What `st_blocks` counts in.
const BLOCK: u64 = 512;

/// How often its length is looked at while the command runs: a program that does nothing but write fills some
/// 100 MB in that time.
pub(super) const CUT_EVERY: Duration = Duration::from_millis(100);

/// The same while none runs: for a server that writes there, and costs next to nothing.
const CUT_EVERY_AT_REST: Duration = Duration::from_secs(5);

/// How long after the command's end it is looked who has the file open: what was sent to the background may need
/// a moment to redirect its output.
const HELD_GRACE: Duration = Duration::from_secs(2);

/// The file to which restart commands, one after the other, write their output and their errors.
#[derive(Debug)]
pub struct Transcript {
    path: PathBuf,
    /// Open as soon as there is a file.
    file: Mutex<Option<Arc<File>>>,
    /// It was told that somebody keeps it open.
    told: AtomicBool,
}

impl Transcript {
    /// The one that lies beside this state file. What an earlier agent has left there is taken over.
    pub fn beside(state: &Path) -> Self {
        let mut path = state.to_owned().into_os_string();
        path.push(".output");
        let path = PathBuf::from(path);
        // Where there is none, the first command makes it.
        let file = options().open(&path).ok().map(Arc::new);
        Self { path, file: Mutex::new(file), told: AtomicBool::new(false) }
    }

    /// Cuts it from now on, as long as it is used.
    pub fn tend(self: &Arc<Self>) {
        let transcript = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(CUT_EVERY_AT_REST).await;
                let Some(transcript) = transcript.upgrade() else { return };
                transcript.cut().await;
            }
        });
    }

    /// Begins it anew, and gives what the next command is to write to.
    pub(super) fn begin(&self) -> io::Result<File> {
        let file = options().create(true).open(&self.path)?;
        // Who still writes to it from an earlier restart goes on at its new end.
        file.set_len(0)?;
        let writer = file.try_clone()?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        Ok(writer)
    }

    /// The end of what was written since the last [`Self::begin`].
    pub(super) fn tail(&self) -> Output {
        let Some(file) = self.file() else { return Output::default() };
        let length = file.metadata().map_or(0, |file| file.len());
        let from = length.saturating_sub(KEPT as u64);
        let mut tail = vec![0; (length - from) as usize];
        let mut read = 0;
        while let Ok(more @ 1..) = file.read_at(&mut tail[read..], from + read as u64) {
            read += more;
        }
        tail.truncate(read);
        Output::new(tail, from)
    }

    /// Takes from its beginning what is too much.
    pub(super) async fn cut(&self) {
        let Some(file) = self.file() else { return };
        let Ok(now) = file.metadata() else { return };
        let (length, on_disk) = (now.len(), now.blocks() * BLOCK);
        if length > LONGEST || on_disk > ON_DISK {
            // It may wait for the disk.
            let _ = spawn_blocking(move || cut(&file, length)).await;
        }
    }

    /// Looks in a while who keeps it open after the command's end, and says so, but only the first time.
    pub(super) fn look_for_holders(self: &Arc<Self>) {
        let transcript = Arc::clone(self);
        tokio::spawn(async move {
            sleep(HELD_GRACE).await;
            transcript.tell_of_holders().await;
        });
    }

    /// Whether there was something to tell that was not told before.
    pub(super) async fn tell_of_holders(&self) -> bool {
        let holders = self.holders().await.unwrap_or_default();
        if holders.is_empty() || self.told.swap(true, Ordering::Relaxed) {
            return false;
        }
        warn!(
            by = holders.join(", "),
            "the restart command's output is still open: what is written there goes to {}, which is cut at {} KiB; \
             redirect the server's output, for example to /dev/null",
            self.path.display(),
            ON_DISK / 1024,
        );
        true
    }

    /// Who else has it open. Those that may not be looked at don't count.
    pub(super) async fn holders(&self) -> Result<Vec<String>, IdentityError> {
        let Some(file) = self.file() else { return Ok(Vec::new()) };
        blocking(move || {
            let target = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
            let target = target.map_err(IdentityError::Proc)?;
            let pids: Vec<u32> =
                all()?.filter(|pid| *pid != process::id() && has_open(*pid, &target)).collect();
            let mut holders: Vec<_> = find(&pids)?.into_values().map(|found| found.process).collect();
            holders.sort_by_key(|process| process.pid);
            Ok(holders.iter().map(ToString::to_string).collect())
        })
        .await
    }

    fn file(&self) -> Option<Arc<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// For appending: then no writer's place is shifted when it is cut.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Makes a hole of all but the end: nobody's place in the file changes by that, and nothing that is written at this
/// moment is lost. A file system that can't do it loses the end as well.
fn cut(file: &File, length: u64) {
    let hole = length.saturating_sub(KEPT as u64);
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if length > LONGEST || fallocate(file, flags, 0, hole).is_err() {
        // Where this fails too, it is tried again the next time.
        let _ = file.set_len(0);
    }
}

/// Whether this process has a file of this name open. The name is compared and not the file, because asking for that
/// can hang where it lies on a network.
fn has_open(pid: u32, target: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|open| open == target))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::scratch::Scratch;

    fn transcript(scratch: &Scratch) -> Transcript {
        Transcript::beside(&scratch.join("shop.json"))
    }

    fn on_disk(scratch: &Scratch) -> u64 {
        fs::metadata(scratch.join("shop.json.output")).unwrap().blocks() * BLOCK
    }

    #[test]
    fn what_was_never_written_is_empty() {
        let scratch = Scratch::new("empty");
        assert!(transcript(&scratch).tail().is_empty());
    }

    #[test]
    fn each_command_begins_anew() {
        let scratch = Scratch::new("anew");
        let transcript = transcript(&scratch);
        let mut first = transcript.begin().unwrap();
        first.write_all(b"first").unwrap();
        let mut second = transcript.begin().unwrap();
        second.write_all(b"second").unwrap();
        first.write_all(b" and who still writes").unwrap();
        assert_eq!(transcript.tail().to_string(), "second and who still writes");
    }

    #[test]
    fn the_end_is_what_is_told() {
        let scratch = Scratch::new("tail");
        let transcript = transcript(&scratch);
        let mut writer = transcript.begin().unwrap();
        writer.write_all(&b"x".repeat(KEPT)).unwrap();
        writer.write_all(b"the end\n").unwrap();
        let told = transcript.tail().to_string();
        assert!(told.starts_with("[8 bytes before this are not kept] xx"), "{told:.60}");
        assert!(told.ends_with("xxthe end"));
    }

    #[tokio::test]
    async fn it_is_cut_under_its_writer_and_its_end_stays() {
        let scratch = Scratch::new("cut");
        let transcript = transcript(&scratch);
        let mut writer = transcript.begin().unwrap();
        for _ in 0..3 {
            writer.write_all(&b"x".repeat(2 * ON_DISK as usize)).unwrap();
            transcript.cut().await;
            assert!(on_disk(&scratch) <= ON_DISK, "{} bytes", on_disk(&scratch));
            writer.write_all(b"the end").unwrap();
            assert!(transcript.tail().to_string().ends_with("xxthe end"));
        }
    }

    #[tokio::test]
    async fn what_is_not_too_long_is_left_alone() {
        let scratch = Scratch::new("short");
        let transcript = transcript(&scratch);
        transcript.begin().unwrap().write_all(&b"x".repeat(ON_DISK as usize / 2)).unwrap();
        transcript.cut().await;
        assert_eq!(fs::read(scratch.join("shop.json.output")).unwrap(), b"x".repeat(ON_DISK as usize / 2));
    }

    #[tokio::test]
    async fn the_next_agent_cuts_what_the_last_ones_server_writes() {
        let scratch = Scratch::new("next");
        let mut server = transcript(&scratch).begin().unwrap();
        let next = transcript(&scratch);
        server.write_all(&b"x".repeat(2 * ON_DISK as usize)).unwrap();
        next.cut().await;
        assert!(on_disk(&scratch) <= ON_DISK, "{} bytes", on_disk(&scratch));
        assert!(!next.tail().is_empty());
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let scratch = Scratch::new("link");
        fs::write(scratch.join("precious"), "precious").unwrap();
        std::os::unix::fs::symlink(scratch.join("precious"), scratch.join("shop.json.output")).unwrap();
        assert!(transcript(&scratch).begin().is_err());
        assert_eq!(fs::read(scratch.join("precious")).unwrap(), b"precious");
    }
}
