//! The flags that say what a file would.

use std::ops::Range;

use clap::{Args, builder::NonEmptyStringValueParser};
use drain_config::{Document, Invalid, Literal};

use crate::config::{Config, Host};

/// Flags that say what a file would; each has the name of its key behind it in brackets.
#[derive(Args, Debug)]
#[expect(clippy::doc_markdown, reason = "the texts are shown by `--help` as they stand")]
#[command(next_help_heading = "Instead of a file")]
#[group(id = "flags", multiple = true, conflicts_with = "config")]
pub(super) struct Flags {
    /// Address and port where balancers ask for the server's health; repeatable [listen]
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["port", "way"], value_parser = text())]
    listen: Vec<String>,

    /// Port on which the server listens; repeatable [server.ports]
    #[arg(long, value_name = "PORT", requires_all = ["listen", "way"], value_parser = text())]
    port: Vec<String>,

    /// Program and arguments that restart the server, split as a shell does, but run without one [restart.command]
    #[arg(long = "command", id = "command_words", value_name = "COMMAND", group = "way", requires_all = ["listen", "port"], value_parser = text())]
    command: Option<String>,

    /// Service that systemd restarts, such as apache2.service [restart.unit]
    #[arg(long, value_name = "UNIT", group = "way", requires_all = ["listen", "port"], value_parser = text())]
    unit: Option<String>,

    /// The server's name [server.name; default: port-PORT]
    #[arg(long, value_name = "NAME", value_parser = text())]
    name: Option<String>,

    /// URL that answers 2xx when the server is ready, or ADDRESS:PORT that accepts [server.ready; default: the port]
    #[arg(long, value_name = "URL", value_parser = text())]
    ready: Option<String>,

    /// How long the server may take to become ready [server.ready.deadline; default: 60s]
    #[arg(long, value_name = "TIME", value_parser = text())]
    ready_deadline: Option<String>,

    /// How long the restart may take [restart.timeout; default: 90s]
    #[arg(long, value_name = "TIME", value_parser = text())]
    restart_timeout: Option<String>,

    /// What proves the restart: process, workers or none [restart.proof; default: process]
    #[arg(long, value_name = "PROOF", value_parser = text())]
    proof: Option<String>,

    /// How long balancers may take to notice [drain.acknowledge.limit; default: 60s]
    #[arg(long, value_name = "TIME", value_parser = text())]
    acknowledge_limit: Option<String>,

    /// Quiet for so long ends a soft drain [drain.soft.quiet; default: 5m]
    #[arg(long, value_name = "TIME", value_parser = text())]
    soft_quiet: Option<String>,

    /// The longest soft drain [drain.soft.limit; default: 30m]
    #[arg(long, value_name = "TIME", value_parser = text())]
    soft_limit: Option<String>,

    /// Quiet for so long ends a hard drain [drain.hard.quiet; default: 3s]
    #[arg(long, value_name = "TIME", value_parser = text())]
    hard_quiet: Option<String>,

    /// The longest hard drain [drain.hard.limit; default: 30s]
    #[arg(long, value_name = "TIME", value_parser = text())]
    hard_limit: Option<String>,

    /// Weight or share that must remain at the others: 1, 25% [drain.min_remaining; default: 1]
    #[arg(long, value_name = "WEIGHT", value_parser = text())]
    min_remaining: Option<String>,

    /// Balancer that must have acknowledged: address or node name; repeatable [balancers.expect]
    #[arg(long, value_name = "BALANCER", value_parser = text())]
    expect: Vec<String>,

    /// File that holds a drain across the agent's restart [state; default: /var/lib/drain-agent/NAME.json]
    #[arg(long, value_name = "FILE", value_parser = text())]
    state: Option<String>,

    /// Socket for drainctl [control.socket; default: /run/drain-agent/NAME.sock]
    #[arg(long, value_name = "FILE", value_parser = text())]
    socket: Option<String>,

    /// Group whose members may drain and restart [control.group]
    #[arg(long, value_name = "GROUP", value_parser = text())]
    group: Option<String>,
}

/// Empty values are refused by clap already: there is no place in the command line to point at.
fn text() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

