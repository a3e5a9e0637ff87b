//! What rules answer themselves.

use super::{super::returned::Return, *};

fn answer(line: &str) -> String {
    answer_to(HEAD, line)
}

fn answer_to(head: &str, line: &str) -> String {
    let mut message = message(head);
    let verdict =
        rules(&[line], action::Side::Request).request(&mut message, &origin(), &mut Memory::default(), None);
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
fn a_page_without_values_is_there_for_requests_that_could_not_be_read() {
    let page = |text: &str| Return::page(400, &words(text).unwrap()).unwrap().fixed();
    let status = |text: &str| page(text).map(|reply| (reply.status, reply.code));
    for text in [
        "",
        "default-errorfiles",
        "content-type text/plain string sorry",
        "content-type text/plain lf-string sorry hdr X-A b",
        "errorfile /dev/null",
        "errorfile /dev/null hdr X-A %[path]",
    ] {
        assert_eq!(status(text), Some((400, 400)), "{text}");
    }
    assert!(page("errorfile /dev/null").unwrap().is_nothing);
    assert_eq!(page("default-errorfiles"), Some(Reply::standard(400, *b"PR")));
    for text in ["content-type text/plain lf-string %[path]", "hdr X-A %[path]"] {
        assert_eq!(page(text), None, "{text}");
    }
}

#[test]
fn a_page_has_the_status_of_its_error() {
    for text in ["status 200 content-type text/plain string sorry", "deny_status 200"] {
        let said = Return::page(503, &words(text).unwrap()).unwrap_err();
        assert!(said.contains("is not known here behind 'http-error': expected content-type"), "{said}");
    }
}

#[test]
fn what_goes_into_a_field_as_it_stands_is_one_line() {
    for bad in ["a\r\nX-B: c", "a\nb", "a\0b"] {
        for arguments in [["content-type", bad, "string", "x"], ["hdr", "X-A", bad, ""]] {
            let arguments: Vec<_> =
                arguments.iter().filter(|word| !word.is_empty()).map(|&word| word.to_owned()).collect();
            let said = Return::read(&arguments).unwrap_err();
            assert_eq!(said, format!("'{}' expects a value of one line", arguments[0]));
        }
    }
}
