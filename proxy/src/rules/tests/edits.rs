//! What heads gain and lose.

use super::*;

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
        &mut Memory::default(),
        None,
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
        rules(&[&rule], action::Side::Request).request(&mut message, &origin(), &mut Memory::default(), None);
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
        assert!(Rules::of_responses(&[&rule]).response(&mut message, &origin(), &mut Memory::default()));
        assert_eq!(message.status, expected, "{status}: {to}");
    }
}

#[test]
fn no_value_begins_a_line_of_its_own() {
    // `\r\n` of the configuration's language, where a blank was.
    let head = edited(&[r#""set-header" X-B "%[urlp(y),url_dec,regsub(' ','\r\n',g)]""#]);
    assert!(head.ends_with("X-B: bc\r\n\r\n"), "{head}");
}

#[test]
fn a_response_is_changed_or_kept_back() {
    let head = b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 0\r\n\r\n";
    let mut storage = Storage::new();
    let parsed = ResponseHead::parse(head, Method::Get, &mut storage).unwrap();
    let change = |lines: &[&str]| {
        let mut message = Message::of_response(&parsed);
        let passes =
            rules(lines, action::Side::Response).response(&mut message, &origin(), &mut Memory::default());
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
fn what_clients_get_is_changed_last() {
    let reply = Reply::standard(503, *b"SC");
    let mut message = reply.message();
    let lines = ["set-status 500", "set-header X-S %[status]", "del-header cache-control"];
    let after = Rules { after_response: rules(&lines, action::Side::Response).response, ..Rules::default() };
    after.after_response(&mut message, &origin(), &mut Memory::default());
    let mut out = Vec::new();
    reply.with_head(&message).write(true, true, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 107\r\ncontent-type: text/html\r\nX-S: 500\r\n\r\n"
    );
}
