use std::net::TcpListener;

use rustix::process::{Signal, kill_process_group};
use tokio::sync::mpsc;

use super::{super::errands::Report, *};
use crate::{
    restart::{Mark, Process},
    scratch::Scratch,
};

/// An agent's outside whose server is this test's own process, so that no restart ever replaces it.
fn outside(script: &str) -> ((TcpListener, Scratch), Real) {
    let scratch = Scratch::new("outside");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let text = format!(
        "listen = '127.0.0.1:1'\nstate = '{}'\nserver.ports = [{port}]\nrestart.command = ['/bin/sh', '-c', '{script}']",
        scratch.join("state.json").display()
    );
    let config = Config::parse("test", &text, Some("shop")).unwrap();
    ((server, scratch), Real::new(&config, None, Ports::Any).unwrap())
}

async fn written_before(outside: &Real, drain: u64) -> state::Restart {
    let (began, before) = (outside.now(), outside.identity().await.unwrap());
    let mark = Mark::new("shop", drain, &state::boot_id(), began);
    state::Restart { drain, then: Then::Restart, began, before, mark, command: None, has_ended: false }
}

/// Starts the command and dies before it has written its pid down.
async fn dies_after_the_start(outside: &Real, restart: &state::Restart) -> Process {
    let (report, mut reports) = mpsc::channel(4);
    let (outside, restart) = (outside.clone(), restart.clone());
    let progress = Progress::new(restart.drain, report);
    let agent = tokio::spawn(async move { outside.restart(restart, progress).await });
    let Some(Report::Begun { process, .. }) = reports.recv().await else { panic!("not begun") };
    agent.abort();
    process
}

fn end(command: &Process) {
    let group = Pid::from_raw(command.pid.cast_signed()).unwrap();
    kill_process_group(group, Signal::KILL).unwrap();
}

/// Waits until what is left behind is so, and its command is found or not: the kernel takes a moment to end a
/// process, and a shell to start one.
async fn becomes(outside: &Real, restart: &state::Restart, replaced: Replaced, command: bool) {
    let becomes = async {
        loop {
            let mut found = restart.clone();
            if outside.left_behind(&mut found).await == replaced && found.command.is_some() == command {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let message = format!("expected {replaced:?} for {restart:?}");
    tokio::time::timeout(Duration::from_secs(20), becomes).await.expect(&message);
}

#[tokio::test]
async fn a_command_whose_pid_was_not_written_down_is_not_run_again_while_it_runs() {
    let (_server, outside) = outside("sleep 100; true");
    let restart = written_before(&outside, 1).await;
    assert_eq!(outside.left_behind(&mut restart.clone()).await, Replaced::Not, "not begun");
    let command = dies_after_the_start(&outside, &restart).await;
    // The kernel shows a program's environment a moment after it has let its parent go on.
    becomes(&outside, &restart, Replaced::UnderWay, true).await;
    let mut found = restart.clone();
    assert_eq!(outside.left_behind(&mut found).await, Replaced::UnderWay);
    assert!(found.command.is_some_and(|found| found.is(&command)));
    let another = written_before(&outside, 2).await;
    assert_eq!(outside.left_behind(&mut another.clone()).await, Replaced::Not, "another restart");
    end(&command);
    becomes(&outside, &restart, Replaced::Not, false).await;
}

#[tokio::test]
async fn what_a_command_has_said_is_told_when_it_fails() {
    let (_server, outside) = outside("echo no space left; exit 1");
    let restart = written_before(&outside, 1).await;
    let (report, _nobody) = mpsc::channel(4);
    let restarted = outside.restart(restart, Progress::new(1, report)).await;
    assert!(restarted.result.is_err());
    assert_eq!(restarted.output.as_deref(), Some("no space left"));
}

#[tokio::test]
async fn a_command_that_has_ended_is_not_run_again_for_want_of_a_proof() {
    let (_server, outside) = outside("true");
    let restart = written_before(&outside, 1).await;
    let (report, mut reports) = mpsc::channel(4);
    let (agents, restarts) = (outside.clone(), restart.clone());
    let agent = tokio::spawn(async move { agents.restart(restarts, Progress::new(1, report)).await });
    let Some(Report::Begun { process, .. }) = reports.recv().await else { panic!("not begun") };
    let Some(Report::CommandEnded { written, .. }) = reports.recv().await else { panic!("not ended") };
    assert!(!agent.is_finished(), "the proof is taken when this is written down");
    let found = state::Restart { command: Some(process), ..restart };
    assert_eq!(outside.left_behind(&mut found.clone()).await, Replaced::Not, "as long as it is not");
    let mut found = state::Restart { has_ended: true, ..found };
    agent.abort();
    assert_eq!(outside.left_behind(&mut found).await, Replaced::UnderWay, "from then on");
    drop(written);
}

#[tokio::test]
async fn what_a_command_has_left_in_the_background_is_still_its_restart() {
    let (_server, outside) = outside("sleep 100 >/dev/null 2>&1 & exec true");
    let restart = written_before(&outside, 1).await;
    let command = dies_after_the_start(&outside, &restart).await;
    becomes(&outside, &restart, Replaced::UnderWay, false).await;
    let found = state::Restart { command: Some(command.clone()), ..restart.clone() };
    becomes(&outside, &found, Replaced::UnderWay, true).await;
    end(&command);
    becomes(&outside, &restart, Replaced::Not, false).await;
}
