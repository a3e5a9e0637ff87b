//! Into the background (HAProxy: `-D`): the program is started once more, and whoever has started the first one is told
//! when the second is ready, or why it is not.
//!
//! A process that forked would take none of its threads with it; a second one begins with all that it needs.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use drain_proxy::cli::{self, BACKGROUND, IN_BACKGROUND};

/// What the second one says when it is ready.
const READY: &str = "ready";

/// Starts the second one, and waits until it is ready or has failed; gives what this one ends with.
pub(crate) fn start() -> io::Result<ExitCode> {
    let is_other = |word: &OsString| BACKGROUND.iter().all(|background| word != background);
    let mut command = Command::new(cli::program());
    // Behind `--` it would be a file.
    command.arg(IN_BACKGROUND).args(std::env::args_os().skip(1).filter(is_other));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    // An access log may come first.
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
        if line? == READY.as_bytes() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The second one is ready: it says so, and lets go of the terminal.
pub(crate) fn ready() -> io::Result<()> {
    // Whoever waited for it may have gone.
    let _ = writeln!(io::stdout().lock(), "{READY}").and_then(|()| io::stdout().flush());
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    // It fails where it leads its session already.
    let _ = rustix::process::setsid();
    Ok(())
}
