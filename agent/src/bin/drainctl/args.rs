//! The command line.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args as Arguments, Parser, Subcommand};
use drain_agent::{
    control::api::{Options, Then},
    guard::{Mode, UnitName},
};

use crate::place::Place;

/// What `--help` ends with.
const EXAMPLES_AND_CODES: &str = "\
Examples:
  drainctl status                                 where the server stands
  drainctl restart --reason 'release 4.2'         restart it without losing a user
  drainctl restart --hard                         the same, faster, where it keeps no sessions
  drainctl run -- apt-get -y upgrade apache2      drain it, upgrade it, bring it back
  drainctl history show                           how the last drain went, step by step
  drainctl doctor --haproxy-cfg haproxy.cfg       what would go wrong, and what to do about it
  drainctl hard && drainctl up                    take it out, work on it, bring it back
  drainctl soft --for 30m                         no new users for half an hour
  drainctl hard --then stop                       stop it when nobody uses it, and leave it out
  drainctl guard apache2                          have `systemctl restart apache2` drain, too
  drainctl -n shop --json status | jq .phase      one of several agents, for a script
  drainctl --url https://web1:8406 --token-file ~/.drain-token restart
                                                  one on another host

Exit codes:
  0    done, or it was so already
  1    failed: the reason is printed
  64   wrong usage
  69   no agent answers
  75   refused for now: the reason is printed, try again later or, where it says so, with --force
  77   not permitted: only root, the agent's user, the group that it names and who has a token may drain
  130  interrupted (Ctrl-C): the drain goes on, but for `run`, which cancels it";

/// See and steer a drain-agent: take a web server out of its balancers, restart it, bring it back.
///
/// A drain tells the balancers to send no new users (soft) or nobody (hard), and waits until each of them has shown
/// that it does so and the traffic is zero. Commands that drain wait for that, show how far it is, and end with an
/// exit code that says how it went.
#[derive(Parser, Debug)]
#[command(name = "drainctl", version, after_help = EXAMPLES_AND_CODES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON on stdout: one object, or one per line where there are several
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show where the server stands, who has acknowledged, who uses it and how the last drain ended
    Status,
    /// Show every change as it happens, until Ctrl-C
    Watch,
    /// Show the balancers: who asks for the server's health, and what each has acknowledged
    Balancers,
    /// Show the last drains; `history show N` shows one of them whole, with its traffic over time
    History(History),
    /// Look whether a drain would go well, before anything happens; exit code 1 where something would fail
    Doctor(Doctor),
    /// Take no new users, and stay so; those who hold the persistence cookie still arrive
    Soft(Drain),
    /// Take nobody, and stay so; the balancers move everybody to other servers
    Hard(Drain),
    /// Cancel a drain, or come back from one that holds or has failed
    Up(Up),
    /// Drain softly, then hard; restart the server as the agent is configured to; bring it back
    Restart(Restart),
    /// Drain likewise; run a command here, with your rights; bring the server back
    Run(Run),
    /// Look at this host, and write an agent's configuration for its web server
    ///
    /// Finds the server's ports and unit, and a page that says that it is ready; asks where that is not plain and
    /// somebody sits at the terminal. Prints the lines for haproxy.cfg. Nothing is overwritten and nothing is started
    /// unless that is said.
    Setup(Setup),
    /// Have a plain `systemctl restart` or `stop` of a unit, an upgrade of its package and a shutdown drain before
    ///
    /// Puts a companion unit beside it, UNIT-drain.service in /etc/systemd/system, which systemd stops before and starts
    /// after it; the unit itself is left as it is. It drains with hold, for systemd does the restart. While too few other
    /// servers would remain, the stop waits for them; the only server there is drains all the same. Where the agent does
    /// not answer, the stop goes on, and the companion's journal says that nobody was drained.
    Guard(Guard),
    /// Take that away again
    Unguard(Unguard),
    /// Write the man pages and the completions of drainctl and drain-agent below a directory, for the packages
    #[command(hide = true)]
    Generate {
        /// The directory
        directory: PathBuf,
    },
    /// What the companion unit runs
    #[command(subcommand, hide = true)]
    Guarded(Guarded),
}

#[derive(Arguments, Debug)]
pub(crate) struct Doctor {
    /// Look also for what in this configuration of HAProxy's would spoil a drain; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) haproxy_cfg: Vec<PathBuf>,
}

#[derive(Arguments, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct History {
    /// How many, the youngest last
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) last: u16,
    #[command(subcommand)]
    pub(crate) command: Option<OneOfHistory>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum OneOfHistory {
    /// Show one drain: each step, who acknowledged when, what was cut, the restart, the traffic over time
    Show {
        /// Its number [default: the last]
        drain: Option<u64>,
    },
}

