//! The command line of `drain-proxy`: which configuration it runs with.
//!
//! What starts HAProxy can start this: its options are taken, too, see [`options`].

mod options;
mod program;
mod said;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use drain_documents::Page;

pub use self::program::program;
use self::{
    options::{Options, haproxy_options},
    program::go_to,
    said::{Said, changes, check, generate, import, lines, load},
};
use crate::config::{Config, haproxy};

/// Exit code for a file that can't be used.
const INVALID: u8 = 1;

/// Exit code for wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// HAProxy's exit code for a condition that is none.
const NO_CONDITION: u8 = 2;

/// The argument by which an older process starts its successor.
pub const TAKE_OVER: &str = "--take-over";

/// The arguments by which a process is to go into the background, in HAProxy's words of today and of old.
pub const BACKGROUND: [&str; 2] = ["-D", "-Ds"];

/// The argument by which such a process starts the one that goes on there.
pub const IN_BACKGROUND: &str = "--in-background";

/// Where HAProxy finds no process with `-x`.
const NOBODY: &str = "/dev/null";

/// What is said to `-x`.
const NO_SOCKETS: &str = "'-x' : listening sockets are not taken from an admin socket: this process listens beside the one \
                          that has them, where that allows it (SO_REUSEPORT). A drain-proxy that runs hands its own to its \
                          successor on SIGUSR2";

/// What is said where `-dW` bears no warning.
const NOT_ZERO: &str =
    "error: there are warnings, and -dW bears none: mend what they tell of, or leave it out";

