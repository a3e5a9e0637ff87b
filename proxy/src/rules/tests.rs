//! Rules on whole heads.

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

fn nobody(name: &str) -> Option<u32> {
    (name == "shop").then_some(0)
}

fn origin() -> Origin<'static> {
    Origin {
        client: "10.1.2.3:4711".parse().unwrap(),
        destination: "192.0.2.1:80".parse().unwrap(),
        method: b"GET",
        target: b"/shop/a.png?x=1&y=b%20c",
        is_first: true,
        frontend: "web",
        backend: "shop",
        usable: &nobody,
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let mut lists = Lists::default();
    for list in ["static path_beg /static /shop", "static path_end .css", "inside src 10.0.0.0/8 ::1"] {
        lists.add(&words(list).unwrap()).unwrap();
    }
    Condition::read(&words(text).unwrap(), &lists)
}

fn holds(text: &str) -> bool {
    let message = message(HEAD);
    condition(text).unwrap().holds(&Context::of_request(&message, &origin(), &Variables::default()))
}

#[test]
fn conditions_are_haproxys() {
    for (text, expected) in [
        ("", true),
        ("if static", true),
        ("unless static", false),
        ("if static inside", true),
        ("if static !inside", false),
        ("if !static || inside", true),
        ("if { path /shop/a.png }", true),
        ("if { path_beg /x } or { path_end .png }", true),
        ("if { path_reg ^/shop/[a-z]+\\.png$ }", true),
        ("if { path -m sub op/a }", true),
        ("if { path_dir shop }", true),
        ("if { path_dir sho }", false),
        ("if { hdr(host) www.shop.example:80 }", false),
        ("if { hdr(host) -i www.shop.example:80 }", true),
        ("if { hdr_dom(host) -i shop.example }", true),
        ("if { hdr_beg(host) -i www. }", true),
        ("if { hdr(x-a) two }", true),
        ("if { req.fhdr(x-a) two }", false),
        ("if { hdr(x-a,-1) three }", true),
        ("if { hdr(x-a,2) two }", true),
        ("if { hdr_cnt(x-a) 3 }", true),
        ("if { hdr_cnt(x-b) gt 0 }", false),
        ("if { hdr(x-b) -m found }", false),
        ("if { hdr_len(host) ge 5 }", true),
        ("if METH_GET", true),
        ("if METH_POST", false),
        ("if { method POST GET }", true),
        ("if LOCALHOST", false),
        ("if { src 10.1.2.3 }", true),
        ("if { src 10.2.0.0/16 }", false),
        ("if { src,ipmask(8) 10.0.0.0 }", true),
        ("if { dst_port 80 }", true),
        ("if { dst_port 1:79 }", false),
        ("if { ssl_fc }", false),
        ("if !{ ssl_fc }", true),
        ("if ! { ssl_fc }", true),
        ("if { url_param(y) -m found } { urlp(x) 1 }", true),
        ("if { url_param(y),url_dec 'b c' }", true),
        ("if { cook(SID) s1 }", true),
        ("if { hdr(host),lower,field(1,:) www.shop.example }", true),
        ("if { path,word(2,/.) a }", true),
        ("if { path,bytes(1,4) shop }", true),
        ("if { str(123456789),crc32 3421780262 }", true),
        ("if { str(a),concat(b,,c) abc }", true),
        ("if { str(Ab),hex 4162 }", true),
        ("if { str(Ab),base64 QWI= }", true),
        ("if { str(QWI=),b64dec Ab }", true),
        ("if { always_false,not }", true),
        ("if { nbsrv(shop) lt 1 }", true),
        ("if HTTP_1.1 TRUE !FALSE", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_condition_is_refused() {
    for text in [
        "when static",
        "if",
        "if nope",
        "if static ||",
        "if {",
        "if { }",
        "if { path_beg }",
        "if { foo(x) y }",
        "if { path -m foo x }",
        "if { path_reg ( }",
        "if { src 10.0.0.0/99 }",
        "if { dst_port x }",
        "if { hdr(host },",
        "if { path -x y }",
        "if { path,foo y }",
        "if !",
    ] {
        assert!(condition(text).is_err(), "{text}");
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
    /// Of responses.
    pub(crate) fn of_responses(lines: &[&str]) -> Self {
        rules(lines, action::Side::Response)
    }
}

fn edited(lines: &[&str]) -> String {
    let mut message = message(HEAD);
    let verdict =
        rules(lines, action::Side::Request).request(&mut message, &origin(), &mut Variables::default());
    assert!(verdict.reply.is_none(), "{lines:?}");
    String::from_utf8(message.edited().expect("it is changed")).unwrap()
}

#[test]
fn heads_gain_and_lose() {
    for (line, expected) in [
        ("set-header X-A new", "\r\nX-A: new\r\n\r\n"),
        (
            "add-header X-B '%[src] %[hdr(host),lower] 100%%'",
            "\r\nX-B: 10.1.2.3 www.shop.example:80 100%\r\n\r\n",
        ),
        ("set-path /new%[path]", "GET /new/shop/a.png?x=1&y=b%20c HTTP/1.1\r\n"),
        ("set-query z=2", "GET /shop/a.png?z=2 HTTP/1.1\r\n"),
        ("set-pathq /p?q", "GET /p?q HTTP/1.1\r\n"),
        ("set-uri /u", "GET /u HTTP/1.1\r\n"),
        ("set-method POST", "POST /shop/a.png?"),
        ("replace-path /shop(/.*) /new\\1", "GET /new/a.png?x=1"),
        ("replace-header Host (.*):80 \\1", "\r\nHost: www.Shop.example\r\n"),
        ("replace-value X-A t(.*) T\\1", "\r\nX-A: one, Two\r\nX-A: Three\r\n"),
        ("del-header x- -m beg", "Host: www.Shop.example:80\r\nCookie: a=1; SID=s1\r\n"),
    ] {
        let head = edited(&[line]);
        assert!(head.contains(expected), "{line}: {head}");
    }
    let head =
        edited(&["set-header X-C 1", "del-header Content-L -m beg", "set-header X-D 1 if { hdr(x-c) 1 }"]);
    assert!(head.contains("Content-Length: 0\r\n") && head.ends_with("X-C: 1\r\nX-D: 1\r\n\r\n"), "{head}");
    let mut message = message(HEAD);
    rules(&["set-header X-A 1 if FALSE"], action::Side::Request).request(
        &mut message,
        &origin(),
        &mut Variables::default(),
    );
    assert_eq!(message.edited(), None);
}

#[test]
fn no_rule_changes_how_the_client_reads_the_answers_end() {
    for (line, method) in [
        ("HEAD / HTTP/1.1", "GET"),
        ("GET / HTTP/1.1", "HEAD"),
        ("GET / HTTP/1.1", "'HEAD /x'"),
        ("GET / HTTP/1.1", "CONNECT"),
        ("CONNECT h:80 HTTP/1.1", "GET"),
    ] {
        let mut message = message(&format!("{line}\r\nHost: h:80\r\n\r\n"));
        let rule = format!("set-method {method}");
        rules(&[&rule], action::Side::Request).request(&mut message, &origin(), &mut Variables::default());
        assert_eq!(message.edited(), None, "{line}: {method}");
    }
    for (status, to, expected) in
        [(200, 204, 200), (200, 304, 200), (204, 200, 204), (101, 200, 101), (304, 204, 204), (200, 404, 404)]
    {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
        let mut storage = Storage::new();
        let head = ResponseHead::parse(head.as_bytes(), Method::Get, &mut storage).unwrap();
        let mut message = Message::of_response(&head);
        let rule = format!("set-status {to}");
        assert!(Rules::of_responses(&[&rule]).response(&mut message, &origin(), &mut Variables::default()));
        assert_eq!(message.status, expected, "{status}: {to}");
    }
}

#[test]
fn no_value_begins_a_line_of_its_own() {
    // `\r\n` of the configuration's language, where a blank was.
    let head = edited(&[r#""set-header" X-B "%[urlp(y),url_dec,regsub(' ','\r\n',g)]""#]);
    assert!(head.ends_with("X-B: bc\r\n\r\n"), "{head}");
}

fn answer(line: &str) -> String {
    answer_to(HEAD, line)
}

fn answer_to(head: &str, line: &str) -> String {
    let mut message = message(head);
    let verdict =
        rules(&[line], action::Side::Request).request(&mut message, &origin(), &mut Variables::default());
    let mut out = Vec::new();
    verdict.reply.expect("an answer").write(true, false, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn answers_are_haproxys() {
    assert_eq!(
        answer("deny"),
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 93\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n\
         <html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"
    );
    assert_eq!(
        answer("redirect location https://%[hdr(host),field(1,:)]/ code 301"),
        "HTTP/1.1 301 Moved Permanently\r\ncontent-length: 0\r\nlocation: https://www.Shop.example/\r\n\r\n"
    );
    for (line, expected) in [
        ("redirect scheme https", "\r\nlocation: https://www.Shop.example:80/shop/a.png?x=1&y=b%20c\r\n"),
        ("redirect prefix http://b drop-query", "\r\nlocation: http://b/shop/a.png\r\n"),
        ("redirect prefix / append-slash drop-query", "\r\nlocation: /shop/a.png/\r\n"),
        ("redirect location / set-cookie A=1", "\r\nset-cookie: A=1; path=/;\r\n"),
        ("deny deny_status 429", "HTTP/1.1 429 Too Many Requests\r\n"),
        ("tarpit", "HTTP/1.1 500 Internal Server Error\r\n"),
        ("return status 204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("return content-type text/plain lf-string 'at %[path]' hdr X-A b", "\r\ncontent-length: 14\r\n"),
        ("return content-type text/plain string %[x", "\r\ncontent-length: 3\r\n"),
    ] {
        if line.contains("at %[path]") {
            assert!(
                answer(line).ends_with("X-A: b\r\ncontent-type: text/plain\r\n\r\nat /shop/a.png"),
                "{line}"
            );
            continue;
        }
        assert!(answer(line).contains(expected), "{line}: {}", answer(line));
    }
}

#[test]
fn a_redirect_without_a_prefix_leads_to_no_other_site() {
    for (target, expected) in [
        ("//evil.example/x//y", "/evil.example/x//y"),
        ("///evil.example", "/evil.example"),
        ("/\\evil.example", "/evil.example"),
        ("//", "/"),
        ("/x//y", "/x//y"),
    ] {
        let answer = answer_to(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"), "redirect prefix /");
        assert!(answer.contains(&format!("\r\nlocation: {expected}\r\n")), "{target}: {answer}");
    }
}

#[test]
fn what_is_no_action_is_refused() {
    for line in [
        "",
        "foo",
        "set-header X",
        "set-header Content-Length 1",
        "set-header 'a b' 1",
        "del-header Connection",
        "deny deny_status 299",
        "redirect code 301",
        "redirect location / code 300",
        "return string x",
        "set-status 200",
        "set-header X %[foo]",
        "set-header X %[src",
        "set-header X %foo",
        "set-var(proc.x) src",
        "set-var(res.x) src",
        "set-var(txn.x)",
        "set-var txn.x src",
        "unset-var(txn.x) src",
        "set-header X %[var(x)]",
    ] {
        assert!(Action::read(action::Side::Request, &words(line).unwrap()).is_err(), "{line}");
    }
}

#[test]
fn a_response_is_changed_or_kept_back() {
    let head = b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 0\r\n\r\n";
    let mut storage = Storage::new();
    let parsed = ResponseHead::parse(head, Method::Get, &mut storage).unwrap();
    let change = |lines: &[&str]| {
        let mut message = Message::of_response(&parsed);
        let passes =
            rules(lines, action::Side::Response).response(&mut message, &origin(), &mut Variables::default());
        passes.then(|| String::from_utf8(message.edited().unwrap_or_else(|| head.to_vec())).unwrap())
    };
    assert_eq!(change(&["deny if { status 500:599 }"]).unwrap().as_bytes(), head);
    assert_eq!(change(&["deny if { status 404 }"]), None);
    assert_eq!(
        change(&[
            "set-status 410 if { status 404 } METH_GET",
            "del-header Server",
            "add-header X-S %[status]"
        ])
        .unwrap(),
        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nX-S: 410\r\n\r\n"
    );
}

#[test]
fn variables_last_from_rule_to_rule_and_to_the_response() {
    let (mut message, mut variables) = (message(HEAD), Variables::default());
    let lines = [
        "set-var(txn.path) path",
        "set-var(req.host) hdr(host),lower",
        "set-var(txn.none) urlp(none)",
        "set-var-fmt(sess.both) '%[var(txn.path)] at %[var(req.host)]'",
        "set-header X-B %[var(sess.both)] if { var(txn.path) -m beg /shop } !{ var(txn.none) -m found }",
        "set-var(txn.path) str(gone)",
        "unset-var(txn.path)",
        "set-header X-C 1 if { var(txn.path) -m found }",
    ];
    rules(&lines, action::Side::Request).request(&mut message, &origin(), &mut variables);
    let head = String::from_utf8(message.edited().unwrap()).unwrap();
    assert!(head.ends_with("X-B: /shop/a.png at www.shop.example:80\r\n\r\n"), "{head}");
    let (kept, name) = (variables.of_response(), |name| variable::Name::read(name).unwrap());
    assert!(kept.value(&name("sess.both")).is_some() && kept.value(&name("req.host")).is_none());
}

/// What would be empty or always false in HAProxy, or would be looked for in the other head, is refused.
#[test]
fn a_rule_looks_at_its_own_head_only() {
    use action::Side::{Request, Response};
    let fits = |side, line: &str| {
        let words = words(line).unwrap();
        let (action, condition) = condition::split(&words);
        let condition = Condition::read(condition, &Lists::default()).unwrap();
        let action = Action::read(side, action).unwrap();
        let mut samples = action.samples().into_iter().chain(condition.samples());
        samples.try_for_each(|sample| sample.check(side, &["shop"])).is_ok()
    };
    for (side, line, expected) in [
        (Request, "set-header X %[path]", true),
        (Request, "set-header X %[status]", false),
        (Request, "set-header X 1 if { res.hdr(x) y }", false),
        (Request, "redirect location /%[res.hdr(x)]", false),
        (Request, "return lf-string %[status] content-type text/plain", false),
        (Request, "deny if { nbsrv(shop) lt 1 }", true),
        (Request, "deny if { nbsrv lt 1 }", true),
        (Request, "deny if { nbsrv(other) lt 1 }", false),
        (Response, "set-header X %[path]", false),
        (Response, "set-header X %[req.hdr(x)]", false),
        (Response, "set-header X %[hdr(x)]", true),
        (Response, "set-header X 1 if { hdr(x) y }", false),
        (Response, "set-header X 1 if { res.hdr(x) y } { status 200 } METH_GET", true),
        (Response, "set-header X %[var(txn.path)]%[capture.req.uri]", true),
        (Response, "set-header X %[var(req.path)]", false),
        (Response, "set-header X 1 if { path_beg /x }", false),
    ] {
        assert_eq!(fits(side, line), expected, "{line}");
    }
    for line in ["set-log-level silent", "deny deny_status 403", "tarpit", "set-var(sess.x) src"] {
        assert!(Action::read(Response, &words(line).unwrap()).is_err(), "{line}");
    }
}

#[test]
fn what_clients_get_is_changed_last() {
    let reply = Reply::standard(503, *b"SC");
    let mut message = reply.message();
    let lines = ["set-status 500", "set-header X-S %[status]", "del-header cache-control"];
    let after = Rules { after_response: rules(&lines, action::Side::Response).response, ..Rules::default() };
    after.after_response(&mut message, &origin(), &mut Variables::default());
    let mut out = Vec::new();
    reply.with_head(&message).write(true, true, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 107\r\ncontent-type: text/html\r\nX-S: 500\r\n\r\n"
    );
}
