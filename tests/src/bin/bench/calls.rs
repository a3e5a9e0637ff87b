//! System calls of a proxy per request, counted by `strace`.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use drain_tests::{Place, child, clock};
use rustix::process::Signal;

use crate::{peer::Peer, wrk::Load};

/// strace has attached by then, or says why it can't.
const ATTACH: Duration = Duration::from_millis(500);

/// Counts the calls of a proxy under this load: all per request, and those of them that only wait.
pub(crate) fn per_request(place: &Place, peer: &Peer, load: Load, url: &str) -> Result<(f64, f64)> {
    let file = place.dir().join(format!("{}.calls", peer.name));
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-q", "-o"]).arg(&file);
    // Its threads come along, but not processes that are there already.
    for pid in drain_tests::usage::family(peer.pid())? {
        strace.args(["-p", &pid.to_string()]);
    }
    let mut strace = strace.stderr(Stdio::null()).spawn().context("strace can't be started")?;
    clock::pause(ATTACH);
    ensure!(strace.try_wait()?.is_none(), "strace can't attach to {}", peer.name);
    let outcome = load.run(crate::LOAD_CPU, url)?;
    child::send(strace.id(), Signal::INT)?;
    strace.wait()?;
    let table = fs::read_to_string(&file).context("strace's table")?;
    let (all, waits) = count(&table);
    ensure!(all > 0, "strace counted nothing:\n{table}");
    Ok((all as f64 / outcome.requests as f64, waits as f64 / outcome.requests as f64))
}

/// All calls of strace's table, and those that wait for something to happen.
fn count(table: &str) -> (u64, u64) {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (*words.last()?, words.get(3)?.parse::<u64>().ok()?);
        (name != "total").then_some((name.to_owned(), calls))
    });
    rows.fold((0, 0), |(all, waits), (name, calls)| {
        let is_wait = name.starts_with("epoll_") && name.contains("wait") || name == "poll";
        (all + calls, waits + if is_wait { calls } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     \x20 50.00    0.000100           1       100         3 recvfrom\n\
                     \x20 50.00    0.000100           1        40           epoll_wait\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000200           1       140         3 total\n";
        assert_eq!(count(table), (140, 40));
    }
}