/// A reverse proxy that obeys its servers' health answers: 200 takes everybody, 404 no new user, 500 nobody.
///
/// SIGHUP reads the configuration again, and opens the log files anew; a bad configuration changes nothing. SIGUSR2
/// starts the program anew, which takes over without losing a connection. SIGUSR1 stops softly: the balancers above are
/// told where `admin.leave` says so, then no new connection is taken, and requests in flight are finished. SIGTERM and
/// SIGINT stop at once.
#[derive(Parser, Debug)]
#[command(
    name = "drain-proxy",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        drain-proxy -f /etc/drain-proxy/shop.toml\n  \
        drain-proxy -f /etc/haproxy/haproxy.cfg\n  \
        drain-proxy check /etc/drain-proxy/shop.toml\n  \
        drain-proxy import /etc/haproxy/haproxy.cfg > shop.toml\n\n\
        As HAProxy: -c (check), -cc CONDITION, -v, -vv, -C DIRECTORY, -D (go into the background), -dW (no warning is \
        borne), -p FILE, -sf PID…, -st PID…, -- FILE…; -f DIRECTORY reads its *.cfg; -d…, -q, -V, -W and -Ws change \
        nothing.\n\n\
        Exit codes: 0 stopped or valid, 1 failed or invalid, 64 wrong usage."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that is given or not")]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Verb>,

    /// The configuration: a TOML file, or HAProxy's haproxy.cfg, of which there may be several, or a directory of them,
    /// and beside them a TOML file with [admin]
    #[arg(
        short = 'f',
        long = "config",
        value_name = "FILE",
        required_unless_present_any = ["condition", "about"]
    )]
    files: Vec<PathBuf>,

    /// Check the configuration, and end
    #[arg(short = 'c')]
    check: bool,

    /// Whether this condition of `.if` holds: exit code 0 or 1
    #[arg(long = "cc", value_name = "CONDITION", hide = true)]
    condition: Option<String>,

    /// Which HAProxy's language is read
    #[arg(short = 'v', hide = true)]
    about: bool,

    /// Go into the background when it is ready
    #[arg(short = 'D', hide = true)]
    background: bool,

    /// It is the process that was started for that
    #[arg(long, hide = true)]
    in_background: bool,

    /// Go to this directory before any file is read
    #[arg(short = 'C', value_name = "DIRECTORY", hide = true)]
    directory: Option<PathBuf>,

    /// Refuse a configuration of which something is to be said
    #[arg(long, hide = true)]
    zero_warning: bool,

    /// The admin socket of a process whose listening sockets are to be taken, which is not done
    #[arg(short = 'x', value_name = "SOCKET", hide = true)]
    sockets_of: Option<PathBuf>,

    /// Write the process's number into this file when it is ready
    #[arg(short = 'p', value_name = "FILE", hide = true)]
    pid_file: Option<PathBuf>,

    /// Processes that are to stop softly when this one is ready
    #[arg(long = "sf", value_name = "PID", hide = true)]
    finish: Vec<i32>,

    /// Processes that are to stop at once when this one is ready
    #[arg(long = "st", value_name = "PID", hide = true)]
    terminate: Vec<i32>,

    /// Take over from the process at the other end of standard input, which gives this by itself (SIGUSR2)
    #[arg(long, hide = true, requires = "files")]
    take_over: bool,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List what was set at run time, as the commands that set it
    ///
    /// The proxy that runs with this configuration is asked at its `admin.socket`.
    Changes {
        /// The configuration
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check a configuration file: one line and exit code 0 if it is valid, else every mistake and 1
    ///
    /// The names of servers' hosts are looked up, as at a start.
    Check {
        /// The file, or several haproxy.cfg files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write the man page and the completions below a directory, for the packages
    #[command(hide = true)]
    Generate {
        /// The directory
        directory: PathBuf,
    },
    /// Print the TOML that means the same as a haproxy.cfg, with its comments, and say what changes its meaning
    Import {
        /// The file, or several that HAProxy reads as one
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print what becomes of each directive of HAProxy, as Markdown
    #[command(hide = true)]
    Directives,
}

/// What a process is told when it starts.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is said or not, by itself")]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// The files it came from.
    pub files: Vec<PathBuf>,
    /// Another process is to be taken over from.
    pub take_over: bool,
    /// Another process listens where this one will.
    pub beside: bool,
    /// It is to go into the background when it is ready.
    pub background: bool,
    /// It is the process that was started for that.
    pub in_background: bool,
    /// Where the process's number goes when it is ready.
    pub pid_file: Option<PathBuf>,
    /// Processes that are to stop softly then.
    pub finish: Vec<i32>,
    /// Processes that are to stop at once then.
    pub terminate: Vec<i32>,
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
    /// Run.
    Run(Box<Start>),
    /// Everything is said and done: end with this code.
    Done(ExitCode),
}

/// Reads the command line, and the configuration that it names. What is wrong with either, help and the outcome
/// of `check` have been printed when it returns.
pub fn order(arguments: impl IntoIterator<Item = OsString>) -> Order {
    let said = match decide(arguments, std::io::stderr().is_terminal()) {
        Ok((start, warnings)) => {
            // Nobody is left to be told when this fails.
            let _ = std::io::stderr().write_all(warnings.as_bytes());
            return Order::Run(Box::new(start));
        }
        Err(said) => said,
    };
    let _ = match &said {
        Said::Usage(error) => error.print(),
        Said::Output { text, beside } => {
            let _ = std::io::stderr().write_all(beside.as_bytes());
            writeln!(std::io::stdout(), "{text}")
        }
        Said::Error(text) => writeln!(std::io::stderr(), "{text}"),
        Said::Condition(_) => Ok(()),
    };
    Order::Done(said.code())
}

fn decide(arguments: impl IntoIterator<Item = OsString>, colours: bool) -> Result<(Start, String), Said> {
    let Options { words, ignored } = haproxy_options(arguments);
    let line = CommandLine::try_parse_from(words).map_err(Said::Usage)?;
    // Whoever is taken over from, or has started this one, has gone there already, and has told what is to be told.
    let is_first = !(line.take_over || line.in_background);
    if let Some(directory) = line.directory.as_ref().filter(|_| is_first) {
        go_to(directory)?;
    }
    match line.command {
        Some(Verb::Check { files }) => return Err(check(&files, colours)?),
        Some(Verb::Import { files }) => return Err(import(&files)?),
        Some(Verb::Generate { directory }) => return Err(generate(&directory)),
        Some(Verb::Directives) => return Err(Said::output(haproxy::table().trim_end())),
        Some(Verb::Changes { files }) => return Err(changes(&load(&files, colours)?.0)),
        None => {}
    }
    if let Some(condition) = line.condition {
        return Err(match haproxy::holds(&condition, &|name| std::env::var(name).ok()) {
            Ok(holds) => Said::Condition(u8::from(!holds)),
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error}");
                Said::Condition(NO_CONDITION)
            }
        });
    }
    if line.about {
        let text = format!(
            "drain-proxy {} reads the configuration of HAProxy version {}",
            env!("CARGO_PKG_VERSION"),
            haproxy::VERSION
        );
        return Err(Said::output(text));
    }
    let beside = line.sockets_of.as_deref().is_some_and(|socket| socket.as_os_str() != NOBODY);
    let (config, mut messages) = load(&line.files, colours)?;
    for text in ignored.into_iter().chain(beside.then(|| NO_SOCKETS.to_owned())) {
        messages.warn_of_all(text);
    }
    if line.zero_warning && messages.has_warnings() {
        return Err(Said::Error(lines(&messages) + NOT_ZERO));
    }
    if line.check {
        let beside = lines(&messages);
        return Err(Said::Output { text: "Configuration file is valid".to_owned(), beside });
    }
    let CommandLine { files, take_over, background, in_background, pid_file, finish, terminate, .. } = line;
    let warnings = if is_first { lines(&messages) } else { String::new() };
    // And has signalled them: the numbers may be others' by now.
    let (finish, terminate) = if take_over { (Vec::new(), Vec::new()) } else { (finish, terminate) };
    let start =
        Start { config, files, take_over, beside, background, in_background, pid_file, finish, terminate };
    Ok((start, warnings))
}
