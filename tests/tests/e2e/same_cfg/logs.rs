//! Lines of formats of their own.

use drain_tests::Place;

use super::{Differences, Twice, echo};

/// Formats whose lines are the same to the byte.
const FORMATS: &[&str] = &[
    "%ci|%HM|%HP|%HPO|%HQ|%HU|%HV|%{+Q}r|%r",
    "%f %ft %b %s %si %sp %ST %ts %tsc %rc %sq/%bq",
    "%CC|%CS|%hr|%hs|%hrl|%hsl",
    "%{+Q}o %CC|%CS|%hr|%hs|%hrl|%hsl|%{-Q}ci|%s|%b|%ST",
    "%{+X}ci:%{+X}fi %{+M}ID x  y   %{+E}HU",
    "%[capture.req.hdr(0)]|%[capture.req.hdr(3)]|%[capture.res.hdr(0)]|%[capture.req.uri]|%[capture.req.method]|%[capture.req.ver]",
    "%[var(txn.path)]|%{+Q}[var(txn.none)]|%[var(txn.none)]|%[var(sess.first)]|%{+Q,+E}[var(txn.agent)]|%[var(txn.said)]",
    "%[src] %[method] %[http_first_req] %[fe_name] %[be_name] %[str(a),upper] %[nbsrv(b)] %[rand(1)] %[src,ipmask(8)]",
    "%ac/%fc/%bc/%sc %sslv %sslc 100%%",
    "%[unique-id] %ID",
];

/// Formats whose lines are the same but for numbers.
const NUMBERS: &[&str] = &[
    "%t %tr %T %Tl %trg %trl %Ts %ms",
    "%Th/%Ti/%TR/%Tq/%Tw/%Tc/%Tr/%Td/%Ta/%Tt/%Tu",
    "%ci:%cp %fi:%fp %pid %rt %B %U %[date] %[date(0,ms)]",
];

/// What differs on purpose: a part of the format, and the request's first word or path.
///
/// - HAProxy makes the identifier of a request that a `return` answers when the request has gone, so that it has nothing of
///   its fields; here it is made before any rule looks, and the log has what the client was told;
/// - of bytes that are no request HAProxy names no backend and does not say whether they were the first.
const WANTED: &[(&str, &str)] = &[("ID", "/returned"), ("unique-id", "/returned"), ("http_first_req", "BAD")];

const REQUESTS: &[&str] = &[
    "GET /p?q=1 HTTP/1.1\r\nHost: shop.example\r\nX-A: one two three\r\nUser-Agent: a \"b\" \\c]\r\nCookie: SID=abc\r\nConnection: close\r\n\r\n",
    "GET http://h/p\"{|}?q=%20?r HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "POST /denied HTTP/1.0\r\nX-A: a|b\"c\r\nContent-Length: 0\r\n\r\n",
    "GET /returned HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "GET /late HTTP/1.1\r\nHost: h\r\nX-A: of the backend\r\nConnection: close\r\n\r\n",
    "BAD\r\n\r\n",
];

