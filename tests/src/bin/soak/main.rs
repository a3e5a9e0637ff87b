//! An hour in the life of an agent: checks, users, and a drain with a restart every few seconds. What it uses must stay
//! within its bounds, and nobody may be hurt.
//!
//! ```text
//! users ──► HAProxy ──► nginx, restarted by the agent ◄── agent ◄── checks by HAProxy and by clients of our own
//!              └──────► another nginx
//! ```
//!
//! `cargo run --release -p drain-tests --bin soak -- --minutes 60`

mod clients;
mod shop;

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use drain_agent::control::api::Outcome;
use drain_tests::{
    Agent, Haproxy, Nginx, Place, Server, clock,
    sample::{self, Reading, Watch},
};
use rustix::process::Signal;

use crate::{
    clients::{Clients, Counts},
    shop::Shop,
};

/// The agent's memory may not exceed this, ever.
const MEMORY_KIB: u64 = 8 * 1024;
/// Its threads: the owner's, the endpoint's, and a few that wait for files and for the kernel.
const THREADS: u64 = 8;
/// Between the end of a drain and the next.
const PAUSE: Duration = Duration::from_secs(2);
/// A drain takes two or three seconds; a busy machine may need longer.
const DRAINED_WITHIN: Duration = Duration::from_mins(1);
/// How long the agent may take to close what its clients have left, and its threads to end.
const AT_REST_WITHIN: Duration = Duration::from_secs(30);
/// A line is printed so often, or ten in all.
const LINE_EVERY: Duration = Duration::from_mins(1);

/// Lets an agent drain and restart an nginx for a long time, under checks and load, and measures it.
#[derive(Parser, Debug)]
struct Args {
    /// How long; a fraction is allowed
    #[arg(long, default_value = "60", value_parser = minutes)]
    minutes: Duration,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "expected a number of minutes".to_owned())?;
    Duration::try_from_secs_f64(60.0 * minutes).map_err(|error| error.to_string())
}

fn main() -> Result<ExitCode> {
    let Args { minutes: total } = Args::parse();
    build()?;
    let place = Place::new("soak");
    let shop = Shop::start(&place)?;
    let other = Nginx::new(&place, "other").start();
    let mut agent = Agent::guarding(&place, "agent", shop.address().port())
        .restarting_by(vec![shop.restart_command().display().to_string()])
        .ready_at(Some(format!("http://{}/", shop.address())))
        .hard_quiet("300ms")
        .start();
    let balancer = Haproxy::new(&place, "lb")
        .server(Server::new("shop", shop.address()).checked_at(agent.address()))
        .server(Server::new("other", other.address()))
        .start();
    let pid = agent.child().pid();
    let mut drains = Drains::default();
    // What is opened once and stays open is open after this one.
    drains.one_more(&agent);
    let before = sample::at_rest(pid)?;

    let watch = Watch::over(pid);
    let clients = Clients::start(balancer.address(), agent.address());
    println!("{}", Line::HEADINGS);
    let (start, mut printed) = (clock::now(), 0);
    let every = (total / 10).min(LINE_EVERY);
    while start.elapsed() < total {
        drains.one_more(&agent);
        clock::pause(PAUSE.min(total.saturating_sub(start.elapsed())));
        if start.elapsed() >= every * (printed + 1) {
            printed = (start.elapsed().as_secs_f64() / every.as_secs_f64()) as u32;
            let line = Line {
                at: start.elapsed(),
                drains: &drains,
                counts: clients.counts(),
                now: Reading::of(pid)?,
                most: watch.most(),
            };
            println!("{line}");
        }
    }
    let took = start.elapsed();
    let counts = clients.end();
    let most = watch.end();
    let after = place.wait_for("the agent to close what it had open", AT_REST_WITHIN, || {
        let after = sample::at_rest(pid).map_err(|error| error.to_string())?;
        if after.descriptors <= before.descriptors {
            Ok(after)
        } else {
            Err(format!("{after:?}, before {before:?}"))
        }
    });
    println!(
        "\n{:.1} minutes: {} requests, {} checks, {} drains; the slowest check took {} ms; at rest {} KiB before and {} KiB \
         after\n",
        took.as_secs_f64() / 60.0,
        counts.requests(),
        counts.checks(),
        drains.done + drains.failures.len() as u64,
        counts.slowest_check().as_millis(),
        before.resident_kib,
        after.resident_kib,
    );
    for failure in drains.failures.iter().chain(&counts.failures()) {
        println!("FAILED: {failure}");
    }
    Ok(verdict(&[
        ("resident memory at most, KiB", most.resident_kib, MEMORY_KIB),
        ("threads at most", most.threads, THREADS),
        ("descriptors at rest, and before", after.descriptors, before.descriptors),
        ("requests that failed", counts.requests_failed(), 0),
        ("checks that failed", counts.checks_failed(), 0),
        ("drains that failed", drains.failures.len() as u64, 0),
    ]))
}

