//! `drain-fuzz`: changes the inputs of the corpora by a seeded generator, and says which of them breaks a claim.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use drain_fuzz::{Corpus, Mutator, TARGETS, Target};

/// Feeds the proxy's parsers with changed inputs; the same seed does the same on every machine.
#[derive(Debug, Parser)]
struct Options {
    /// Inputs for each target.
    #[arg(long, default_value_t = 100_000)]
    rounds: u64,
    /// Where the generator begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these targets.
    targets: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let targets = match options.targets.as_slice() {
        [] => TARGETS.to_vec(),
        names => names
            .iter()
            .map(|name| Target::named(name).with_context(|| format!("there is no target {name}")))
            .collect::<anyhow::Result<_>>()?,
    };
    let mut broken = false;
    for target in targets {
        let corpus = Corpus::of(target).with_context(|| format!("can't read corpus/{}", target.name))?;
        let mut mutator = Mutator::new(target, &corpus.inputs, options.seed);
        let inputs = (0..options.rounds).map(|_| mutator.next_input());
        let found = corpus.inputs.clone().into_iter().chain(inputs).find(|input| breaks(target, input));
        match found {
            None => println!("{}: {} inputs, nothing found", target.name, options.rounds),
            Some(input) => {
                println!("{}: broken by b\"{}\"", target.name, input.escape_ascii());
                broken = true;
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn breaks(target: Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err()
}
