//! `drainctl` against a real control socket, behind which a small owner plays the life cycle.

mod fake;
mod sample;
mod steady;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Output, Stdio},
    thread,
};

use drain_agent::{
    clock::Moment,
    control::api::{Balancer, Options, Status, Then},
    lifecycle::{Phase, Request},
};
use fake::{DEADLINE, Fake, Script};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert!(out.contains(stdout), "{stdout:?} in {out}");
    assert!(err.contains(stderr), "{stderr:?} in {err}");
}

#[test]
fn status_and_balancers_are_shown() {
    let fake = Fake::start("status", Script::Obliging);
    expect(&fake.drainctl(&["status"]), 0, "shop is up (answers 200) for ", "");
    expect(&fake.drainctl(&["balancers"]), 0, "10.0.0.2  lb1   shop/a", "");
    let shown: Status = serde_json::from_slice(&fake.drainctl(&["--json", "status"]).stdout).unwrap();
    assert_eq!((shown.server.as_str(), shown.phase), ("shop", Phase::Up));
    let shown: Vec<Balancer> =
        serde_json::from_slice(&fake.drainctl(&["balancers", "--json"]).stdout).unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(fake.requests(), []);
}

#[test]
fn soft_comes_back_when_it_is_reached() {
    let fake = Fake::start("soft", Script::Obliging);
    expect(&fake.drainctl(&["soft", "--reason", "new kernel"]), 0, "shop is in soft: 0 in flight", "");
    let options =
        Options { then: None, reason: Some("new kernel".to_owned()), force: false, ..Options::default() };
    assert_eq!(fake.requests(), [Request::Soft(options)]);
}

#[test]
fn without_waiting_it_comes_back_at_once() {
    let fake = Fake::start("no-wait", Script::Stuck);
    expect(&fake.drainctl(&["hard", "--no-wait", "--force", "--then", "hold"]), 0, "announced", "");
    let options = Options { then: Some(Then::Hold), force: true, ..Options::default() };
    assert_eq!(fake.requests(), [Request::Hard(options)]);
}

#[test]
fn restart_waits_for_the_end_and_shows_progress() {
    let fake = Fake::start("restart", Script::Obliging);
    expect(&fake.drainctl(&["restart"]), 0, "shop: restarted in 2s", "");
    let verdict: Value =
        serde_json::from_slice(&fake.drainctl(&["restart", "--hard", "--json"]).stdout).unwrap();
    assert_eq!((&verdict["result"], &verdict["exit"]), (&Value::from("done"), &Value::from(0)));
    assert_eq!(verdict["drain"]["outcome"], "done");
    let restart = || Options { then: Some(Then::Restart), ..Options::default() };
    assert_eq!(fake.requests(), [Request::Soft(restart()), Request::Hard(restart())]);
}

#[test]
fn a_second_restart_joins_the_first() {
    let fake = Fake::start("join", Script::Busy);
    expect(&fake.drainctl(&["restart"]), 0, "shop: restarted in 2s", "drain 40 is under way");
}

#[test]
fn a_refusal_is_75_with_its_reason() {
    let fake = Fake::start("refused", Script::Refusing);
    expect(&fake.drainctl(&["restart"]), 75, "", "drainctl: 1 server would remain, and min_remaining is 2");
    let verdict: Value = serde_json::from_slice(&fake.drainctl(&["hard", "--json"]).stdout).unwrap();
    assert_eq!((&verdict["result"], &verdict["refusal"]), (&"refused".into(), &"too_few_remain".into()));
}

#[test]
fn a_failed_restart_is_1_with_the_end_of_its_output() {
    let fake = Fake::start("failed", Script::Failing);
    expect(&fake.drainctl(&["restart"]), 1, "", "the restart failed: exit status 1");
    expect(&fake.drainctl(&["restart"]), 1, "", "Syntax error on line 7");
}

#[test]
fn no_agent_is_69_and_no_command_64() {
    let drainctl = || Command::new(env!("CARGO_BIN_EXE_drainctl"));
    let nowhere = drainctl().args(["--socket", "/nonexistent/x.sock", "status"]).output().unwrap();
    expect(&nowhere, 69, "", "no agent answers on /nonexistent/x.sock");
    expect(&drainctl().arg("frobnicate").output().unwrap(), 64, "", "frobnicate");
    expect(&drainctl().output().unwrap(), 64, "", "Usage");
    expect(&drainctl().arg("--help").output().unwrap(), 0, "75   refused for now", "");
}

#[test]
fn others_may_look_and_not_drain() {
    if !rustix::process::geteuid().is_root() {
        // Only root can run a command as somebody else.
        return;
    }
    let fake = Fake::start("others", Script::Obliging);
    let as_nobody = |arguments: &[&str]| fake.command(arguments).uid(65534).gid(65534).output().unwrap();
    expect(&as_nobody(&["status"]), 0, "shop is up", "");
    for drain in ["soft", "hard", "restart"] {
        expect(&as_nobody(&[drain]), 77, "", "uid 65534 may look, but not drain");
    }
    fs::set_permissions(fake.directory.join("shop.sock"), fs::Permissions::from_mode(0o660)).unwrap();
    expect(&as_nobody(&["status"]), 77, "", "may be used by root, the agent's own user and the group");
    assert_eq!(fake.requests(), []);
}

