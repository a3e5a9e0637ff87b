//! A scope of systemd's for a command that the agent runs: a cgroup of its own.
//!
//! What a service starts stays in the service's cgroup, and a server that the agent's command has started would be part
//! of the agent's unit: counted, shown, limited and killed with it. In a scope it is not, and the command remains the
//! agent's child all the same, with its environment, its output and its process group, so that everything else is as
//! without systemd.

use std::{env, process};

use rustix::process::geteuid;
use tokio::process::Command;

/// Begins what it is given in a scope, by becoming it: the process stays the same.
const RUNNER: &str = "systemd-run";

/// What systemd tells the main process of a unit, and those that this starts inherit: the main process's number. The
/// first since version 248, the other to who is watched.
const MAIN_PROCESS: [&str; 2] = ["SYSTEMD_EXEC_PID", "WATCHDOG_PID"];

/// The program, to begin in a scope of its own that is described so where this process is a service of systemd's and
/// root, whom alone systemd lets make one unasked; else as part of what this process is.
pub(crate) fn command(program: &str, description: &str) -> Command {
    let is_service = MAIN_PROCESS.iter().any(|name| env::var(name).is_ok_and(|pid| is_own(&pid)));
    scoped(program, description, is_service && geteuid().is_root())
}

fn scoped(program: &str, description: &str, scoped: bool) -> Command {
    if !scoped {
        return Command::new(program);
    }
    let mut command = Command::new(RUNNER);
    // Collected: a scope that has failed would stay for people to reset.
    command.args(["--scope", "--collect", "--quiet", "--description", description, "--", program]);
    command
}

fn is_own(pid: &str) -> bool {
    pid.parse() == Ok(process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_main_process_of_a_unit_is_a_service() {
        assert!(is_own(&process::id().to_string()));
        assert!(!is_own("1") && !is_own("") && !is_own("-7"));
    }

    #[test]
    fn a_program_is_begun_in_a_scope_where_one_can_be_had_and_as_it_is_elsewhere() {
        let words = |scope| {
            let command = scoped("/usr/sbin/apachectl", "restart command of shop", scope);
            let command = command.as_std();
            let all = [command.get_program()].into_iter().chain(command.get_args());
            all.map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(words(false), ["/usr/sbin/apachectl"]);
        let in_scope = words(true);
        assert_eq!(in_scope[..2], ["systemd-run", "--scope"]);
        assert_eq!(in_scope[in_scope.len() - 3..], ["restart command of shop", "--", "/usr/sbin/apachectl"]);
    }
}
