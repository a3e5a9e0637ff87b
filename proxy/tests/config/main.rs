//! What the proxy says about configurations: each `config/NAME.toml` is wrong, and `config/NAME.err` is what is
//! said about it. `UPDATE_EXPECTED=1 cargo test` writes what is said now.

mod logs;
mod servers;

use std::{fs, io, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};

use drain_proxy::config::{
    AddressField, Agent, BackendIndex, BackendTimeout, Capture, Check, Condition, Config, Cookie, CookieMode,
    Failure, FrontendTimeout, HttpVersion, Layer, Level, LogFormat, LogTarget, Logging, Matches, Observe,
    OnError, Passive, Redispatch, Replay, Retry, RetryOn, Reuse, SyslogHeader, WhenAllDrain,
};
use drain_proxy::proxy_protocol::Version;
use proptest::prelude::*;

/// A resolver that knows one host.
fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        "known.example" => Ok(vec![([192, 0, 2, 7], port).into(), ([192, 0, 2, 8], port).into()]),
        _ => Err(io::Error::other("Name or service not known")),
    }
}

fn parse(text: &str) -> Result<Config, drain_config::Invalid> {
    Config::parse("shop.toml", text, &lookup)
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        seen += 1;
        let said = parse(&fs::read_to_string(&path).unwrap()).expect_err(&path.display().to_string());
        let said = format!("{said}\n");
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(said, expected, "of {}", path.display());
    }
    assert!(seen >= 5, "{seen} files in tests/config");
}

const MINIMAL: &str = r#"
    [frontend.web]
    bind = "0.0.0.0:80"
    backend = "shop"
    [backend.shop]
    [[backend.shop.server]]
    name = "pool1"
    address = "10.0.0.11:80"
"#;

#[test]
fn a_header_is_expected_from_the_networks_that_are_named() {
    let expects = |value: &str, from: &str| {
        let text = MINIMAL.replace("bind =", &format!("accept_proxy = {value}\nbind ="));
        let accept = parse(&text).unwrap().frontends[0].accept_proxy.clone();
        accept.is_some_and(|accept| accept.expects(from.parse().unwrap()))
    };
    assert!(expects("true", "192.0.2.1") && !expects("false", "192.0.2.1"));
    let networks = r#"{ from = ["10.0.0.0/8", "::1/128"] }"#;
    assert!(
        expects(networks, "10.1.2.3") && expects(networks, "::ffff:10.1.2.3") && expects(networks, "::1")
    );
    assert!(!expects(networks, "192.0.2.1"));
}

#[test]
fn a_minimal_file_has_every_default() {
    let config = parse(MINIMAL).unwrap();
    let (frontend, backend) = (&config.frontends[0], &config.backends[0]);
    let seconds = Duration::from_secs;
    assert_eq!((&*frontend.name, frontend.backend), ("web", BackendIndex(0)));
    assert_eq!((&frontend.forward_for, &frontend.logging), (&None, &Logging::default()));
    let timeout = FrontendTimeout {
        client: seconds(60),
        http_request: seconds(60),
        http_keep_alive: seconds(60),
        client_fin: None,
        tarpit: None,
    };
    assert_eq!((frontend.timeout, frontend.maxconn), (timeout, config.limits.connections));
    assert_eq!((config.limits.connections.get(), config.limits.head_bytes), (20_000, 15 * 1024));
    let timeout = BackendTimeout {
        connect: seconds(5),
        server: seconds(60),
        queue: seconds(5),
        tunnel: None,
        server_fin: None,
    };
    assert_eq!((&*backend.name, backend.timeout, &backend.cookie), ("shop", timeout, &None));
    assert_eq!((backend.reuse, backend.abort_on_close), (Reuse::Always, false));
    assert_eq!((&frontend.accept_proxy, backend.servers[0].send_proxy), (&None, None));
    let retry = Retry {
        limit: 3,
        redispatch: Redispatch::FromLast(NonZeroU32::MIN),
        interval: seconds(1),
        on: RetryOn::STANDARD,
        replay: Replay { memory: 64 << 10, disk: 64 << 20 },
        with_idempotency_key: false,
        resume: true,
    };
    assert_eq!((&backend.retry, config.limits.replay), (&retry, Replay { memory: 64 << 20, disk: 1 << 30 }));
    assert_eq!((backend.users_window, backend.when_all_drain), (seconds(300), WhenAllDrain::Serve));
    let server = &backend.servers[0];
    assert_eq!((&*server.name, server.address), ("pool1", "10.0.0.11:80".parse().unwrap()));
    assert_eq!((server.weight, server.maxconn, server.backup), (1, None, false));
    assert_eq!((&server.cookie, &server.check), (&None, &None));
}

