//! Measures drain-proxy beside HAProxy, nginx, varnish and caddy (those that are installed): the same load, the same
//! processor, turn by turn, and prints medians with their ratios to HAProxy.
//!
//! Machines are noisy and drift; hence CPU time per request as the kernel accounts for it rather than seconds,
//! interleaved rounds, and the median of the rounds' ratios. `tests/bench` builds everything and calls this.

mod calls;
mod machine;
mod memory;
mod peer;
mod recipes;
mod standing;
mod table;
mod wrk;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use drain_tests::{Place, usage};

use crate::{
    peer::{Duties, Peer, Program, Setup},
    table::Figures,
    wrk::Load,
};

/// Compares drain-proxy with HAProxy and other proxies.
#[derive(Parser, Debug)]
struct Args {
    /// Rounds; each round measures every program once for every row.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of load per figure.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Without health checks, persistence cookie and access log.
    #[arg(long)]
    bare: bool,
    /// Measure only rows whose name contains this, such as "idle", "POST" or "16 KiB".
    #[arg(long, default_value = "")]
    only: String,
    /// Compare only programs whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
}

/// The proxies' processor; servers and load have the other one.
const PROXY_CPU: usize = 0;
const LOAD_CPU: usize = 1;

/// Name, page, connections, one connection per request, bytes of a body that is posted.
const LOADS: [(&str, &str, u32, bool, usize); 10] = [
    ("100 B, 64 connections", "/100", 64, false, 0),
    ("100 B, 256 connections", "/100", 256, false, 0),
    ("16 KiB, 64 connections", "/16k", 64, false, 0),
    ("16 KiB, 256 connections", "/16k", 256, false, 0),
    ("1 MiB, 64 connections", "/1m", 64, false, 0),
    ("1 MiB, 256 connections", "/1m", 256, false, 0),
    ("100 B, a connection per request", "/100", 64, true, 0),
    ("100 B, 1 connection", "/100", 1, false, 0),
    ("POST 1 KiB, 64 connections", "/post", 64, false, 1 << 10),
    ("POST 64 KiB, 64 connections", "/post", 64, false, 64 << 10),
];

const CALLS: &str = "system calls, 100 B, 64 connections";
const IDLE: [(&str, u32); 2] = [("5,000 idle connections", 5_000), ("15,000 idle connections", 15_000)];
const ACTIVE: (&str, u32) = ("8,000 active requests", 8_000);
const CHECKS: (&str, usize) = ("1,000 servers with checks", 1_000);
const START: (&str, usize) = ("start with 10,000 servers", 10_000);

/// Seconds that strace counts: each call costs so much under it that more would tell nothing new.
const CALLS_SECONDS: u64 = 1;

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(!cfg!(debug_assertions), "a debug build measures nothing of interest; call tests/bench");
    let place = Place::new("bench");
    let servers = [peer::web_server(&place, "web1")?, peer::web_server(&place, "web2")?];
    let duties = if args.bare { Duties::Bare } else { Duties::Full };
    let addresses = servers.iter().map(|server| server.address).collect();
    let setup = Setup { duties, servers: addresses, count: servers.len() };
    let is_wanted = |program: &Program| {
        args.programs.is_empty() || args.programs.iter().any(|name| program.name().contains(name.as_str()))
    };
    let programs: Vec<Program> = Program::installed().into_iter().filter(is_wanted).collect();
    let bench = Bench { args, place, setup, programs };
    println!("{}\n", machine::description());
    bench.loads()?;
    bench.calls()?;
    bench.memory();
    bench.standing();
    Ok(())
}

struct Bench {
    args: Args,
    place: Place,
    setup: Setup,
    programs: Vec<Program>,
}

