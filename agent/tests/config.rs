//! What the agent says about configurations: each `config/NAME.toml` is wrong, and `config/NAME.err` is what is
//! said about it. `UPDATE_EXPECTED=1 cargo test` writes what is said now.

use std::{fs, num::NonZeroU32, path::Path, time::Duration};

use drain_agent::config::{
    Acknowledge, AgentCheck, Answers, AtAcknowledgeLimit, AtHardLimit, Balancers, By, Config, Control, Drain,
    Expected, Hard, How, LongLived, Metrics, MinRemaining, Of, OnFailure, Probe, Proof, Ready, Remote,
    Report, Restart, Run, Server, Soft, Span, Tls, Traffic, WarmUp, Weight,
};
use drain_agent::lifecycle::Then;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, drain_config::Invalid> {
    Config::parse("apache2.toml", text, Some("apache2"))
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
    assert_eq!(seen, 17, "files in tests/config");
}

#[test]
fn a_minimal_file_has_every_default() {
    let text = r#"
        listen = "0.0.0.0:8404"
        [server]
        ports = [80]
        [restart]
        command = ["apachectl", "restart"]"#;
    let count = |n| NonZeroU32::new(n).unwrap();
    let expected = Config {
        listen: vec!["0.0.0.0:8404".parse().unwrap()],
        state: "/var/lib/drain-agent/apache2.json".into(),
        answers: Answers { soft: 404, hard: 500 },
        server: Server {
            name: "apache2".into(),
            ports: vec![80.try_into().unwrap()],
            unix: Vec::new(),
            netns: None,
            ready: Ready {
                probe: Probe::Tcp("127.0.0.1:80".parse().unwrap()),
                rise: count(2),
                fall: count(3),
                interval: Duration::from_millis(500),
                timeout: Duration::from_secs(2),
                deadline: Duration::from_mins(1),
            },
        },
        restart: Restart {
            by: By::Command(vec!["apachectl".to_owned(), "restart".to_owned()]),
            timeout: Duration::from_secs(90),
            proof: Proof::Process,
            stop: None,
            retries: 0,
            retry_after: Duration::from_secs(5),
            on_failure: OnFailure::Stay,
            warm_up: WarmUp { paths: Vec::new(), timeout: Duration::from_secs(30) },
        },
        runs: Vec::new(),
        drain: Drain {
            acknowledge: Acknowledge { limit: Duration::from_mins(1), at_limit: AtAcknowledgeLimit::Abort },
            soft: Soft { quiet: Duration::from_mins(5), limit: Duration::from_mins(30) },
            hard: Hard {
                quiet: Duration::from_secs(3),
                quiet_is_default: true,
                limit: Duration::from_secs(30),
                at_limit: AtHardLimit::Restart,
            },
            fall: count(3),
            min_remaining: MinRemaining::Weight(1),
            long_lived: LongLived::Quiet,
            then: Then::Restart,
            exclusive: None,
        },
        balancers: Balancers::default(),
        traffic: Vec::new(),
        control: Control {
            socket: "/run/drain-agent/apache2.sock".into(),
            group: None,
            look: None,
            remote: None,
        },
        agent_check: None,
        report: Report { history: "/var/lib/drain-agent/apache2.history.jsonl".into() },
        metrics: Metrics { listen: None },
    };
    assert_eq!(parse(text).unwrap(), expected);
}

#[test]
fn a_unit_is_restarted_and_stopped_by_systemd() {
    let with =
        |lines: &str| parse(&format!("[server]\nports = [80]\n[restart]\n{lines}\n[drain]\nthen = 'stop'"));
    let config = with("unit = 'app@1.service'").unwrap();
    assert_eq!(config.restart.by, By::Unit { unit: "app@1.service".into(), how: How::Restart });
    assert_eq!((config.restart.proof, config.restart.can_stop()), (Proof::Process, true));
    assert_eq!(config.listen, [], "systemd may hand the sockets over");
    let config = with("unit = 'apache2.service'\nhow = 'reload-or-restart'").unwrap();
    assert_eq!(config.restart.proof, Proof::None, "a reload keeps the process");
    for how in ["restart", "stop-start", "reload-or-restart", "try-restart", "try-reload-or-restart"] {
        with(&format!("unit = 'apache2.service'\nhow = '{how}'")).unwrap();
    }
}

