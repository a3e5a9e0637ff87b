//! `drainctl run -- CMD`: drain, run the command here, bring the server back.
//!
//! ```text
//! drain (then hold) ──► reached ──► CMD ──► return ──► up
//!      │ Ctrl-C                      │ its failure is told at the end; the server comes back all the same
//!      └──► up (cancelled: nothing was run)
//! ```
//!
//! Reached is: acknowledged and quiet, or the limit of hard with `at_limit = "restart"`; then what is left is cut, and
//! that is said before. With `"abort"` the agent withdraws the drain at its limit, and nothing is run.
//!
//! The agent is told beforehand which program is to be run, without its arguments, and with the return how it ended: both
//! are in its history. Ctrl-C (SIGTERM, SIGHUP) while the command runs is the command's business; we wait for its end.
//! Where we are killed, the command goes on, and nobody will ask for the return: the agent sees that we have gone, says
//! so, and holds the server out, because the command may still be at work.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::Path,
    process::ExitStatus,
};

use drain_agent::{
    clock::Moment,
    control::api::{Options, Ran, Reply, Then, Up},
};
use tokio::process::Command;

use crate::{
    args::Run,
    commands::{End, Goal, Session, install, understood},
    follow::ask_patiently,
    interrupt::Interrupts,
    verdict::{Done, Fault},
};

pub(crate) async fn run(session: &Session, run: Run) -> Result<Done, Fault> {
    let Run { why, hard, command } = run;
    find(&command[0])?;
    let mut interrupts = install()?;
    alone(session).await?;
    let path = if hard { "/v1/hard" } else { "/v1/soft" };
    let options = Options { command: Some(spelled(&command)), ..why.options(Some(Then::Hold)) };
    let reply = session.client.ask(path, Some(&options)).await?;
    let (drain, text) = understood(&reply);
    let (Some(id), Reply::Accepted { .. }) = (drain, &reply) else {
        return Err(under_way(text));
    };
    match session.wait(Goal::Reached(id), &mut interrupts).await {
        Ok(End::Come(status)) => {
            // Brought back by somebody else.
            if let Some(drain) = status.ended(id) {
                return Err(nothing_run(Fault::Drain(Box::new(drain.clone()))));
            }
            if let Some(why) = status.still_in_use() {
                let _closed = writeln!(io::stderr(), "drainctl: {why}: the command cuts what is left");
            }
        }
        Ok(End::Interrupted) => return Err(cancel(session, id).await),
        Err(fault) => return Err(nothing_run(fault)),
    }
    let began = Moment::now();
    let ran = execute(&command, &mut interrupts).await;
    let told = Ran { took_ms: Moment::now().since(began).as_millis() as u64, failure: failure(&ran) };
    let back = come_back(session, id, &told, &mut interrupts).await;
    conclude(ran, back, reply)
}

/// Nobody else's drain is joined: its end would bring the server up under the command, or restart it. The agent refuses
/// that, too, for a drain that begins in this moment.
async fn alone(session: &Session) -> Result<(), Fault> {
    let status = session.client.status().await?;
    match status.asked {
        Some(asked) => Err(under_way(&format!("drain {} is under way", asked.drain))),
        None => Ok(()),
    }
}

fn under_way(text: &str) -> Fault {
    let text = format!("{text}: nothing was run; wait for its end, or cancel it with up");
    Fault::Refused { name: "under_way".to_owned(), text }
}

fn nothing_run(fault: Fault) -> Fault {
    match fault {
        Fault::Drain(mut drain) => {
            drain.text.push_str("; nothing was run");
            Fault::Drain(drain)
        }
        other => other,
    }
}

/// Nobody will run the command any more: the drain would hold for nothing. It may have been reached just now; the agent
/// must not take the command for one that is at work. Another drain by now is somebody else's.
async fn cancel(session: &Session, id: u64) -> Fault {
    let asked = session.client.status().await.ok().and_then(|status| status.asked);
    let force = asked.is_some_and(|asked| asked.drain == id);
    match session.client.ask("/v1/up", Some(&Up { force })).await {
        Ok(_) => Fault::Interrupted("interrupted; nothing was run, and the drain is cancelled".to_owned()),
        Err(fault) => Fault::Interrupted(format!(
            "interrupted; nothing was run, but drain {id} could not be cancelled ({fault}): `{} up` does it",
            session.spelled
        )),
    }
}

/// Runs the command with our rights, input and output. It gets Ctrl-C from the terminal itself and decides what to do;
/// we stay, to bring the server back.
async fn execute(command: &[OsString], interrupts: &mut Interrupts) -> io::Result<ExitStatus> {
    let mut child = Command::new(&command[0]).args(&command[1..]).spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            () = interrupts.next() => {
                let _closed = writeln!(io::stderr(), "drainctl: waiting for the command's end, to bring the server back");
            }
        }
    }
}