impl Flags {
    /// The configuration that the flags make.
    pub(super) fn config(&self) -> Result<Config, Invalid> {
        let mut line = Line::new();
        line.several("--listen", &["listen"], &self.listen, Literal::text);
        line.several("--port", &["server", "ports"], &self.port, Literal::number_or_text);
        if let Some(command) = &self.command {
            line.command(command);
        }
        let is_url = self.ready.as_ref().is_some_and(|ready| ready.contains("://"));
        let (url, tcp) = if is_url { (self.ready.as_ref(), None) } else { (None, self.ready.as_ref()) };
        line.one("--ready", &["server", "ready", "url"], url, Literal::text);
        line.one("--ready", &["server", "ready", "tcp"], tcp, Literal::text);
        for (flag, path, value) in [
            ("--name", &["server", "name"][..], &self.name),
            ("--ready-deadline", &["server", "ready", "deadline"], &self.ready_deadline),
            ("--unit", &["restart", "unit"], &self.unit),
            ("--restart-timeout", &["restart", "timeout"], &self.restart_timeout),
            ("--proof", &["restart", "proof"], &self.proof),
            ("--acknowledge-limit", &["drain", "acknowledge", "limit"], &self.acknowledge_limit),
            ("--soft-quiet", &["drain", "soft", "quiet"], &self.soft_quiet),
            ("--soft-limit", &["drain", "soft", "limit"], &self.soft_limit),
            ("--hard-quiet", &["drain", "hard", "quiet"], &self.hard_quiet),
            ("--hard-limit", &["drain", "hard", "limit"], &self.hard_limit),
            ("--state", &["state"], &self.state),
            ("--socket", &["control", "socket"], &self.socket),
            ("--group", &["control", "group"], &self.group),
        ] {
            line.one(flag, path, value.as_ref(), Literal::text);
        }
        line.one(
            "--min-remaining",
            &["drain", "min_remaining"],
            self.min_remaining.as_ref(),
            Literal::number_or_text,
        );
        line.several("--expect", &["balancers", "expect"], &self.expect, Literal::text);
        let name = self.port.first().map(|port| format!("port-{port}"));
        let document = Document::assemble("command line", &line.text, line.entries);
        Config::from_document(&document, name.as_deref(), Host::Here)
    }
}

/// The command line as messages show it, and what it says.
struct Line<'a> {
    text: String,
    entries: Vec<(&'static [&'static str], Range<usize>, Literal<'a>)>,
}

impl<'a> Line<'a> {
    fn new() -> Self {
        Self { text: "drain-agent".to_owned(), entries: Vec::new() }
    }

    fn one(
        &mut self,
        flag: &str,
        path: &'static [&'static str],
        value: Option<&'a String>,
        read: impl Fn(&'a str) -> Literal<'a>,
    ) {
        if let Some(value) = value {
            let place = self.write(flag, value);
            self.entries.push((path, place, read(value)));
        }
    }

    /// A flag that can be repeated; its values make an array.
    fn several(
        &mut self,
        flag: &str,
        path: &'static [&'static str],
        values: &'a [String],
        read: impl Fn(&'a str) -> Literal<'a>,
    ) {
        let items: Vec<_> = values.iter().map(|value| (self.write(flag, value), read(value))).collect();
        if let (Some((first, _)), Some((last, _))) = (items.first(), items.last()) {
            self.entries.push((path, first.start..last.end, Literal::array(items)));
        }
    }

    /// The restart command, split into words where its quotes allow it.
    fn command(&mut self, command: &str) {
        let place = self.write("--command", command);
        let words = shlex::split(command).unwrap_or_default();
        let items: Vec<_> = words.into_iter().map(|word| (place.clone(), Literal::text(word))).collect();
        self.entries.push((&["restart", "command"], place, Literal::array(items)));
    }

    /// Writes a flag and its value, quoted as a shell would need it; gives the value's place.
    fn write(&mut self, flag: &str, value: &str) -> Range<usize> {
        self.text.push(' ');
        self.text.push_str(flag);
        self.text.push(' ');
        let start = self.text.len();
        // Only a value with a NUL byte can't be quoted, and none can come from a command line.
        self.text.push_str(&shlex::try_quote(value).unwrap_or_default());
        start..self.text.len()
    }
}
