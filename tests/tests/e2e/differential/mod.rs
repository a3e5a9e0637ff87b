//! The same bytes to drain-proxy and to the real HAProxy, before the same recording server: what the client is answered
//! and what the server receives is the same, but for the differences that are wanted and listed.

mod cases;
mod recorder;
mod wanted;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use drain_tests::{Haproxy, Place, Proxy, haproxy::Server};

use self::{
    cases::Case,
    recorder::{Recorded, Recorder},
    wanted::Wanted,
};

/// Everything ends at once, because the client closes its half. Only what never ends takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Outcome {
    /// The statuses of the answers, in order.
    statuses: Vec<u16>,
    /// What the client got of the last answer's body.
    body: Vec<u8>,
    /// What the server understood.
    requests: Vec<Recorded>,
    /// The client's connection never ended.
    hangs: bool,
}

#[test]
fn a_client_and_a_server_see_no_difference_but_those_that_are_wanted() {
    let place = Place::new("differential");
    let (of_ours, of_theirs) = (Recorder::start(), Recorder::start());
    let ours = Proxy::new(&place, "ours").server("s1", of_ours.address(), None).start();
    let theirs = Haproxy::new(&place, "theirs").server(Server::new("s1", of_theirs.address())).start();
    let cases = cases::all();
    let mut wrong = Vec::new();
    for case in &cases {
        let one = outcome(case, ours.address(), &of_ours);
        let other = outcome(case, theirs.address(), &of_theirs);
        if let Some(executed) = case.executed.filter(|executed| *executed != one.requests.len()) {
            wrong.push(format!("{}: {executed} requests are in it\n  ours   {one:?}", case.name));
        }
        match (wanted::of(&case.name), one == other) {
            (None, false) => wrong.push(format!("{}\n  ours   {one:?}\n  theirs {other:?}", case.name)),
            (Some(Wanted { kind, reason }), _) if !kind.fits(&one, &other) => {
                wrong.push(format!(
                    "{}: not as wanted ({reason})\n  ours   {one:?}\n  theirs {other:?}",
                    case.name
                ));
            }
            _ => {}
        }
    }
    place
        .check(wrong.is_empty(), &format!("{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n")));
}

fn outcome(case: &Case, proxy: SocketAddr, recorder: &Recorder) -> Outcome {
    recorder.begin(case.response.as_deref());
    let mut stream = TcpStream::connect(proxy).expect("connect to the proxy");
    stream.set_read_timeout(Some(PATIENCE)).expect("a patience that is not zero");
    // Who has refused the first bytes may close before the last.
    let _ = stream.write_all(&case.request).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let hangs = stream.read_to_end(&mut answer).is_err_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    });
    let head_only = case.request.starts_with(b"HEAD");
    let (statuses, body) = read_answers(&answer, head_only);
    Outcome { statuses, body, requests: recorder.requests(), hangs }
}

/// The statuses of the answers, and the last one's body as the client reads it.
fn read_answers(mut answer: &[u8], head_only: bool) -> (Vec<u16>, Vec<u8>) {
    let (mut statuses, mut body) = (Vec::new(), Vec::new());
    while let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let Some(status) = head.strip_prefix("http/1.").and_then(|rest| rest.get(2..5)?.parse().ok()) else {
            break;
        };
        statuses.push(status);
        answer = &answer[end + 4..];
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_bodiless = head_only || matches!(status, 100 | 102 | 103 | 204 | 304);
        let length = match value("content-length:").and_then(|length| length.parse::<usize>().ok()) {
            _ if is_bodiless => 0,
            Some(length) if value("transfer-encoding:").is_none() => length.min(answer.len()),
            _ => answer.len(),
        };
        body = answer[..length].to_vec();
        // The texts of errors are compared where they are made.
        if body.starts_with(b"<html>") {
            body.clear();
        }
        answer = &answer[length..];
    }
    (statuses, body)
}
