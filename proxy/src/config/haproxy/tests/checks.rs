//! What checks ask, and what they want of the answer.

use super::*;

#[test]
fn a_check_wants_what_its_rules_say() {
    let text = "listen a\n mode http\n bind :80\n option httpchk GET /\n http-check expect LINE\n server s 127.0.0.1:81 check\n";
    for (lines, wishes) in [
        ("status 200,204-206", &["200,204-206"][..]),
        ("! status 500-599 comment \"no error\"", &["! 500-599"]),
        ("rstatus ^2", &["rstatus ^2"]),
        (
            "!string \"not ready\"\n http-check expect rstring o[kK]$",
            &["! string 'not ready'", "rstring o[kK]$"],
        ),
        (
            "hdr name -m beg x- value \"a b\"\n http-check expect ! fhdr name y",
            &["hdr name -m beg x- value 'a b'", "! fhdr name y"],
        ),
    ] {
        let (config, said) = read(&text.replace("LINE", lines)).unwrap();
        let expect = &config.backends[0].servers[0].check.as_ref().unwrap().expect;
        assert_eq!(*expect, crate::config::Expect::of(wishes), "{lines}: {said}");
    }
    for line in ["status x", "status 300-200", "rstring (", "string a on-error b", "hdr name-lf x", "nope 1"]
    {
        let said = read(&text.replace("LINE", line)).unwrap_err();
        assert!(said.contains("[a.cfg:5] : 'http-check expect'"), "{line}: {said}");
    }
}

#[test]
fn a_check_sends_what_its_rule_says() {
    let text = "listen a\n mode http\n bind :80\n option httpchk GET /\n http-check send LINE\n server s 127.0.0.1:81 check\n";
    let line = "meth PUT uri /x ver HTTP/1.1 hdr host h hdr X-Test \"a b%%\" hdr Content-Length 9 body \"some text\" comment c";
    let (config, _) = read(&text.replace("LINE", line)).unwrap();
    let request = config.backends[0].servers[0].check.as_ref().unwrap().request.clone().unwrap();
    assert_eq!(
        (&*request.method, &*request.uri, request.host.as_deref(), &*request.body),
        ("PUT", "/x", Some("h"), "some text")
    );
    assert_eq!(request.headers, [("x-test".into(), "a b%".into())]);
    for line in ["hdr X %[src]", "uri-lf /%[src]", "hdr", "nope"] {
        let said = read(&text.replace("LINE", line)).unwrap_err();
        assert!(said.contains("[a.cfg:5] : 'http-check send'"), "{line}: {said}");
    }
}

#[test]
fn rules_of_checks_are_a_sections_own_or_all_inherited() {
    let text = "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n option httpchk GET /a\n \
                http-check send uri /b\n http-check expect status 200\n\
                listen a\n bind :80\n server s 127.0.0.1:81 check\n\
                listen b\n bind :82\n http-check send meth HEAD\n server s 127.0.0.1:81 check\n";
    let (config, said) = read(text).unwrap();
    assert_eq!(said, "");
    let asked = |which: usize| {
        let check = config.backends[which].servers[0].check.as_ref().unwrap();
        let request = check.request.as_ref().unwrap();
        let is_default = check.expect == crate::config::Expect::default();
        (request.method.to_string(), request.uri.to_string(), is_default)
    };
    assert_eq!(asked(0), ("GET".into(), "/b".into(), false));
    // What `option httpchk` asks is one of the rules.
    assert_eq!(asked(1), ("HEAD".into(), "/".into(), true));
    let twice = "http-check send uri /c\n http-check send uri /d";
    let said = read(&text.replace("http-check send meth HEAD", twice)).unwrap_err();
    assert!(said.contains("[a.cfg:15] : a second 'http-check send'"), "{said}");
    let (_, said) = read(&text.replace("option httpchk GET /a", "option tcp-check")).unwrap();
    assert!(
        said.contains(
            "[a.cfg:8] : 'http-check expect' will be ignored for listen 'a' (requires 'option httpchk')."
        ),
        "{said}"
    );
}
