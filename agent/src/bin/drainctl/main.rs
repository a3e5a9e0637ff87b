//! `drainctl`: sees and steers a drain-agent over its control socket or port.
//!
//! ```text
//! args ──► place (which agent) ──► client ──► commands ──► show / progress ──► verdict (text or JSON, exit code)
//! ```

mod args;
mod client;
mod commands;
mod curve;
mod doctor;
mod follow;
mod guard;
mod history;
mod interrupt;
mod place;
mod progress;
mod remote;
mod run;
#[cfg(test)]
mod sample;
mod setup;
mod show;
mod verdict;

use std::process::ExitCode;

use args::Args;
use clap::Parser;
use verdict::{EXIT_OK, EXIT_USAGE, Fault};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Where even this can't be written there is nobody to tell.
            let _unwritable = error.print();
            // Help and version are what was asked; clap's own code for the rest is 2.
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { EXIT_OK });
        }
    };
    let json = args.json;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verdict = match runtime {
        Ok(runtime) => runtime.block_on(commands::execute(args)),
        Err(error) => Err(Fault::Failed(format!("can't start: {error}"))),
    };
    verdict::conclude(&verdict, json)
}