async fn come_back(
    session: &Session,
    id: u64,
    ran: &Ran,
    interrupts: &mut Interrupts,
) -> Result<String, Fault> {
    // The command may have been an upgrade of the agent.
    ask_patiently(&session.client, "/v1/return", ran).await?;
    match session.wait(Goal::Ended(id), interrupts).await? {
        End::Come(status) => Ok(format!("{} is {} again", status.server, status.phase)),
        End::Interrupted => {
            Err(Fault::Interrupted("interrupted; the server goes up when it is ready".to_owned()))
        }
    }
}

/// Says how the command ended, and how the server is left.
fn conclude(ran: io::Result<ExitStatus>, back: Result<String, Fault>, reply: Reply) -> Result<Done, Fault> {
    let failed = match ran {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("the command failed ({status})")),
        Err(error) => Some(format!("the command could not be run ({error})")),
    };
    match (failed, back) {
        (None, Ok(text)) => Ok(Done { text: Some(text), reply: Some(reply), drain: None }),
        (None, Err(fault)) => Err(not_back("the command is done", fault)),
        (Some(failed), Ok(text)) => Err(Fault::Failed(format!("{failed}; {text}"))),
        (Some(failed), Err(fault)) => Err(not_back(&failed, fault)),
    }
}

fn not_back(what: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Drain(mut drain) => {
            drain.text = format!("{what}, but the server is not back: {}", drain.text);
            Fault::Drain(drain)
        }
        Fault::Interrupted(text) => Fault::Interrupted(format!("{what}; {text}")),
        other => Fault::Failed(format!(
            "{what}, but the server may still be out: {other}; `drainctl up --force` brings it back"
        )),
    }
}

/// What went wrong with the command, for the history.
fn failure(ran: &io::Result<ExitStatus>) -> Option<String> {
    match ran {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(format!("it could not be run: {error}")),
    }
}

/// The program, for the history. Its arguments may hold a password, and whoever may look reads the history.
fn spelled(command: &[OsString]) -> String {
    command[0].to_string_lossy().chars().take(COMMAND_CHARS).collect()
}

/// So much of its name is told: more than anybody reads in a line, and little in the state file.
const COMMAND_CHARS: usize = 500;

/// Looks for the program before anybody is sent away for it.
fn find(program: &OsStr) -> Result<(), Fault> {
    let exists = if Path::new(program).components().count() > 1 {
        Path::new(program).exists()
    } else {
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join(program).exists())
    };
    let name = program.to_string_lossy();
    exists
        .then_some(())
        .ok_or_else(|| Fault::Usage(format!("there is no program {name}; nothing was asked or run")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn reply() -> Reply {
        Reply::Accepted { drain: Some(1), text: String::new() }
    }

    fn text(verdict: Result<Done, Fault>) -> String {
        match verdict {
            Ok(done) => done.text.unwrap(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn a_failed_command_is_told_together_with_the_servers_state() {
        let failed = Ok(ExitStatus::from_raw(3 << 8));
        let verdict = conclude(failed, Ok("shop is up again".to_owned()), reply());
        assert_eq!(text(verdict), "the command failed (exit status: 3); shop is up again");
    }

    #[test]
    fn a_server_that_does_not_come_back_is_a_failure() {
        let done = Ok(ExitStatus::from_raw(0));
        let verdict = conclude(done, Err(Fault::AgentGone), reply());
        assert!(matches!(verdict, Err(Fault::Failed(_))));
        assert!(text(verdict).starts_with("the command is done, but the server may still be out: "));
    }

    #[test]
    fn the_history_is_told_the_program_without_its_arguments_and_how_it_ended() {
        let words = ["env", "DB_PASSWORD=x", "./migrate"].map(OsString::from);
        assert_eq!(spelled(&words), "env");
        assert_eq!(failure(&Ok(ExitStatus::from_raw(0))), None);
        assert_eq!(failure(&Ok(ExitStatus::from_raw(3 << 8))).as_deref(), Some("exit status: 3"));
        assert_eq!(failure(&Ok(ExitStatus::from_raw(9))).as_deref(), Some("signal: 9 (SIGKILL)"));
    }

    #[test]
    fn a_program_that_does_not_exist_sends_nobody_away() {
        assert!(find(OsStr::new("sh")).is_ok());
        assert!(find(OsStr::new("/bin/sh")).is_ok());
        assert!(matches!(find(OsStr::new("no-such-program-here")), Err(Fault::Usage(_))));
        assert!(matches!(find(OsStr::new("./no/such")), Err(Fault::Usage(_))));
    }
}
