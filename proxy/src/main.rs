//! `drain-proxy`: reads its configuration, starts its workers, and waits for signals.

mod background;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use drain_proxy::admin::messages::Messages;
use drain_proxy::cli::{self, Order, Start};
use drain_proxy::listen::Listeners;
use drain_proxy::process::{LOG_CLOSE_LIMIT, Process};
use drain_proxy::upgrade::{Earlier, Inheritance, Predecessor};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;

/// Worth a twentieth of the CPU time per request, measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = match cli::order(std::env::args_os()) {
        Order::Run(start) => *start,
        Order::Done(code) => return code,
    };
    if start.background {
        return background::start().unwrap_or_else(|error| {
            eprintln!("error: can't go into the background: {error}");
            ExitCode::FAILURE
        });
    }
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
    let code = match run(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", whole(&error));
            ExitCode::FAILURE
        }
    };
    messages.flush_within(LOG_CLOSE_LIMIT);
    code
}

/// What went wrong and its causes, but those that are told already: most errors tell theirs themselves.
fn whole(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn run(start: Start) -> anyhow::Result<()> {
    let Start { config, files, take_over, beside, in_background, pid_file, finish, terminate, .. } = start;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _on_runtime = runtime.enter();
    // Before anything is listened on, so that no signal finds its default action.
    let signals =
        Signals::new([SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT]).context("can't wait for signals")?;
    let (predecessor, inheritance) = if take_over {
        let (predecessor, inheritance) = runtime.block_on(Predecessor::greet())?;
        (Some(predecessor), inheritance)
    } else {
        let (listeners, surplus) = Listeners::activated(&config);
        for address in surplus {
            tracing::warn!(
                "systemd hands over {address}, on which no frontend listens: correct its `bind`, or ListenStream= of \
                 drain-proxy.socket"
            );
        }
        let is_there = |pid: &i32| Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid).is_ok());
        let is_beside = beside || finish.iter().chain(&terminate).any(is_there);
        let earlier = if is_beside { Earlier::Silent } else { Earlier::None };
        (None, Inheritance { listeners, earlier, ..Inheritance::default() })
    };
    let process = Process::start(files, config, inheritance)?;
    if let Some(file) = pid_file {
        std::fs::write(&file, format!("{}\n", std::process::id()))
            .with_context(|| format!("can't write the process's number to {}", file.display()))?;
    }
    if in_background {
        background::ready().context("can't let go of the terminal")?;
    }
    for (pids, signal) in [(finish, Signal::USR1), (terminate, Signal::TERM)] {
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            // One that has ended already is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }
    runtime.block_on(process.run(signals, predecessor));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let cause = || std::io::Error::other("no room");
        let error = anyhow::Error::new(cause()).context("can't write /x: no room").context("can't start");
        assert_eq!(whole(&error), "can't start: can't write /x: no room");
        assert_eq!(whole(&anyhow::Error::new(cause()).context("can't start")), "can't start: no room");
    }
}