#[test]
fn every_key_of_a_drains_ending_is_read() {
    let text = r#"
        listen = "127.0.0.1:8404"
        [server]
        ports = [80]
        [restart]
        command = ["true"]
        on_failure = "up"
        stop = ["/bin/false"]
        retries = 3
        retry_after = "1m"
        warm_up = ["/", "/search?q=x"]
        warm_up_timeout = "7s"
        [run.upgrade]
        command = ["/bin/true", "now"]
        timeout = "20m"
        [drain]
        then = "run:upgrade"
        exclusive = "host""#;
    let seconds = Duration::from_secs;
    let config = parse(text).unwrap();
    let restart = config.restart;
    assert_eq!((restart.stop, restart.retries), (Some(vec!["/bin/false".to_owned()]), 3));
    assert_eq!((restart.retry_after, restart.on_failure), (seconds(60), OnFailure::Up));
    let paths = vec!["/".to_owned(), "/search?q=x".to_owned()];
    assert_eq!(restart.warm_up, WarmUp { paths, timeout: seconds(7) });
    let command = vec!["/bin/true".to_owned(), "now".to_owned()];
    assert_eq!(config.runs, [Run { name: "upgrade".into(), command, timeout: seconds(1200) }]);
    assert_eq!(config.drain.then, Then::Run("upgrade".into()));
    assert_eq!(config.drain.exclusive.as_deref(), Some(Path::new("/run/drain-agent/host.lock")));
}

#[test]
fn every_key_is_read() {
    let text = r#"
        listen = ["127.0.0.1:8404", "[::1]:8404"]
        state = "/tmp/state.json"
        answers = { soft = 503, hard = 502 }
        [server]
        name = "shop"
        ports = [80, 443]
        [server.ready]
        url = "http://127.0.0.1/health"
        status = [204, "3xx", "410-412"]
        body = "fine"
        rise = 4
        fall = 5
        interval = "1s"
        timeout = "3s"
        deadline = "2m 30s"
        [restart]
        command = ["/bin/sh", "-c", ""]
        timeout = "1h"
        proof = "workers"
        on_failure = "stay"
        [drain]
        acknowledge = { limit = "7s", at_limit = "proceed" }
        soft = { quiet = "8s", limit = "9s" }
        hard = { quiet = "1s", limit = "1500ms", at_limit = "abort" }
        fall = 6
        min_remaining = "25%"
        long_lived = "wait"
        [balancers]
        expect = ["10.0.0.1", "::1", "lb1"]
        trust = ["10.0.0.0/8", "192.168.1.1"]
        ignore = ["172.16.0.0/12"]
        [[traffic]]
        access_log = "/var/log/shop.log"
        ignore = "GET /health "
        [[traffic]]
        journal = "shop@1.service"
        [[traffic]]
        gauge = { url = "http://shop/status", unix = "/run/s", field = "/a/b", zero_at = 1, timeout = "2s", interval = "3s" }
        [control]
        socket = "/tmp/a.sock"
        group = "www-ops"
        [agent_check]
        listen = ["127.0.0.1:8405", "[::1]:8405"]
        weight = { of = "server", cpu = [60, 95], memory = [80, 90], floor = 10 }"#;
    let config = parse(text).unwrap();
    let weight = Weight {
        of: Of::Server,
        cpu: Some(Span { from: 60, to: 95 }),
        memory: Some(Span { from: 80, to: 90 }),
        load: None,
        floor: 10,
    };
    let listen = ["127.0.0.1:8405", "[::1]:8405"].map(|address| address.parse().unwrap()).into();
    assert_eq!(config.agent_check, Some(AgentCheck { listen, weight: Some(weight) }));
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.state.to_str(), Some("/tmp/state.json"));
    assert_eq!(config.answers, Answers { soft: 503, hard: 502 });
    assert_eq!((&*config.server.name, config.server.ports.len()), ("shop", 2));
    let ready = config.server.ready;
    let Probe::Http { url, status, body } = ready.probe else { panic!("an HTTP probe") };
    assert_eq!((url.as_str(), body.as_deref()), ("http://127.0.0.1/health", Some("fine")));
    let within: Vec<u16> = (100..600).filter(|code| status.contains(*code)).collect();
    assert_eq!(within, [vec![204], (300..400).collect(), vec![410, 411, 412]].concat());
    assert_eq!((ready.rise.get(), ready.fall.get()), (4, 5));
    let seconds = Duration::from_secs;
    assert_eq!((ready.interval, ready.timeout, ready.deadline), (seconds(1), seconds(3), seconds(150)));
    assert_eq!(config.restart.by, By::Command(["/bin/sh", "-c", ""].map(str::to_owned).into()));
    assert_eq!((config.restart.timeout, config.restart.proof), (seconds(3600), Proof::Workers));
    let drain = config.drain;
    assert_eq!(drain.acknowledge, Acknowledge { limit: seconds(7), at_limit: AtAcknowledgeLimit::Proceed });
    assert_eq!(drain.soft, Soft { quiet: seconds(8), limit: seconds(9) });
    let hard = Hard {
        quiet: seconds(1),
        quiet_is_default: false,
        limit: Duration::from_millis(1500),
        at_limit: AtHardLimit::Abort,
    };
    assert_eq!((drain.hard, drain.fall.get()), (hard, 6));
    assert_eq!((drain.min_remaining, drain.long_lived), (MinRemaining::Percent(25), LongLived::Wait));
    let named = |name: &str| Expected::Node(name.into());
    let at = |address: &str| Expected::Address(address.parse().unwrap());
    assert_eq!(config.balancers.expect, [at("10.0.0.1"), at("::1"), named("lb1")]);
    let networks = ["10.0.0.0/8".parse().unwrap(), "192.168.1.1/32".parse().unwrap()];
    assert_eq!(config.balancers.trust, networks);
    assert_eq!(config.balancers.ignore, ["172.16.0.0/12".parse().unwrap()]);
    let names: Vec<_> = config.traffic.iter().map(ToString::to_string).collect();
    let gauge = "gauge http://shop/status at /run/s /a/b";
    assert_eq!(names, ["access_log /var/log/shop.log", "journal shop@1.service", gauge]);
    let [Traffic::AccessLog(log), _, Traffic::Gauge(gauge)] = &config.traffic[..] else {
        panic!("{names:?}")
    };
    assert!(log.ignore.as_ref().is_some_and(|ignore| ignore.matches(b"::1 GET /health 200")));
    assert_eq!((gauge.zero_at, gauge.timeout, gauge.interval), (1, seconds(2), seconds(3)));
    assert_eq!(config.control.socket.to_str(), Some("/tmp/a.sock"));
    assert_eq!(config.control.group.as_deref(), Some("www-ops"));
}

