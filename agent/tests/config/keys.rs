//! What the keys say, and what holds without them.

use std::{num::NonZeroU32, path::Path, time::Duration};

use drain_agent::{
    config::{
        Acknowledge, AgentCheck, Answers, AtAcknowledgeLimit, AtHardLimit, Balancers, By, Config, Control,
        Drain, Expected, Hard, How, LongLived, Metrics, MinRemaining, Of, OnFailure, Probe, Proof, Ready,
        Remote, Report, Restart, Run, Server, Soft, Span, Tls, Traffic, WarmUp, Weight,
    },
    lifecycle::Then,
};

use super::parse;

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
