//! The command line of `drain-agent`: which configuration it runs with, from a file or from flags alone.
//!
//! A file says everything or the flags do; both at once are refused, so that nobody has to know which wins.
//! Flags are laid out as the document that a file would be, and read by the same reader: they have the same
//! rules, defaults and messages, and a mistake is shown at its place in the command line.

mod flags;
mod permits;
mod summary;
mod warnings;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use drain_documents::Page;

use self::{flags::Flags, permits::permits, summary::summary, warnings::warnings};
use crate::config::{Config, DIRECTORY, LoadError};

/// Exit code for a file that can't be used.
const INVALID: u8 = 1;

/// Exit code for wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Stands beside a web server: answers the balancers' health checks, and restarts the server when nobody uses it.
///
/// It needs a configuration, either a file or flags. SIGUSR1 drains softly and restarts, SIGUSR2 drains hard and
/// restarts, SIGHUP reads the file again, SIGTERM stops; `drainctl` does the same and shows what happens.
#[derive(Parser, Debug)]
#[command(
    name = "drain-agent",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        drain-agent --config /etc/drain-agent/apache2.toml\n  \
        drain-agent check /etc/drain-agent/apache2.toml\n  \
        drain-agent --listen 0.0.0.0:8404 --port 80 --command 'apachectl restart' --proof workers\n\n\
        In brackets stand the key in a configuration file and what holds where nothing is said.\n\
        Durations are written 500ms, 30s, 15m, '2m 30s'.\n\
        DRAIN_AGENT_LOG=debug in the environment makes the log, on stderr, say more.\n\n\
        Exit codes: 0 stopped or valid, 1 failed or invalid, 64 wrong usage."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Verb>,

    /// The configuration file; then no other flag is allowed
    #[arg(long, short, value_name = "FILE", required_unless_present_any = ["listen", "port", "way"])]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Check a configuration file: one line and exit code 0 if it is valid, else every mistake and 1
    ///
    /// Groups, keys and tokens of [control] are looked up, as at a reload. Under systemd a unit that is not there, and a
    /// socket unit that holds another port, are warned of.
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Whether a configuration names this unit as the one to be restarted, or its socket; polkit's rule asks
    #[command(hide = true)]
    Permits {
        /// The unit's whole name
        unit: String,
        /// Where the configurations lie
        #[arg(long = "in", default_value = DIRECTORY)]
        directory: PathBuf,
    },
}

/// What the man page says beside the command line.
const PAGE: Page<'_> = Page {
    section: "8",
    files: &[
        (
            "/etc/drain-agent/NAME.toml",
            "the configuration of the agent of one server; /usr/share/doc/drain-agent/examples has one with every key",
        ),
        ("/run/drain-agent/NAME.sock", "the control socket, which drainctl uses"),
        ("/var/lib/drain-agent/NAME.json", "holds a drain across the agent's own restart"),
    ],
    see_also: &["drainctl(1)", "drain-proxy(8)", "systemd.service(5)"],
};

/// What the command line asks for.
#[derive(Debug)]
pub enum Order {
    /// Run with this configuration.
    Run(Box<Run>),
    /// Everything is said and done: end with this code.
    Done(ExitCode),
}

/// A configuration, and where it came from.
#[derive(Debug)]
pub struct Run {
    /// The configuration.
    pub config: Config,
    /// The file, for SIGHUP; `None`: it came from flags, and there is nothing to read again.
    pub file: Option<PathBuf>,
}

/// Reads the command line, and the configuration that it names. What is wrong with either, help and the outcome
/// of `check` have been printed when it returns.
pub fn order(arguments: impl IntoIterator<Item = OsString>) -> Order {
    let said = match decide(arguments, io::stderr().is_terminal()) {
        Ok(run) => return Order::Run(Box::new(run)),
        Err(said) => said,
    };
    // Nobody is left to be told when these fail.
    let _ = match &said {
        Said::Usage(error) => error.print(),
        Said::Output(text) => writeln!(io::stdout(), "{text}"),
        Said::Error(text, _) => writeln!(io::stderr(), "{text}"),
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
    /// Why there is no configuration, and the exit code.
    Error(String, u8),
}

impl Said {
    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(error) if error.use_stderr() => ExitCode::from(USAGE),
            Self::Usage(_) | Self::Output(_) => ExitCode::SUCCESS,
            Self::Error(_, code) => ExitCode::from(*code),
        }
    }
}

fn decide(arguments: impl IntoIterator<Item = OsString>, colours: bool) -> Result<Run, Said> {
    let line = CommandLine::try_parse_from(arguments).map_err(Said::Usage)?;
    let wrong = |error| match error {
        LoadError::Invalid(invalid) => Said::Error(invalid.render(colours), INVALID),
        LoadError::Unreadable { .. } => Said::Error(format!("error: {error}"), INVALID),
    };
    match (line.command, line.config) {
        (Some(Verb::Check { file }), _) => {
            let config = Config::load(&file).map_err(wrong)?;
            Err(Said::Output(warnings(&file, &config) + &summary(&file.display().to_string(), &config)))
        }
        (Some(Verb::Permits { unit, directory }), _) => Err(if permits(&unit, &directory) {
            Said::Output(format!("{unit} is there, and is of a configuration"))
        } else {
            let text = format!(
                "no configuration in {} has the agent restart {unit}, or systemd does not have it",
                directory.display()
            );
            Said::Error(text, INVALID)
        }),
        (None, Some(file)) => {
            Ok(Run { config: Config::load_to_run(&file).map_err(wrong)?, file: Some(file) })
        }
        (None, None) => match line.flags.config() {
            Ok(config) => Ok(Run { config, file: None }),
            Err(invalid) => Err(Said::Error(invalid.render(colours), USAGE)),
        },
    }
}

