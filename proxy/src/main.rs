//! `drain-proxy`: reads its configuration, starts its workers, and waits for signals.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use drain_proxy::admin::messages::Messages;
use drain_proxy::cli::{self, Order};
use drain_proxy::config::Config;
use drain_proxy::process::{LOG_CLOSE_LIMIT, Process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_tokio::Signals;

/// Worth a twentieth of the CPU time per request, measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (config, file) = match cli::order(std::env::args_os()) {
        Order::Run { config, file } => (*config, file),
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
    let code = match run(config, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    messages.flush_within(LOG_CLOSE_LIMIT);
    code
}

fn run(config: Config, file: PathBuf) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _on_runtime = runtime.enter();
    // Before anything is listened on, so that no signal finds its default action.
    let signals = Signals::new([SIGUSR1, SIGHUP, SIGTERM, SIGINT]).context("can't wait for signals")?;
    let process = Process::start(file, config)?;
    runtime.block_on(process.run(signals));
    Ok(())
}
