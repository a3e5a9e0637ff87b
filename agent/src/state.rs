//! The state file: what of a drain must outlive the agent's process.
//!
//! It is written before an answer changes: to a temporary file beside it, synced, renamed, and the directory synced, so
//! that at every moment the old or the new one is there, whole. One that can't be read is set aside, never overwritten.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use crate::{
    agent_check::Debts,
    balancers,
    clock::Moment,
    control::api,
    lifecycle::{self, Phase, Then},
    report,
    restart::{Identity, Mark, Process},
};

/// The layout of the file. Another one is not understood.
const SCHEMA: u32 = 1;

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The layout.
    pub schema: u32,
    /// The host's boot in which it was written: moments mean nothing in another.
    pub boot: String,
    /// The life cycle.
    pub machine: lifecycle::Saved,
    /// What was shown last, and since when (seconds since 1970).
    pub shown: Option<(Phase, u64)>,
    /// Who asks.
    pub balancers: balancers::Saved,
    /// The restart that is under way.
    pub restart: Option<Restart>,
    /// The last drains that have ended.
    pub drains: Vec<api::Drain>,
    /// The reports that are not whole yet.
    #[serde(default)]
    pub reports: report::Saved,
    /// Who was told `drain` in the agent protocol; nothing where an agent has written it that did not say so.
    #[serde(default)]
    pub debts: Option<Debts>,
}

/// A restart that is about to begin or has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// For which drain.
    pub drain: u64,
    /// What it is: a restart, a stop, a command of the configuration.
    #[serde(default = "restart")]
    pub then: Then,
    /// When it was begun.
    pub began: Moment,
    /// What it is to replace.
    pub before: Identity,
    /// By which its processes are known.
    pub mark: Mark,
    /// The restart's own process, as soon as it is known.
    pub command: Option<Process>,
    /// It has ended, and well: only the proof is missing, and it must not run again whatever becomes of that.
    #[serde(default)]
    pub has_ended: bool,
}

/// So long after a drain somebody who asks once a minute may not have heard its end twice.
const LATELY: Duration = Duration::from_mins(3);

/// What an agent that did not know of anything else has begun.
const fn restart() -> Then {
    Then::Restart
}

impl State {
    /// A state of this layout and boot.
    pub fn new(boot: String) -> Self {
        Self {
            schema: SCHEMA,
            boot,
            machine: lifecycle::Saved::default(),
            shown: None,
            balancers: balancers::Saved::default(),
            restart: None,
            drains: Vec::new(),
            reports: report::Saved::default(),
            debts: None,
        }
    }

    /// Who is owed a `ready` at this second since 1970. An agent that did not say so may have told anybody `drain`, where
    /// it was in a drain or had ended one a moment before: it was still to say `ready` then.
    pub fn owed(&mut self, same_boot: bool, unix: u64) -> Debts {
        if let Some(debts) = self.debts.take() {
            return debts.resumed(same_boot);
        }
        let is_up = self.shown.is_some_and(|(phase, _)| phase == Phase::Up);
        let drains = self.machine.course.drain().is_some();
        let ended_lately =
            self.drains.last().is_some_and(|drain| unix.saturating_sub(drain.ended_unix) < LATELY.as_secs());
        if is_up && !drains && !ended_lately { Debts::default() } else { Debts::unknown() }
    }
}

/// What was found where the state file should be.
#[derive(Debug)]
pub enum Found {
    /// No file: the agent runs for the first time.
    Nothing,
    /// The state.
    State(Box<State>),
    /// A file that can't be understood, and why, and where it is now.
    Unreadable(String),
}

/// The state could not be written.
#[derive(Debug, Error)]
#[error("can't write {}: {source}", path.display())]
pub struct Unwritable {
    path: PathBuf,
    source: io::Error,
}

