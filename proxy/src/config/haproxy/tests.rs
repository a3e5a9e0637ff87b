//! Whole configurations, and what they come to.

use super::*;

/// Nobody is looked up.
fn nowhere(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
    Err(io::ErrorKind::NotFound.into())
}

fn read(text: &str) -> Result<(Config, String), String> {
    let sources = [Source { name: "a.cfg".into(), text: text.into() }];
    let mut import = Import::of(&sources, &|_| None);
    let config = import.read(&nowhere);
    let said = import.messages.render(1);
    config.map(|config| (config, said.clone())).ok_or(said)
}

/// The configuration of an old installation.
const OLD: &str = include_str!("old.cfg");

#[test]
fn an_old_installations_configuration_is_understood() {
    let (config, said) = read(OLD).unwrap();
    assert!(!said.contains("[ALERT]"), "{said}");
    let frontend = &config.frontends[0];
    assert_eq!((&*frontend.name, frontend.maxconn.get()), ("shop", 2000));
    let backend = &config.backends[0];
    assert_eq!(backend.servers.len(), 3);
    let first = &backend.servers[0];
    assert_eq!((first.weight, first.maxconn.unwrap().get(), first.cookie.as_deref()), (100, 50, Some("s1")));
    let check = first.check.as_ref().unwrap();
    assert_eq!((check.rise.get(), check.fall.get()), (2, 1));
    assert_eq!((check.inter.as_millis(), check.fastinter.as_millis()), (500, 100));
    assert_eq!(check.soft_drain_on, None);
    assert!(!check.send_state && backend.servers[2].backup);
    assert!(!backend.retry.resume);
    assert_eq!(backend.when_all_drain, crate::config::WhenAllDrain::Refuse);
}

