//! The restart command that the agents run: ends a shop's old process and starts a new one.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::shop::Premises;

/// How long the old process may take to die of SIGTERM, for which it has no handler.
const END_LIMIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Ends the shop of `premises` if it runs, and starts it. Comes back before the new one listens, as most
/// service managers do.
pub(crate) fn run(premises: &Premises) -> Result<()> {
    end_old(premises)?;
    start_new(premises)
}

fn end_old(premises: &Premises) -> Result<()> {
    let path = premises.pid_file();
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.with_context(|| format!("reading {}", path.display()))?,
    };
    let pid: i32 =
        text.trim().parse().with_context(|| format!("{} holds no process number", path.display()))?;
    let Some(pid) = Pid::from_raw(pid) else { bail!("{} holds process number 0", path.display()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        process => process.context("opening the old process")?,
    };
    // The number may belong to somebody else by now; ours names its directory in its arguments.
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let ours = premises.dir.as_os_str().as_encoded_bytes();
    if !arguments.split(|&b| b == 0).any(|argument| argument == ours) {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::TERM) {
        Err(Errno::SRCH) => return Ok(()),
        sent => sent.context("ending the old process")?,
    }
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&END_LIMIT))
        .context("waiting for its end")?
    {
        0 => bail!("the old process {pid} has not ended {} s after SIGTERM", END_LIMIT.tv_sec),
        _ => Ok(()),
    }
}

fn start_new(premises: &Premises) -> Result<()> {
    let path = premises.log_file();
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log: File = log.with_context(|| format!("opening {}", path.display()))?;
    let child = Command::new(std::env::current_exe().context("finding the demo's own program")?)
        .arg("shop")
        .args(premises.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Whoever runs this command may end its process group; the shop is to stay.
        .process_group(0)
        .spawn()
        .context("starting the shop")?;
    let path = premises.pid_file();
    fs::write(&path, format!("{}\n", child.id())).with_context(|| format!("writing {}", path.display()))
}
