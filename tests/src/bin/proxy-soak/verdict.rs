//! What was counted, and whether it holds.

use std::{
    num::NonZeroUsize,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use drain_tests::sample::Reading;

use crate::{
    fate::Events,
    ledger::{Kind, Ledger},
    rule::Rule,
    server::Server,
};

/// Descriptors that the proxy may have more at rest: the pipes that it keeps for long bodies, 16 on each of at most four
/// cores, two ends each.
pub(crate) const PIPES: u64 = 128;
/// What the proxy keeps of requests that can be sent again, at most (`limits.replay_memory`), with its code.
const MEMORY_KIB: u64 = (64 + 16) * 1024;
/// Of each core: the buffers that it keeps for later, when all of each size have been in use.
const CORE_KIB: u64 = 48 * 1024;
/// More than at rest: each request that is kept in a file may need one for a moment. Nine clients send bodies.
const WRITERS: u64 = 32;

/// What the proxy used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) before: Reading,
    pub(crate) most: Reading,
    pub(crate) after: Reading,
}

/// How it stands.
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) deaths: u64,
    pub(crate) violations: u64,
    pub(crate) now: Reading,
}

impl Line {
    pub(crate) const HEADINGS: &'static str =
        " minute  requests   failed  deaths  violations  KiB now  files  threads";
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, requests, failed, deaths, violations, now } = self;
        write!(f, "{:>7.1} {requests:>9} {failed:>8} {deaths:>7}", at.as_secs_f64() / 60.0)?;
        write!(f, " {violations:>11} {:>8} {:>6} {:>8}", now.resident_kib, now.descriptors, now.threads)
    }
}

/// What was asked, what came of it, and what was done to the servers.
pub(crate) fn print_counts(took: Duration, ledger: &Ledger, events: &Events, servers: &[Arc<Server>]) {
    println!("\n{:<26} {:>9} {:>9} {:>8} {:>8} {:>8}", "", "requests", "whole", "refused", "broken", "left");
    for (kind, name) in Kind::ALL {
        let counts = ledger.counts(kind);
        let [requests, whole, refused, broken, left] =
            [&counts.requests, &counts.whole, &counts.refused, &counts.broken, &counts.left]
                .map(|count| count.load(Ordering::Relaxed));
        println!("{name:<26} {requests:>9} {whole:>9} {refused:>8} {broken:>8} {left:>8}");
    }
    let [requests, _] = ledger.totals();
    let deaths: u64 = servers.iter().map(|server| server.deaths()).sum();
    let unforeseen: u64 = servers.iter().map(|server| server.history().unforeseen()).sum();
    let Events { soft, hard, stalls, outages, reloads, leaves } = events;
    println!(
        "\n{:.1} minutes, {:.0} requests a second; servers died {deaths} times ({outages} times all at once) and stalled \
         {stalls} times; {soft} soft and {hard} hard drains; {reloads} reloads, and {leaves} times one server less; \
         {} requests met a failure of their own; {} POSTs were executed; {} times a user moved; {unforeseen} times the \
         proxy held a server for down that was well (too slow for a check)\n",
        took.as_secs_f64() / 60.0,
        requests as f64 / took.as_secs_f64(),
        ledger.faults(),
        ledger.executions(),
        ledger.moves(),
    );
}

/// Prints what was measured and what is the most that it may be.
pub(crate) fn judge(ledger: &Ledger, resources: &Resources) -> ExitCode {
    for violation in ledger.told() {
        println!("VIOLATED: {violation}");
    }
    let Resources { before, most, after } = resources;
    let mut rows: Vec<_> = Rule::ALL.map(|rule| (rule.label(), ledger.broken(rule), 0)).into();
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    rows.push(("resident memory at most, KiB", most.resident_kib, MEMORY_KIB + cores * CORE_KIB));
    rows.push(("threads at most", most.threads, before.threads + WRITERS));
    rows.push(("threads at rest, and before", after.threads, before.threads));
    rows.push(("descriptors at rest, and before with pipes", after.descriptors, before.descriptors + PIPES));
    println!("{:<60} {:>10} {:>10}", "", "measured", "at most");
    let mut holds = true;
    for (what, measured, bound) in rows {
        let mark = if measured <= bound { "" } else { "  EXCEEDED" };
        println!("{what:<60} {measured:>10} {bound:>10}{mark}");
        holds &= measured <= bound;
    }
    println!(
        "at rest {} KiB before and {} KiB after; {} descriptors at most",
        before.resident_kib, after.resident_kib, most.descriptors
    );
    println!("{}", if holds { "all bounds hold" } else { "a bound does not hold" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_violation_is_enough() {
        let reading = Reading { resident_kib: 1, descriptors: 1, threads: 1 };
        let resources = Resources { before: reading, most: reading, after: reading };
        let ledger = Ledger::default();
        assert_eq!(judge(&ledger, &resources), ExitCode::SUCCESS);
        ledger.violation(Rule::Doubled, "1");
        assert_eq!(judge(&ledger, &resources), ExitCode::FAILURE);
    }
}
