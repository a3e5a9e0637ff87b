//! Becomes another program that ends when the demo ends.
//!
//! An agent and the proxy know nothing of the demo. The demo starts them through itself: `demo leash` asks the
//! kernel for SIGKILL at its parent's death, a wish that survives `exec`, and then becomes the program. So no
//! process is left behind even where the demo is killed by SIGKILL.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Becomes `program`; comes back only if that is not possible.
pub(crate) fn become_program(parent: i32, program: &[OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking for the parent's death signal")?;
    // The parent may have died before the kernel knew the wish.
    if getppid() != Pid::from_raw(parent) {
        bail!("the demo (process {parent}) is not there any more");
    }
    let Some((name, args)) = program.split_first() else { bail!("no program is named") };
    let failure = Command::new(name).args(args).exec();
    Err(failure).with_context(|| format!("becoming {}", name.display()))
}
