//! How it ended: the text, the JSON, the exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use drain_agent::control::api::{Drain, Reply};
use serde::Serialize;

/// Done.
pub(crate) const EXIT_OK: u8 = 0;
/// Failed.
const EXIT_FAILED: u8 = 1;
/// sysexits' `EX_USAGE`.
pub(crate) const EXIT_USAGE: u8 = 64;
/// sysexits' `EX_UNAVAILABLE`.
const EXIT_NO_AGENT: u8 = 69;
/// sysexits' `EX_TEMPFAIL`.
const EXIT_REFUSED: u8 = 75;
/// sysexits' `EX_NOPERM`.
const EXIT_NOT_PERMITTED: u8 = 77;
/// What shells give a command that SIGINT has ended.
const EXIT_INTERRUPTED: u8 = 130;

/// What there is to say at a good end.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// For people; nothing where the command has shown everything itself.
    pub(crate) text: Option<String>,
    /// What the agent said.
    pub(crate) reply: Option<Reply>,
    /// The drain that ended.
    pub(crate) drain: Option<Drain>,
}

impl Done {
    /// The command has shown everything itself.
    pub(crate) fn shown() -> Self {
        Self::default()
    }

    /// There is a text and nothing else.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

/// Why it did not come to a good end.
#[derive(thiserror::Error, Debug)]
pub(crate) enum Fault {
    #[error("{0}")]
    Usage(String),
    #[error(
        "no agent answers on {place}: {source}; is drain-agent running? (-n NAME or --socket PATH name another one)"
    )]
    NoAgent { place: String, source: io::Error },
    #[error("{0}")]
    NoAgents(String),
    #[error("the agent went away and has not come back; `drainctl status` tells when it has")]
    AgentGone,
    #[error("{text}")]
    Refused { name: String, text: String },
    #[error("{0}")]
    NotPermitted(String),
    #[error("{0}")]
    Failed(String),
    #[error("{}", .0.text)]
    Drain(Box<Drain>),
    #[error("{0}")]
    Interrupted(String),
    /// The command has shown everything itself.
    #[error("see above")]
    Shown,
}

impl Fault {
    /// Each fault's exit code and its name in JSON.
    fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Usage(_) => (EXIT_USAGE, "usage"),
            Self::NoAgent { .. } | Self::NoAgents(_) | Self::AgentGone => (EXIT_NO_AGENT, "no_agent"),
            Self::Refused { .. } => (EXIT_REFUSED, "refused"),
            Self::NotPermitted(_) => (EXIT_NOT_PERMITTED, "not_permitted"),
            Self::Failed(_) | Self::Drain(_) | Self::Shown => (EXIT_FAILED, "failed"),
            Self::Interrupted(_) => (EXIT_INTERRUPTED, "interrupted"),
        }
    }
}

/// What is printed with `--json` at the end of a command that asks for something.
#[derive(Serialize, Debug)]
struct Verdict<'a> {
    /// `done`, or the name of the fault.
    result: &'a str,
    /// The exit code.
    exit: u8,
    /// For people.
    text: String,
    /// The name of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<&'a Drain>,
}

/// Says how it ended, and gives the exit code.
pub(crate) fn conclude(verdict: &Result<Done, Fault>, json: bool) -> ExitCode {
    let (code, text) = match (verdict, json) {
        (Ok(done), true) => (EXIT_OK, done.text.is_some().then(|| done_json(done))),
        (Ok(done), false) => (EXIT_OK, done.text.clone()),
        (Err(Fault::Shown), _) => (EXIT_FAILED, None),
        (Err(fault), true) => (fault.kind().0, Some(fault_json(fault))),
        (Err(fault), false) => {
            let _closed = writeln!(io::stderr(), "drainctl: {}", fault_text(fault));
            (fault.kind().0, None)
        }
    };
    if let Some(text) = text {
        // Whoever has closed our output does not want to know.
        let _closed = writeln!(io::stdout(), "{text}");
    }
    ExitCode::from(code)
}

fn fault_text(fault: &Fault) -> String {
    let output = match fault {
        Fault::Drain(drain) => drain.output.as_deref().map(str::trim_end).filter(|output| !output.is_empty()),
        _ => None,
    };
    match output {
        Some(output) => format!("{fault}; the end of its output:\n{output}"),
        None => fault.to_string(),
    }
}

fn done_json(done: &Done) -> String {
    let text = done.text.clone().unwrap_or_default();
    let (reply, drain) = (done.reply.as_ref(), done.drain.as_ref());
    to_json(&Verdict { result: "done", exit: EXIT_OK, text, refusal: None, reply, drain })
}

fn fault_json(fault: &Fault) -> String {
    let (exit, result) = fault.kind();
    let refusal = if let Fault::Refused { name, .. } = fault { Some(name.as_str()) } else { None };
    let drain = if let Fault::Drain(drain) = fault { Some(&**drain) } else { None };
    to_json(&Verdict { result, exit, text: fault.to_string(), refusal, reply: None, drain })
}

/// One line of JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have string keys and no fallible parts")
}

#[cfg(test)]
mod tests {
    use drain_agent::control::api::Outcome;

    use super::*;

    fn failed_drain() -> Drain {
        Drain {
            id: 7,
            outcome: Outcome::Failed,
            text: "the restart failed: exit status 1".to_owned(),
            ended_unix: 1,
            then: None,
            restart_seconds: None,
            users_back_seconds: None,
            output: Some("syntax error\n".to_owned()),
        }
    }

    #[test]
    fn each_fault_has_its_exit_code() {
        let text = String::new;
        let refused = Fault::Refused { name: text(), text: text() };
        let no_agent = Fault::NoAgent { place: text(), source: io::ErrorKind::NotFound.into() };
        for (fault, code) in [
            (Fault::Failed(text()), 1),
            (Fault::Drain(Box::new(failed_drain())), 1),
            (Fault::Usage(text()), 64),
            (no_agent, 69),
            (Fault::NoAgents(text()), 69),
            (Fault::AgentGone, 69),
            (refused, 75),
            (Fault::NotPermitted(text()), 77),
            (Fault::Interrupted(text()), 130),
        ] {
            assert_eq!(fault.kind().0, code, "{fault:?}");
            assert_eq!(conclude(&Err(fault), true), ExitCode::from(code));
        }
    }

    #[test]
    fn a_failed_drain_shows_the_end_of_the_output() {
        assert_eq!(
            fault_text(&Fault::Drain(Box::new(failed_drain()))),
            "the restart failed: exit status 1; the end of its output:\nsyntax error"
        );
    }

    #[test]
    fn json_names_the_refusal() {
        let refused = Fault::Refused { name: "last_server".to_owned(), text: "no other".to_owned() };
        assert_eq!(
            fault_json(&refused),
            r#"{"result":"refused","exit":75,"text":"no other","refusal":"last_server"}"#
        );
    }
}
