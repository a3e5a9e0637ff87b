//! A child of the demo: an agent or the proxy.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a child may take to end after SIGTERM before it is killed.
const END_LIMIT: Duration = Duration::from_secs(3);
/// How many lines of a log are shown when something has gone wrong.
const LOG_LINES: usize = 12;

/// A running program with its log.
#[derive(Debug)]
pub(crate) struct Process {
    /// For people.
    pub(crate) name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program` on the demo's leash; its output goes to `dir/NAME.log`.
    pub(crate) fn start(name: &str, program: &Path, args: &[OsString], dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(own_program()?)
            .args(["leash", "--parent", &std::process::id().to_string(), "--"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing a log")?)
            .stderr(output)
            // Ctrl-C in the terminal is for the demo, which then ends everything in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), log, child })
    }

    /// Its number, while it lives.
    pub(crate) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id()?.try_into().ok()?)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} has ended", self.name))?;
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log)
    }

    /// Asks it to end, and insists.
    pub(crate) async fn end(mut self) {
        if self.signal(Signal::TERM).is_ok() && timeout(END_LIMIT, self.child.wait()).await.is_ok() {
            return;
        }
        let _ = self.child.kill().await;
    }
}

/// The demo's own program.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("finding the demo's own program")
}

/// The last lines of a file, indented; a sentence where it can't be read or is empty.
pub(crate) fn last_lines(path: &Path) -> String {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("    ({}: {error})\n", path.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return format!("    ({} is empty)\n", path.display());
    }
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    format!("    {}\n", last.join("\n    "))
}
