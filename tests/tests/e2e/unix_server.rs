//! A real gunicorn behind a unix socket, where the kernel keeps no times and no counts.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use drain_agent::{control::api::Outcome, lifecycle::Phase};
use drain_tests::{Agent, PATIENCE, Place, child::Child};
use rustix::process::Signal;

/// Reads the whole request and then answers.
const APP: &str = r"
def app(environ, start_response):
    environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    start_response('200 OK', [('Content-Length', '4')])
    return [b'done']
";

fn gunicorn(place: &Place, socket: &Path) -> Child {
    let dir = place.subdir("gunicorn");
    fs::write(dir.join("shop.py"), APP).expect("write the application");
    let mut command = place.command("gunicorn");
    command.args(["--workers", "2", "--worker-tmp-dir"]).arg(&dir).arg("--bind");
    command.arg(format!("unix:{}", socket.display())).arg("--chdir").arg(&dir).arg("shop:app");
    Child::start(place, &dir, "gunicorn", command, |line| line.contains("[ERROR]"))
}

fn agent(place: &Place, socket: &Path) -> Agent {
    Agent::guarding_doors(place, "agent", format!("unix = [{:?}]", socket.display().to_string()))
        .acknowledge("1s", "proceed")
        .proof("none")
        .hard_quiet("1s")
        .min_remaining(0)
}

/// A request of which the last two bytes are missing: the worker has it, and waits.
fn half_a_request(socket: &Path) -> UnixStream {
    let mut user = UnixStream::connect(socket).expect("a connection");
    user.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab").expect("half a request");
    user
}

#[test]
fn a_request_to_a_unix_socket_holds_a_drain_until_it_is_answered() {
    let place = Place::new("unix_server");
    let socket = place.public().join("app.sock");
    let _server = gunicorn(&place, &socket);
    let agent = agent(&place, &socket).hard_limit("10m", "abort").start();
    agent.wait_for_phase(Phase::Up, PATIENCE);

    let before = agent.last_ended();
    let mut user = half_a_request(&socket);
    agent.signal(Signal::USR2);
    agent.wait_until("the request to be seen", PATIENCE, |status| {
        status.phase == Phase::Hard && status.traffic.in_flight == Some(1) && status.acknowledged.complete
    });
    user.write_all(b"cd").expect("the other half");
    let mut answer = String::new();
    user.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    agent.wait_for_success(before, PATIENCE);
    assert_eq!(agent.status().drains.last().map(|drain| drain.outcome), Some(Outcome::Done));
}

#[test]
fn a_connection_to_a_unix_socket_that_is_silent_for_long_is_ignored_where_that_is_asked() {
    let place = Place::new("unix_ignored");
    let socket = place.public().join("app.sock");
    let _server = gunicorn(&place, &socket);
    let mut agent = agent(&place, &socket).long_lived("ignore after 2s").hard_limit("10m", "abort").start();
    agent.wait_for_phase(Phase::Up, PATIENCE);

    let before = agent.last_ended();
    let _user = half_a_request(&socket);
    agent.signal(Signal::USR2);
    agent.wait_for_success(before, PATIENCE);
    drain_tests::agent::logged(
        &mut agent,
        "1 open, not waited for by drain.long_lived = \"ignore after 2s\"",
    )
    .unwrap();
}
