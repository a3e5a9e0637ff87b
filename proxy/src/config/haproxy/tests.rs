//! Whole configurations, and what they come to.

mod checks;
mod effects;
mod running;

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
fn statistics_are_where_clients_come_in() {
    let text = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n stats uri /lb\n\
                listen a\n bind :80\n stats auth u:p\n stats auth v:q:r\n stats refresh 5\n stats scope .\n\
                frontend b\n bind :81\n stats hide-version\n\
                frontend c\n bind :82\n LINE\n";
    let import = Import::of(&[Source { name: "a.cfg".into(), text: text.replace(" LINE\n", "") }], &|_| None);
    for expected in [
        "statistics = { uri = \"/lb\", auth = [\"u:p\", \"v:q:r\"], scope = [\".\"], refresh = \"5s\" }",
        "statistics = { uri = \"/lb\", hide_version = true }",
        "statistics = { uri = \"/lb\" }",
    ] {
        assert!(import.toml().contains(expected), "{expected} is missing in:\n{}", import.toml());
    }
    assert!(read(&text.replace(" LINE\n", "")).is_ok());
    let ordered = text.replace("LINE", "stats admin if LOCALHOST");
    let (_, said) = read(&ordered).unwrap();
    assert!(!said.contains("stats admin"), "{said}");
    let import = Import::of(&[Source { name: "a.cfg".into(), text: ordered }], &|_| None);
    let expected = "statistics = { uri = \"/lb\", admin = [\"if LOCALHOST\"] }";
    assert!(import.toml().contains(expected), "{expected} is missing in:\n{}", import.toml());
    for (line, expected) in [
        ("stats uri", "'stats uri' expects an argument"),
        ("stats auth u", "'stats auth' expects an argument"),
        ("stats admin LOCALHOST", "'stats admin' expects 'if' or 'unless' and a condition"),
        ("stats admin if nobody_knows", "nobody_knows"),
        ("stats rfresh 5", "unknown stats parameter 'rfresh'; did you mean 'refresh' maybe ?"),
        ("stats http-request deny", "'stats http-request' is not supported"),
    ] {
        let said = read(&text.replace("LINE", line)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
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

/// 0 is as if it had not been said.
#[test]
fn a_time_of_nothing_is_the_default() {
    let text = "listen a\n mode http\n bind :80\n timeout client 1s\n timeout connect 2s\n timeout server 0\n \
                timeout queue 0\n timeout http-request 0\n timeout tunnel 0\n server s 127.0.0.1:81\n";
    let (config, said) = read(text).unwrap();
    let (front, back) = (config.frontends[0].timeout, config.backends[0].timeout);
    assert_eq!((front.http_request.as_secs(), back.queue.as_secs(), back.tunnel), (1, 2, None));
    assert_eq!(back.server.as_secs(), 24 * 86_400);
    assert!(said.contains("missing timeouts for listen 'a': without 'timeout server'"), "{said}");
    let said = read(&text.replace("client 1s", "client 25d")).unwrap_err();
    assert!(said.contains("[a.cfg:4] : timer overflow in argument '25d' to 'timeout client'"), "{said}");
}

#[test]
fn what_counts_elsewhere_is_said() {
    let base = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n\
                frontend f\n bind :80\n default_backend b\n option forwardfor except 10.0.0.1\n\
                backend b\n LINE\n server s 127.0.0.1:81\n";
    for (line, expected) in [
        ("timeout http-request 5s", "'timeout http-request' has no effect in backend 'b'"),
        ("timeout http-keep-alive 5s", "'timeout http-keep-alive' has no effect in backend 'b'"),
        ("log 127.0.0.1 local0", "'log' has no effect in a backend"),
        ("hash-type consistent", "'hash-type consistent' : servers have other places on the ring here"),
        ("hash-type map-based djb2", "'hash-type' : 'djb2' is ignored"),
    ] {
        let (_, said) = read(&base.replace("LINE", line)).unwrap();
        assert!(
            said.contains(&format!("[WARNING]  (1) : config : parsing [a.cfg:11] : {expected}")),
            "{said}"
        );
    }
    for (line, expected) in [
        (
            "http-request deny if { nbsrv(c) lt 1 }",
            "unable to find backend 'c' referenced in arg 1 of 'nbsrv'",
        ),
        ("http-response set-header X %[path]", "what is looked at is known of a request only"),
    ] {
        let said = read(&base.replace("LINE", line)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    let said = read(&base.replace(" mode http", " mode http\n http-request deny")).unwrap_err();
    assert!(
        said.contains("[a.cfg:3] : 'http-request' not allowed in anonymous 'defaults' section."),
        "{said}"
    );
}

#[test]
fn either_half_of_a_proxy_may_tell_addresses() {
    let text = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n option originalto\n\
                frontend f\n bind :80\n default_backend b\n option forwardfor except 10.0.0.1\n\
                backend b\n option forwardfor header X-Client if-none\n server s 127.0.0.1:81\n";
    let (config, said) = read(text).unwrap();
    assert_eq!(said, "");
    let (front, back) = (&config.frontends[0], &config.backends[0]);
    let header = |field: &Option<crate::config::AddressField>| field.as_ref().unwrap().header.to_string();
    assert_eq!(
        (header(&front.forward_for), header(&back.forward_for)),
        ("x-forwarded-for".into(), "x-client".into())
    );
    assert_eq!(
        (header(&front.original_to), header(&back.original_to)),
        ("x-original-to".into(), "x-original-to".into())
    );
    // Both halves of a `listen`, what is inherited included.
    let listen = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n option forwardfor\n\
                  listen l\n bind :80\n LINE\n server s 127.0.0.1:81\n";
    for (line, expected) in [
        ("no option forwardfor", None),
        ("option forwardfor header X-Client", Some("x-client")),
        ("retries 2", Some("x-forwarded-for")),
    ] {
        let (config, _) = read(&listen.replace("LINE", line)).unwrap();
        let (front, back) = (&config.frontends[0].forward_for, &config.backends[0].forward_for);
        for field in [front, back] {
            assert_eq!(field.as_ref().map(|field| &*field.header), expected, "{line}");
        }
    }
    for line in ["option forwardfor except", "option originalto foo"] {
        let said = read(&text.replace("option originalto", line)).unwrap_err();
        assert!(said.contains("[a.cfg:6] : 'option"), "{said}");
    }
}

#[test]
fn a_template_is_as_many_servers() {
    let text = "listen a\n mode http\n bind :80\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n\
                # those\n server-template web 2-3 127.0.0.1:81 weight 7 check\n server-template x 1 127.0.0.1:82\n";
    let (config, _) = read(text).unwrap();
    let servers: Vec<_> =
        config.backends[0].servers.iter().map(|server| (&*server.name, server.weight)).collect();
    assert_eq!(servers, [("web2", 7), ("web3", 7), ("x1", 1)]);
    for (numbers, expected) in
        [("3-2", "expected 1 to 1000"), ("x", "neither a number"), ("1-9999", "expected 1 to 1000")]
    {
        let said = read(&text.replace("2-3", numbers)).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn groups_of_error_files_are_taken_apart() {
    let text = "http-errors e\n errorfile 403 /e/403\n errorfile 500 /e/500\n\
                defaults\n mode http\n errorfile 500 /d/500\n\
                frontend a\n bind :80\n http-request deny errorfiles e if { path /x }\n \
                http-request return status 500 errorfiles e\n\
                frontend b\n bind :81\n errorfiles e 403\n http-error status 500\n";
    let import = Import::of(&[Source { name: "a.cfg".into(), text: text.into() }], &|_| None);
    let toml = import.toml();
    for expected in [
        "\"deny errorfile /e/403 if { path /x }\"",
        "\"return status 500 errorfile /e/500\"",
        "errorfile.403 = \"/e/403\"",
    ] {
        assert!(toml.contains(expected), "{expected} is missing in:\n{toml}");
    }
    assert_eq!(toml.matches("errorfile.500 = \"/d/500\"").count(), 1, "{toml}");
    for (line, expected) in [
        ("errorfiles nope", "unable to find the section 'http-errors nope'."),
        ("errorfiles e 404", "'errorfiles' expects statuses that 'http-errors e' has: '404'."),
        ("http-error status 403 nope x", "'http-error' : 'nope' is not known here behind 'http-error'"),
        (
            "http-request deny deny_status 404 errorfiles e",
            "the section 'http-errors e' has no 'errorfile 404'.",
        ),
    ] {
        let said = read(&text.replace("errorfiles e 403", line)).unwrap_err();
        assert!(said.contains(&format!("[a.cfg:13] : {expected}")), "{said}");
    }
}

#[test]
fn what_nothing_stands_for_is_said_of_the_whole() {
    const TIMES: &str = " mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n";
    let frontend = "[ALERT]    (1) : config : there is no frontend; write a section 'frontend' or 'listen' with a \
                    'bind' and what belongs to it.";
    let backend = "[ALERT]    (1) : config : there is no backend; write a section 'backend' or 'listen' and what \
                   belongs to it.";
    let last = "[ALERT]    (1) : config : Fatal errors found in configuration.";
    let some =
        format!("global\n stats socket /run/a.sock\ndefaults\n{TIMES}backend b\n server s 127.0.0.1:81\n");
    assert_eq!(read(&some).unwrap_err(), format!("{frontend}\n{last}"));
    assert_eq!(read("global\n maxconn 5\n").unwrap_err(), format!("{frontend}\n{backend}\n{last}"));
}

/// Whatever is wrong is said at once, though the reader of the TOML finds some of it only behind the translation.
#[test]
fn all_mistakes_are_said_at_once() {
    let said = read(
        "defaults\n mode http\n timeout client 1x\n timeout connect 1s\n timeout server 1s\n\
         frontend f\n bind :80\n http-request silent-drop if { path /x }\n http-request deny if { nope }\n default_backend nowhere\n\
         use_backend %[req.hdr(host)]\n\
         backend b\n balance nope\n cookie X insert indirect maxlife 1s maxlife x\n server s 127.0.0.1:81 check fall 2000\nbackend b\n retries x\n",
    )
    .unwrap_err();
    for expected in [
        "[a.cfg:3] : 'timeout client' expects a time",
        "[a.cfg:8] : 'http-request' : action 'silent-drop' is not supported: a client is answered",
        "[a.cfg:9] : 'http-request' : ",
        "[a.cfg:10] : unable to find required default_backend: 'nowhere'",
        "[a.cfg:11] : 'use_backend' : a name that is made for each request ('%[req.hdr(host)]') is not supported",
        "[a.cfg:13] : 'balance' : ",
        "[a.cfg:14] : 'cookie' : 'maxlife' expects a time",
        "[a.cfg:15] : 'server s' : 'fall' is out of range; expected a number from 1 to 1000.",
        "[a.cfg:16] : backend 'b' has the same name",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
    assert_eq!(said.matches("[a.cfg:10]").count(), 1, "{said}");
    assert!(!said.contains("backend.b."), "{said}");
}
