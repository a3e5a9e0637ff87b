//! What a proxy costs that nobody uses: its checks, and its start.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};
use drain_tests::{Place, clock, usage};

use crate::peer::{Program, Setup};

/// The longest that a start may take.
const START_WITHIN: Duration = Duration::from_mins(1);

/// Between two looks at a proxy that starts.
const LOOK_EVERY: Duration = Duration::from_millis(1);

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
    while !answers(peer.address) {
        ensure!(begin.elapsed() < START_WITHIN, "{} does not answer within {START_WITHIN:?}", peer.name);
        clock::pause(LOOK_EVERY);
    }
    let took = begin.elapsed().as_secs_f64() * 1e3;
    Ok((usage::cpu_nanos(peer.pid())? as f64 / 1e6, took))
}

fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_WITHIN))?;
        stream.write_all(b"GET /100 HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer: String| answer.contains(" 200 "))
}
