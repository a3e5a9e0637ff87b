//! `drainctl` on another host: over HTTPS, with a token.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Output};

use drain_agent::lifecycle::Phase;
use drain_tests::{Agent, Nginx, PATIENCE, Place, agent::logged, client::Connection, place, port};
use rustix::process::Signal;

const DEPLOY: &str = "0123456789abcdef-deploy";
const MONITOR: &str = "0123456789abcdef-monitor";

#[test]
fn a_token_drains_from_afar_and_without_one_nobody_does() {
    let place = Place::new("remote");
    let nginx = Nginx::new(&place, "shop").start();
    let address = port::free();
    let tokens = format!("deploy {DEPLOY}\nmonitor {MONITOR} look\n");
    let mut agent =
        Agent::guarding(&place, "agent", nginx.address().port()).controlled_at(address, &tokens).start();
    let file = |name: &str, text: &str| {
        let path = agent.dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (deploy, monitor) = (file("deploy", DEPLOY), file("monitor", &format!("monitor {MONITOR} look")));
    let wrong = file("wrong", "0123456789abcdef-nobody");
    let ca = agent.dir().join("ca.pem");
    let ctl = |token: &Path, words: &[&str]| -> Output {
        let mut command = place.command(place::built("drainctl"));
        command.args(["--url", &format!("https://localhost:{}", address.port())]);
        command.arg("--token-file").arg(token).arg("--ca").arg(&ca).args(words);
        command.output().unwrap()
    };
    let expect = |output: &Output, code: i32, text: &str| {
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        place.check(
            output.status.code() == Some(code) && said.contains(text),
            &format!("expected {code} and {text:?}, found {output:?}"),
        );
    };
    agent.wait_for_phase(Phase::Up, PATIENCE);
    expect(&ctl(&monitor, &["status"]), 0, "agent is up (answers 200)");
    expect(&ctl(&monitor, &["hard", "--no-wait"]), 77, "the token monitor is for looking");
    expect(&ctl(&wrong, &["hard", "--no-wait"]), 77, "Authorization: Bearer");
    expect(&ctl(&ca, &["status"]), 64, "expected");
    expect(&ctl(&deploy, &["hard", "--no-wait", "--reason", "far away"]), 0, "");
    agent.wait_for_phase(Phase::Hard, PATIENCE);
    expect(&ctl(&monitor, &["status"]), 0, "by drainctl with the token deploy from 127.0.0.1: far away");
    let doctor = String::from_utf8_lossy(&ctl(&deploy, &["doctor"]).stdout).into_owned();
    place.check(doctor.contains(&format!("{address} is open, as configured")), &doctor);
    expect(&ctl(&deploy, &["up"]), 0, "is up");
    let mut untrusted = place.command(place::built("drainctl"));
    untrusted.args(["--url", &format!("https://localhost:{}", address.port()), "--token-file"]).arg(&deploy);
    let other = place::certificates().join("other.pem");
    expect(&untrusted.arg("--ca").arg(other).arg("status").output().unwrap(), 1, "is not trusted");
    place.wait_for("who asked in the log", PATIENCE, || {
        logged(&mut agent, "control port, token deploy from 127.0.0.1")
    });
}

#[test]
fn an_agent_without_usable_tokens_answers_the_balancers_and_opens_its_port_when_they_are_mended() {
    let place = Place::new("remote_closed");
    let nginx = Nginx::new(&place, "shop").start();
    let address = port::free();
    let mut agent = Agent::guarding(&place, "agent", nginx.address().port())
        .controlled_at(address, "deploy short")
        .start();
    agent.child().expect_error("the control port is closed: control.token_file: ");
    agent.wait_for_phase(Phase::Up, PATIENCE);
    let tokens = agent.dir().join("tokens");
    let shown = String::from_utf8_lossy(&agent.ctl(&["status"]).stdout).into_owned();
    place.check(shown.contains("the control port is closed") && shown.contains("tokens:1"), &shown);
    let doctor = String::from_utf8_lossy(&agent.ctl(&["doctor"]).stdout).into_owned();
    place.check(doctor.contains("FAILS    control_port"), &doctor);
    // What is still wrong stays so; all the rest of the configuration holds.
    agent.signal(Signal::HUP);
    place.wait_for("the reload in the log", PATIENCE, || logged(&mut agent, "the configuration is reloaded"));
    let shown = String::from_utf8_lossy(&agent.ctl(&["status"]).stdout).into_owned();
    place.check(shown.contains("the control port is closed") && shown.contains("tokens:1"), &shown);
    fs::write(&tokens, format!("deploy {DEPLOY}\n")).unwrap();
    agent.signal(Signal::HUP);
    agent.wait_until("no warning", PATIENCE, |status| status.warnings.is_empty());
    let token = agent.dir().join("deploy");
    fs::write(&token, DEPLOY).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let mut far = place.command(place::built("drainctl"));
    far.args(["--url", &format!("https://localhost:{}", address.port()), "--token-file"]).arg(&token);
    let far = far.arg("--ca").arg(agent.dir().join("ca.pem")).arg("status").output().unwrap();
    place.check(far.status.success(), &format!("{far:?}"));
}

#[test]
fn what_the_control_side_lacks_keeps_nobody_from_being_answered_and_is_had_after_a_reload() {
    let place = Place::new("remote_lacks");
    let nginx = Nginx::new(&place, "shop").start();
    let taken = [port::free(), port::free()].map(|address| TcpListener::bind(address).unwrap());
    let [control, metrics] = [0, 1].map(|n| taken[n].local_addr().unwrap());
    let mut agent = Agent::guarding(&place, "agent", nginx.address().port())
        .with_metrics(metrics)
        .control_line("group = \"no-such-group-here\"")
        .controlled_at(control, &format!("deploy {DEPLOY}"))
        .start();
    for fault in ["control.group: ", "the control port is closed: can't listen on ", "can't listen on "] {
        agent.child().expect_error(fault);
    }
    let status = agent.wait_for_phase(Phase::Up, PATIENCE);
    place.check(status.warnings.len() == 3, &format!("{:?}", status.warnings));
    let doctor = String::from_utf8_lossy(&agent.ctl(&["doctor"]).stdout).into_owned();
    for text in ["no-such-group-here", "the control port is closed", "for metrics"] {
        place.check(doctor.contains(text), &doctor);
    }
    drop(taken);
    let file = agent.dir().join("agent.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace("no-such-group-here", "root")).unwrap();
    agent.signal(Signal::HUP);
    agent.wait_until("no warning", PATIENCE, |status| status.warnings.is_empty());
    let numbers = Connection::open(metrics).and_then(|mut stream| stream.fetch("GET", "/metrics", &[], b""));
    let page = String::from_utf8_lossy(&numbers.unwrap().body).into_owned();
    for line in [
        "drain_agent_failures_total{what=\"metrics_port\"} 1",
        "drain_agent_control_certificate_expiry_timestamp_seconds{certificate=\"server\"} 32503679999.0",
    ] {
        place.check(page.lines().any(|own| own == line), &page);
    }
}
