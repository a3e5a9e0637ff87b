//! `[restart]`: how the server is restarted.

use std::{path::Path, sync::Arc, time::Duration};

use drain_config::{Mistake, Table, Value};

/// How the server is restarted. A restart that fails leaves the server out until somebody asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    /// What restarts it.
    pub by: By,
    /// How long that may take: then a command's process group is ended, and a unit's job cancelled, and the restart has
    /// failed.
    pub timeout: Duration,
    /// What shows that the server is a new one.
    pub proof: Proof,
    /// The command that stops the server where a drain asks for that. Without one a unit is stopped by systemd.
    pub stop: Option<Vec<String>>,
    /// How often a restart that has failed is tried again.
    pub retries: u32,
    /// The pause before that.
    pub retry_after: Duration,
    /// What follows the last failure.
    pub on_failure: OnFailure,
    /// The requests that a restarted server gets before its users.
    pub warm_up: WarmUp,
}

/// What restarts a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By {
    /// A program and its arguments, run without a shell; never empty. The program is an absolute path, or a bare name
    /// that is looked up in `PATH`.
    Command(Vec<String>),
    /// systemd, whose service it is.
    Unit {
        /// The service's whole name, such as `apache2.service`.
        unit: Arc<str>,
        /// What systemd is asked for.
        how: How,
    },
}

/// What systemd is asked to do to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// `systemctl restart`: a service that does not run is started.
    Restart,
    /// `systemctl stop`, and when that is done `systemctl start`: what else hangs on the service (`PartOf=`) is stopped
    /// and started with it, as two jobs.
    StopStart,
    /// `systemctl reload-or-restart`.
    ReloadOrRestart,
    /// `systemctl try-restart`: a service that does not run is left so.
    TryRestart,
    /// `systemctl try-reload-or-restart`.
    TryReloadOrRestart,
}

impl How {
    /// Whether the service's processes may be the old ones afterwards.
    pub const fn may_reload(self) -> bool {
        matches!(self, Self::ReloadOrRestart | Self::TryReloadOrRestart)
    }
}

/// What follows a restart that has failed for the last time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// The server stays out until somebody asks for it.
    Stay,
    /// It goes up, as far as it answers its readiness probe.
    Up,
}

/// The requests that a restarted server gets before its users.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WarmUp {
    /// Paths with their queries, one after the other.
    pub paths: Vec<String>,
    /// How long each may take.
    pub timeout: Duration,
}

impl WarmUp {
    /// How long all of them may take; nothing where there are none.
    pub fn longest(&self) -> Option<Duration> {
        let count = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| self.timeout.saturating_mul(count))
    }
}

/// A command that a drain can end with: `[run.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// What people call it.
    pub name: String,
    /// The program and its arguments, run as a restart's.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

impl Run {
    pub(super) fn read(name: &str, table: &Table<'_>) -> Option<Self> {
        let command = table.require("command", r#"["/usr/local/sbin/upgrade", "--now"]"#);
        let timeout = table.duration("timeout", RUN_TIMEOUT).copied();
        let command = command.and_then(|value| command_line(&value))?;
        Some(Self { name: name.to_owned(), command, timeout })
    }
}

/// What shows that a server is a new one after its restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// None of the main processes that listened on the server's ports before is left.
    Process,
    /// The listening process may be the old one, but its children are new (`apachectl restart`).
    Workers,
    /// Nothing: the command's success and readiness suffice.
    None,
}

/// How long the restart command may run unless the configuration says otherwise: systemd's own limit for a start.
const TIMEOUT: Duration = Duration::from_secs(90);

/// How long another command may run unless the configuration says otherwise: an upgrade takes its time.
const RUN_TIMEOUT: Duration = Duration::from_mins(15);

/// The pause before a restart is tried again: what it has met, as a port that is still taken, is often over by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// More tries are a loop that nobody asked for.
const MOST_RETRIES: u32 = 100;

/// How long a request may take that warms the server up: the first one may have to fill a cache.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// More requests than that are a load test.
const MOST_WARM_UPS: usize = 100;

/// The words of `restart.how`.
const HOW: [(&str, How); 5] = [
    ("restart", How::Restart),
    ("stop-start", How::StopStart),
    ("reload-or-restart", How::ReloadOrRestart),
    ("try-restart", How::TryRestart),
    ("try-reload-or-restart", How::TryReloadOrRestart),
];

/// The longest name of a unit, which is systemd's own limit.
const LONGEST_UNIT: usize = 255;

/// What a command looks like, for messages.
const EXAMPLE: &str = r#"["/usr/sbin/apachectl", "restart"]"#;