/// The state file's place.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// The file at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Reads it; sets it aside where it can't be understood. Blocking.
    pub fn read(&self) -> Found {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.nothing(),
            Err(error) => return self.set_aside(&error.to_string()),
        };
        match serde_json::from_slice::<State>(&text) {
            Ok(state) if state.schema == SCHEMA => Found::State(Box::new(state)),
            Ok(state) => self.set_aside(&format!("its layout is {}, not {SCHEMA}", state.schema)),
            Err(error) => self.set_aside(&error.to_string()),
        }
    }

    /// Replaces it, for an agent that begins after a crash of this one or of the host. Blocking.
    pub fn write(&self, state: &State) -> Result<(), Unwritable> {
        let written = self.replace(state).and_then(|()| synced(fs::File::open(self.directory())?.sync_all()));
        written.map_err(|source| Unwritable { path: self.path.clone(), source })
    }

    /// Replaces it, for an agent that begins after a crash of this one; a crash of the host may bring back what was
    /// there before, whole. That spares the sync of the directory, which takes longer than all the rest. Blocking.
    pub fn write_for_this_boot(&self, state: &State) -> Result<(), Unwritable> {
        self.replace(state).map_err(|source| Unwritable { path: self.path.clone(), source })
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn replace(&self, state: &State) -> io::Result<()> {
        let temporary = self.beside("new");
        let text = serde_json::to_vec(state).map_err(io::Error::other)?;
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &self.path)
    }

    /// No file. One that an earlier agent has set aside, and in whose place it could write none, still counts.
    fn nothing(&self) -> Found {
        let aside = self.beside(ASIDE);
        if fs::symlink_metadata(&aside).is_err() {
            return Found::Nothing;
        }
        Found::Unreadable(format!(
            "there is no {}, but {}, which an earlier agent could not understand; remove it once the server may take \
             users",
            self.path.display(),
            aside.display()
        ))
    }

    fn set_aside(&self, why: &str) -> Found {
        let aside = self.beside(ASIDE);
        let what = format!("can't read {}: {why}", self.path.display());
        Found::Unreadable(match fs::rename(&self.path, &aside) {
            Ok(()) => format!("{what}; it is now {}", aside.display()),
            Err(error) => format!("{what}; it can't be renamed to {} either: {error}", aside.display()),
        })
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }
}

/// What the sync of a directory says. A file system that can't sync one, as some that lie on another host, keeps names
/// as well as it can: that refuses no drain, and is said once.
fn synced(result: io::Result<()>) -> io::Result<()> {
    static TOLD: Once = Once::new();
    match result {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
                || error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) =>
        {
            TOLD.call_once(|| {
                warn!(%error, "the state file's directory can't be synced: a crash of the host may forget a drain");
            });
            Ok(())
        }
        result => result,
    }
}

/// The ending of a state file that was set aside.
const ASIDE: &str = "unreadable";

