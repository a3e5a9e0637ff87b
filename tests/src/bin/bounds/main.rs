//! Measures the agent against its bounds: size, memory, CPU time, the time of a health answer, the time from quiet to
//! restart and of whole drains behind HAProxy, and the cost of looks at 10,000 and 100,000 sockets. `tests/bounds` builds the release and
//! calls this; it wants a quiet machine. With a name, only the measurements of that name are made.

mod crowd;
mod looks;
mod restart;

use std::{env, fs, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use drain_tests::{Agent, Nginx, Place, client::Connection, clock, flood::Flood, place, usage};

/// The bounds.
const SIZE_BYTES: f64 = 6e6;
const MEMORY_KIB: f64 = 8.0 * 1024.0;
const CPU_PER_CENT: f64 = 0.2;
const ANSWER_MICROS: f64 = 1000.0;

/// Open connections to the guarded server while CPU time is measured.
const CONNECTIONS: usize = 1_000;
/// Between two health checks, of ten a second.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Checks while CPU time is measured: for 30 seconds.
const CHECKS: usize = 300;
/// Clients of the flood, and how long it lasts.
const FLOOD: (usize, Duration) = (5_000, Duration::from_secs(10));
/// Everything that is waited for here takes a few seconds.
const WITHIN: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode> {
    let words: Vec<String> = env::args().collect();
    if let [_, word, count, holder] = &words[..]
        && word == crowd::HOLD
    {
        crowd::hold(count.parse()?, holder.parse()?)?;
    }
    println!("{:<52} {:>12} {:>12}", "", "measured", "at most");
    let mut hold = true;
    let all: [(&str, Measure); 8] = [
        ("size", size),
        ("rest", at_rest),
        ("flood", under_flood),
        ("restart", restart::from_quiet),
        ("drain", restart::hard_drain),
        ("drain", restart::soft_drain),
        ("looks", looks::many),
        ("looks", looks::very_many),
    ];
    let wanted = |name: &str| words.get(1).is_none_or(|word| word == name);
    for (_, measure) in all.into_iter().filter(|(name, _)| wanted(name)) {
        for row in measure()? {
            let mark = if row.holds() { "" } else { "  EXCEEDED" };
            println!("{:<52} {:>12.2} {:>12.2}{mark}", row.what, row.measured, row.bound);
            hold &= row.holds();
        }
    }
    Ok(if hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What makes rows.
type Measure = fn() -> Result<Vec<Row>>;

/// One figure and its bound.
struct Row {
    what: &'static str,
    measured: f64,
    bound: f64,
}

impl Row {
    fn holds(&self) -> bool {
        self.measured <= self.bound
    }
}

fn size() -> Result<Vec<Row>> {
    let bytes = fs::metadata(place::built("drain-agent")).context("the release build of drain-agent")?.len();
    Ok(vec![Row { what: "size of drain-agent, bytes", measured: bytes as f64, bound: SIZE_BYTES }])
}

/// Ten checks a second, a thousand connections, nothing else.
fn at_rest() -> Result<Vec<Row>> {
    let place = Place::new("bounds_rest");
    let nginx = Nginx::new(&place, "shop").start();
    let mut agent = Agent::guarding(&place, "agent", nginx.address().port())
        .ready_at(Some(format!("http://{}/", nginx.address())))
        .probe_interval("500ms")
        .start();
    let held: Vec<Connection> =
        (0..CONNECTIONS).map(|_| asked_once(nginx.address())).collect::<Result<_>>()?;
    let pid = agent.child().pid();
    checks(&agent, CHECKS / 10)?;

    let (before, start) = (usage::cpu_nanos(pid)?, clock::now());
    let mut times = checks(&agent, CHECKS)?;
    let cpu = (usage::cpu_nanos(pid)? - before) as f64 / start.elapsed().as_nanos() as f64;
    drop(held);
    times.sort();
    let median = times[times.len() / 2];
    Ok(vec![
        Row {
            what: "CPU, 10 checks/s and 1,000 connections, % of a core",
            measured: 100.0 * cpu,
            bound: CPU_PER_CENT,
        },
        Row {
            what: "a health answer, median, µs",
            measured: median.as_secs_f64() * 1e6,
            bound: ANSWER_MICROS,
        },
        Row {
            what: "resident memory so far at most, KiB",
            measured: usage::peak_kib(pid)? as f64,
            bound: MEMORY_KIB,
        },
    ])
}

/// Five thousand clients who say nothing that makes sense.
fn under_flood() -> Result<Vec<Row>> {
    let place = Place::new("bounds_flood");
    let nginx = Nginx::new(&place, "shop").start();
    let mut agent = Agent::guarding(&place, "agent", nginx.address().port()).start();
    let pid = agent.child().pid();
    let flood = Flood::on(agent.address(), FLOOD.0);
    let start = clock::now();
    while start.elapsed() < FLOOD.1 {
        checks(&agent, 1)?;
    }
    flood.end();
    Ok(vec![Row {
        what: "resident memory under the flood at most, KiB",
        measured: usage::peak_kib(pid)? as f64,
        bound: MEMORY_KIB,
    }])
}

/// Asks for the server's health ten times a second and gives how long each answer took.
fn checks(agent: &Agent, count: usize) -> Result<Vec<Duration>> {
    answers(agent, count, 200)
}

/// The same of an agent that answers with this status.
fn answers(agent: &Agent, count: usize, status: u16) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = clock::now();
        let answer = agent.check().map_err(|e| anyhow::anyhow!("a check: {e}"))?;
        times.push(start.elapsed());
        anyhow::ensure!(answer.status == status, "a check was answered {}", answer.status);
        clock::pause(CHECK_EVERY.saturating_sub(start.elapsed()));
    }
    Ok(times)
}

/// A connection on which one request was answered and which stays open.
fn asked_once(server: SocketAddr) -> Result<Connection> {
    let mut connection = Connection::open(server)?;
    connection.fetch("GET", "/", &[], b"")?;
    Ok(connection)
}