#[test]
fn up_waits_until_the_server_is_up() {
    let fake = Fake::start("up", Script::Obliging);
    expect(&fake.drainctl(&["soft", "--no-wait"]), 0, "announced", "");
    expect(&fake.drainctl(&["up"]), 0, "shop is up", "");
}

#[test]
fn run_brings_the_server_back_after_the_command() {
    let fake = Fake::start("run", Script::Obliging);
    let mark = fake.directory.join("mark");
    let touch = format!("echo hello; touch {}", mark.display());
    expect(&fake.drainctl(&["run", "--", "sh", "-c", &touch]), 0, "hello\nshop is up again", "");
    assert!(mark.exists());
    let requests = fake.requests();
    let [Request::Soft(hold), Request::Return(Some(ran))] = &requests[..] else { panic!("{requests:?}") };
    // What stands behind the program's name may be secret.
    assert_eq!((&hold.then, hold.command.as_deref()), (&Some(Then::Hold), Some("sh")));
    assert_eq!(ran.failure, None);
}

#[test]
fn run_returns_the_server_after_a_failed_command_too() {
    let fake = Fake::start("run-failed", Script::Obliging);
    let output = fake.drainctl(&["run", "--hard", "--", "sh", "-c", "exit 3"]);
    expect(&output, 1, "", "the command failed (exit status: 3); shop is up again");
    let requests = fake.requests();
    let [Request::Hard(_), Request::Return(Some(ran))] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(ran.failure.as_deref(), Some("exit status: 3"));
}

#[test]
fn run_waits_for_an_agent_that_is_being_restarted() {
    let fake = Fake::start("run-away", Script::Obliging);
    let (socket, away) = (fake.directory.join("shop.sock"), fake.directory.join("away"));
    let hide = format!("mv {} {}", socket.display(), away.display());
    let mut run = fake.command(&["run", "--", "sh", "-c", &hide]).stdout(Stdio::piped()).spawn().unwrap();
    let start = Moment::now();
    while !away.exists() {
        assert!(Moment::now().since(start) < DEADLINE, "the command was not run");
        thread::yield_now();
    }
    assert!(run.try_wait().unwrap().is_none(), "it has not given up");
    fs::rename(&away, &socket).unwrap();
    expect(&run.wait_with_output().unwrap(), 0, "shop is up again", "");
}

#[test]
fn run_joins_nobody_elses_drain() {
    let fake = Fake::start("run-busy", Script::Busy);
    expect(&fake.drainctl(&["run", "--", "true"]), 75, "", "drain 40 is under way: nothing was run");
    assert_eq!(fake.requests(), []);
}

#[test]
fn up_goes_before_a_command_only_where_force_is_said() {
    let fake = Fake::start("up-force", Script::Obliging);
    for words in [&["up", "--no-wait"][..], &["up", "--force", "--no-wait"]] {
        assert!(fake.drainctl(words).status.success(), "{words:?}");
    }
    assert_eq!(fake.requests(), [Request::Up, Request::UpByForce]);
}

#[test]
fn run_of_a_program_that_is_not_there_asks_nothing() {
    let fake = Fake::start("run-none", Script::Obliging);
    expect(&fake.drainctl(&["run", "--", "no-such-program-here"]), 64, "", "there is no program");
    assert_eq!(fake.requests(), []);
}

