//! The demonstration: three shops, each with its agent, the proxy, and shoppers who don't want to lose
//! anything while all shops are restarted.
//!
//! ```text
//!              ┌─► shop1 ◄── agent ┐
//! shoppers ─► proxy ─► shop2 ◄── agent ├─ each agent answers the proxy's checks for its shop,
//!              └─► shop3 ◄── agent ┘  and ends and starts it when nobody uses it
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `play` | what happens, in order |
//! | `stage`, `process`, `leash`, `lifeline` | the processes, and that none outlives the demo |
//! | `shop`, `reopen` | a shop, and the command that restarts it |
//! | `shopper`, `crowd` | who shops |
//! | `ledger`, `verdict` | what is counted and what follows from it |
//! | `status`, `table` | what agents say, and how it is shown |
//! | `config`, `programs` | what agents and proxy are told, and where they come from |

mod config;
mod crowd;
mod leash;
mod ledger;
mod lifeline;
mod play;
mod process;
mod programs;
mod reopen;
mod shop;
mod shopper;
mod stage;
mod status;
mod table;
mod verdict;

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::{runtime, task::LocalSet};

use crate::{
    play::{End, Play},
    programs::Programs,
    shop::Premises,
    table::Screen,
};

/// What will be seen.
const FOREWORD: &str = "\
Three web shops keep their customers' baskets in memory: who restarts one takes
the baskets away. Beside each runs a drain-agent, before them drain-proxy.
Thirty shoppers browse, fill baskets, think and order; whoever has ordered
leaves, and another comes. One agent after the other gets SIGUSR1: it tells the
proxy to send no new users, waits until those who are there have ordered,
restarts the shop and takes it back. Then the same without agents.
Users are counted by the proxy, requests and failures by the shoppers.
";

/// Like the shells: 128 and the number of SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

/// Restarts three busy web shops and shows that nobody loses anything.
///
/// It builds what it shows with cargo, runs everything on 127.0.0.1, on free
/// ports and in a temporary directory of its own, needs no other program, and
/// ends by itself within two minutes.
///
/// Exit code: 0 if no request failed and no basket and no order was lost or
/// doubled while the agents worked, 1 if so or if something went wrong, 130
/// after Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    bin_name = "cargo demo --",
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// Keep everything running for a browser, until Ctrl-C
    ///
    /// Prints the URLs and the commands to try, and restarts nothing until
    /// somebody does.
    #[arg(long, verbatim_doc_comment)]
    stay: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that the demo's own processes play.
#[derive(Debug, Subcommand)]
enum Part {
    /// A shop.
    #[command(hide = true)]
    Shop(Premises),
    /// The end and the new start of a shop.
    #[command(hide = true)]
    Reopen(Premises),
    /// A program that ends with the demo.
    #[command(hide = true)]
    Leash {
        /// The demo's process.
        #[arg(long)]
        parent: i32,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.part {
        None => on_one_thread(demonstrate(arguments.stay)),
        Some(Part::Shop(premises)) => on_one_thread(shop::run(premises)).map(|()| ExitCode::SUCCESS),
        Some(Part::Reopen(premises)) => reopen::run(&premises).map(|()| ExitCode::SUCCESS),
        Some(Part::Leash { parent, program }) => {
            leash::become_program(parent, &program).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs `work` on the main thread alone: children are on the leash of the thread that started them, so that
/// thread must be the one that ends last.
fn on_one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(LocalSet::new().run_until(work))
}

async fn demonstrate(stay: bool) -> Result<ExitCode> {
    let programs = Programs::build().await?;
    let mut screen = Screen::new();
    let plays: &[Play] = if stay { &[Play::Open] } else { &[Play::Announced, Play::Unannounced] };
    if !stay {
        screen.say(FOREWORD);
    }
    let mut outcomes = Vec::new();
    for play in plays {
        if *play == Play::Unannounced {
            screen.say("\nThe same without agents.");
        }
        match play.run(&programs, &mut screen).await? {
            End::Finished(outcome) => outcomes.push(outcome),
            End::Interrupted => {
                screen.say("Interrupted; everything has been ended.");
                return Ok(ExitCode::from(EXIT_INTERRUPTED));
            }
        }
    }
    screen.say(&format!("\n{}", verdict::table(&outcomes)));
    let (sentence, code) = verdict::sentence(&outcomes);
    screen.say(&sentence);
    Ok(code)
}