/// What was measured, and what is the most that it may be.
fn verdict(rows: &[(&str, u64, u64)]) -> ExitCode {
    println!("{:<40} {:>10} {:>10}", "", "measured", "at most");
    let mut holds = true;
    for (what, measured, bound) in rows {
        let mark = if measured <= bound { "" } else { "  EXCEEDED" };
        println!("{what:<40} {measured:>10} {bound:>10}{mark}");
        holds &= measured <= bound;
    }
    println!("{}", if holds { "all bounds hold" } else { "a bound does not hold" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds the agent with the profile that this was built with.
fn build() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = Command::new(&cargo);
    command.args(["build", "--quiet", "--package", "drain-agent", "--bins", "--manifest-path"]).arg(manifest);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().with_context(|| format!("running {}", cargo.display()))?;
    ensure!(status.success(), "{} build: {status}", cargo.display());
    Ok(())
}

/// The drains so far.
#[derive(Debug, Default)]
struct Drains {
    done: u64,
    failures: Vec<String>,
}

impl Drains {
    /// Drains and restarts the server: by turns softly and hard.
    fn one_more(&mut self, agent: &Agent) {
        let before = agent.last_ended();
        agent.signal(if self.done.is_multiple_of(2) { Signal::USR2 } else { Signal::USR1 });
        let drain = agent.wait_for_end(before, DRAINED_WITHIN);
        if drain.outcome == Outcome::Done {
            self.done += 1;
        } else {
            self.failures.push(format!("a drain: {drain:?}"));
        }
    }
}

/// How it stands.
struct Line<'a> {
    at: Duration,
    drains: &'a Drains,
    counts: &'a Counts,
    now: Reading,
    most: Reading,
}

impl Line<'_> {
    const HEADINGS: &'static str = " minute   drains  requests  failed    checks  failed   KiB now   at most  files  at most  threads  at most";
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, drains, counts, now, most } = self;
        write!(f, "{:>7.1} {:>8}", at.as_secs_f64() / 60.0, drains.done)?;
        write!(f, " {:>9} {:>7}", counts.requests(), counts.requests_failed())?;
        write!(f, " {:>9} {:>7}", counts.checks(), counts.checks_failed())?;
        write!(f, " {:>9} {:>9}", now.resident_kib, most.resident_kib)?;
        write!(f, " {:>6} {:>8}", now.descriptors, most.descriptors)?;
        write!(f, " {:>8} {:>8}", now.threads, most.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_may_have_a_fraction() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        assert!(minutes("-1").is_err() && minutes("an hour").is_err() && minutes("1e99").is_err());
    }

    #[test]
    fn one_bound_that_does_not_hold_is_enough() {
        assert_eq!(verdict(&[("a", 1, 1), ("b", 0, 0)]), ExitCode::SUCCESS);
        assert_eq!(verdict(&[("a", 1, 1), ("b", 1, 0)]), ExitCode::FAILURE);
    }
}
