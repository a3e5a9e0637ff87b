//! What the journal has of a unit.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::super::{Output, output::KEPT};

/// How many of its last lines in the journal are told of a unit that has failed.
const LINES: u32 = 30;

/// How long the journal may take: some gigabytes on a slow disk.
const JOURNAL_WITHIN: Duration = Duration::from_secs(5);

/// The last lines that the journal has of a unit since then, systemd's own about it included; nothing where the agent may
/// not read it.
pub(super) async fn journal(unit: &str, since_unix: u64) -> Output {
    let mut command = Command::new("journalctl");
    command
        .arg(format!("--unit={unit}"))
        .arg(format!("--since=@{since_unix}"))
        .arg(format!("--lines={LINES}"))
        .args(["--output=cat", "--no-pager", "--quiet"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(Ok(said)) = timeout(JOURNAL_WITHIN, command.output()).await else { return Output::default() };
    let mut tail = said.stdout;
    let from = tail.len().saturating_sub(KEPT);
    tail.drain(..from);
    Output::new(tail, from as u64)
}
