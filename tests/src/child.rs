//! A program that runs in the foreground as a child of the test.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{PATIENCE, clock, place::Place};

/// One running program with its log. When dropped it is ended; the test fails if it had ended by itself
/// before, or if it logged an error that no one expected.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: process::Child,
    log: PathBuf,
    is_error: fn(&str) -> bool,
    expected: Vec<String>,
    may_end: bool,
}

impl Child {
    /// Starts `command` in a process group of its own, its output appended to `NAME.log` in `dir`.
    /// `is_error` tells a line of the log that must not occur.
    pub fn start(
        place: &Place,
        dir: &Path,
        name: &str,
        mut command: Command,
        is_error: fn(&str) -> bool,
    ) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("open a child's log");
        place.show_log(log.clone());
        command.process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a second handle of the log")).stderr(file);
        let process = command.spawn().unwrap_or_else(|e| panic!("start {name} with {command:?}: {e}"));
        Self { name: name.to_owned(), process, log, is_error, expected: Vec::new(), may_end: false }
    }

    /// The process's id, which is its group's as well.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All that it has written.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// From now on an error line that contains this text is no surprise.
    pub fn expect_error(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    /// The program may end by itself from now on.
    pub fn may_end(&mut self) {
        self.may_end = true;
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal)
            .unwrap_or_else(|e| panic!("send {signal:?} to {}: {e}", self.name));
    }

    /// Kills the program, as a crash would, and waits until it is gone. Its own children stay.
    pub fn crash(&mut self) {
        self.may_end = true;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The same for the program and all that it has started in its process group.
    pub fn crash_all(&mut self) {
        self.may_end = true;
        let _ = kill_process_group(pid(self.pid()), Signal::KILL);
        let _ = self.process.wait();
    }

    /// Ends the program with SIGTERM and says how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.may_end = true;
        if let Some(status) = self.ended() {
            return status;
        }
        let _ = kill_process(pid(self.pid()), Signal::TERM);
        let start = clock::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                return status;
            }
            clock::pause(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        self.process.wait().expect("wait for a killed child")
    }

    /// The lines of the log that nobody expected.
    fn surprises(&self) -> Vec<String> {
        let text = self.log_text();
        text.lines()
            .filter(|line| (self.is_error)(line) && !self.expected.iter().any(|e| line.contains(e)))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let early = self.ended();
        let expected = self.may_end;
        if thread::panicking() {
            let _ = kill_process_group(pid(self.pid()), Signal::KILL);
            let _ = self.process.wait();
            return;
        }
        let status = self.stop();
        // What it started in its own group goes with it.
        let _ = kill_process_group(pid(self.pid()), Signal::KILL);
        match early {
            Some(how) => {
                assert!(expected, "{} ended by itself ({how}); its log: {}", self.name, self.log.display());
            }
            None => assert!(
                status.signal() != Some(Signal::KILL.as_raw()),
                "{} did not end within {PATIENCE:?} of SIGTERM",
                self.name
            ),
        }
        let surprises = self.surprises();
        assert!(
            surprises.is_empty(),
            "{} logged errors that nobody expected ({}):\n{}",
            self.name,
            self.log.display(),
            surprises.join("\n")
        );
    }
}

/// Runs a command of the test to its end and gives its output; panics where it can't be started.
pub fn output(mut command: Command) -> process::Output {
    command.stdin(Stdio::null());
    command.output().unwrap_or_else(|e| panic!("run {command:?}: {e}"))
}

/// Whether a process of this id is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
        })
        .unwrap_or(false)
}

/// The processes that this one has started and that are there still.
pub fn children(of: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        // Behind the name in parentheses: the state, and who has started it.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parent == Some(of)
    };
    let all = fs::read_dir("/proc").expect("the list of processes").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// Sends a signal to any process, by its id.
pub fn send(to: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(pid(to), signal)?)
}

/// The system's form of a process id.
fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("a child's process id is above zero")
}
