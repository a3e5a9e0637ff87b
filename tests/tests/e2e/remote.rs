//! `drainctl` on another host: over HTTPS, with a token.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output, time::Duration};

use drain_agent::lifecycle::Phase;
use drain_tests::{Agent, Nginx, Place, agent::logged, place, port};

/// Everything that is waited for here takes less than a second on a quiet machine.
const DEADLINE: Duration = Duration::from_secs(20);

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
    expect(&ctl(&monitor, &["status"]), 0, "agent is up (answers 200)");
    expect(&ctl(&monitor, &["hard", "--no-wait"]), 77, "the token monitor is for looking");
    expect(&ctl(&wrong, &["hard", "--no-wait"]), 77, "Authorization: Bearer");
    expect(&ctl(&ca, &["status"]), 64, "expected");
    agent.wait_for_phase(Phase::Up, DEADLINE);
    expect(&ctl(&deploy, &["hard", "--no-wait", "--reason", "far away"]), 0, "");
    agent.wait_for_phase(Phase::Hard, DEADLINE);
    expect(&ctl(&monitor, &["status"]), 0, "by drainctl with the token deploy from 127.0.0.1: far away");
    let doctor = String::from_utf8_lossy(&ctl(&deploy, &["doctor"]).stdout).into_owned();
    place.check(doctor.contains(&format!("{address} is open, as configured")), &doctor);
    expect(&ctl(&deploy, &["up"]), 0, "is up");
    let mut untrusted = place.command(place::built("drainctl"));
    untrusted.args(["--url", &format!("https://localhost:{}", address.port()), "--token-file"]).arg(&deploy);
    let other = place::certificates().join("other.pem");
    expect(&untrusted.arg("--ca").arg(other).arg("status").output().unwrap(), 1, "is not trusted");
    place.wait_for("who asked in the log", DEADLINE, || {
        logged(&mut agent, "control port, token deploy from 127.0.0.1")
    });
}