#[test]
fn each_mistake_is_reported_in_haproxys_form() {
    let said = read(
        "global\n  foo bar\ndefaults\n  mode http\n  timeout conect 5\n  optin httplog\n  option httplgo\n\
         frontend a\n  bind 127.0.0.1:80 foo\n  timeout server 3s\n  maxconn abc\n  default_backend nope\n\
         backend b\n  balance foo\n  server s1 127.0.0.1:81 chek\n  server s2 127.0.0.1:81 weight 300\n  retries abc\n\
         backend b\n  server\n  stick-table type ip size 1m\n",
    )
    .unwrap_err();
    for expected in [
        "parsing [a.cfg:2] : unknown keyword 'foo' in 'global' section",
        "parsing [a.cfg:5] : 'timeout' supports 'check', ",
        "did you mean 'connect' maybe ?",
        "parsing [a.cfg:6] : unknown keyword 'optin' in 'defaults' section; did you mean 'option' maybe ?",
        "parsing [a.cfg:7] : unknown option 'httplgo'; did you mean 'httplog' maybe ?",
        "parsing [a.cfg:9] : 'bind 127.0.0.1:80' in section 'frontend': unknown keyword 'foo'",
        "parsing [a.cfg:10] : 'timeout server' will be ignored because frontend 'a' has no backend capability",
        "parsing [a.cfg:11] : 'maxconn' expects a number, but 'abc' follows.",
        "parsing [a.cfg:12] : unable to find required default_backend: 'nope'",
        "parsing [a.cfg:15] : 'server b/s1' : unknown keyword 'chek'; did you mean 'check' maybe ?",
        "parsing [a.cfg:17] : 'retries' expects a number, but 'abc' follows.",
        "parsing [a.cfg:18] : backend 'b' has the same name as backend 'b' declared at a.cfg:13.",
        "parsing [a.cfg:19] : 'server' expects <name> and <addr>[:<port>] as arguments.",
        "parsing [a.cfg:20] : 'stick-table' is not supported: there are no stick tables",
        "Fatal errors found in configuration.",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
}

/// What the TOML's reader finds is said of the directive that it comes from.
#[test]
fn a_value_that_is_wrong_has_its_line() {
    let base = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n\
                listen a\n bind 127.0.0.1:80\n";
    for (lines, expected) in [
        (" server s 127.0.0.1:81 weight 300\n", "[a.cfg:8] : 'server s' : "),
        (" balance foo\n", "[a.cfg:8] : 'balance' : "),
        (" server s nowhere.example:81\n", "[a.cfg:8] : 'server s' : "),
        (" cookie X rewrite indirect\n server s 127.0.0.1:81\n", "[a.cfg:8] : 'cookie' : "),
        (" retry-on foo\n", "[a.cfg:8] : 'retry-on' : "),
        (" server s 127.0.0.1:80\n", "[a.cfg:8] : 'server s' : "),
    ] {
        let said = read(&format!("{base}{lines}")).unwrap_err();
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
}

#[test]
fn a_section_inherits_and_may_take_back() {
    let text = "defaults one\n mode http\n option redispatch\n retries 5\n timeout client 1s\n timeout connect 2s\n \
                timeout server 3s\n option httpchk GET /\n default-server inter 1s\n log 127.0.0.1:514 local0\n option httplog\n\
                defaults two from one\n retries 7\n\
                listen a from one\n bind 127.0.0.1:80\n no option redispatch\n no log\n server s 127.0.0.1:81 check\n\
                listen b\n bind 127.0.0.1:82\n default-server fall 9\n server s 127.0.0.1:81 check inter 5s\n server t 127.0.0.1:83\n";
    let (config, said) = read(text).unwrap();
    assert_eq!(said, "");
    let [a, b] = config.backends.as_slice() else { panic!("two backends") };
    assert_eq!((a.retry.limit, b.retry.limit), (5, 7));
    assert_eq!(a.retry.redispatch, crate::config::Redispatch::Never);
    assert!(config.frontends[0].logging.logs.is_empty() && config.frontends[1].logging.logs.len() == 1);
    let check = |backend: &crate::config::Backend| {
        let check = backend.servers[0].check.as_ref().unwrap();
        (check.inter.as_secs(), check.fall.get())
    };
    assert_eq!((check(a), check(b)), ((1, 3), (5, 9)));
    assert!(b.servers[1].check.is_none());
}

#[test]
fn a_check_wants_the_statuses_that_it_names() {
    let text = "listen a\n mode http\n bind :80\n option httpchk GET /\n http-check expect LINE\n server s 127.0.0.1:81 check\n";
    for (line, good, bad) in
        [("status 200,204-206", [200, 205], [201, 404]), ("! status 500-599", [200, 404], [500, 503])]
    {
        let (config, _) = read(&text.replace("LINE", line)).unwrap();
        let expect = &config.backends[0].servers[0].check.as_ref().unwrap().expect;
        assert!(good.iter().all(|status| expect.holds(*status)), "{line}");
        assert!(!bad.iter().any(|status| expect.holds(*status)), "{line}");
    }
    for line in ["string OK", "status x", "status 300-200", "rstatus 2.."] {
        assert!(read(&text.replace("LINE", line)).is_err(), "{line}");
    }
}

#[test]
fn comments_stay_with_what_they_are_about() {
    let sources = [Source {
        name: "a.cfg".into(),
        text: "# the shop\nlisten shop # ours\n  mode http\n  # all of it\n  bind :80\n  # twice\n  retries 2 # or so\n# the end\n".into(),
    }];
    let import = Import::of(&sources, &|_| None);
    let toml = import.toml();
    for expected in [
        "# the shop\n# ours\n[frontend.shop]\n",
        "  # all of it\n  \"0.0.0.0:80\",\n",
        "# twice\n# or so\nretries = 2\n",
        "# the end\n",
    ] {
        assert!(toml.contains(expected), "{expected} is missing in:\n{toml}");
    }
}

#[test]
fn a_haproxy_cfg_is_told_from_toml() {
    for (name, text, expected) in [
        ("a.cfg", "", true),
        ("a.toml", "global\n", false),
        ("a", "# x\n\nglobal\n", true),
        ("a", ".if 1\n", true),
        ("a", "[frontend.web]\n", false),
        ("a", "limits = { connections = 1 }\n", false),
    ] {
        assert_eq!(is_haproxy(name, text), expected, "{name} {text}");
    }
}
