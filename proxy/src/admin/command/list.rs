//! All commands: their words, who may give them, and what `help` says of them.

use super::{Desk, Session, servers, set, show};
use crate::config::AdminLevel::{self, Admin, Operator, User};

/// A command.
pub struct Command {
    /// The words that it begins with.
    pub words: &'static [&'static str],
    /// Who may give it.
    pub level: AdminLevel,
    /// What `help` says of it.
    pub help: &'static str,
    /// Does what it says, with the words behind it; gives what there is to say.
    pub(super) run: fn(&Desk, &mut Session, &[&str]) -> String,
}

/// All commands, in HAProxy's order.
pub const COMMANDS: &[Command] = &[
    Command {
        words: &["add", "server"],
        level: Admin,
        help: "  add server <bk>/<srv>                   : create a new server",
        run: servers::add,
    },
    Command { words: &["clear", "counters", "all"], level: Admin, help: "", run: set::clear_all },
    Command {
        words: &["clear", "counters"],
        level: Operator,
        help: "  clear counters [all]                    : clear max statistics counters (or all counters)",
        run: set::clear,
    },
    Command {
        words: &["del", "server"],
        level: Admin,
        help: "  del server <bk>/<srv>                   : remove a dynamically added server",
        run: servers::remove,
    },
    Command {
        words: &["disable", "agent"],
        level: Admin,
        help: "  disable agent                           : disable agent checks",
        run: servers::disable_agent,
    },
    Command {
        words: &["disable", "frontend"],
        level: Admin,
        help: "  disable frontend <frontend>             : temporarily disable specific frontend",
        run: set::disable_frontend,
    },
    Command {
        words: &["disable", "health"],
        level: Admin,
        help: "  disable health                          : disable health checks",
        run: servers::disable_health,
    },
    Command {
        words: &["disable", "server"],
        level: Admin,
        help: "  disable server (DEPRECATED)             : disable a server for maintenance (use 'set server' instead)",
        run: servers::disable,
    },
    Command {
        words: &["enable", "agent"],
        level: Admin,
        help: "  enable agent                            : enable agent checks",
        run: servers::enable_agent,
    },
    Command {
        words: &["enable", "frontend"],
        level: Admin,
        help: "  enable frontend <frontend>              : re-enable specific frontend",
        run: set::enable_frontend,
    },
    Command {
        words: &["enable", "health"],
        level: Admin,
        help: "  enable health                           : enable health checks",
        run: servers::enable_health,
    },
    Command {
        words: &["enable", "server"],
        level: Admin,
        help: "  enable server  (DEPRECATED)             : enable a disabled server (use 'set server' instead)",
        run: servers::enable,
    },
    Command {
        words: &["get", "weight"],
        level: User,
        help: "  get weight <bk>/<srv>                   : report a server's current weight",
        run: servers::weight,
    },
    Command {
        words: &["operator"],
        level: Operator,
        help: "  operator                                : lower the level of the current CLI session to operator",
        run: set::become_operator,
    },
    Command {
        words: &["set", "maxconn", "frontend"],
        level: Admin,
        help: "  set maxconn frontend <frontend> <value> : change a frontend's maxconn setting",
        run: set::maxconn_frontend,
    },
    Command {
        words: &["set", "maxconn", "global"],
        level: Admin,
        help: "  set maxconn global <value>              : change the per-process maxconn setting",
        run: set::maxconn_global,
    },
    Command {
        words: &["set", "maxconn", "server"],
        level: Admin,
        help: "  set maxconn server <bk>/<srv>           : change a server's maxconn setting",
        run: servers::set_maxconn,
    },
    Command {
        words: &["set", "server"],
        level: Admin,
        help: "  set server <bk>/<srv> [opts]            : change a server's state, weight, address or ssl",
        run: servers::set,
    },
    Command {
        words: &["set", "timeout"],
        level: User,
        help: "  set timeout [cli] <delay>               : change a timeout setting",
        run: set::timeout,
    },
    Command {
        words: &["set", "weight"],
        level: Admin,
        help: "  set weight <bk>/<srv>  (DEPRECATED)     : change a server's weight (use 'set server' instead)",
        run: servers::set_weight,
    },
    Command {
        words: &["show", "backend"],
        level: User,
        help: "  show backend                            : list backends in the current running config",
        run: show::backends,
    },
    Command {
        words: &["show", "changes"],
        level: User,
        help: "  show changes                            : list what was set at run time, as commands that set it",
        run: show::all_changes,
    },
    Command {
        words: &["show", "cli", "level"],
        level: User,
        help: "  show cli level                          : display the level of the current CLI session",
        run: show::level,
    },
    Command {
        words: &["show", "cli", "sockets"],
        level: User,
        help: "  show cli sockets                        : dump list of cli sockets",
        run: show::sockets,
    },
    Command {
        words: &["show", "env"],
        level: Operator,
        help: "  show env [var]                          : dump environment variables known to the process",
        run: show::environment,
    },
    Command {
        words: &["show", "errors"],
        level: Operator,
        help: "  show errors [<px>] [request|response]   : report last request and/or response errors for each proxy",
        run: show::errors,
    },
    Command {
        words: &["show", "info"],
        level: User,
        help: "  show info [desc|json|typed|float]*      : report information about the running process",
        run: show::info,
    },
    Command {
        words: &["show", "schema", "json"],
        level: User,
        help: "  show schema json                        : report schema used for stats",
        run: show::schema,
    },
    Command {
        words: &["show", "servers", "conn"],
        level: User,
        help: "  show servers conn [<backend>]           : dump server connections status (all or for a single backend)",
        run: show::connections,
    },
    Command {
        words: &["show", "servers", "state"],
        level: User,
        help: "  show servers state [<backend>]          : dump volatile server information (all or for a single backend)",
        run: show::states,
    },
    Command {
        words: &["show", "sess"],
        level: Operator,
        help: "  show sess [id]                          : report the list of current sessions or dump this exact session",
        run: show::sessions,
    },
    Command {
        words: &["show", "stat"],
        level: User,
        help: "  show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server",
        run: show::statistics,
    },
    Command {
        words: &["show", "table"],
        level: User,
        help: "  show table <table> [<filter>]*          : report table usage stats or dump this table's contents (filter: data/key)",
        run: show::tables,
    },
    Command {
        words: &["show", "version"],
        level: User,
        help: "  show version                            : show version of the current process",
        run: show::version,
    },
    Command {
        words: &["shutdown", "frontend"],
        level: Admin,
        help: "  shutdown frontend <frontend>            : stop a specific frontend",
        run: set::shutdown_frontend,
    },
    Command {
        words: &["shutdown", "session"],
        level: Admin,
        help: "  shutdown session [id]                   : kill a specific session",
        run: servers::shutdown_session,
    },
    Command {
        words: &["shutdown", "sessions", "server"],
        level: Admin,
        help: "  shutdown sessions server <bk>/<srv>     : kill sessions on a server",
        run: servers::shutdown_sessions,
    },
    Command {
        words: &["user"],
        level: User,
        help: "  user                                    : lower the level of the current CLI session to user",
        run: set::become_user,
    },
    Command {
        words: &["help"],
        level: User,
        help: "  help [<command>]                        : list matching or all commands",
        run: help,
    },
    Command {
        words: &["prompt"],
        level: User,
        help: "  prompt                                  : toggle interactive mode with prompt",
        run: set::prompt,
    },
    Command {
        words: &["quit"],
        level: User,
        help: "  quit                                    : disconnect",
        run: set::quit,
    },
];

