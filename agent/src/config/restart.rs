//! `[restart]`: how the server is restarted.

use std::time::Duration;

use drain_config::{Table, Value};

/// How the server is restarted. A restart that fails leaves the server out until somebody asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    /// The program and its arguments, run without a shell; never empty. The program is an absolute path, or a
    /// bare name that is looked up in `PATH`.
    pub command: Vec<String>,
    /// How long the command may run before its process group is ended and the restart has failed.
    pub timeout: Duration,
    /// What shows that the server is a new one.
    pub proof: Proof,
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

/// What a command looks like, for messages.
const EXAMPLE: &str = r#"["/usr/sbin/apachectl", "restart"]"#;

impl Restart {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let unit = table
            .later("unit", r#"restart the unit by command: `command = ["systemctl", "restart", "UNIT"]`"#);
        let command = if unit { table.take("command") } else { table.require("command", EXAMPLE) };
        let command = command.and_then(|value| command_line(&value));
        let timeout = table.duration("timeout", TIMEOUT).copied();
        let proof = table.choice(
            "proof",
            Proof::Process,
            &[("process", Proof::Process), ("workers", Proof::Workers), ("none", Proof::None)],
        );
        table.field("on_failure", (), on_failure);
        table.later("retries", "leave it out: a restart that fails is not tried again");
        table.later("warm_up", "let the restart command make these requests before it ends");
        Some(Self { command: command?, timeout, proof: proof.copied() })
    }
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
    if program.contains('/') && !program.starts_with('/') {
        value.wrong(
            "has a relative path",
            "expected the program's absolute path, or its bare name to be looked up in PATH",
        );
        return None;
    }
    Some(command)
}

/// Only "stay" for now.
fn on_failure(value: &Value<'_>) -> Option<()> {
    if value.is_text() && value.string() == Some("up") {
        value.wrong(
            "is not supported in this version",
            r#"expected "stay": the server stays out until `drainctl up`"#,
        );
        return None;
    }
    value.choice(&[("stay", ())])
}
