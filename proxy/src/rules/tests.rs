//! Rules on whole heads.

mod actions;
mod answers;
mod conditions;
mod edits;
mod variables;

use super::{condition::Lists, *};
use crate::{
    config::haproxy::words,
    http1::{Method, RequestHead, ResponseHead, Storage},
};

const HEAD: &str = "GET /shop/a.png?x=1&y=b%20c HTTP/1.1\r\nHost: www.Shop.example:80\r\nX-A: one, two\r\nX-A: three\r\n\
                    Cookie: a=1; SID=s1\r\nContent-Length: 0\r\n\r\n";

fn message(head: &str) -> Message {
    let mut storage = Storage::new();
    Message::of_request(&RequestHead::parse(head.as_bytes(), &mut storage).unwrap())
}

/// A proxy with one backend, whose servers are all down.
pub(crate) struct Village;

impl Farm for Village {
    fn backend(&self, name: &str) -> Option<Members> {
        (name == "shop").then_some(Members { usable: 0, in_flight: 3, queued: 2, free: None })
    }

    fn server(&self, backend: &str, server: &str) -> Option<Occupancy> {
        (backend == "shop" && server == "s1").then_some(Occupancy { is_up: false, in_flight: 1, queued: 2 })
    }

    fn connections(&self) -> u32 {
        7
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_354_459_519)
    }
}

static CAPTURES: Captures =
    Captures { request_headers: Vec::new(), response_headers: Vec::new(), cookie: None };

fn origin() -> Origin<'static> {
    Origin {
        client: "10.1.2.3:4711".parse().unwrap(),
        destination: "192.0.2.1:80".parse().unwrap(),
        method: b"GET",
        line: b"GET /shop/a.png?x=1&y=b%20c HTTP/1.1",
        is_first: true,
        accepted: SystemTime::UNIX_EPOCH,
        number: 0,
        unique_id: Some(b"id7"),
        frontend: "web",
        backend: "shop",
        server: None,
        captures: &CAPTURES,
        farm: &Village,
    }
}

fn rules(lines: &[&str], side: action::Side) -> Rules {
    let rule = |line: &&str| {
        let words = words(line).unwrap();
        let (action, condition) = condition::split(&words);
        let condition = Condition::read(condition, &Lists::default()).unwrap();
        Rule { action: Action::read(side, action).unwrap(), condition }
    };
    let rules = lines.iter().map(rule).collect();
    match side {
        action::Side::Request => Rules { request: rules, ..Rules::default() },
        action::Side::Response => Rules { response: rules, ..Rules::default() },
    }
}

impl Rules {
    /// Of requests.
    pub(crate) fn of_requests(lines: &[&str]) -> Self {
        rules(lines, action::Side::Request)
    }

    /// Statistics at this address, where everybody may order something.
    pub(crate) fn of_statistics(uri: &str) -> Self {
        let statistics = Statistics {
            uri: uri.into(),
            auth: Vec::new(),
            realm: "".into(),
            refresh: None,
            hide_version: false,
            scope: Vec::new(),
            admin: vec![Condition::default()],
        };
        Self { statistics: Some(statistics.into()), ..Self::default() }
    }

    /// Of responses.
    pub(crate) fn of_responses(lines: &[&str]) -> Self {
        rules(lines, action::Side::Response)
    }
}

fn edited(lines: &[&str]) -> String {
    let mut message = message(HEAD);
    let verdict =
        rules(lines, action::Side::Request).request(&mut message, &origin(), &mut Memory::default(), None);
    assert!(verdict.reply.is_none(), "{lines:?}");
    String::from_utf8(message.edited().expect("it is changed")).unwrap()
}
