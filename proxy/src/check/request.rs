//! What a check sends: HAProxy's bytes, and the header by which the balancer tells the server how it sees it.

use std::io::Write;

use tokio::time::Instant;

use super::machine::Machine;
use crate::backend::{Backend, Operation, Server};
use crate::config::{Check, HttpVersion};

/// The bytes of a request; none where a connection is all that is wanted. `state` is the value of `x-haproxy-server-state`, if it is sent.
pub(super) fn bytes(check: &Check, state: Option<&str>) -> Vec<u8> {
    let Some(request) = &check.request else { return Vec::new() };
    let version = match request.version {
        HttpVersion::Http10 => "HTTP/1.0",
        HttpVersion::Http11 => "HTTP/1.1",
    };
    let mut out = format!("{} {} {version}\r\n", request.method, request.uri);
    let mut field = |name: &str, value: &str| {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    };
    if let Some(host) = &request.host {
        field("host", host);
    }
    for (name, value) in &request.headers {
        field(name, value);
    }
    if let Some(state) = state {
        field("x-haproxy-server-state", state);
    }
    let says_connection = request.headers.iter().any(|(name, _)| &**name == "connection");
    if request.version == HttpVersion::Http11 && !says_connection {
        field("connection", "close");
    }
    // Methods whose requests usually have a body say that there is none.
    let is_bodiless = matches!(&*request.method, "GET" | "HEAD" | "OPTIONS" | "DELETE" | "TRACE");
    if !request.body.is_empty() || !is_bodiless {
        field("content-length", &request.body.len().to_string());
    }
    out.push_str("\r\n");
    out.push_str(&request.body);
    out.into_bytes()
}

/// How this balancer sees a server: `UP; address=10.0.0.1; port=80; name=shop/a; node=lb1; weight=1/3; scur=2/7;
/// qcur=0`, with `; throttle=30%` while it starts slowly, and behind it what only this balancer knows: `; users=3`
/// where there is a cookie, and `; idle=1`.
pub(super) fn state(
    backend: &Backend,
    server: &Server,
    machine: &Machine,
    node: &str,
    now: Instant,
) -> String {
    let settings = server.settings();
    // An earlier process that still finishes what it has asks no more: its requests are this balancer's, too.
    let before = server.elsewhere();
    let in_flight =
        [server.in_flight() + before.in_flight, backend.in_flight() + backend.in_flight_elsewhere()];
    let mut out = Vec::with_capacity(160);
    let write = |out: &mut Vec<u8>| {
        // Its agent may have it down though its checks pass.
        let is_put_down = server.operation() == Operation::Down && machine.operation() != Operation::Down;
        let seen = if is_put_down { "DOWN".to_owned() } else { machine.to_string() };
        write!(out, "{seen}; address={}; port={}", settings.address.ip(), settings.address.port())?;
        write!(out, "; name={}/{}; node={node}", backend.name(), server.name())?;
        write!(out, "; weight={}/{}", backend.effective_weight(server), backend.usable().weight)?;
        write!(out, "; scur={}/{}", in_flight[0], in_flight[1])?;
        write!(out, "; qcur={}", server.queued() + before.queued)?;
        if let Some(reached) = server.throttle(now) {
            write!(out, "; throttle={reached}%")?;
        }
        if backend.settings().cookie.is_some() && settings.cookie.is_some() {
            write!(out, "; users={}", server.users().count(now))?;
        }
        write!(out, "; idle={}", server.idle() + before.idle)
    };
    write(&mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("only text was written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Admission, Wish, fixture};
    use crate::check::machine::Finding;
    use crate::{clock, config};

    fn text(method: &str, version: HttpVersion, host: Option<&str>, state: Option<&str>) -> String {
        let request = config::CheckRequest {
            method: method.into(),
            uri: "/c".into(),
            version,
            host: host.map(Into::into),
            headers: Vec::new(),
            body: "".into(),
        };
        let check = Check { request: Some(request.into()), ..fixture::check() };
        String::from_utf8(bytes(&check, state)).unwrap()
    }

    #[test]
    fn requests_are_the_bytes_of_haproxy() {
        assert_eq!(text("OPTIONS", HttpVersion::Http10, None, None), "OPTIONS /c HTTP/1.0\r\n\r\n");
        assert_eq!(
            text("GET", HttpVersion::Http11, None, None),
            "GET /c HTTP/1.1\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            text("POST", HttpVersion::Http10, None, None),
            "POST /c HTTP/1.0\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(
            text("GET", HttpVersion::Http11, Some("www"), Some("UP")),
            "GET /c HTTP/1.1\r\nhost: www\r\nx-haproxy-server-state: UP\r\nconnection: close\r\n\r\n"
        );
    }

    #[test]
    fn headers_and_a_body_go_with_it() {
        let request = config::CheckRequest {
            method: "OPTIONS".into(),
            uri: "/".into(),
            version: HttpVersion::Http11,
            host: Some("www".into()),
            headers: vec![("x-a".into(), "1".into()), ("connection".into(), "upgrade".into())],
            body: "test".into(),
        };
        let check = Check { request: Some(request.into()), ..fixture::check() };
        assert_eq!(
            String::from_utf8(bytes(&check, Some("UP"))).unwrap(),
            "OPTIONS / HTTP/1.1\r\nhost: www\r\nx-a: 1\r\nconnection: upgrade\r\nx-haproxy-server-state: UP\r\n\
             content-length: 4\r\n\r\ntest"
        );
    }

    #[test]
    fn the_state_says_what_haproxy_says_and_then_users_and_idle() {
        let cookie = config::Cookie::inserted("SID");
        let heavy = config::Server { weight: 3, ..fixture::checked("b") };
        let backend = fixture::backend_of(config::Backend {
            cookie: Some(cookie),
            ..fixture::settings(vec![fixture::checked("a"), heavy])
        });
        let server = &backend.servers()[0];
        let now = clock::now();
        let check = fixture::check();
        let mut machine = Machine::new(check.rise, check.fall);
        assert_eq!(
            state(&backend, server, &machine, "lb1", now),
            "UP 1/3; address=127.0.0.1; port=80; name=shop/a; node=lb1; weight=1/4; scur=0/0; qcur=0; users=0; idle=0"
        );

        machine.step(Finding::Soft { marked: true });
        backend.set_operation(1, Operation::Up, false);
        backend.set_operation(0, Operation::Soft, true);
        server.users().touch(7, now);
        let _slots = [Wish::Pinned(0), Wish::Pinned(1)].map(|wish| match backend.admit(wish) {
            Admission::Granted(slot) => slot,
            other => panic!("expected a slot, got {other:?}"),
        });
        let mut idle = server.try_connection().unwrap();
        idle.set_idle(true);
        assert_eq!(
            state(&backend, server, &machine, "lb1", now),
            "NOLB; address=127.0.0.1; port=80; name=shop/a; node=lb1; weight=1/3; scur=1/2; qcur=0; users=1; idle=1"
        );
    }
}
