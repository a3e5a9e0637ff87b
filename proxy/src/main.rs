//! `drain-proxy`: reads its configuration, starts its workers, and waits for signals.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use drain_proxy::admin::messages::Messages;
use drain_proxy::cli::{self, Order};
use drain_proxy::config::Config;
use drain_proxy::process::{LOG_CLOSE_LIMIT, Process};
use drain_proxy::upgrade::{Inheritance, Predecessor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;

/// Worth a twentieth of the CPU time per request, measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (config, file, take_over) = match cli::order(std::env::args_os()) {
        Order::Run { config, file, take_over } => (*config, file, take_over),
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
    let code = match run(config, file, take_over) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    messages.flush_within(LOG_CLOSE_LIMIT);
    code
}

fn run(config: Config, file: PathBuf, take_over: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _on_runtime = runtime.enter();
    // Before anything is listened on, so that no signal finds its default action.
    let signals =
        Signals::new([SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT]).context("can't wait for signals")?;
    let (predecessor, inheritance) = if take_over {
        let (predecessor, inheritance) = runtime.block_on(Predecessor::greet())?;
        (Some(predecessor), inheritance)
    } else {
        (None, Inheritance::default())
    };
    let process = Process::start(file, config, inheritance)?;
    runtime.block_on(process.run(signals, predecessor));
    Ok(())
}