/// Those that every list of others ends with.
const ALWAYS: usize = 3;

/// What is said of words that are no command.
pub(super) fn unknown(words: &[&str]) -> String {
    let is_like = |command: &&Command| command.words.first() == words.first();
    let like: Vec<&Command> = COMMANDS.iter().filter(is_like).collect();
    if like.is_empty() {
        return format!(
            "Unknown command. Please enter one of the following commands only:\n{}",
            lines(COMMANDS)
        );
    }
    // The more words are the same, the better.
    let same =
        |command: &Command| command.words.iter().zip(words).take_while(|(known, said)| known == said).count();
    let best = like.iter().map(|command| same(command)).max().unwrap_or(0);
    let best =
        like.into_iter().filter(|command| same(command) == best).chain(&COMMANDS[COMMANDS.len() - ALWAYS..]);
    format!("Unknown command, but maybe one of the following ones is a better match:\n{}", lines(best))
}

fn help(_: &Desk, _: &mut Session, words: &[&str]) -> String {
    if words.is_empty() {
        return format!("The following commands are valid at this level:\n{}", lines(COMMANDS));
    }
    let matches: Vec<&Command> = COMMANDS
        .iter()
        .filter(|command| command.words.iter().zip(words).all(|(known, said)| known == said))
        .collect();
    if matches.is_empty() {
        return unknown(words);
    }
    let always = &COMMANDS[COMMANDS.len() - ALWAYS..];
    format!("The following commands are valid at this level:\n{}", lines(matches.into_iter().chain(always)))
}

fn lines<'c>(commands: impl IntoIterator<Item = &'c Command>) -> String {
    let with_help = commands.into_iter().filter(|command| !command.help.is_empty());
    with_help.map(|command| format!("{}\n", command.help)).collect()
}
