//! What a proxy costs that nobody uses: its checks, and its start.

use std::time::Duration;

use anyhow::{Result, ensure};
use drain_tests::{Place, clock, usage};

use crate::peer::{LOOK_EVERY, Program, START_WITHIN, Setup};

/// Two intervals of the checks: the first ones are over, and the others spread.
const SETTLE: Duration = Duration::from_secs(4);

/// Checks of so many servers, every two seconds each: CPU milliseconds of the proxy per second, and its resident
/// memory in KiB.
pub(crate) fn checks(place: &Place, program: Program, setup: &Setup, length: Duration) -> Result<(f64, f64)> {
    let peer = program.start(place, setup)?;
    clock::pause(SETTLE);
    let (begin, before) = (clock::now(), usage::cpu_nanos(peer.pid())?);
    clock::pause(length);
    let used = usage::cpu_nanos(peer.pid())? - before;
    let memory = usage::resident_kib(peer.pid())? as f64;
    Ok((used as f64 / 1e6 / begin.elapsed().as_secs_f64(), memory))
}

/// From the start of the program to the end of its first answer: milliseconds of CPU and of time.
pub(crate) fn start(place: &Place, program: Program, setup: &Setup) -> Result<(f64, f64)> {
    let begin = clock::now();
    let peer = program.launch(place, setup)?;
    while !peer.answers() {
        ensure!(begin.elapsed() < START_WITHIN, "{} does not answer within {START_WITHIN:?}", peer.name);
        clock::pause(LOOK_EVERY);
    }
    let took = begin.elapsed().as_secs_f64() * 1e3;
    Ok((usage::cpu_nanos(peer.pid())? as f64 / 1e6, took))
}