#[test]
fn an_empty_check_is_haproxys_with_the_soft_drain() {
    let config = parse(&MINIMAL.replace("[backend.shop]", "[backend.shop]\ncheck = {}")).unwrap();
    let check = config.backends[0].servers[0].check.clone().unwrap();
    assert_eq!(check.address, "10.0.0.11:80".parse().unwrap());
    let request = check.request.unwrap();
    assert_eq!((&*request.method, &*request.uri), ("OPTIONS", "/"));
    assert_eq!((request.version, request.host.as_deref()), (HttpVersion::Http10, None));
    assert_eq!((check.soft_drain_on, check.send_state, check.timeout), (Some(404), true, None));
    let two = Duration::from_secs(2);
    assert_eq!((check.inter, check.fastinter, check.downinter), (two, two, two));
    assert_eq!((check.rise.get(), check.fall.get()), (2, 3));
}

#[test]
fn what_is_tried_again_is_said_in_haproxys_words() {
    let retry =
        |keys: &str| parse(&MINIMAL.replace("[backend.shop]", &format!("[backend.shop]\n{keys}"))).unwrap();
    let retry = |keys: &str| retry(keys).backends[0].retry.clone();
    let count = |n| NonZeroU32::new(n).unwrap();
    for (written, redispatch) in [
        ("true", Redispatch::FromLast(count(1))),
        ("-1", Redispatch::FromLast(count(1))),
        ("-2", Redispatch::FromLast(count(2))),
        ("3", Redispatch::Every(count(3))),
        ("0", Redispatch::Never),
        ("false", Redispatch::Never),
    ] {
        assert_eq!(retry(&format!("redispatch = {written}")).redispatch, redispatch, "{written}");
    }
    let all = [Failure::Connection, Failure::Empty, Failure::Junk, Failure::Timeout, Failure::Status(502)];
    for (written, contained) in [
        (r#""none""#, [false; 5]),
        (r#""conn-failure""#, [true, false, false, false, false]),
        (r#""empty-response""#, [true, true, false, false, false]),
        (r#"["junk-response", 502]"#, [true, false, true, false, true]),
        (r#"["response-timeout", "502"]"#, [true, false, false, true, true]),
        (r#""all-retryable-errors""#, [true; 5]),
    ] {
        let on = retry(&format!("retry_on = {written}")).on;
        assert_eq!(all.map(|failure| on.contains(failure)), contained, "{written}");
        assert!(!on.contains(Failure::Status(501)) && !on.contains(Failure::Status(429)));
    }
    let timeouts =
        |interval| retry(&format!("{interval}timeout = {{ connect = \"300ms\" }}")).interval.as_millis();
    assert_eq!((timeouts(""), timeouts("retry_interval = \"2s\"\n")), (300, 2_000));
    assert_eq!(
        retry("replay = { memory = 0, disk = \"10 MB\" }").replay,
        Replay { memory: 0, disk: 10_000_000 }
    );
}

#[test]
fn the_order_of_the_file_is_kept() {
    let text = r#"
        [backend.z]
        server = { name = "s", address = "10.0.0.1:80" }
        [backend.a]
        server = { name = "s", address = "10.0.0.2:80" }
        [frontend.y]
        bind = "0.0.0.0:81"
        backend = "a"
        [frontend.b]
        bind = "0.0.0.0:82"
        backend = "z""#;
    let config = parse(text).unwrap();
    assert_eq!(config.frontends.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["y", "b"]);
    assert_eq!(config.backends.iter().map(|b| &*b.name).collect::<Vec<_>>(), ["z", "a"]);
    assert_eq!(
        (config.frontends[0].backend, config.frontends[1].backend),
        (BackendIndex(1), BackendIndex(0))
    );
}

#[test]
fn a_server_that_is_the_proxy_itself_is_a_loop() {
    for (bind, address, is_loop) in [
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("10.0.0.11:80", "10.0.0.11:80", true),
        ("0.0.0.0:81", "127.0.0.1:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
    ] {
        let text = MINIMAL.replace("0.0.0.0:80", bind).replace("10.0.0.11:80\"\n", &format!("{address}\"\n"));
        let text = text.replace(&format!("bind = \"{address}\""), &format!("bind = \"{bind}\""));
        assert_eq!(parse(&text).is_err(), is_loop, "{text}");
    }
}

#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop.toml");
    let (config, _) = Config::load_all(&[path]).unwrap_or_else(|e| panic!("{e}"));
    let (frontend, backend) = (&config.frontends[0], &config.backends[0]);
    let forward_for = AddressField {
        header: "X-Forwarded-For".into(),
        except: vec!["10.0.0.0/8".parse().unwrap()],
        if_none: false,
    };
    assert_eq!(frontend.forward_for, Some(forward_for));
    assert_eq!(frontend.logging.logs[0].target, LogTarget::Stdout);
    let cookie = Cookie {
        attributes: "; HttpOnly; SameSite=Lax".into(),
        count_users: true,
        ..Cookie::inserted("SERVERID")
    };
    assert_eq!(backend.cookie, Some(cookie));
    let checked: Vec<_> =
        backend.servers.iter().map(|s| s.check.as_ref().unwrap().address.to_string()).collect();
    assert_eq!(checked, ["10.0.0.11:8404", "10.0.0.12:8404", "10.0.0.13:8404"]);
    assert!(backend.servers[2].backup);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(invalid) = parse(&text) {
            prop_assert!(!invalid.mistakes().is_empty());
            prop_assert!(!invalid.render(true).is_empty());
        }
    }

    #[test]
    fn no_value_of_any_key_makes_it_panic(
        key in prop::sample::select(vec![
            "frontend", "frontend.web", "frontend.web.bind", "frontend.web.forward_for", "frontend.web.log",
            "frontend.web.log.target", "frontend.web.log.level", "frontend.web.capture_cookie", "frontend.web.capture_request_headers", "frontend.web.maxconn", "backend", "backend.shop", "backend.shop.cookie.name",
            "backend.shop.cookie.attr", "backend.shop.check", "backend.shop.check.uri", "backend.shop.server",
            "backend.shop.server.address", "backend.shop.timeout.connect", "limits.head", "limits", "admin", "admin.listen", "admin.auth", "admin.statistics",
            "admin.leave", "admin.leave.soft",
        ]),
        value in prop_oneof![
            Just("[]".to_owned()), Just("{}".to_owned()), Just("[[]]".to_owned()), Just("1979-05-27".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}")),
            any::<bool>().prop_map(|b| b.to_string()),
            "[a-z0-9:/.%\\[\\]-]{0,12}".prop_map(|s| format!("'{s}'")),
            "\\PC{0,8}".prop_map(|s| format!("[1, {s:?}, {{ x = '' }}]")),
        ],
    ) {
        if let Err(invalid) = parse(&format!("{key} = {value}")) {
            prop_assert!(!invalid.mistakes().is_empty());
            prop_assert!(!invalid.render(false).is_empty());
        }
    }
}

#[test]
fn a_cookie_may_be_all_that_haproxys_may_be() {
    let text = MINIMAL.replace(
        "[backend.shop]",
        r#"[backend.shop]
        cookie = { name = "SID", attr = ["SameSite=Lax", "Partitioned"], secure = true, domain = ["a.example", ".b.example"], httponly = true, maxidle = "30m", maxlife = "8h", nocache = true, postonly = true, preserve = true, indirect = false, dynamic = true }
        dynamic_cookie_key = "secret"
        persist = true
        force_persist = { source = ["10.0.0.0/8"] }
        ignore_persist = { path_beg = "/static/" }"#,
    );
    let backend = &parse(&text).unwrap().backends[0];
    let cookie = Cookie {
        indirect: false,
        preserve: true,
        postonly: true,
        nocache: true,
        maxidle: Some(Duration::from_mins(30)),
        maxlife: Some(Duration::from_hours(8)),
        attributes: "; domain=a.example; domain=.b.example; HttpOnly; Secure; SameSite=Lax; Partitioned"
            .into(),
        dynamic: true,
        ..Cookie::inserted("SID")
    };
    assert_eq!(backend.cookie, Some(cookie));
    assert!(backend.persist);
    let office = Matches { source: vec!["10.0.0.0/8".parse().unwrap()], ..Matches::default() };
    let pictures = Matches { path_beg: vec!["/static/".into()], ..Matches::default() };
    assert_eq!(backend.force_persist, Condition::Any(office));
    assert_eq!(backend.ignore_persist, Condition::Any(pictures));
    // What HAProxy 2.6 gives to `server pool1 10.0.0.11:80` for the same key.
    assert_eq!(backend.servers[0].cookie.as_deref(), Some("740bd84721579167"));
    for (mode, expected) in
        [("rewrite", CookieMode::Rewrite), ("prefix", CookieMode::Prefix), ("passive", CookieMode::Passive)]
    {
        let text = MINIMAL.replace(
            "[backend.shop]",
            &format!("[backend.shop]\ncookie = {{ name = \"SID\", mode = \"{mode}\" }}"),
        );
        let cookie = Cookie { mode: expected, indirect: false, ..Cookie::inserted("SID") };
        assert_eq!(parse(&text).unwrap().backends[0].cookie, Some(cookie));
    }
}