#[derive(Arguments, Debug)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) why: Why,
    /// What follows when nobody uses the server any more [default: soft stays in soft, hard in hard]
    ///
    /// restart: restart it and bring it back; hold: stay in hard; stop: stop it by the agent's restart.stop and stay in
    /// hard; run:NAME: run the agent's [run.NAME] and bring it back
    #[arg(long, value_name = "WHAT")]
    pub(crate) then: Option<Then>,
    /// Come back by itself after so long: 30m, '1h 30m'; only where nothing else follows
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) lasts: Option<Duration>,
    /// Return at once, without waiting until the balancers have acknowledged (hard: and the traffic is zero)
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Up {
    /// Come back even if somebody's `drainctl run` may be at work on the server
    #[arg(long)]
    pub(crate) force: bool,
    /// Return at once, without waiting until the server is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) why: Why,
    /// Drain hard at once, without the soft drain: for servers that keep no sessions
    #[arg(long)]
    pub(crate) hard: bool,
    /// Return at once, without waiting until the server is back
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) why: Why,
    /// Drain hard at once, without the soft drain: for servers that keep no sessions
    #[arg(long)]
    pub(crate) hard: bool,
    /// The command and its arguments; it is not run unless the drain has come to its end
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Arguments, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct Setup {
    /// The server's unit, such as apache2.service [default: the web server that listens here]
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: Option<UnitName>,
    /// Port on which it listens; repeatable [default: all on which it does]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Vec<u16>,
    /// URL that answers 2xx when the server is ready [default: the first of some usual ones that does]
    #[arg(long, value_name = "URL")]
    pub(crate) ready: Option<String>,
    /// Where balancers are to ask for its health [default: 0.0.0.0:8404, or the next port that is free]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Group whose members may drain and restart
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Replace a configuration that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Start the agent, now and at each start of the host, and see that it says that the server is up
    #[arg(long)]
    pub(crate) enable: bool,
    /// Only show what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nothing
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Arguments, Debug)]
pub(crate) struct Guard {
    /// The service, such as apache2.service
    #[arg(value_name = "UNIT")]
    pub(crate) unit: UnitName,
    /// soft: no new users first, then nobody; hard: nobody at once
    #[arg(long, default_value = "hard")]
    pub(crate) mode: Mode,
    /// How long people wait at most; then the server stops with those who still use it
    ///
    /// The wait for other servers is part of it. The agent's drain.hard.limit does not shorten it, its limit for
    /// acknowledgements does. In soft mode the last 30s of it, or its half, belong to the hard phase.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(crate) limit: Duration,
}

#[derive(Arguments, Debug)]
pub(crate) struct Unguard {
    /// The service, such as apache2.service
    #[arg(value_name = "UNIT", required_unless_present = "all")]
    pub(crate) unit: Option<UnitName>,
    /// All that are guarded
    #[arg(long, conflicts_with = "unit")]
    pub(crate) all: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Guarded {
    /// Before the unit stops
    Stop {
        /// The unit
        unit: UnitName,
        /// How to drain
        #[arg(long)]
        mode: Mode,
        /// How long at most
        #[arg(long, value_parser = time)]
        limit: Duration,
    },
    /// After the unit has started
    Start {
        /// The unit
        unit: UnitName,
    },
}

#[derive(Arguments, Debug)]
pub(crate) struct Why {
    /// Why: shown in the status, in the log and in the answer to health checks
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Drain even if too few other servers would remain, or somebody's `drainctl run` may be at work on this one
    #[arg(long)]
    pub(crate) force: bool,
}

impl Why {
    pub(crate) fn options(self, then: Option<Then>) -> Options {
        Options { then, reason: self.reason, force: self.force, ..Options::default() }
    }
}

impl Drain {
    /// What is asked, and whether it is to be waited for.
    pub(crate) fn options(self) -> (Options, bool) {
        // Rounded up: the wall clock counts whole seconds here.
        let for_seconds = self.lasts.map(|lasts| lasts.as_secs_f64().ceil() as u64);
        (Options { for_seconds, ..self.why.options(self.then) }, self.no_wait)
    }
}

fn time(text: &str) -> Result<Duration, &'static str> {
    drain_config::duration(text).ok_or("expected a time such as 30s, 30m or '1h 30m'")
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
            assert!(args.json && args.place.name.as_deref() == Some("a"), "{line}");
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
    fn what_follows_and_how_long_it_lasts_is_read() {
        let options = |line: &str| match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Soft(drain) | Command::Hard(drain) => drain.options().0,
            _ => panic!("expected a drain"),
        };
        assert_eq!(options("drainctl soft --for 30m").for_seconds, Some(1800));
        assert_eq!(options("drainctl hard --for 1500ms").for_seconds, Some(2));
        assert_eq!(options("drainctl hard --then run:upgrade").then, Some(Then::Run("upgrade".into())));
        assert_eq!(options("drainctl soft --then stop").then, Some(Then::Stop));
    }

    #[test]
    fn a_guard_drains_hard_for_a_minute_unless_said_otherwise() {
        let guard = |line: &str| match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Guard(guard) => (guard.unit.to_string(), guard.mode, guard.limit),
            _ => panic!("expected a guard"),
        };
        let unit = || "apache2.service".to_owned();
        assert_eq!(guard("drainctl guard apache2"), (unit(), Mode::Hard, Duration::from_mins(1)));
        let asked = guard("drainctl guard apache2.service --mode soft --limit 10m");
        assert_eq!(asked, (unit(), Mode::Soft, Duration::from_mins(10)));
    }

    #[test]
    fn what_is_no_command_line_is_refused() {
        for line in [
            "drainctl",
            "drainctl run",
            "drainctl run x",
            "drainctl soft --then reboot",
            "drainctl soft --then run:",
            "drainctl soft --for 30",
            "drainctl restart --for 30m",
            "drainctl -n a --socket b up",
            "drainctl guard",
            "drainctl guard x.socket",
            "drainctl guard apache2 --mode gentle",
            "drainctl guard apache2 --limit 60",
            "drainctl unguard",
            "drainctl unguard apache2 --all",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