/// Writes the man page and the completions below a directory: drainctl does, for both programs, of which this one is to
/// be small.
pub fn write_documents(directory: &Path) -> io::Result<()> {
    drain_documents::write(CommandLine::command(), &PAGE, directory)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{config::By, scratch::Scratch};

    fn ask(line: &str) -> Result<Run, Said> {
        decide(shlex::split(line).unwrap().into_iter().map(OsString::from), false)
    }

    fn error(line: &str) -> String {
        match ask(line).unwrap_err() {
            Said::Usage(error) => error.to_string(),
            Said::Output(text) | Said::Error(text, _) => text,
        }
    }

    #[test]
    fn flags_alone_suffice() {
        let run = ask("drain-agent --port 80 --command 'apachectl restart' --listen 0.0.0.0:8404").unwrap();
        let same = r#"
            listen = "0.0.0.0:8404"
            [server]
            name = "port-80"
            ports = [80]
            [restart]
            command = ["apachectl", "restart"]"#;
        assert_eq!(run.config, Config::parse("f", same, None).unwrap());
        assert_eq!(run.file, None);
    }

    #[test]
    fn every_flag_reaches_its_key() {
        let run = ask("drain-agent --port 80 --port 443 --command 'sh -c \"a b\"' --listen 127.0.0.1:1 --listen [::1]:1 \
             --name shop --ready http://127.0.0.1/up --ready-deadline 20s --restart-timeout 10s --proof none \
             --acknowledge-limit 9s --soft-quiet 8s --soft-limit 70s --hard-quiet 6s --hard-limit 50s \
             --min-remaining 25% --expect 10.0.0.1 --expect lb2 --state /s --socket /k --group root")
        .unwrap();
        let same = r#"
            listen = ["127.0.0.1:1", "[::1]:1"]
            state = "/s"
            [server]
            name = "shop"
            ports = [80, 443]
            ready = { url = "http://127.0.0.1/up", deadline = "20s" }
            [restart]
            command = ["sh", "-c", "a b"]
            timeout = "10s"
            proof = "none"
            [drain]
            acknowledge = { limit = "9s" }
            soft = { quiet = "8s", limit = "70s" }
            hard = { quiet = "6s", limit = "50s" }
            min_remaining = "25%"
            [balancers]
            expect = ["10.0.0.1", "lb2"]
            [control]
            socket = "/k"
            group = "root""#;
        assert_eq!(run.config, Config::parse("f", same, None).unwrap());
    }

    #[test]
    fn a_wrong_flag_is_shown_in_the_command_line() {
        let text = error(
            "drain-agent --port 80 --command 'apachectl restart' --listen :8404 --soft-quiet 31m --soft-limit 30m",
        );
        assert_eq!(
            text,
            r#"error: `listen` is not an address with a port
 --> command line:1:22
  |
1 | drain-agent --listen :8404 --port 80 --command 'apachectl restart' --soft-quiet 31m --soft-limit 30m
  |                      ^^^^^ expected "0.0.0.0:8404" or "[::]:8404"

error: `drain.soft.quiet` is longer than `limit`
 --> command line:1:81
  |
1 | drain-agent --listen :8404 --port 80 --command 'apachectl restart' --soft-quiet 31m --soft-limit 30m
  |                                                                                 ^^^ `limit` is 30m
  |
  = help: shorten `quiet`, or set a longer `limit`

command line: 2 errors"#
        );
    }

    #[test]
    fn check_looks_for_the_groups_and_tells_of_them_with_the_rest() {
        let directory = Scratch::new("group");
        let file = directory.join("f.toml");
        let text = r#"listen = "127.0.0.1:1"
[server]
ports = [80]
[restart]
command = ["true"]
timout = "9s"
[control]
group = "no-such-group"
look = "root""#;
        fs::write(&file, text).unwrap();
        let text = error(&format!("drain-agent check {}", file.display()));
        assert!(text.contains("unknown key `restart.timout`"), "{text}");
        assert!(text.contains("error: `control.group` is no group of this host\n"), "{text}");
        assert!(text.contains(&format!("--> {}:8:9\n", file.display())), "{text}");
        assert!(text.contains("in /etc/group, or its number, found \"no-such-group\""), "{text}");
        assert!(text.ends_with(": 2 errors"), "{text}");
    }

    #[test]
    fn a_unit_takes_the_place_of_a_command() {
        let run = ask("drain-agent --port 80 --unit apache2.service --listen 0.0.0.0:8404").unwrap();
        assert!(matches!(run.config.restart.by, By::Unit { .. }));
        let both = error("drain-agent --port 80 --unit a.service --command true --listen 0.0.0.0:8404");
        assert!(both.contains("cannot be used with"), "{both}");
    }

    #[test]
    fn a_file_and_flags_together_are_refused() {
        let text = error("drain-agent --config f.toml --name shop");
        assert!(text.contains("'--config <FILE>' cannot be used with"), "{text}");
    }

    #[test]
    fn nothing_at_all_is_wrong_usage() {
        let said = ask("drain-agent").unwrap_err();
        assert_eq!(said.code(), ExitCode::from(USAGE));
        assert!(error("drain-agent --port 80").contains("--command <COMMAND>"));
    }

    #[test]
    fn a_command_that_can_not_be_split_is_refused() {
        let text = error("drain-agent --port 80 --listen 127.0.0.1:1 --command \"it's\"");
        assert!(text.contains("`restart.command` names no program"), "{text}");
    }

    #[test]
    fn help_says_everything_and_succeeds() {
        let said = ask("drain-agent --help").unwrap_err();
        assert_eq!(said.code(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let text = error("drain-agent check /nonexistent/x.toml");
        assert!(text.contains("/nonexistent/x.toml"), "{text}");
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
