//! All commands: their words, who may give them, and what `help` says of them.

use super::{Desk, Session, dynamic, errors, servers, sessions, set, show, without};
use crate::config::AdminLevel::{self, Admin, Operator, User};

/// A command.
pub struct Command {
    /// The words that it begins with.
    pub words: &'static [&'static str],
    /// Who may give it.
    pub level: AdminLevel,
    /// How it is written, for `help`.
    pub usage: &'static str,
    /// What `help` says of it; empty: it is part of another one there.
    pub help: &'static str,
    /// Does what it says, with the words behind it; gives what there is to say.
    pub(super) run: fn(&Desk, &mut Session, &[&str]) -> String,
}

/// One of the list.
const fn command(
    words: &'static [&'static str],
    level: AdminLevel,
    usage: &'static str,
    help: &'static str,
    run: fn(&Desk, &mut Session, &[&str]) -> String,
) -> Command {
    Command { words, level, usage, help, run }
}

/// All commands, in HAProxy's order.
pub const COMMANDS: &[Command] = &[
    command(&["add", "server"], Admin, "add server <bk>/<srv>", "create a new server", dynamic::add),
    command(&["clear", "counters", "all"], Admin, "", "", set::clear_all),
    command(
        &["clear", "counters"],
        Operator,
        "clear counters [all]",
        "clear max statistics counters (or all counters)",
        set::clear,
    ),
    command(
        &["del", "server"],
        Admin,
        "del server <bk>/<srv>",
        "remove a dynamically added server",
        dynamic::remove,
    ),
    command(&["disable", "agent"], Admin, "disable agent", "disable agent checks", servers::disable_agent),
    command(
        &["disable", "frontend"],
        Admin,
        "disable frontend <frontend>",
        "temporarily disable specific frontend",
        set::disable_frontend,
    ),
    command(
        &["disable", "health"],
        Admin,
        "disable health",
        "disable health checks",
        servers::disable_health,
    ),
    command(
        &["disable", "server"],
        Admin,
        "disable server (DEPRECATED)",
        "disable a server for maintenance (use 'set server' instead)",
        servers::disable,
    ),
    command(&["enable", "agent"], Admin, "enable agent", "enable agent checks", servers::enable_agent),
    command(
        &["enable", "frontend"],
        Admin,
        "enable frontend <frontend>",
        "re-enable specific frontend",
        set::enable_frontend,
    ),
    command(&["enable", "health"], Admin, "enable health", "enable health checks", servers::enable_health),
    command(
        &["enable", "server"],
        Admin,
        "enable server  (DEPRECATED)",
        "enable a disabled server (use 'set server' instead)",
        servers::enable,
    ),
    command(
        &["get", "weight"],
        User,
        "get weight <bk>/<srv>",
        "report a server's current weight",
        servers::weight,
    ),
    command(
        &["operator"],
        Operator,
        "operator",
        "lower the level of the current CLI session to operator",
        set::become_operator,
    ),
    command(
        &["set", "maxconn", "frontend"],
        Admin,
        "set maxconn frontend <frontend> <value>",
        "change a frontend's maxconn setting",
        set::maxconn_frontend,
    ),
    command(
        &["set", "maxconn", "global"],
        Admin,
        "set maxconn global <value>",
        "change the per-process maxconn setting",
        set::maxconn_global,
    ),
    command(
        &["set", "maxconn", "server"],
        Admin,
        "set maxconn server <bk>/<srv>",
        "change a server's maxconn setting",
        servers::set_maxconn,
    ),
    command(
        &["set", "server"],
        Admin,
        "set server <bk>/<srv> [opts]",
        "change a server's state, weight, address or ssl",
        servers::set,
    ),
    command(&["set", "timeout"], User, "set timeout [cli] <delay>", "change a timeout setting", set::timeout),
    command(
        &["set", "weight"],
        Admin,
        "set weight <bk>/<srv>  (DEPRECATED)",
        "change a server's weight (use 'set server' instead)",
        servers::set_weight,
    ),
    command(
        &["show", "backend"],
        User,
        "show backend",
        "list backends in the current running config",
        show::backends,
    ),
    command(
        &["show", "changes"],
        User,
        "show changes",
        "list what was set at run time, as commands that set it",
        show::all_changes,
    ),
    command(
        &["show", "cli", "level"],
        User,
        "show cli level",
        "display the level of the current CLI session",
        show::level,
    ),
    command(&["show", "cli", "sockets"], User, "show cli sockets", "dump list of cli sockets", show::sockets),
    command(
        &["show", "env"],
        Operator,
        "show env [var]",
        "dump environment variables known to the process",
        show::environment,
    ),
    command(
        &["show", "errors"],
        Operator,
        "show errors [<px>] [request|response]",
        "report last request and/or response errors for each proxy",
        errors::show,
    ),
    command(
        &["show", "info"],
        User,
        "show info [desc|json|typed|float]*",
        "report information about the running process",
        show::info,
    ),
    command(
        &["show", "schema", "json"],
        User,
        "show schema json",
        "report schema used for stats",
        show::schema,
    ),
    command(
        &["show", "servers", "conn"],
        User,
        "show servers conn [<backend>]",
        "dump server connections status (all or for a single backend)",
        show::connections,
    ),
    command(
        &["show", "servers", "state"],
        User,
        "show servers state [<backend>]",
        "dump volatile server information (all or for a single backend)",
        show::states,
    ),
    command(
        &["show", "sess"],
        Operator,
        "show sess [id]",
        "report the list of current sessions or dump this exact session",
        sessions::show,
    ),
    command(
        &["show", "stat"],
        User,
        "show stat [desc|json|no-maint|typed|up]*",
        "report counters for each proxy and server",
        show::statistics,
    ),
    command(
        &["show", "table"],
        User,
        "show table <table> [<filter>]*",
        "report table usage stats or dump this table's contents (filter: data/key)",
        show::tables,
    ),
    command(&["show", "version"], User, "show version", "show version of the current process", show::version),
    command(
        &["shutdown", "frontend"],
        Admin,
        "shutdown frontend <frontend>",
        "stop a specific frontend",
        set::shutdown_frontend,
    ),
    command(
        &["shutdown", "session"],
        Admin,
        "shutdown session [id]",
        "kill a specific session",
        sessions::shut_down,
    ),
    command(
        &["shutdown", "sessions", "server"],
        Admin,
        "shutdown sessions server <bk>/<srv>",
        "kill sessions on a server",
        servers::shutdown_sessions,
    ),
    command(&["user"], User, "user", "lower the level of the current CLI session to user", set::become_user),
    command(&["help"], User, "help [<command>]", "list matching or all commands", help),
    command(&["prompt"], User, "prompt", "toggle interactive mode with prompt", set::prompt),
    command(&["quit"], User, "quit", "disconnect", set::quit),
];

/// Those that every list of others ends with.
const ALWAYS: usize = 3;

/// What is said of words that are no command.
pub(super) fn unknown(words: &[&str]) -> String {
    if let Some(why) = without::refusal(words) {
        return why;
    }
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
    with_help.map(|command| format!("  {:<40}: {}\n", command.usage, command.help)).collect()
}