#[test]
fn lines_of_own_formats_are_haproxys() {
    let place = Place::new("same_cfg_logs");
    let formats: Vec<_> = FORMATS.iter().chain(NUMBERS).collect();
    let mut text = String::from(
        "global\n log LOG local0\ndefaults\n mode http\n log global\n option dontlognull\n timeout client 20s\n timeout connect 20s\n timeout server 20s\n\
         unique-id-format %ci-%HM-%[req.hdr(host)]\n unique-id-header X-Request-ID\n",
    );
    for (number, format) in formats.iter().enumerate() {
        text += &format!(
            "frontend f{number}\n bind BIND{number}\n log-format \"{}\"\n \
             capture request header Host len 6\n capture response header Server len 9\n capture cookie SID len 9\n \
             http-request capture req.hdr(x-a),lower len 7\n capture request header User-Agent len 12\n \
             declare capture request len 5\n http-request set-var(txn.path) path\n \
             http-request set-var(sess.first) method if {{ http_first_req }}\n \
             http-request set-var(txn.agent) req.hdr(user-agent)\n \
             http-request capture url_param(q) id 3\n http-request deny if {{ path /denied }}\n \
             http-request return status 204 if {{ path /returned }}\n \
             http-response set-var(txn.said) res.hdr(x-two)\n default_backend b\n",
            format.replace('"', "\\\"")
        );
    }
    text += "backend b\n http-request capture req.hdr(x-a) id 3 if { path /late }\n \
             http-response capture res.hdr(x-two) id 0 if { capture.req.uri /late }\n server s SERVER\n";
    let server = echo();
    let twice = Twice::start(&place, &text, server);
    let mut wrong = Differences::default();
    for (number, format) in formats.iter().enumerate() {
        for request in REQUESTS {
            let answers = twice.answers(number, request);
            let what = format!("{format} of {:?}", request.lines().next().unwrap_or_default());
            let id = |answer: String| {
                answer
                    .lines()
                    .find(|line| line.to_lowercase().starts_with("x-request-id"))
                    .map(str::to_lowercase)
            };
            wrong.compare(&what, answers.map(|answer| id(answer).unwrap_or_default()));
            let lines = twice.lines(&place, &what);
            if WANTED.iter().any(|(part, of)| format.contains(part) && request.contains(of)) {
                continue;
            }
            let has_numbers = number >= FORMATS.len();
            wrong.compare(&what, if has_numbers { lines.map(|line| without_numbers(&line)) } else { lines });
        }
    }
    wrong.check(&place);
}

#[test]
fn a_line_has_the_level_that_rules_give_it() {
    const TEXT: &str = "
global
 log LOG local0 info
defaults
 mode http
 log global
 option log-separate-errors
 log-format %ST\\ %HP
 timeout client 60s
 timeout connect 60s
 timeout server 60s
frontend f
 bind BIND0
 http-request set-log-level notice if { path_beg /notice }
 http-request set-log-level silent if { path_beg /silent }
 http-request set-log-level emerg if { path /silent/emerg }
 http-request set-log-level debug if { path /debug }
 http-request deny if { path_end /denied }
 http-response set-log-level crit if { capture.req.uri /response }
 http-response set-log-level silent if { capture.req.uri /response/silent }
 default_backend b
backend b
 http-request set-log-level warning if { path /notice/warning }
 http-request deny deny_status 503 if { path_end /error }
 server s SERVER
";
    const PATHS: [&str; 12] = [
        "/usual",
        "/notice",
        "/notice/denied",
        "/notice/warning",
        "/notice/error",
        "/silent",
        "/silent/emerg",
        "/debug",
        "/error",
        "/response",
        "/response/silent",
        "/end",
    ];
    let place = Place::new("same_cfg_levels");
    let twice = Twice::start(&place, TEXT, echo());
    for path in PATHS {
        twice.answers(0, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    }
    let [theirs, ours] = [0, 1].map(|which| {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.ends_with(" /end")) {
            let line = twice.syslogs[which].line(&place, "all requests");
            let line = line.trim_end();
            let (level, path) =
                (line.split('>').next().unwrap_or_default(), line.rsplit(' ').next().unwrap_or_default());
            // What else HAProxy tells, such as its start.
            if path.starts_with('/') {
                lines.push(format!("{level}> {path}"));
            }
        }
        lines
    });
    assert_eq!(theirs, ours);
    assert!(ours.contains(&"<132> /notice/warning".to_owned()), "{ours:?}");
}

/// What no two runs have in common reads `N`; what was not reached keeps its sign.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for character in line.chars() {
        match character {
            digit if digit.is_ascii_digit() => {
                if !out.ends_with('N') {
                    out.push('N');
                }
            }
            other => out.push(other),
        }
    }
    out
}
