//! The `Cookie` header: whom it belongs to, and what is left of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use drain_proxy::{
    backend::{
        Backend,
        persistence::{Answered, Passage, Persistence, Request, cookie_passage},
    },
    config::Config,
};

pub(super) const WORDS: &[&[u8]] = &[
    b"SID=a",
    b"SID=b|~abcdefghijkl",
    b"SID=a|AAAAB|AAAAC",
    b"sid=a",
    b"SIDX=1",
    b"x=1; SID=a; y=2",
    b"SID = \"a\"",
    b"$Version=1; SID=a; $Path=/",
    b"x=\"a;SID=b\"",
    b"=",
    b";",
    b",",
    b"\"",
    b"\\",
    b"$",
    b"|",
    b" ",
];

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static SHOP: LazyLock<Arc<Backend>> = LazyLock::new(|| {
    let text = r#"
        [frontend.web]
        bind = ["127.0.0.1:1"]
        backend = "shop"
        [backend.shop]
        cookie = { name = "SID", count_users = true, maxidle = "30m", maxlife = "8h" }
        server = [
            { name = "a", address = "127.0.0.1:2", cookie = "a" },
            { name = "b", address = "127.0.0.1:3", cookie = "b" },
        ]
    "#;
    let nobody = |_: &str, _| Err(std::io::ErrorKind::Unsupported.into());
    let config = Config::parse("the fuzzed configuration", text, &nobody).expect("a sound configuration");
    Backend::new(config.backends[0].clone())
});

/// Nothing of ours reaches a server, and everything else does.
pub(super) fn run(input: &[u8]) {
    // No head has one with these.
    if input.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return;
    }
    let input = input.trim_ascii();
    let request = Request { target: b"/", client: CLIENT, ruled: None };
    let persistence =
        Persistence::read(&SHOP, std::iter::once(input), request, wall).expect("there is a cookie");
    for server in SHOP.servers() {
        let fields = || [(&b"set-cookie"[..], input)].into_iter();
        let answered = Answered { is_post: false, is_safe: true, status: 200, fields, server };
        let answer = persistence.answer(&SHOP, &answered, wall).expect("there is a cookie");
        if let Some(sent) = answer.set_cookie() {
            assert!(sent.starts_with(b"SID="), "{}", sent.escape_ascii());
            assert!(sent.iter().all(|byte| matches!(byte, 0x20..=0x7e)), "{}", sent.escape_ascii());
        }
        let _ = answer.passage(input);
    }
    let left = match cookie_passage(&SHOP, input) {
        Passage::Unchanged => input.to_vec(),
        Passage::Dropped => Vec::new(),
        Passage::Replaced(value) => value,
    };
    assert!(left.len() <= input.len(), "it grew");
    assert_eq!(
        cookie_passage(&SHOP, &left),
        Passage::Unchanged,
        "not all was taken: {}",
        left.escape_ascii()
    );
    if is_plain(input) {
        let others = pairs(input).filter(|pair| !pair.starts_with(b"SID="));
        assert!(others.eq(pairs(&left)), "{} became {}", input.escape_ascii(), left.escape_ascii());
    }
}

/// Some day of 2025.
fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_839_456)
}

/// Without quotes, attributes and other oddities, where everybody agrees on what the cookies are.
fn is_plain(value: &[u8]) -> bool {
    let is_plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b';' | b' ' | b'|' | b'~');
    value.iter().all(is_plain) && !value.windows(2).any(|pair| matches!(pair, b" =" | b"= "))
}

fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}
