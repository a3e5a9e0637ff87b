//! `drain-agent`: stands beside a web server. See the library's documentation.

use std::{env, process::ExitCode, sync::Arc};

use anyhow::{Context, anyhow};
use drain_agent::{
    agent_check::{self, Speaker},
    cli::{self, Order, Run},
    clock,
    config::Config,
    control,
    doctor::Doctor,
    faults::Faults,
    health, log,
    metrics::{self, Counters},
    owner::{Inlets, Owner, Real},
    ports::Ports,
    signals::Signals,
    systemd::{
        activation::{self, Inherited},
        notify,
        watchdog::{Pulse, Watchdog},
    },
    traffic::sockets::Doors,
};
use tokio::sync::{mpsc, watch};
use tracing::info;

/// Checks that wait for the owner. At 1,000 a second, of which it takes what has come every half second while up, it
/// may be busy for a second, as with a slow disk, before one is not counted.
const CHECKS: usize = 1536;
/// Requests that wait for the owner; each has a person or a program behind it that waits.
const ASKS: usize = 16;
/// Signals that wait for the owner; the kernel and signal-hook keep more.
const SIGNALS: usize = 16;

fn main() -> ExitCode {
    let run = match cli::order(env::args_os()) {
        Order::Run(run) => *run,
        Order::Done(code) => return code,
    };
    log::start();
    match start(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(run: Run) -> anyhow::Result<()> {
    // Threads have what the one that starts them has: this is the only one yet.
    let ports = Ports::narrow(&run.config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start the runtime")?;
    let outcome = runtime.block_on(serve(run, ports));
    // Threads that read a log or write a report may hang in their file system, and nobody needs them any more.
    runtime.shutdown_background();
    outcome
}

async fn serve(Run { config, file }: Run, ports: Ports) -> anyhow::Result<()> {
    let inherited = Inherited::take()?;
    if config.listen.is_empty() && inherited.health.is_empty() {
        return Err(activation::ListenError::Nowhere.into());
    }
    // First of all: until then SIGUSR1 would end the process.
    let mut signals = Signals::install().context("can't take the signals over")?;
    let counters = Counters::default();
    let faults = Faults::new(counters.clone());
    // Before anything answers: a second agent for the same server must not get further than this.
    let control = control::Server::open(&config.control, &faults)?;
    let remote = config.control.remote.as_ref().map(|remote| control::Port::open(remote, &faults));
    let listeners = activation::listeners(inherited.health, &config.listen)?;

    let (checks_in, checks) = mpsc::channel(CHECKS);
    let (asks_in, asks) = mpsc::channel(ASKS);
    let (looks_in, looks) = mpsc::channel(ASKS);
    let (signals_in, signal_inlet) = mpsc::channel(SIGNALS);
    let metrics = metrics::Port::open(config.metrics.listen, ports.clone(), &faults);
    let outside = Real::new(&config, file.clone(), ports)?;
    let spoken = config.agent_check.as_ref().map_or(&[][..], |agent_check| &agent_check.listen);
    let spoken = activation::listeners(inherited.agent_check, spoken)?;
    let own = outside.own();
    say_where(&config, &listeners, &spoken);
    let weight = match config.agent_check.as_ref().map(|agent_check| &agent_check.weight) {
        Some(Some(rule)) => agent_check::follow(rule.clone(), &config),
        _ => watch::channel(None).1,
    };
    let speaks = config.agent_check.is_some();
    let inlets = Inlets { checks, asks, looks, signals: signal_inlet, faults: faults.watch() };
    let (owner, answer, status) = Owner::begin(config, outside, inlets, counters.clone()).await;
    let speaker = speaks.then(|| (spoken, Speaker::new(owner.ledger(), weight)));
    let health_pulse = Pulse::default();
    tokio::spawn(tell_systemd(answer.clone()));
    let mut endpoint =
        health::Endpoint::start_with(listeners, speaker, answer, checks_in, health_pulse.clone())?;
    let reports = owner.reports();
    let doctor = Some(Doctor::new(owner.configuration(), file, own, reports.clone()));
    tokio::spawn(metrics.run(owner.configuration(), counters.clone(), status.clone(), clock::unix_now()));

    let ways = control::Owner { status, asks: asks_in, looks: looks_in, reports, doctor };
    if let Some(port) = remote {
        tokio::spawn(port.run(ways.clone(), owner.configuration(), counters));
    }
    let serving = tokio::spawn(control.run(ways, owner.configuration()));
    tokio::spawn(async move {
        loop {
            let signal = signals.next().await;
            if signals_in.send(signal).await.is_err() {
                return;
            }
        }
    });
    if let Some(watchdog) = Watchdog::expected([owner.pulse(), health_pulse]) {
        tokio::spawn(watchdog.run());
    }
    notify::ready();
    let outcome = tokio::select! {
        () = owner.run() => Ok(()),
        () = endpoint.ended() => Err(anyhow!("the health endpoint has ended by a fault of its own")),
    };
    notify::stopping();
    // Its file goes with it.
    serving.abort();
    let _ = serving.await;
    outcome
}

/// Shows in `systemctl status` what balancers are answered.
async fn tell_systemd(mut answer: watch::Receiver<Option<health::Answer>>) {
    loop {
        let now = answer.borrow_and_update().clone();
        if let Some(answer) = now {
            notify::status(&format!("{} (answers {}): {}", answer.phase, answer.status, answer.reason));
        }
        if answer.changed().await.is_err() {
            return;
        }
    }
}

/// The first lines of a log: what runs, and where it can be asked.
fn say_where(config: &Config, listeners: &[std::net::TcpListener], spoken: &[std::net::TcpListener]) {
    let list = |listeners: &[std::net::TcpListener]| {
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        server = %Arc::clone(&config.server.name),
        ports = %Doors::from(&config.server),
        control = %config.control.socket.display(),
        state = %config.state.display(),
        "answers health checks on {}",
        list(listeners),
    );
    if !spoken.is_empty() {
        info!("speaks HAProxy's agent protocol on {}", list(spoken));
    }
}
