//! The mark by which the restart command's processes are known, whoever has started them.
//!
//! Between the command's start and the moment when its pid stands in the state file the agent can be killed. The
//! next one must not start the command again while it runs, so its environment says which restart it belongs to.
//!
//! What the mark can't show, and what decides then:
//! - a program that runs under another user, or has been given more rights: its environment may not be read but by
//!   root or with `CAP_SYS_PTRACE`. An agent that may find the server's processes may read this as well;
//! - work that others do for the command, as systemd for `systemctl`, or `sudo`, which begins with a clean
//!   environment: seen is only the program that asks for it and waits. When that has ended, the server's processes
//!   decide;
//! - a command that was forked and has not yet become the program that it is to be, for some 100 µs: the next agent
//!   does not start so soon.

use std::{
    fmt, fs,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};

use super::{
    IdentityError,
    process::{self, Process, blocking},
};
use crate::clock::Moment;

/// The variable that holds the mark. A command may use it to say in its log for what it runs.
pub const VARIABLE: &str = "DRAIN_AGENT_RESTART";

/// More of an environment is not read: the kernel allows several megabytes, people use some kilobytes.
const ENVIRONMENT_LEN: u64 = 1024 * 1024;

/// Which restart a process belongs to: `SERVER/DRAIN/BOOT ID/SECONDS SINCE BOOT`.
///
/// The server that the command starts inherits it and keeps it. So it names one single restart, and a later one is
/// not mistaken for it, not even where drains are counted anew after the state file was lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(String);

/// The processes that carry a mark.
#[derive(Clone, Debug)]
pub struct Marked {
    /// The command itself, if it still runs.
    pub command: Option<Process>,
    /// Something runs that the command has started: a helper, or the new server.
    pub others: bool,
}

impl Mark {
    /// The mark of the restart that begins at `began`.
    pub fn new(server: &str, drain: u64, boot: &str, began: Moment) -> Self {
        // A NUL would end the variable; a server's name has none.
        Self(format!("{server}/{drain}/{boot}/{:.6}", began.since_boot().as_secs_f64()))
    }

    /// The variable's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who carries it now. Processes that may not be looked at don't count.
    pub async fn carried(&self) -> Result<Marked, IdentityError> {
        let wanted = format!("{VARIABLE}={}", self.0);
        blocking(move || Marked::find(wanted.as_bytes())).await
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Marked {
    /// Whether nobody carries it.
    pub const fn is_empty(&self) -> bool {
        self.command.is_none() && !self.others
    }

    fn find(wanted: &[u8]) -> Result<Self, IdentityError> {
        let mut environment = Vec::new();
        let mut leaders = Vec::new();
        let mut others = false;
        for pid in process::all()? {
            // Most are errors of processes that are not ours, or that have ended meanwhile.
            if carries(pid, wanted, &mut environment).unwrap_or(false) {
                if leads_its_group(pid) { leaders.push(pid) } else { others = true }
            }
        }
        let running = process::find(&leaders)?.into_values().map(|found| found.process);
        // A command that controls jobs, as a shell may, makes groups too: it is older than they are.
        let command = running.min_by_key(|process| (process.started_seconds, process.pid));
        Ok(Self { command, others })
    }
}

fn carries(pid: u32, wanted: &[u8], environment: &mut Vec<u8>) -> io::Result<bool> {
    environment.clear();
    fs::File::open(format!("/proc/{pid}/environ"))?.take(ENVIRONMENT_LEN).read_to_end(environment)?;
    Ok(environment.split(|byte| *byte == 0).any(|variable| variable == wanted))
}

/// Whether it is as the agent starts its command: first in a process group of its own, in the agent's session. A
/// server that has gone into the background is first in a session of its own, or in somebody's group.
fn leads_its_group(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.ok()
        .and_then(|stat| group_and_session(&stat))
        .is_some_and(|(group, session)| group == pid && session != pid)
}

/// The process group and the session in a `/proc/PID/stat`. Either is 0 where its first process lives outside of
/// our PID namespace, as the session of everything in a container does; rustix's `getsid` can't say so and panics.
fn group_and_session(stat: &str) -> Option<(u32, u32)> {
    // The name before them may hold blanks and brackets of its own.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_session_stand_behind_a_name_with_anything_in_it() {
        assert_eq!(group_and_session("42 (a) b (c) S 1 42 7 0 -1 4194304"), Some((42, 7)));
    }

    #[test]
    fn a_session_from_outside_a_container_is_none_of_its_processes() {
        assert_eq!(group_and_session("42 (httpd) S 1 42 0 0 -1"), Some((42, 0)));
    }

    #[test]
    fn a_line_that_breaks_off_says_nothing() {
        for stat in ["", "42 (httpd", "42 (httpd) S 1", "42 (httpd) S 1 x 7"] {
            assert_eq!(group_and_session(stat), None, "{stat}");
        }
    }
}
