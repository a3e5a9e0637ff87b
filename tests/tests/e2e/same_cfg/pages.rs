//! What clients get where the proxy itself answers, and whose cookies are obeyed.

use drain_tests::{Place, port};

use super::{Differences, Twice, echo};

/// Every form of an answer to an error, in a frontend and in a backend.
const PAGES: &str = "global\n log LOG local0\ndefaults\n mode http\n log global\n option httplog\n option dontlognull\n \
    timeout client 20s\n timeout connect 20s\n timeout server 20s\n retries 0\n \
    errorloc 429 http://d.example/slow\n\
    frontend f\n bind BIND0\n errorloc302 403 http://f.example/no\n errorloc303 404 /nowhere\n errorfile 405 FILE\n \
    http-error status 410 content-type text/plain string \"it is gone\" hdr X-A b\n \
    http-error status 413 content-type text/plain lf-string \"%[path] of %[src]\" hdr X-Path <%[path]>\n \
    http-error status 502\n \
    http-request deny if { path /403 }\n \
    http-request deny deny_status 404 if { path /404 }\n \
    http-request deny deny_status 405 if { path /405 }\n \
    http-request deny deny_status 410 if { path /410 }\n \
    http-request deny deny_status 413 if { path /413 }\n \
    http-request deny deny_status 429 if { path /429 }\n \
    http-request deny deny_status 502 if { path /502 }\n \
    http-after-response set-header X-Status %[status]\n \
    use_backend dead if { path_beg /dead }\n default_backend b\n\
    backend b\n http-request deny if { path /b403 }\n http-request deny deny_status 410 if { path /b410 }\n \
    http-error status 410 content-type text/plain string \"of the backend\"\n \
    http-error status 400 content-type text/plain string \"of the backend\"\n server s SERVER\n\
    backend dead\n http-error status 503 content-type text/plain lf-string \"no %[path] by %[be_name]\"\n server s DEAD\n";

/// Status line, fields in the order of the alphabet, and body.
fn sorted(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines: Vec<_> = head.split("\r\n").map(str::to_lowercase).collect();
    if let Some((_, fields)) = lines.split_first_mut() {
        fields.sort();
    }
    format!("{}\n\n{body}", lines.join("\n"))
}

#[test]
fn errors_are_answered_as_haproxy_answers_them() {
    let place = Place::new("same_cfg_pages");
    let file = place.subdir("pages").join("405.http");
    let whole = "HTTP/1.1 301 Elsewhere\r\nContent-Length: 4\r\nContent-Type: text/plain\r\nLocation: /else\r\n\r\nelse";
    std::fs::write(&file, whole).expect("a page");
    let (_dead, dead) = port::refusing();
    let text = PAGES.replace("FILE", &file.display().to_string()).replace("DEAD", &dead.to_string());
    let twice = Twice::start(&place, &text, echo());
    let mut wrong = Differences::default();
    for path in ["/403", "/404", "/405", "/410", "/413", "/429", "/502", "/b403", "/b410", "/dead/x", "/\x01"]
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answers = twice.answers(0, &request);
        wrong.compare(path, answers.map(|answer| sorted(&answer)));
        // Behind the times; the bytes count fields that the other one writes otherwise.
        let status = |line: String| line.split(' ').nth(5).map(str::to_owned).unwrap_or(line);
        wrong.compare(path, twice.lines(&place, path).map(status));
    }
    wrong.check(&place);
}

/// A server that is in maintenance, and one that is not.
const COOKIES: &str = "global\n log LOG local0\ndefaults\n mode http\n log global\n option dontlognull\n \
    timeout client 20s\n timeout connect 20s\n timeout server 20s\n\
    listen shop\n bind BIND0\n log-format \"%s %tsc %ST\"\n cookie SID insert indirect\n acl forced path_beg /force\n \
    ignore-persist if { path_beg /ignore }\n force-persist if forced\n ignore-persist unless { path_beg / }\n \
    server a SERVER cookie a disabled\n server b SERVER cookie b\n";

#[test]
fn rules_say_whose_cookies_are_obeyed() {
    let place = Place::new("same_cfg_cookies");
    let twice = Twice::start(&place, COOKIES, echo());
    let mut wrong = Differences::default();
    let mut seen = Vec::new();
    for path in ["/", "/force", "/ignore", "/force/x"] {
        for cookie in ["a", "b", "c"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nCookie: SID={cookie}\r\nConnection: close\r\n\r\n"
            );
            let what = format!("{path} {cookie}");
            let given = |answer: String| {
                let line = answer.lines().find(|line| line.to_lowercase().starts_with("set-cookie"));
                line.map(str::to_lowercase).unwrap_or_default()
            };
            wrong.compare(&what, twice.answers(0, &request).map(given));
            let lines = twice.lines(&place, &what);
            seen.push(lines[1].clone());
            wrong.compare(&what, lines);
        }
    }
    wrong.check(&place);
    place.check(
        seen.iter().any(|line| line.starts_with("a --DN")),
        "a request is forced to the server in maintenance",
    );
}
