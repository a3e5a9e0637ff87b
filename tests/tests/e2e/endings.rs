//! Drains that end otherwise than by one restart, and what is told of them.

use std::fs;

use drain_agent::{
    control::api::{Outcome, Record, Status, Then},
    lifecycle::Phase,
};
use drain_tests::{Agent, Load, PATIENCE, Place, agent::logged, apache::RECORD, child::Child, place::holds};
use rustix::process::Signal;

use crate::farm::{self, Farm};

fn said(agent: &Agent, words: &[&str]) -> String {
    String::from_utf8_lossy(&agent.ctl(words).stdout).into_owned()
}

fn last_record(agent: &Agent) -> Record {
    let shown = said(agent, &["--json", "history", "show"]);
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error} in {shown}"))
}

#[test]
fn a_server_is_stopped_when_nobody_uses_it_and_a_restart_brings_it_back() {
    let place = Place::new("stopped");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let out = agent.ctl(&["hard", "--then", "stop"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!((agent.phase(), apache.pid(), apache.restarts().len()), (Phase::Hard, None, 0));
    let status = said(agent, &["status"]);
    place.check(status.contains("hard, stopped, "), &status);
    let history = said(agent, &["history"]);
    place.check(history.contains("hard, stop  stopped"), &history);
    balancer.wait_for_status("s1", "DOWN", PATIENCE);
    farm::let_run(&place, &load, 50);

    let out = agent.ctl(&["up"]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    assert!(why.contains("`drainctl restart` starts it"), "{why}");

    let out = agent.ctl(&["restart", "--hard"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(apache.restarts().len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_drain_of_a_stated_time_is_over_by_itself() {
    let place = Place::new("stated_time");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];

    let drain = farm::drained(agent, |agent| {
        let out = agent.ctl(&["soft", "--for", "3s", "--no-wait"]);
        assert!(out.status.success(), "{out:?}");
    });
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert!(farm.apaches[0].restarts().is_empty());
    balancer.wait_for_status("s1", "UP", PATIENCE);
}

#[test]
fn a_restart_that_fails_is_tried_again_and_the_server_is_warmed_up_before_its_users_come() {
    let place = Place::new("retries");
    let keys = format!("retries = 100\nretry_after = \"500ms\"\nwarm_up = [\"{RECORD}?warm\"]");
    let mut farm = Farm::new(&place, 2, |agent| agent.restart_line(&keys));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    apache.break_restarts("the port is taken\n");
    let restart = agent.ctl_in_background(&["restart", "--hard"]);
    agent.wait_until("a further try", PATIENCE, |status: &Status| {
        status.phase == Phase::Restarting && status.reason.contains(" of 101")
    });
    apache.mend_restarts();
    let out = restart.join().expect("drainctl ends");
    assert!(out.status.success(), "{out:?}");

    let record = last_record(agent);
    let (last, before) = record.restarts.split_last().expect("tries");
    assert!(last.failure.is_none() && !before.is_empty(), "{record:#?}");
    let told =
        before.iter().all(|one| one.failure.as_ref().is_some_and(|why| why.contains("the port is taken")));
    assert!(told, "{record:#?}");
    assert_eq!((apache.restarts().len(), apache.recorded()), (1, "GET warm \n".to_owned()));
    let drain = agent.status().drains.pop().expect("the drain");
    assert_eq!(drain.restart_seconds, Some(last.seconds), "status and history");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    agent.wait_until("the users' return", PATIENCE, |status| {
        status.drains.last().is_some_and(|drain| drain.users_back_seconds.is_some())
    });
    load.finish().assert_nobody_hurt(&place, farm.orders());
    logged(&mut farm.agents[0], "the balancers send users again").expect("it is in the log");
}

#[test]
fn a_command_of_the_configuration_is_run_when_nobody_uses_the_server_and_that_comes_back() {
    let place = Place::new("run_named");
    // What it does is up to it: here it restarts the server.
    let farm = Farm::new(&place, 2, |agent| {
        let restart = agent.restart_words();
        agent.running("upgrade", &restart).drain_line("then = \"run:upgrade\"")
    });
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let out = agent.ctl(&["hard", "--then", "run:nothing"]);
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    assert_eq!(agent.phase(), Phase::Up);

    let out = agent.ctl(&["soft", "--then", "run:upgrade"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!((agent.phase(), apache.restarts().len()), (Phase::Up, 1));
    let record = last_record(agent);
    assert_eq!((record.outcome, &record.then), (Some(Outcome::Done), &Some(Then::Run("upgrade".into()))));
    assert_eq!(record.restarts.len(), 1, "{record:#?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);

    let drain = farm::drained(agent, |agent| agent.signal(Signal::USR2));
    assert_eq!(drain.outcome, Outcome::Done, "{drain:#?}");
    assert_eq!((apache.restarts().len(), last_record(agent).then), (2, Some(Then::Run("upgrade".into()))));
    balancer.wait_for_status("s1", "UP", PATIENCE);
    farm::let_run(&place, &load, 50);
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn a_command_of_the_configuration_that_fails_leaves_the_server_out_and_is_not_run_again() {
    let place = Place::new("run_named_fails");
    let ran = place.public().join("ran");
    let script = format!("echo once >>{}; echo no space left >&2; exit 28", ran.display());
    let farm = Farm::new(&place, 2, |agent| {
        agent.running("upgrade", &["sh".into(), "-c".into(), script.clone()]).restart_line("retries = 3")
    });
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];

    let out = agent.ctl(&["hard", "--then", "run:upgrade"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let told = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    place.check(told.contains("no space left"), &told);
    assert_eq!(agent.phase(), Phase::Failed);
    assert_eq!(fs::read_to_string(&ran).expect("it has run"), "once\n");
    balancer.wait_for_status("s1", "DOWN", PATIENCE);

    let out = agent.ctl(&["up"]);
    assert!(out.status.success(), "{out:?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    assert_eq!(fs::read_to_string(&ran).expect("it has run"), "once\n");
}

#[test]
fn what_drainctl_has_run_is_in_the_history_with_how_it_ended() {
    let place = Place::new("ran");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (agent, apache) = (&farm.agents[0], &farm.apaches[0]);

    let restart = apache.restart_command().display().to_string();
    let script = format!("{restart}; exit 3");
    let out = agent.ctl(&["run", "--hard", "--reason", "upgrade", "--", "sh", "-c", &script]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(apache.restarts().len(), 1);
    balancer.wait_for_status("s1", "UP", PATIENCE);
    let record = last_record(agent);
    assert_eq!(record.command.as_deref(), Some("sh"), "its arguments may hold a password");
    assert_eq!((record.outcome, &record.then), (Some(Outcome::Done), &Some(Then::Hold)), "{record:#?}");
    let [ran] = &record.restarts[..] else { panic!("{record:#?}") };
    assert_eq!(ran.failure.as_deref(), Some("exit status: 3"));
    assert!(ran.seconds > 0.0, "{ran:?}");
}

#[test]
fn a_drainctl_that_is_killed_while_it_runs_a_command_is_missed_and_the_server_stays_out() {
    let place = Place::new("run_killed");
    let farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];

    let began = place.public().join("began");
    let script = format!("touch {}; sleep 600", began.display());
    let command = agent.ctl_command(&["run", "--hard", "--", "sh", "-c", &script]);
    let mut drainctl = Child::start(&place, &place.subdir("drainctl"), "drainctl", command, |_| false);
    place.wait_for("the command", PATIENCE, || holds(began.exists(), || "it has not begun".to_owned()));
    drainctl.may_end();
    drainctl.signal(Signal::KILL);
    place.wait_for("its end", PATIENCE, || drainctl.ended().map(drop).ok_or_else(|| "it runs".to_owned()));

    let status = agent.wait_until("the warning", PATIENCE, |status| {
        status.warnings.iter().any(|warning| warning.contains("has gone (pid "))
    });
    assert_eq!(status.phase, Phase::Hard);
    let out = agent.ctl(&["up"]);
    assert!(out.status.success(), "{out:?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
}

#[test]
fn nobody_restarts_a_server_or_brings_it_up_while_drainctl_runs_a_command_on_it() {
    let place = Place::new("run_alone");
    let mut farm = Farm::new(&place, 2, |agent| agent);
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let (began, done) = (place.public().join("began"), place.public().join("done"));
    let script = format!("touch {}; until test -e {}; do sleep 0.05; done", began.display(), done.display());
    let run = farm.agents[0].ctl_in_background(&["run", "--hard", "--", "sh", "-c", &script]);
    place.wait_for("the command", PATIENCE, || holds(began.exists(), || "it has not begun".to_owned()));

    farm.agents[0].signal(Signal::USR2);
    place.wait_for("the signal's refusal", PATIENCE, || logged(&mut farm.agents[0], "refused: command_runs"));
    let agent = &farm.agents[0];
    for words in [&["up"][..], &["restart"], &["hard", "--then", "stop"]] {
        let out = agent.ctl(words);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(75), "{words:?}: {out:?}");
        assert!(why.contains("holds the server for the command \"sh\""), "{why}");
    }
    let second = agent.ctl(&["run", "--", "true"]);
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert_eq!((agent.phase(), farm.apaches[0].restarts().len()), (Phase::Hard, 0));

    fs::write(&done, "").expect("the command is let go");
    let out = run.join().expect("a thread");
    assert!(out.status.success(), "{out:?}");
    balancer.wait_for_status("s1", "UP", PATIENCE);
    assert_eq!(farm.apaches[0].restarts().len(), 0);
}