/// Where the kernel tells the present boot from others.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The present boot's id; empty where the kernel does not tell, which is then the same as before.
pub fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::{Course, Drain, Follow, Level, Origin, Outcome},
        scratch::Scratch,
    };

    #[test]
    fn after_an_agent_that_wrote_no_debts_down_everybody_is_owed_in_a_drain_and_shortly_after() {
        let owed = |phase, ended_unix: Option<u64>| {
            let ended = ended_unix.map(|ended_unix| api::Drain {
                id: 1,
                outcome: Outcome::Done,
                text: String::new(),
                ended_unix,
                then: None,
                restart_seconds: None,
                output: None,
                users_back_seconds: None,
            });
            let drains = Vec::from_iter(ended);
            State { shown: Some((phase, 1)), drains, ..State::new("boot".into()) }.owed(true, 1000)
        };
        let nobody = Debts::default();
        assert_eq!(owed(Phase::Up, None), nobody);
        assert_eq!(owed(Phase::Up, Some(820)), nobody);
        assert_eq!(owed(Phase::Up, Some(821)), Debts::unknown());
        assert_eq!(owed(Phase::Up, Some(1001)), Debts::unknown(), "the clock was set back");
        assert_eq!(owed(Phase::Hard, None), Debts::unknown());
        let mut waits = State { shown: Some((Phase::Up, 1)), ..State::new("boot".into()) };
        let drain = Drain {
            id: 1,
            level: Level::Soft,
            follow: Follow::Restart,
            origin: Origin::Signal { signal: "SIGUSR1".into(), pid: None, uid: None },
            reason: None,
            unguarded: false,
            asked: Moment::default(),
            asked_unix: 1,
            give_up: Moment::default(),
            restart_took: None,
            until_unix: None,
            stopped: false,
            command: None,
        };
        waits.machine.course = Course::Waiting { drain, retry: Moment::default(), why: String::new() };
        assert_eq!(waits.owed(true, 1000), Debts::unknown(), "a drain that is withdrawn for now");
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = Scratch::new("roundtrip");
        let file = File::at(&directory.join("s.json"));
        assert!(matches!(file.read(), Found::Nothing));
        let mut state = State::new("boot".into());
        state.machine.next_id = 7;
        file.write(&state).unwrap();
        state.machine.next_id = 8;
        file.write(&state).unwrap();
        let Found::State(found) = file.read() else { panic!("not found") };
        assert_eq!((found.machine.next_id, found.boot.as_str()), (8, "boot"));
        state.machine.next_id = 9;
        file.write_for_this_boot(&state).unwrap();
        let Found::State(found) = file.read() else { panic!("not found") };
        assert_eq!(found.machine.next_id, 9);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_can_not_be_understood_is_set_aside() {
        let directory = Scratch::new("aside");
        let file = File::at(&directory.join("s.json"));
        fs::write(directory.join("s.json"), "{\"schema\":1,").unwrap();
        assert!(matches!(file.read(), Found::Unreadable(_)));
        assert_eq!(fs::read(directory.join("s.json.unreadable")).unwrap(), b"{\"schema\":1,");
    }

    #[test]
    fn what_was_set_aside_counts_until_there_is_a_state_or_somebody_removes_it() {
        let directory = Scratch::new("counts");
        let (file, aside) = (File::at(&directory.join("s.json")), directory.join("s.json.unreadable"));
        fs::write(&aside, "{").unwrap();
        assert!(matches!(file.read(), Found::Unreadable(_)));
        file.write(&State::new(String::new())).unwrap();
        assert!(matches!(file.read(), Found::State(_)));
        fs::remove_file(directory.join("s.json")).unwrap();
        fs::remove_file(&aside).unwrap();
        assert!(matches!(file.read(), Found::Nothing));
    }

    #[test]
    fn what_can_not_be_read_is_set_aside_and_not_overwritten() {
        let directory = Scratch::new("unreadable");
        let file = File::at(&directory.join("s.json"));
        // A directory is what nobody can read as a file, not even root.
        fs::create_dir(directory.join("s.json")).unwrap();
        assert!(matches!(file.read(), Found::Unreadable(_)));
        file.write(&State::new(String::new())).unwrap();
        assert!(directory.join("s.json.unreadable").is_dir());
    }

    #[test]
    fn a_file_system_that_can_not_sync_a_directory_refuses_no_drain() {
        for harmless in [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP] {
            synced(Err(harmless.into())).unwrap();
        }
        synced(Err(Errno::IO.into())).unwrap_err();
    }

    #[test]
    fn another_layout_is_not_understood() {
        let directory = Scratch::new("schema");
        let file = File::at(&directory.join("s.json"));
        let state = State { schema: SCHEMA + 1, ..State::new(String::new()) };
        file.write(&state).unwrap();
        let Found::Unreadable(why) = file.read() else { panic!("understood") };
        assert!(why.contains("layout"), "{why}");
    }

    #[test]
    fn an_unwritable_place_is_an_error_that_names_it() {
        let directory = Scratch::new("unwritable");
        let error = File::at(&directory.join("none/s.json")).write(&State::new(String::new())).unwrap_err();
        assert!(error.to_string().contains("none/s.json"), "{error}");
    }
}
