//! What an Apache of the tests runs: pages that are programs, and the command that restarts it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// The page that takes 100 ms.
pub const THINK: &str = "/cgi/think";
/// Takes orders: the id is the body of a POST.
pub const ORDER: &str = "/cgi/order";
/// Takes as many seconds as its query says.
pub const SLOW: &str = "/cgi/slow";
/// Is answered when [`Apache::release`](super::Apache::release) lets it.
pub const HELD: &str = "/cgi/held";
/// Writes down what reached it, and answers with the first two words of that: see [`Apache::recorded`](super::Apache::recorded).
pub const RECORD: &str = "/cgi/record";

/// The page's name of each program.
const PAGES: [(&str, &str); 5] = [
    ("think", THINK_CGI),
    ("slow", SLOW_CGI),
    ("held", HELD_CGI),
    ("order", ORDER_CGI),
    ("record", RECORD_CGI),
];

/// Writes the pages, which share `public` with the server's workers, and the command, which is for the server in `root`.
pub(super) fn write(public: &Path, root: &Path, command: &Path) {
    let placed = |text: &str| {
        text.replace("@ROOT@", &root.to_string_lossy()).replace("@PUBLIC@", &public.to_string_lossy())
    };
    let cgi = public.join("cgi");
    fs::create_dir_all(&cgi).expect("create the CGI directory");
    for (name, text) in PAGES {
        script(&cgi.join(name), &placed(text));
    }
    script(command, &placed(RESTART));
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make a script executable");
}

const THINK_CGI: &str = r"#!/bin/sh
sleep 0.1
printf 'Content-Type: text/plain\r\nContent-Length: 8\r\n\r\nthought\n'
";

const SLOW_CGI: &str = r#"#!/bin/sh
sleep "${QUERY_STRING:-20}"
printf 'Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nslow\n'
"#;

const HELD_CGI: &str = r#"#!/bin/sh
while [ -e "@PUBLIC@/held" ]; do sleep 0.05; done
printf 'Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nheld\n'
"#;

const ORDER_CGI: &str = r#"#!/bin/sh
[ "$REQUEST_METHOD" = POST ] || { printf 'Status: 405\r\nContent-Length: 0\r\n\r\n'; exit; }
IFS= read -r id
printf '%s\n' "$id" >>"@PUBLIC@/orders"
sleep 0.05
printf 'Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\n' $((${#id} + 1)) "$id"
"#;

const RECORD_CGI: &str = r#"#!/bin/sh
body=$(od -An -v -tx1 | tr -d ' \n')
printf '%s %s %s\n' "$REQUEST_METHOD" "$QUERY_STRING" "$body" >>"@PUBLIC@/recorded"
text="$REQUEST_METHOD $QUERY_STRING"
printf 'Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s\n' $((${#text} + 1)) "$text"
"#;

/// Stop, wait, start: what `systemctl restart apache2` does. A server that is dead is just started.
const RESTART: &str = r#"#!/bin/sh
set -eu
cd "@ROOT@"
if [ -e broken ]; then cat broken >&2; exit 7; fi
date +%s%N >>restarts
while [ -e "@PUBLIC@/held" ]; do sleep 0.05; done
pid=$(cat httpd.pid 2>/dev/null || true)
if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
    apache2 -d "@ROOT@" -f "@ROOT@/httpd.conf" -k stop
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
fi
if [ -e unready ]; then rm -f unready "@PUBLIC@/htdocs/health"; fi
apache2 -d "@ROOT@" -f "@ROOT@/httpd.conf" -k start
"#;