/// Starts a command that waits, and interrupts it when it has shown `line`.
fn interrupted(mut command: Command, line: &str) -> Output {
    use std::io::{BufRead, BufReader, Read};
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    while !stderr.contains(line) {
        assert!(errors.read_line(&mut stderr).unwrap() > 0, "{line:?} in {stderr}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    errors.read_to_string(&mut stderr).unwrap();
    let output = child.wait_with_output().unwrap();
    Output { stderr: stderr.into_bytes(), ..output }
}

#[test]
fn ctrl_c_leaves_a_restart_running_and_says_how_to_cancel() {
    let fake = Fake::start("ctrl-c", Script::Stuck);
    let output = interrupted(fake.command(&["restart"]), "shop soft 404");
    let cancel = format!(
        "drain 41 goes on: `drainctl --socket {} up` cancels it",
        fake.directory.join("shop.sock").display()
    );
    expect(&output, 130, "", &cancel);
    assert!(matches!(fake.requests()[..], [Request::Soft(_)]));
}

#[test]
fn ctrl_c_before_the_command_cancels_a_run() {
    let fake = Fake::start("ctrl-c-run", Script::Stuck);
    let output = interrupted(fake.command(&["run", "--", "true"]), "shop soft 404");
    expect(&output, 130, "", "nothing was run, and the drain is cancelled");
    assert!(matches!(fake.requests()[..], [Request::Soft(_), Request::UpByForce]));
}

/// Two drains, as an agent has written them down, and half a line.
const HISTORY: &str = r#"{"drain":1,"server":"shop","asked_unix":1000,"what":"hard","then":null,"origin":"agent","reason":null,"outcome":"cancelled","text":"asked: up","ended_at":3.0,"steps":[],"acknowledgements":[],"traffic":[],"cut":null,"restarts":[],"ready_at":null,"users_back_at":null,"agent_restarts":0}
{"drain":2,"server":"shop","asked_unix":2000,"what":"soft","then":"restart","origin":{"signal":{"signal":"SIGUSR1","pid":7,"uid":0}},"reason":"new release","outcome":"done","text":"the server is back","ended_at":9.0,"steps":[{"at":0.0,"from":"up","to":"soft","why":"asked: new release"}],"acknowledgements":[{"at":0.5,"level":"soft","source":"10.0.0.2","node":"lb1","name":null,"how":"proven"}],"traffic":[{"at":0.1,"in_flight":4,"idle":1,"users":null},{"at":8.0,"in_flight":0,"idle":0,"users":null}],"cut":{"at":7.0,"in_flight":2,"peers":[{"address":"10.0.0.9","in_flight":2}],"unknown":null},"restarts":[{"at":7.0,"seconds":0.7,"failure":null,"output":"said"}],"ready_at":9.0,"users_back_at":9.5,"agent_restarts":0}
{"drain":3,"server":"sh"#;

#[test]
fn the_history_lists_the_last_drains_and_shows_one_whole() {
    let fake = Fake::start("history", Script::Stuck);
    expect(&fake.drainctl(&["history"]), 0, "there is no history yet", "");
    expect(&fake.drainctl(&["history", "show"]), 1, "", "there is no history yet");
    fs::write(fake.directory.join("shop.history.jsonl"), HISTORY).unwrap();
    let table = fake.drainctl(&["history"]);
    expect(&table, 0, "new release", "");
    assert_eq!(String::from_utf8_lossy(&table.stdout).lines().count(), 3, "head and two drains");
    expect(
        &fake.drainctl(&["history", "show"]),
        0,
        "lb1 (10.0.0.2) acknowledges soft: its header says so",
        "",
    );
    expect(&fake.drainctl(&["history", "show", "2"]), 0, "in flight, at most 4", "");
    expect(&fake.drainctl(&["history", "show", "3"]), 1, "", "the history knows no drain 3");
    let one: Value =
        serde_json::from_slice(&fake.drainctl(&["history", "--last", "1", "--json"]).stdout).unwrap();
    assert_eq!((one[0]["drain"].as_u64(), one[1].as_u64()), (Some(2), None));
    let whole = fake.drainctl(&["--json", "history", "show", "2"]).stdout;
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["traffic"][0]["in_flight"], 4);
    expect(&fake.drainctl(&["history", "--last", "0"]), 64, "", "1..=500");
}

#[test]
fn watch_shows_each_change() {
    use std::io::{BufRead, BufReader};
    let fake = Fake::start("watch", Script::Stuck);
    let mut watch = fake.command(&["watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Status>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next().phase, Phase::Up);
    expect(&fake.drainctl(&["soft", "--no-wait"]), 0, "announced", "");
    assert_eq!(next().phase, Phase::Soft);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// The guard's hook at a stop, where systemctl can't reach systemd.
fn guarded_stop(fake: &Fake, limit: &str) -> Output {
    let systemctl = fake.directory.join("systemctl");
    fs::write(&systemctl, "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    let mut stop = fake.command(&["guarded", "stop", "apache2", "--mode", "hard", "--limit", limit]);
    stop.env("PATH", &fake.directory).output().unwrap()
}

#[test]
fn a_guard_drains_though_systemd_tells_nothing() {
    let fake = Fake::start("guarded", Script::Obliging);
    expect(&guarded_stop(&fake, "60s"), 0, "apache2.service: drained: nobody uses the server", "");
    let options = Options {
        then: Some(Then::Hold),
        reason: Some("apache2.service is stopped or restarted".to_owned()),
        // The stop and the start may last for ever.
        for_seconds: Some(60 + 600 + 600),
        ..Options::default()
    };
    assert_eq!(fake.requests(), [Request::Hard(options)]);
}

#[test]
fn a_guard_that_is_refused_for_the_sake_of_users_asks_again_until_its_limit() {
    let fake = Fake::start("guarded-refused", Script::Refusing);
    let output = guarded_stop(&fake, "5s");
    expect(&output, 0, "waits for others to come back: 1 server would remain", "the limit of 5s has passed");
    let asked = fake.requests();
    assert!(asked.len() > 1, "{asked:?}");
    let forced = |request: &Request| matches!(request, Request::Hard(options) if options.force);
    assert!(!asked.iter().any(forced), "there are others: {asked:?}");
}
