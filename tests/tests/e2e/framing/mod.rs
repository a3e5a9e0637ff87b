//! Malformed and ambiguous requests, sent raw to drain-proxy before a real Apache and a real nginx: none
//! reaches the server as two requests, or with another meaning.

mod cases;

use std::net::SocketAddr;

use drain_tests::{
    Apache, Nginx, PATIENCE, Place, Proxy,
    apache::RECORD,
    client::{Connection, Failure},
};

use self::cases::{Case, Fate};

#[test]
fn apache_behind_drain_proxy_sees_no_other_request_than_was_sent() {
    let place = Place::new("framing_apache");
    let mut apache = Apache::new(&place, "s1").start();
    // Requests whose bodies break off are errors in its eyes.
    apache.expect_error("AH01270");
    let proxy = Proxy::new(&place, "lb").server("s1", apache.address(), None).start();
    let mut wrong = send_all(proxy.address());
    place.wait_for("the last request in the log", PATIENCE, || logged(&apache.access_log()));

    let access = apache.access_log();
    let recorded = apache.recorded();
    for case in cases::all() {
        let seen = seen_by_apache(&recorded, case.name);
        wrong.extend(judge(&case, &seen, seen_in_log(&access, case.name)));
    }
    report(&place, &access, &wrong);
}

#[test]
fn nginx_behind_drain_proxy_sees_no_other_request_than_was_sent() {
    let place = Place::new("framing_nginx");
    let nginx = Nginx::new(&place, "s1").start();
    let proxy = Proxy::new(&place, "lb").server("s1", nginx.address(), None).start();
    let mut wrong = send_all(proxy.address());
    place.wait_for("the last request in the log", PATIENCE, || logged(&nginx.access_log()));

    let access = nginx.access_log();
    for case in cases::all() {
        let lines = seen_in_log(&access, case.name);
        // nginx reads no body here: what it logs is the head that it understood.
        let wanted = match &case.fate {
            Fate::Refused(_) => 0..=0,
            Fate::Passed(all) => all.len()..=all.len(),
            Fate::Either(all) => 0..=all.len(),
            Fate::Broken => 0..=1,
        };
        if !wanted.contains(&lines) {
            wrong.push(format!("{}: nginx saw {lines} requests, not {wanted:?}", case.name));
        }
    }
    report(&place, &access, &wrong);
}

/// Sends every case on a connection of its own, with a good request on another one behind it; gives what was
/// wrong with the answers.
fn send_all(proxy: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases::all() {
        if let Err(why) = send(proxy, &case) {
            wrong.push(format!("{}: {why}", case.name));
        }
        if let Err(why) = probe(proxy, case.name) {
            wrong.push(format!("the good request behind {}: {why}", case.name));
        }
    }
    if let Err(why) = probe(proxy, "last") {
        wrong.push(format!("the last request: {why}"));
    }
    wrong
}

fn send(proxy: SocketAddr, case: &Case) -> Result<(), String> {
    let target = format!("{RECORD}?{}", case.name);
    let mut bytes = Vec::new();
    for &byte in &case.bytes {
        if byte == b'@' { bytes.extend_from_slice(target.as_bytes()) } else { bytes.push(byte) }
    }
    let mut connection = Connection::open(proxy).map_err(|e| e.to_string())?;
    connection.set_patience(PATIENCE);
    // A proxy that has refused the first bytes may close before it has read the last.
    let _ = connection.send(&bytes);
    let answer = connection.receive("POST");
    match (&case.fate, answer) {
        (Fate::Refused(statuses), Ok(answer)) if !statuses.contains(&answer.status) => {
            Err(format!("status {}, not one of {statuses:?}", answer.status))
        }
        (Fate::Passed(all), Ok(first)) => {
            let mut answers = vec![first];
            while answers.len() < all.len() {
                answers.push(connection.receive("POST").map_err(|e| format!("a further answer: {e}"))?);
            }
            match answers.iter().find(|a| a.status != 200) {
                Some(bad) => Err(format!("status {}, not 200", bad.status)),
                None => Ok(()),
            }
        }
        (Fate::Passed(_), Err(e)) => Err(e.to_string()),
        (Fate::Either(_), Ok(answer)) if !matches!(answer.status, 200 | 400..500) => {
            Err(format!("status {}", answer.status))
        }
        (_, Err(Failure::NoAnswer(e))) if is_silence(&e) => Err("no answer, and not closed".to_owned()),
        _ => Ok(()),
    }
}

/// Sends a good request, as another user would at the same time: its answer must be its own.
fn probe(proxy: SocketAddr, behind: &str) -> Result<(), String> {
    let mut connection = Connection::open(proxy).map_err(|e| e.to_string())?;
    let answer = connection.fetch("GET", &format!("{RECORD}?probe-{behind}"), &[], b"");
    let answer = answer.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let wanted = format!("GET probe-{behind}\n");
    if answer.status == 200 && text == wanted { Ok(()) } else { Err(format!("{} {text:?}", answer.status)) }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn judge(case: &Case, seen: &[(String, String)], lines: usize) -> Option<String> {
    let is = |all: &[(&str, &str)]| {
        seen.len() == all.len() && seen.iter().zip(all).all(|(s, a)| s.0 == a.0 && s.1 == hexadecimal(a.1))
    };
    let right = match &case.fate {
        Fate::Refused(_) => seen.is_empty() && lines == 0,
        Fate::Passed(all) => is(all) && lines == all.len(),
        // What the proxy passes and Apache refuses is logged, and no more.
        Fate::Either(all) => lines <= all.len() && (seen.is_empty() || is(all)),
        Fate::Broken => lines <= 1 && seen.len() <= 1,
    };
    (!right).then(|| format!("{}: wanted {:?}; recorded {seen:?}, logged {lines}", case.name, case.fate))
}

fn seen_by_apache(recorded: &str, name: &str) -> Vec<(String, String)> {
    recorded
        .lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let (method, query) = (words.next()?, words.next()?);
            (query == name).then(|| (method.to_owned(), words.next().unwrap_or_default().to_owned()))
        })
        .collect()
}

/// How many requests with this name in their query the server logged.
fn seen_in_log(access: &str, name: &str) -> usize {
    let (with_space, with_more) = (format!("?{name} "), format!("?{name}\""));
    access.lines().filter(|line| line.contains(&with_space) || line.contains(&with_more)).count()
}

fn logged(access: &str) -> Result<(), String> {
    if access.contains("?probe-last ") { Ok(()) } else { Err("it is not there".to_owned()) }
}

#[track_caller]
fn report(place: &Place, access: &str, wrong: &[String]) {
    let smuggled: Vec<&str> = access.lines().filter(|line| line.contains("/smuggled")).collect();
    place.check(smuggled.is_empty(), &format!("smuggled: {smuggled:?}\n{}", wrong.join("\n")));
    place.check(wrong.is_empty(), &format!("{} wrong:\n{}", wrong.len(), wrong.join("\n")));
}

/// Two digits for each byte.
fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}
