//! What is said of a server: its check, its agent, what its traffic says of it.

use super::*;

#[test]
fn a_servers_check_inherits_what_it_leaves_out() {
    let text = r#"
        [frontend.web]
        bind = ["0.0.0.0:80"]
        backend = "shop"
        [backend.shop]
        check = { method = "GET", uri = "/up", version = "HTTP/1.1", host = "shop", soft_drain_on = false, inter = "1s", fastinter = "100ms", rise = 4, fall = 5, send_state = false }
        timeout = { connect = "1s", check = "700ms" }
        server = [
            { name = "a", address = "10.0.0.1:80" },
            { name = "b", address = "10.0.0.2:80", check = { port = 8404, inter = "3s", downinter = "9s", fall = 1 } },
            { name = "c", address = "10.0.0.3:80", check = { address = "10.9.9.9:8404" } },
            { name = "d", address = "10.0.0.4:80", check = { address = "10.9.9.9" } },
            { name = "e", address = "known.example:80", check = { disabled = true } },
            { name = "f", address = "10.0.0.6:80", check = { address = "known.example:1", port = 2 } },
        ]"#;
    let backend = &parse(text).unwrap().backends[0];
    let check = |at: usize| backend.servers[at].check.clone().unwrap();
    let request = check(0).request.unwrap();
    assert_eq!((&*request.method, &*request.uri, request.host.as_deref()), ("GET", "/up", Some("shop")));
    let millis = Duration::from_millis;
    let count = |n| NonZeroU32::new(n).unwrap();
    let first = Check {
        address: "10.0.0.1:80".parse().unwrap(),
        request: Some(request),
        expect: drain_proxy::config::Expect::default(),
        soft_drain_on: None,
        send_state: false,
        send_proxy: None,
        inter: millis(1000),
        fastinter: millis(100),
        downinter: millis(1000),
        rise: count(4),
        fall: count(5),
        timeout: Some(millis(700)),
    };
    let second = Check {
        address: "10.0.0.2:8404".parse().unwrap(),
        inter: millis(3000),
        downinter: millis(9000),
        fall: count(1),
        ..first.clone()
    };
    assert_eq!((check(0), check(1)), (first, second));
    assert_eq!(check(2).address, "10.9.9.9:8404".parse().unwrap());
    assert_eq!(check(3).address, "10.9.9.9:80".parse().unwrap());
    assert_eq!(backend.servers[4].check, None);
    assert_eq!(backend.servers[4].address, "192.0.2.7:80".parse().unwrap());
    assert_eq!(check(5).address, "192.0.2.7:2".parse().unwrap());
}

#[test]
fn a_check_speaks_the_proxy_protocol_where_its_server_is_asked_or_where_it_is_told_to() {
    for (lines, speaks) in [
        ("", None),
        ("send_proxy = \"v2\"", Some(Version::V2)),
        ("send_proxy = \"v1\"\ncheck = { port = 8404 }", None),
        ("send_proxy = \"v1\"\ncheck_send_proxy = true\ncheck = { port = 8404 }", Some(Version::V1)),
    ] {
        let config = parse(&format!("{MINIMAL}{lines}\n[backend.shop.check]\n")).unwrap();
        let check = config.backends[0].servers[0].check.as_ref().unwrap();
        assert_eq!(check.send_proxy, speaks, "{lines}");
    }
}

#[test]
fn an_agent_listens_at_its_servers_host_unless_told_otherwise() {
    for (lines, address, send, inter) in [
        ("agent_check = { port = 8405 }", "10.0.0.11:8405", "", 2),
        ("agent_check = { port = 1 }\ncheck = { inter = \"7s\" }", "10.0.0.11:1", "", 7),
        (
            "agent_check = { port = 8405, address = \"known.example\", send = \"text\\n\", inter = \"1s\" }",
            "192.0.2.7:8405",
            "text\n",
            1,
        ),
    ] {
        let config = parse(&format!("{MINIMAL}{lines}\n")).unwrap();
        let agent =
            Agent { address: address.parse().unwrap(), send: send.into(), inter: Duration::from_secs(inter) };
        assert_eq!(config.backends[0].servers[0].agent, Some(agent), "{lines}");
    }
}

#[test]
fn passive_health_is_haproxys_and_off_by_default() {
    let text =
        MINIMAL.replace("[backend.shop]", "[backend.shop]\ncheck = { type = \"tcp\", inter = \"1s\" }");
    let server = |keys: &str| {
        let text = format!("{text}\n{keys}");
        parse(&text).unwrap().backends[0].servers[0].clone()
    };
    let plain = server("");
    assert_eq!(plain.passive, Passive::default());
    let check = plain.check.unwrap();
    assert_eq!((check.request, check.soft_drain_on, check.inter), (None, None, Duration::from_secs(1)));
    let observe = |layer, error_limit, on_error| {
        Some(Observe { layer, error_limit: NonZeroU32::new(error_limit).unwrap(), on_error })
    };
    assert_eq!(server("observe = \"layer7\"").passive.observe, observe(Layer::Seven, 10, OnError::FailCheck));
    let all = server(
        "observe = \"layer4\"\nerror_limit = 3\non_error = \"mark-down\"\non_marked_down = \"shutdown-sessions\"\n\
         on_marked_up = \"shutdown-backup-sessions\"",
    );
    let expected = Passive {
        observe: observe(Layer::Four, 3, OnError::MarkDown),
        shutdown_sessions: true,
        shutdown_backup_sessions: true,
    };
    assert_eq!(all.passive, expected);
}