impl Bench {
    fn is_wanted(&self, row: &str) -> bool {
        row.contains(&self.args.only)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    fn start_all(&self) -> Result<Vec<Peer>> {
        self.programs.iter().map(|program| program.start(&self.place, &self.setup)).collect()
    }

    /// All programs run at once, and are loaded turn by turn.
    fn loads(&self) -> Result<()> {
        let rows: Vec<_> = LOADS.iter().filter(|row| self.is_wanted(row.0)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let peers = self.start_all()?;
        let [mut cpu, mut rate, mut p50, mut p99]: [Figures; 4] = Default::default();
        for round in 1..=self.args.rounds {
            for &&(row, page, connections, close, body) in &rows {
                for peer in &peers {
                    let load = Load { connections, length: self.length(), close, body };
                    let before = usage::cpu_nanos(peer.pid())?;
                    let result = load.run(LOAD_CPU, &format!("http://{}{page}", peer.address));
                    let used = usage::cpu_nanos(peer.pid())? - before;
                    match result {
                        Ok(outcome) => {
                            cpu.note(row, peer.name, used as f64 / 1e3 / outcome.requests as f64);
                            rate.note(row, peer.name, outcome.per_second);
                            p50.note(row, peer.name, outcome.p50_us);
                            p99.note(row, peer.name, outcome.p99_us);
                        }
                        // A figure from a failing proxy says nothing; the others' do.
                        Err(error) => {
                            for figures in [&mut cpu, &mut rate, &mut p50, &mut p99] {
                                figures.note(row, peer.name, f64::NAN);
                            }
                            eprintln!("{row}, {}: {error:#}", peer.name);
                        }
                    }
                }
            }
            eprintln!("round {round} of {} done", self.args.rounds);
        }
        print("CPU microseconds of the proxy per request", &cpu);
        print("Requests per second", &rate);
        print("Median latency, microseconds", &p50);
        print("99th percentile of the latency, microseconds", &p99);
        Ok(())
    }

    fn calls(&self) -> Result<()> {
        if !self.is_wanted(CALLS) {
            return Ok(());
        }
        let mut calls = Figures::default();
        let length = Duration::from_secs(CALLS_SECONDS);
        for peer in self.start_all()? {
            let load = Load { connections: 64, length, close: false, body: 0 };
            let url = format!("http://{}/100", peer.address);
            // The first load makes the connections to the servers.
            let counted =
                load.run(LOAD_CPU, &url).and_then(|_| calls::per_request(&self.place, &peer, load, &url));
            match counted {
                Ok((all, waits)) => {
                    calls.note(CALLS, peer.name, all - waits);
                    calls.note("those that wait for events", peer.name, waits);
                }
                Err(error) => eprintln!("{CALLS}, {}: {error:#}", peer.name),
            }
        }
        print("System calls per kept-alive request, waits not counted", &calls);
        Ok(())
    }

    /// Each figure is a fresh process's: what load has left in an allocator is not the connections'.
    fn memory(&self) {
        let mut memory = Figures::default();
        for _ in 0..self.args.rounds {
            for (row, count) in IDLE.into_iter().filter(|row| self.is_wanted(row.0)) {
                self.each(row, |program| {
                    let peer = program.start(&self.place, &self.setup)?;
                    memory.note(row, peer.name, memory::idle(&peer, count)?);
                    Ok(())
                });
            }
            let (row, count) = ACTIVE;
            if self.is_wanted(row) {
                let one = Setup { count: 1, ..self.setup.clone() };
                self.each(row, |program| {
                    let kib = memory::active(&self.place, program, &one, count)?;
                    memory.note(row, program.name(), kib);
                    Ok(())
                });
            }
        }
        print("Resident KiB of the proxy per client connection", &memory);
    }

    fn standing(&self) {
        let [mut checks, mut start]: [Figures; 2] = Default::default();
        for _ in 0..self.args.rounds {
            let (row, count) = CHECKS;
            if self.is_wanted(row) {
                let setup = Setup { duties: Duties::Full, count, ..self.setup.clone() };
                self.each(row, |program| {
                    // nginx has none, and a configuration of so many probes takes Varnish minutes to compile.
                    if matches!(program, Program::Nginx | Program::Varnish) {
                        return Ok(());
                    }
                    let (cpu, kib) = standing::checks(&self.place, program, &setup, self.length())?;
                    checks.note(&format!("{row}: CPU ms per second"), program.name(), cpu);
                    checks.note(&format!("{row}: resident MiB"), program.name(), kib / 1024.0);
                    Ok(())
                });
            }
            let (row, count) = START;
            if self.is_wanted(row) {
                let setup = Setup { duties: Duties::Bare, count, ..self.setup.clone() };
                self.each(row, |program| {
                    // A compiled configuration: it would be the compiler that is measured.
                    if program == Program::Varnish {
                        return Ok(());
                    }
                    let (cpu, time) = standing::start(&self.place, program, &setup)?;
                    start.note(&format!("{row}: CPU ms"), program.name(), cpu);
                    start.note(&format!("{row}: ms to the first answer"), program.name(), time);
                    Ok(())
                });
            }
        }
        print("Checks every two seconds, no requests", &checks);
        print("Start", &start);
    }

    /// One program that can't do it does not end the others' measurement.
    fn each(&self, row: &str, mut measure: impl FnMut(Program) -> Result<()>) {
        for &program in &self.programs {
            if let Err(error) = measure(program) {
                eprintln!("{row}, {}: {error:#}", program.name());
            }
        }
    }
}

fn print(title: &str, figures: &Figures) {
    if !figures.is_empty() {
        println!("{title} (ratio to haproxy)\n\n{}", figures.markdown("haproxy"));
    }
}
