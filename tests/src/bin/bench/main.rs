//! Measures drain-proxy beside HAProxy and nginx: the same load, the same processor, turn by turn, and prints
//! medians with their ratios to HAProxy.
//!
//! Machines are noisy and drift; hence CPU time per request as the kernel accounts for it rather than seconds,
//! interleaved rounds, and the median of the rounds' ratios. `tests/bench` builds everything and calls this.

mod idle;
mod peer;
mod table;
mod wrk;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use drain_tests::{Place, usage};

use crate::{
    peer::{Duties, Peer},
    table::Figures,
    wrk::Load,
};

/// Compares drain-proxy with HAProxy and nginx.
#[derive(Parser, Debug)]
struct Args {
    /// Rounds; each round measures every program once for every row.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of load per figure.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Idle connections held for the figure of memory.
    #[arg(long, default_value_t = 5000)]
    idle: u32,
    /// With health checks, persistence cookie and access log in all programs.
    #[arg(long)]
    full: bool,
    /// Measure only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// The proxies' processor; servers and load have the other one.
const PROXY_CPU: usize = 0;
const LOAD_CPU: usize = 1;

/// Name, page, connections, one connection per request.
const ROWS: [(&str, &str, u32, bool); 7] = [
    ("100 B, 64 connections", "/100", 64, false),
    ("100 B, 256 connections", "/100", 256, false),
    ("16 KiB, 64 connections", "/16k", 64, false),
    ("16 KiB, 256 connections", "/16k", 256, false),
    ("1 MiB, 64 connections", "/1m", 64, false),
    ("100 B, a connection per request", "/100", 64, true),
    ("100 B, 1 connection", "/100", 1, false),
];

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!cfg!(debug_assertions), "a debug build measures nothing of interest; call tests/bench");
    let duties = if args.full { Duties::Full } else { Duties::Bare };
    let place = Place::new("bench");
    let web1 = peer::web_server(&place, LOAD_CPU, "web1")?;
    let web2 = peer::web_server(&place, LOAD_CPU, "web2")?;
    let servers = [web1.address, web2.address];
    let start = |make: fn(&Place, usize, &[std::net::SocketAddr], Duties) -> Result<Peer>| {
        make(&place, PROXY_CPU, &servers, duties)
    };
    let peers = [start(Peer::drain_proxy)?, start(Peer::haproxy)?, start(Peer::nginx)?];

    let (mut cpu, mut p50, mut p99) = (Figures::default(), Figures::default(), Figures::default());
    for round in 1..=args.rounds {
        for (row, page, connections, close) in ROWS.iter().filter(|r| r.0.contains(&args.only)) {
            for peer in &peers {
                let load = Load {
                    connections: *connections,
                    length: Duration::from_secs(args.seconds),
                    close: *close,
                };
                let before = usage::cpu_nanos(peer.pid())?;
                let outcome = load.run(LOAD_CPU, &format!("http://{}{page}", peer.address))?;
                let used = usage::cpu_nanos(peer.pid())? - before;
                cpu.note(row, peer.name, used as f64 / 1e3 / outcome.requests as f64);
                p50.note(row, peer.name, outcome.p50_us);
                p99.note(row, peer.name, outcome.p99_us);
            }
        }
        eprintln!("round {round} of {} done", args.rounds);
    }
    println!("CPU microseconds of the proxy per request (ratio to haproxy)\n\n{}", cpu.markdown("haproxy"));
    println!("Median latency, microseconds\n\n{}", p50.markdown("haproxy"));
    println!("99th percentile of the latency, microseconds\n\n{}", p99.markdown("haproxy"));

    if "idle".contains(&args.only) {
        let mut memory = Figures::default();
        // Fresh processes: what the load before has left in an allocator is not the connections'.
        drop(peers);
        for make in [Peer::drain_proxy, Peer::haproxy, Peer::nginx] {
            let peer = start(make)?;
            let bytes = idle::bytes_per_connection(&peer, args.idle)?;
            memory.note(&format!("{} idle connections", args.idle), peer.name, bytes / 1024.0);
        }
        println!("Resident KiB of the proxy per idle client connection\n\n{}", memory.markdown("haproxy"));
    }
    Ok(())
}
