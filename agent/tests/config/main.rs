//! What the agent says about configurations: each `NAME.toml` of this folder is wrong, and `NAME.err` is what is
//! said about it. `UPDATE_EXPECTED=1 cargo test` writes what is said now.

mod any;
mod keys;

use std::{fs, path::Path, time::Duration};

use drain_agent::config::{Config, LongLived, Probe};

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
fn a_drain_may_need_no_quiet() {
    let text = r#"
        listen = "0.0.0.0:8404"
        server.ports = [80]
        restart = { command = ["true"] }
        [drain]
        soft = { quiet = "0s" }
        hard = { quiet = "0s" }"#;
    let drain = parse(text).unwrap().drain;
    assert_eq!((drain.soft.quiet, drain.hard.quiet), (Duration::ZERO, Duration::ZERO));
    assert!(!drain.hard.quiet_is_default);
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
