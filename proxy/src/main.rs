//! `drain-proxy`: reads its configuration, starts its workers, and waits for signals.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use drain_proxy::admin::log::{Feed, Writer};
use drain_proxy::admin::messages::Messages;
use drain_proxy::backend::Backend;
use drain_proxy::cli::{self, Order};
use drain_proxy::config::{Config, LogTarget};
use drain_proxy::worker::{self, Shared, Stop};
use drain_proxy::{check, listen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_tokio::Signals;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;

/// Worth a twentieth of the CPU time per request, measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a slow log target may hold up the end.
const LOG_CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// File descriptors beside connections: listeners, logs, checks, runtimes.
const OTHER_FILES: u64 = 256;

fn main() -> ExitCode {
    let config = match cli::order(std::env::args_os()) {
        Order::Run { config, .. } => config,
        Order::Done(code) => return code,
    };
    let colours = std::io::stderr().is_terminal();
    let messages = match Messages::to(std::io::stderr()) {
        Ok(messages) => messages,
        Err(error) => {
            eprintln!("error: can't start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let writer = messages.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    subscriber.with_ansi(colours).with_target(false).init();
    let code = match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    messages.flush_within(LOG_CLOSE_LIMIT);
    code
}

fn run(config: &Config) -> anyhow::Result<()> {
    raise_file_limit(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _on_runtime = runtime.enter();
    // Before anything is listened on, so that no signal finds its default action.
    let signals = Signals::new([SIGUSR1, SIGHUP, SIGTERM, SIGINT]).context("can't wait for signals")?;

    let logs = Logs::open(config)?;
    let backends: Vec<Arc<Backend>> = config.backends.iter().cloned().map(Backend::new).collect();
    let cores = config.limits.threads.get();
    let mut listeners: Vec<Vec<(usize, std::net::TcpListener)>> = (0..cores).map(|_| Vec::new()).collect();
    let mut listening = Vec::new();
    for (index, frontend) in config.frontends.iter().enumerate() {
        for &address in &frontend.bind {
            let of_address = listen::listen(address, cores)?;
            listening.push(format!("{} on {}", frontend.name, of_address[0].local_addr()?));
            for (of_core, listener) in listeners.iter_mut().zip(of_address) {
                of_core.push((index, listener));
            }
        }
    }

    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    check::spawn(backends.clone(), node).context("can't start the checks")?;
    let shared = Shared::new(config, backends, logs.feeds());
    let stop = watch::Sender::new(Stop::No);
    let (running, ended) = mpsc::channel(1);
    for (core, listeners) in listeners.into_iter().enumerate() {
        worker::spawn(core, shared.clone(), listeners, stop.subscribe(), running.clone())
            .with_context(|| format!("core {core} can't work, so drain-proxy does not start"))?;
    }
    drop((running, shared));
    tracing::info!("drain-proxy {} is ready: {}", env!("CARGO_PKG_VERSION"), listening.join(", "));
    runtime.block_on(obey(signals, &stop, ended, &logs));
    logs.close();
    Ok(())
}

/// Passes signals on until all workers have ended.
async fn obey(mut signals: Signals, stop: &watch::Sender<Stop>, mut ended: mpsc::Receiver<()>, logs: &Logs) {
    loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            // Nothing is ever sent: it ends when the last worker drops its sender.
            _ = ended.recv() => return,
        };
        match signal {
            Some(SIGHUP) => {
                tracing::info!("SIGHUP: log files are opened anew");
                logs.reopen();
            }
            Some(SIGUSR1) => {
                tracing::info!("SIGUSR1: nothing is accepted any more, requests in flight are finished");
                stop.send_if_modified(|stop| {
                    let is_new = *stop == Stop::No;
                    if is_new {
                        *stop = Stop::Softly;
                    }
                    is_new
                });
            }
            Some(_) | None => {
                tracing::info!("stopped");
                stop.send_replace(Stop::Now);
            }
        }
    }
}

/// The access logs; frontends with the same target share one.
struct Logs {
    writers: Vec<(LogTarget, Writer)>,
    /// Of each frontend, as an index into `writers`.
    of_frontends: Vec<Option<usize>>,
}

impl Logs {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let mut logs = Self { writers: Vec::new(), of_frontends: Vec::new() };
        for frontend in &config.frontends {
            let Some(log) = &frontend.log else {
                logs.of_frontends.push(None);
                continue;
            };
            let known = logs.writers.iter().position(|(target, _)| *target == log.target);
            let index = known.unwrap_or(logs.writers.len());
            if known.is_none() {
                let writer = Writer::open(&log.target).with_context(|| {
                    format!("can't open the access log of {}: {:?}", frontend.name, log.target)
                })?;
                logs.writers.push((log.target.clone(), writer));
            }
            logs.of_frontends.push(Some(index));
        }
        Ok(logs)
    }

    fn feeds(&self) -> Vec<Option<Feed>> {
        let feed = |index: &Option<usize>| index.map(|index| self.writers[index].1.feed());
        self.of_frontends.iter().map(feed).collect()
    }

    fn reopen(&self) {
        self.writers.iter().for_each(|(_, writer)| writer.reopen());
    }

    fn close(self) {
        self.writers.into_iter().for_each(|(_, writer)| writer.close(LOG_CLOSE_LIMIT));
    }
}

/// Raises the soft limit of open files to the hard one, and says so if that is too low.
fn raise_file_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it was, which is looked at next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = config.limits.connections.get() as u64;
    if files < 2 * connections + OTHER_FILES {
        tracing::warn!(
            "{files} open files are allowed, but limits.connections = {connections} may need {}: raise LimitNOFILE= \
             of the unit (ulimit -n), or lower limits.connections",
            2 * connections + OTHER_FILES
        );
    }
}