#[test]
fn who_may_look_and_who_may_come_from_afar_is_read() {
    let text = r#"
        listen = "127.0.0.1:8404"
        server.ports = [80]
        restart.command = ["true"]
        [control]
        look = "adm"
        listen = "[::]:8406"
        tls = { cert = "/t/cert", key = "/t/key", client_ca = "/t/ca" }
        token_file = "/t/tokens""#;
    let control = parse(text).unwrap().control;
    assert_eq!(control.look.as_deref(), Some("adm"));
    let tls = Tls { cert: "/t/cert".into(), key: "/t/key".into(), client_ca: Some("/t/ca".into()) };
    let listen = "[::]:8406".parse().unwrap();
    assert_eq!(control.remote, Some(Remote { listen, tls, token_file: "/t/tokens".into() }));
}

#[test]
fn where_reports_and_numbers_go_is_read() {
    let text = r#"
        listen = "127.0.0.1:8404"
        server.ports = [80]
        restart.command = ["true"]
        report.history = "/tmp/history"
        metrics.listen = "127.0.0.1:9404""#;
    let config = parse(text).unwrap();
    assert_eq!(config.metrics.listen, Some("127.0.0.1:9404".parse().unwrap()));
    assert_eq!(config.report.history.to_str(), Some("/tmp/history"));
}