impl Restart {
    /// Whether there is a way to stop the server.
    pub const fn can_stop(&self) -> bool {
        self.stop.is_some() || matches!(self.by, By::Unit { .. })
    }

    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let (unit, command) = (table.take("unit"), table.take("command"));
        let how = table.choice("how", How::Restart, &HOW);
        if let (None, Some(place)) = (&unit, how.place().cloned()) {
            let title = "`restart.how` is for a unit";
            table.report(Mistake::new(place, title, "expected `restart.unit` beside it"));
        }
        let by = match (unit, command) {
            (Some(_), Some(command)) => {
                command
                    .wrong("is given beside `unit`", "expected one of both: systemd restarts a unit itself");
                None
            }
            (Some(unit), None) => service(&unit).map(|unit| By::Unit { unit, how: *how.as_inner() }),
            (None, Some(command)) => command_line(&command).map(By::Command),
            (None, None) => {
                let title = "`restart.unit` is missing";
                let help = format!(
                    "write for example `unit = \"apache2.service\"` in `[restart]`, or, without systemd, \
                     `command = {EXAMPLE}`"
                );
                table.report(Mistake::new(table.place(), title, "").help(help));
                None
            }
        };
        let timeout = table.duration("timeout", TIMEOUT).copied();
        let reloads = matches!(by, Some(By::Unit { how, .. }) if how.may_reload());
        let proof = table.choice(
            "proof",
            if reloads { Proof::None } else { Proof::Process },
            &[("process", Proof::Process), ("workers", Proof::Workers), ("none", Proof::None)],
        );
        if reloads
            && *proof.as_inner() == Proof::Process
            && let Some(place) = proof.place().cloned()
        {
            let title = "`restart.proof` can't be had";
            let label = "a reload keeps the main process: expected \"workers\", \"none\", or another `how`";
            table.report(Mistake::new(place, title, label));
        }
        let stop = table.take("stop").map(|value| command_line(&value));
        let retries = table.number("retries", 0, 0, MOST_RETRIES).copied();
        let retry_after = table.duration("retry_after", RETRY_AFTER).copied();
        let on_failure = [("stay", OnFailure::Stay), ("up", OnFailure::Up)];
        let on_failure = table.choice("on_failure", OnFailure::Stay, &on_failure).copied();
        let warm_up = WarmUp {
            paths: table.field("warm_up", Vec::new(), paths).into_inner(),
            timeout: table.duration("warm_up_timeout", WARM_UP_TIMEOUT).copied(),
        };
        Some(Self {
            by: by?,
            timeout,
            proof: proof.copied(),
            // Where it is there and wrong, that has been said.
            stop: stop.flatten(),
            retries,
            retry_after,
            on_failure,
            warm_up,
        })
    }
}

/// The whole name of a service.
fn service(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text()?;
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let Some(stem) = name.strip_suffix(".service") else {
        let whole = if name.contains('.') { "apache2.service" } else { &format!("{name}.service") };
        value.wrong("is no service", format!("expected the whole name of one, such as {whole:?}"));
        return None;
    };
    if stem.is_empty() || name.len() > LONGEST_UNIT || !name.bytes().all(is_sound) {
        value.wrong(
            "can't be the name of a unit",
            format!("expected at most {LONGEST_UNIT} letters, digits, `:`, `-`, `_`, `.`, `\\` or `@`"),
        );
        return None;
    }
    if stem.ends_with('@') {
        value.wrong("is a template", format!("expected one of its instances, such as \"{stem}1.service\""));
        return None;
    }
    Some(name.into())
}

/// An array of a program and its arguments.
fn command_line(value: &Value<'_>) -> Option<Vec<String>> {
    if value.is_text() {
        let split = value.string().and_then(shlex::split).unwrap_or_default();
        value.wrong(
            "is a string, and there is no shell to split it",
            format!(
                "expected an array: {}",
                if split.is_empty() { EXAMPLE.into() } else { format!("{split:?}") }
            ),
        );
        return None;
    }
    if !value.is_array() {
        return value.other_kind("an array of strings");
    }
    let command = value.each(|word| {
        let word_is_sound = !word.string()?.contains('\0');
        if !word_is_sound {
            word.wrong("has a NUL byte", "no argument of a program can hold one");
        }
        word.string().filter(|_| word_is_sound).map(str::to_owned)
    })?;
    let Some(program) = command.first().filter(|program| !program.is_empty()) else {
        value.wrong("names no program", format!("expected for example {EXAMPLE}"));
        return None;
    };
    if program.contains(char::is_whitespace) && !Path::new(program).exists() {
        let split = shlex::split(program).unwrap_or_default();
        let all: Vec<&str> = split.iter().chain(&command[1..]).map(String::as_str).collect();
        value.wrong(
            "names a program with blanks in its name, and there is none",
            format!("there is no shell to split it; expected {all:?}"),
        );
        return None;
    }
    if program.contains('/') && !program.starts_with('/') {
        value.wrong(
            "has a relative path",
            "expected the program's absolute path, or its bare name to be looked up in PATH",
        );
        return None;
    }
    Some(command)
}

/// Paths with their queries.
fn paths(value: &Value<'_>) -> Option<Vec<String>> {
    let paths = value.each(|value| {
        let path = value.text()?;
        let is_one = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_one {
            value.wrong("is no path", r#"expected one such as "/search?q=x"; other signs are written %20"#);
        }
        is_one.then(|| path.to_owned())
    })?;
    if paths.len() > MOST_WARM_UPS {
        value.wrong(
            "has too many",
            format!("expected {MOST_WARM_UPS} at most: they go out one after the other"),
        );
        return None;
    }
    Some(paths)
}
