//! The command line of `drain-proxy`: which configuration it runs with.

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use drain_documents::Page;

use crate::config::{Config, LoadError};

/// Exit code for a file that can't be used.
const INVALID: u8 = 1;

/// Exit code for wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// The argument by which an older process starts its successor.
pub const TAKE_OVER: &str = "--take-over";

/// A reverse proxy that obeys its servers' health answers: 200 takes everybody, 404 no new user, 500 nobody.
///
/// SIGHUP reads the configuration again, and opens the log files anew; a bad configuration changes nothing. SIGUSR2
/// starts the program anew, which takes over without losing a connection. SIGUSR1 stops softly: no new connection is
/// taken, and requests in flight are finished. SIGTERM and SIGINT stop at once.
#[derive(Parser, Debug)]
#[command(
    name = "drain-proxy",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        drain-proxy -f /etc/drain-proxy/shop.toml\n  \
        drain-proxy check /etc/drain-proxy/shop.toml\n\n\
        Exit codes: 0 stopped or valid, 1 failed or invalid, 64 wrong usage."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Verb>,

    /// The configuration, a TOML file
    #[arg(short = 'f', long = "config", value_name = "FILE", required = true)]
    file: Option<PathBuf>,

    /// Take over from the process at the other end of standard input, which gives this by itself (SIGUSR2)
    #[arg(long, hide = true, requires = "file")]
    take_over: bool,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Check a configuration file: one line and exit code 0 if it is valid, else every mistake and 1
    ///
    /// The names of servers' hosts are looked up, as at a start.
    Check {
        /// The file
        file: PathBuf,
    },
    /// Write the man page and the completions below a directory, for the packages
    #[command(hide = true)]
    Generate {
        /// The directory
        directory: PathBuf,
    },
}

/// What the man page says beside the command line.
const PAGE: Page<'_> = Page {
    section: "8",
    files: &[
        (
            "/etc/drain-proxy/proxy.toml",
            "the configuration; /usr/share/doc/drain-proxy/examples has one with more",
        ),
        ("/var/log/drain-proxy", "for the access log, where it goes to a file"),
    ],
    see_also: &["drain-agent(8)", "systemd.service(5)"],
};

/// What the command line asks for.
#[derive(Debug)]
pub enum Order {
    /// Run with this configuration, which came from this file.
    Run {
        /// The configuration.
        config: Box<Config>,
        /// The file.
        file: PathBuf,
        /// Another process is to be taken over from.
        take_over: bool,
    },
    /// Everything is said and done: end with this code.
    Done(ExitCode),
}

/// Reads the command line, and the configuration that it names. What is wrong with either, help and the outcome
/// of `check` have been printed when it returns.
pub fn order(arguments: impl IntoIterator<Item = OsString>) -> Order {
    let said = match decide(arguments, std::io::stderr().is_terminal()) {
        Ok((config, file, take_over)) => return Order::Run { config: Box::new(config), file, take_over },
        Err(said) => said,
    };
    // Nobody is left to be told when these fail.
    let _ = match &said {
        Said::Usage(error) => error.print(),
        Said::Output(text) => writeln!(std::io::stdout(), "{text}"),
        Said::Error(text) => writeln!(std::io::stderr(), "{text}"),
    };
    Order::Done(said.code())
}

/// What is said instead of running.
#[derive(Debug)]
enum Said {
    /// Wrong usage, help or version, as clap has it.
    Usage(clap::Error),
    /// The outcome of `check`.
    Output(String),
    /// Why there is no configuration.
    Error(String),
}

impl Said {
    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(error) if error.use_stderr() => ExitCode::from(USAGE),
            Self::Usage(_) | Self::Output(_) => ExitCode::SUCCESS,
            Self::Error(_) => ExitCode::from(INVALID),
        }
    }
}

fn decide(
    arguments: impl IntoIterator<Item = OsString>,
    colours: bool,
) -> Result<(Config, PathBuf, bool), Said> {
    let line = CommandLine::try_parse_from(arguments).map_err(Said::Usage)?;
    let load = |file: &PathBuf| {
        Config::load(file).map_err(|error| match error {
            LoadError::Invalid(invalid) => Said::Error(invalid.render(colours)),
            LoadError::Unreadable { .. } => Said::Error(format!("error: {error}")),
        })
    };
    match line.command {
        Some(Verb::Check { file }) => {
            let config = load(&file)?;
            return Err(Said::Output(summary(&file.display().to_string(), &config)));
        }
        Some(Verb::Generate { directory }) => return Err(generate(&directory)),
        None => {}
    }
    let file = line.file.expect("clap requires it where there is no subcommand");
    Ok((load(&file)?, file, line.take_over))
}

fn generate(directory: &Path) -> Said {
    match drain_documents::write(CommandLine::command(), &PAGE, directory) {
        Ok(()) => Said::Output(format!("written below {}", directory.display())),
        Err(error) => Said::Error(format!("error: can't write to {}: {error}", directory.display())),
    }
}

/// One line for a file that is valid.
fn summary(file: &str, config: &Config) -> String {
    let frontends: Vec<_> = config
        .frontends
        .iter()
        .map(|frontend| {
            let backend = &config.backends[frontend.backend.0];
            let binds: Vec<_> = frontend.bind.iter().map(ToString::to_string).collect();
            let servers = match backend.servers.len() {
                1 => "1 server".to_owned(),
                count => format!("{count} servers"),
            };
            format!("{} on {} to {servers} of {}", frontend.name, binds.join(", "), backend.name)
        })
        .collect();
    format!("{file} is valid: {}", frontends.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<(Config, PathBuf, bool), Said> {
        decide(line.split(' ').map(OsString::from), false)
    }

    #[test]
    fn nothing_at_all_is_wrong_usage() {
        assert_eq!(ask("drain-proxy").unwrap_err().code(), ExitCode::from(USAGE));
        assert_eq!(ask("drain-proxy -f a check b").unwrap_err().code(), ExitCode::from(USAGE));
    }

    #[test]
    fn help_and_version_succeed() {
        for line in ["drain-proxy --help", "drain-proxy --version", "drain-proxy check --help"] {
            assert_eq!(ask(line).unwrap_err().code(), ExitCode::SUCCESS);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        for line in ["drain-proxy check /nonexistent/x.toml", "drain-proxy -f /nonexistent/x.toml"] {
            let Said::Error(text) = ask(line).unwrap_err() else { panic!("an error") };
            assert!(text.contains("/nonexistent/x.toml"), "{text}");
        }
    }

    #[test]
    fn check_says_what_a_valid_file_does() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop.toml");
        let Said::Output(text) = ask(&format!("drain-proxy check {file}")).unwrap_err() else {
            panic!("no error")
        };
        assert_eq!(text, format!("{file} is valid: web on 0.0.0.0:80 to 3 servers of shop"));
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }
}
