//! The proxy for a long time, with everything mixed, before servers that die, stall, drain and come back at random. It
//! is counted exactly whether anybody was told a lie.
//!
//! ```text
//! clients of eight kinds ──► drain-proxy, reloaded ──► eight servers of the soak's own, and fate
//!          └──────────────────── ledger ◄─────────────────────┘
//! ```
//!
//! `cargo run --release -p drain-tests --bin proxy-soak -- --minutes 30`
//!
//! `cargo run --release -p drain-tests --bin proxy-soak -- --upgrades 20`
//!
//! With `--upgrades` nothing dies: connections come at an even rate while one process after the other takes over
//! ([`upgrades`]).
//!
//! The seed decides what is asked and what happens; when exactly, the machine does. Ctrl-C ends it early, with the
//! verdict on what has been.

mod balancer;
mod clients;
mod fate;
mod history;
mod ledger;
mod link;
mod message;
mod page;
mod rule;
mod server;
mod serving;
mod upgrades;
mod verdict;

use std::{
    env,
    ffi::OsString,
    io,
    path::Path,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use drain_tests::{
    Place, clock,
    sample::{self, Reading, Watch},
};
use fastrand::Rng;

use crate::{
    balancer::Balancer,
    clients::Clients,
    fate::{Events, Fate},
    ledger::Ledger,
    server::Server,
    verdict::{Line, Resources},
};

/// So many that some are well while others are not.
const SERVERS: usize = 8;
/// A line is printed so often, or ten in all.
const LINE_EVERY: Duration = Duration::from_mins(1);
/// Between two looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the proxy may take to see that its servers are well, and to close what nobody uses.
const AT_REST_WITHIN: Duration = Duration::from_mins(1);

/// Tries drain-proxy for a long time, with servers that die at random, and judges it.
#[derive(Parser, Debug)]
struct Args {
    /// How long; a fraction is allowed
    #[arg(long, default_value = "30", value_parser = minutes)]
    minutes: Duration,
    /// What decides what happens; another one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of all that: so many upgrades while connections come and go
    #[arg(long, conflicts_with_all = ["minutes", "seed"], value_parser = clap::value_parser!(u32).range(1..=1_000))]
    upgrades: Option<u32>,
    /// How many of them a second
    #[arg(long, default_value_t = 1_000, requires = "upgrades", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "expected a number of minutes".to_owned())?;
    Duration::try_from_secs_f64(60.0 * minutes).map_err(|error| error.to_string())
}

fn main() -> Result<ExitCode> {
    let Args { minutes: total, seed, upgrades, connections } = Args::parse();
    if let Some(upgrades) = upgrades {
        build()?;
        return Ok(upgrades::run(upgrades, connections));
    }
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let over = interruption()?;
    build()?;
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let place = Place::new("proxy-soak");
    let ledger = Arc::new(Ledger::default());
    let servers = (0..SERVERS).map(|index| Server::start(index, &ledger, random.fork()));
    let servers = servers.collect::<io::Result<Vec<_>>>()?;
    let mut balancer = Balancer::start(&place, &servers)?;
    let (pid, to) = (balancer.proxy().child().pid(), balancer.proxy().address());
    let before = at_rest(&servers, pid)?;

    let (start, watch) = (clock::now(), Watch::over(pid));
    let fate = Fate::new(&servers, random.fork());
    let clients = Clients::start(to, &ledger, &mut random);
    let ends = Arc::clone(&over);
    let fate = thread::spawn(move || -> io::Result<(Events, Balancer)> {
        let events = fate.run(&mut balancer, &ends)?;
        Ok((events, balancer))
    });
    println!("{}", Line::HEADINGS);
    let (every, mut printed) = ((total / 10).min(LINE_EVERY), 0);
    while start.elapsed() < total && !over.load(Ordering::Relaxed) && !fate.is_finished() {
        clock::pause(LOOK_EVERY.min(total.saturating_sub(start.elapsed())));
        if start.elapsed() >= every * (printed + 1) {
            printed += 1;
            let [requests, failed] = ledger.totals();
            let (deaths, violations) = (deaths(&servers), ledger.violations());
            let at = start.elapsed();
            println!("{}", Line { at, requests, failed, deaths, violations, now: Reading::of(pid)? });
        }
    }
    over.store(true, Ordering::Relaxed);
    let took = start.elapsed();
    clients.end();
    let (events, balancer) = fate.join().map_err(|_| anyhow!("fate's thread has ended badly"))??;
    let most = watch.end();
    place.wait_for("the proxy to see that its servers are well", AT_REST_WITHIN, || {
        let waiting: Vec<_> =
            servers.iter().filter(|server| !server.history().is_well()).map(|s| s.name()).collect();
        if waiting.is_empty() { Ok(()) } else { Err(format!("not {waiting:?}")) }
    });
    let after = place.wait_for("the proxy to close what it had open", AT_REST_WITHIN, || {
        let after = at_rest(&servers, pid).map_err(|error| error.to_string())?;
        let closed = after.descriptors <= before.descriptors + verdict::PIPES;
        if closed && after.threads <= before.threads {
            Ok(after)
        } else {
            Err(format!("{after:?}, before {before:?}"))
        }
    });
    ledger.close(&servers.iter().map(Arc::as_ref).collect::<Vec<_>>(), start);
    verdict::print_counts(took, &ledger, &events, &servers);
    let code = verdict::judge(&ledger, &Resources { before, most, after });
    println!("seed {seed}; logs in {}", place.dir().display());
    drop(balancer);
    Ok(code)
}

/// What the proxy uses while no connection is idle.
fn at_rest(servers: &[Arc<Server>], pid: u32) -> Result<Reading> {
    for server in servers {
        server.close_idle(|| true);
    }
    sample::at_rest(pid)
}

fn deaths(servers: &[Arc<Server>]) -> u64 {
    servers.iter().map(|server| server.deaths()).sum()
}

/// Becomes true on Ctrl-C or SIGTERM.
fn interruption() -> Result<Arc<AtomicBool>> {
    let over = Arc::new(AtomicBool::new(false));
    let sets = Arc::clone(&over);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            let Ok(mut terminate) = terminate else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        sets.store(true, Ordering::Relaxed);
    });
    Ok(over)
}

/// Builds the proxy with the profile that this was built with.
fn build() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = Command::new(&cargo);
    command.args(["build", "--quiet", "--package", "drain-proxy", "--bins", "--manifest-path"]).arg(manifest);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().with_context(|| format!("running {}", cargo.display()))?;
    ensure!(status.success(), "{} build: {status}", cargo.display());
    Ok(())
}