#[test]
fn a_command_in_one_string_is_explained_and_no_file_has_two_uses() {
    const REST: &str = "listen = '127.0.0.1:1'\nserver.ports = [80]\n";
    let said = |lines: &str| parse(&format!("{REST}{lines}")).expect_err(lines).to_string();
    let command = said("restart.command = ['systemctl restart x']");
    assert!(command.contains(r#"expected ["systemctl", "restart", "x"]"#), "{command}");
    let rest = "restart.command = ['true']\nstate = '/var/lib/a.json'\n";
    for history in ["/var/lib/a.json", "/var/lib/a.json.output", "/var/lib/a.json.new"] {
        let said = said(&format!("{rest}report.history = '{history}'"));
        assert!(said.contains("`report.history` is where the state is kept"), "{said}");
    }
    assert!(parse(&format!("{REST}{rest}report.history = '/var/lib/a.jsonl'")).is_ok());
}

#[test]
fn a_default_gives_way_to_a_shorter_limit() {
    let text = r#"
        listen = "0.0.0.0:8404"
        server = { ports = [80], ready = { deadline = "300ms" } }
        restart = { command = ["true"] }
        [drain]
        soft = { limit = "1m" }
        hard = { limit = "1s" }"#;
    let config = parse(text).unwrap();
    assert_eq!(config.drain.soft.quiet, Duration::from_mins(1));
    assert_eq!(config.drain.hard.quiet, Duration::from_secs(1));
    assert_eq!(config.server.ready.interval, Duration::from_millis(300));
    assert_eq!(config.server.ready.timeout, Duration::from_millis(300));
}

#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/apache2.toml");
    // Its group need not be one of this host.
    let config = parse(&fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(&*config.server.name, "apache2");
}

#[test]
fn a_file_is_named_after_its_server_or_must_say_its_name() {
    let text = "listen = '0.0.0.0:1'\nserver = { ports = [80] }\nrestart = { command = ['true'] }";
    assert!(
        Config::parse("f", text, Some("my server"))
            .unwrap_err()
            .to_string()
            .contains("`server.name` is missing")
    );
    assert_eq!(&*Config::parse("f", text, Some("blog@2")).unwrap().server.name, "blog@2");
}

#[test]
fn a_server_may_be_behind_unix_sockets_alone_and_in_another_namespace() {
    let file = |server: &str| {
        let rest = "listen = '0.0.0.0:1'\nrestart = { command = ['true'] }";
        parse(&format!("{rest}\n[server]\n{server}")).map(|config| config.server)
    };
    let server = file("unix = ['/run/app.sock', '/run/b.sock']\nnetns = 'blue'").unwrap();
    assert_eq!((server.ports.len(), server.unix.len()), (0, 2));
    assert_eq!(server.ready.probe, Probe::Unix("/run/app.sock".into()));
    assert_eq!(server.netns.unwrap().to_str(), Some("/run/netns/blue"));
    let both = file("ports = [80]\nunix = ['/run/app.sock']\nnetns = '/proc/7/ns/net'").unwrap();
    assert_eq!(both.ready.probe, Probe::Tcp("127.0.0.1:80".parse().unwrap()));
    assert_eq!(both.netns.unwrap().to_str(), Some("/proc/7/ns/net"));
    for (wrong, named) in [
        ("unix = []", "server.unix"),
        ("ports = []\nunix = ['/run/app.sock']", "server.ports"),
        ("unix = ['app.sock']", "server.unix"),
        ("unix = ['/run/app.sock', '/run/app.sock']", "server.unix"),
        ("ports = [80]\nnetns = 'a/b'", "server.netns"),
        ("ports = [80]\nnetns = '..'", "server.netns"),
    ] {
        assert!(file(wrong).unwrap_err().to_string().contains(named), "{wrong}");
    }
}

#[test]
fn long_lived_connections_can_be_ignored_after_a_silence() {
    let file = |value: &str| {
        let rest = "listen = '0.0.0.0:1'\nserver = { ports = [80] }\nrestart = { command = ['true'] }";
        parse(&format!("{rest}\ndrain = {{ long_lived = '{value}' }}")).map(|config| config.drain.long_lived)
    };
    assert_eq!(file("ignore after 1m 30s").unwrap(), LongLived::IgnoreAfter(Duration::from_secs(90)));
    for wrong in ["ignore", "ignore after", "ignore after 30", "ignores"] {
        assert!(file(wrong).unwrap_err().to_string().contains("drain.long_lived"), "{wrong}");
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for open in ["[", "{a=", "a."] {
        let text = format!("x = {}", open.repeat(200_000));
        assert!(parse(&text).is_err());
        assert!(parse(&format!("{}=1", open.repeat(200_000))).is_err());
    }
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
            "listen", "state", "answers", "answers.soft", "server", "server.name", "server.ports", "server.ready",
            "server.ready.url", "server.ready.tcp", "server.ready.status", "server.ready.timeout", "restart.command",
            "restart.unit", "restart.how", "drain", "drain.soft.quiet", "drain.min_remaining", "balancers.expect", "balancers.trust",
            "control.socket", "control", "control.listen", "control.tls", "control.tls.cert", "control.token_file", "traffic", "traffic.access_log", "traffic.journal", "traffic.gauge",
            "traffic.gauge.url", "traffic.gauge.field", "agent_check", "agent_check.listen", "agent_check.weight",
            "agent_check.weight.cpu", "agent_check.weight.floor",
            "report", "report.history", "metrics.listen",
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
