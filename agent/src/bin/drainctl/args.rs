//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use drain_agent::control::api::{Options, Then};

/// What `--help` ends with.
const CODES: &str = "Exit codes: 0 done, 1 failed, 64 usage, 69 no agent, 75 refused for now (with the reason), \
    77 not permitted, 130 interrupted (the drain goes on, but for `run`, which cancels it).";

/// See and steer a drain-agent: take a web server out of its balancers, restart it, bring it back.
#[derive(Parser, Debug)]
#[command(name = "drainctl", version, after_help = CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// The server, where several have an agent on this host
    #[arg(short = 'n', long, global = true)]
    pub(crate) name: Option<String>,
    /// The agent's control socket, in place of /run/drain-agent/NAME.sock
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "name")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show where the server stands, who has acknowledged and who uses it
    Status,
    /// Show every change as it happens
    Watch,
    /// Show who asks for the server's health
    Balancers,
    /// Take no new users; those who hold the persistence cookie still arrive
    Soft(Drain),
    /// Take nobody; the balancers move everybody to other servers
    Hard(Drain),
    /// Cancel a drain, or come back from one that holds or has failed
    Up(Up),
    /// Drain, restart, bring back
    Restart(Restart),
    /// Drain, run a command, bring back
    Run(Run),
}

#[derive(Arguments, Debug)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) why: Why,
    /// What follows when nobody uses the server any more; nothing said: it stays out
    #[arg(long)]
    pub(crate) then: Option<Following>,
    /// Don't wait until the balancers have acknowledged (hard: and the traffic is zero)
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Up {
    /// Don't wait until the server is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) why: Why,
    /// Begin with the hard drain: for servers that keep no sessions
    #[arg(long)]
    pub(crate) hard: bool,
    /// Don't wait for the end
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) why: Why,
    /// Begin with the hard drain: for servers that keep no sessions
    #[arg(long)]
    pub(crate) hard: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Arguments, Debug)]
pub(crate) struct Why {
    /// Why, for those who look at it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Override the guards, such as the one for the last server that remains
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Following {
    /// Restart the server and bring it back
    Restart,
    /// Stay in hard until told otherwise
    Hold,
}

impl Why {
    pub(crate) fn options(self, then: Option<Then>) -> Options {
        Options { then, reason: self.reason, force: self.force }
    }
}

impl From<Following> for Then {
    fn from(following: Following) -> Self {
        match following {
            Following::Restart => Self::Restart,
            Following::Hold => Self::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn general_options_stand_before_and_behind_the_command() {
        for line in ["drainctl -n a --json status", "drainctl status --json -n a"] {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert!(args.json && args.name.as_deref() == Some("a"), "{line}");
        }
    }

    #[test]
    fn run_takes_the_command_as_it_is() {
        let args =
            Args::try_parse_from("drainctl run --hard -- apt-get -y --json upgrade".split(' ')).unwrap();
        assert!(!args.json);
        let Command::Run(run) = args.command else { panic!("expected run") };
        assert_eq!(run.command, ["apt-get", "-y", "--json", "upgrade"]);
    }

    #[test]
    fn what_is_no_command_line_is_refused() {
        for line in [
            "drainctl",
            "drainctl run",
            "drainctl run x",
            "drainctl soft --then stop",
            "drainctl -n a --socket b up",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
