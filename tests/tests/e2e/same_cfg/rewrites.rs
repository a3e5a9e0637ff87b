//! Where it is counted that a rule could not change a head. What can't be done differs: HAProxy has no room for a long field,
//! and here no status may take a body away, nor a method. The message passes, as in HAProxy without `strict-mode`.

use drain_tests::{Place, client::Connection, scripted};

use super::{Twice, counts};

/// What only HAProxy has, whose build the condition asks for.
const LENIENT: &str = ".if feature(LUA)
 http-request strict-mode off
 http-response strict-mode off
 http-after-response strict-mode off
.endif
";

/// What each section has; a rule fails where the client names the section in `X-Big` (HAProxy) or `X-Set` (here).
const RULES: &str = "
 http-request set-header X-Two %[var(txn.big)] if { var(txn.who) -m str rSELF }
 http-request set-method HEAD if { var(txn.set) -m str rSELF }
 http-response set-header X-1 %[var(txn.big)] if { var(txn.who) -m str SELF }
 http-response set-header X-2 %[var(txn.big)] if { var(txn.who) -m str SELF }
 http-response set-status 204 if { var(txn.set) -m str SELF }
 http-after-response set-header X-1 %[var(txn.big)] if { var(txn.who) -m str aSELF }
 http-after-response set-header X-2 %[var(txn.big)] if { var(txn.who) -m str aSELF }
 http-after-response set-status 204 if { var(txn.set) -m str aSELF }
";

const TEXT: &str = "
global
 stats socket SOCKET level admin
defaults
 mode http
 timeout client 120s
 timeout server 120s
 timeout connect 120s
frontend f
 bind BIND0
 VARIABLES
 RULES f
 http-request deny if { path /deny }
 default_backend b
backend b
 RULES b
 http-request deny if { path /deny/b }
 server s SERVER
listen l
 bind BIND1
 VARIABLES
 RULES l
 server s SERVER
";

const VARIABLES: &str = "http-request set-var(txn.big) req.hdr(x-big)
 http-request set-var(txn.who) req.hdr(x-who)
 http-request set-var(txn.set) req.hdr(x-set)";

/// Where clients come in, what they ask for, and whose rule fails.
const REQUESTS: [(usize, &str, &str); 13] = [
    (0, "/", "rf"),
    (0, "/", "rb"),
    (0, "/", "f"),
    (0, "/", "b"),
    (0, "/", "b"),
    (0, "/", "af"),
    (0, "/", "ab"),
    (0, "/deny", "af"),
    (0, "/deny/b", "af"),
    (0, "/deny/b", "ab"),
    (1, "/", "rl"),
    (1, "/", "l"),
    (1, "/", "al"),
];

#[test]
fn rewrites_that_fail_are_counted_where_haproxy_counts_them() {
    let place = Place::new("same_cfg_rewrites");
    let mut text = TEXT.replace("VARIABLES", VARIABLES);
    for section in ["f", "b", "l"] {
        text = text
            .replace(&format!("RULES {section}\n"), &(LENIENT.to_owned() + &RULES.replace("SELF", section)));
    }
    let server = scripted::start(|_, connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()
    });
    let both = Twice::start(&place, &text, server);
    let big = "x".repeat(9_000);
    for (bind, path, who) in REQUESTS {
        for (which, cause) in
            [format!("X-Who: {who}\r\nX-Big: {big}"), format!("X-Set: {who}")].iter().enumerate()
        {
            let mut client = Connection::open(both.addresses[which][bind]).expect("a connection");
            let answer = client.fetch("GET", path, &[cause, "Connection: close"], b"");
            answer.unwrap_or_else(|failure| place.fail(&format!("{which} {path} {who}: {failure}")));
        }
    }
    let wanted = ["pxname", "svname", "wrew"];
    counts::agree(&place, "the same numbers", || {
        both.say("show stat").map(|text| counts::columns(&text, &wanted))
    });
    let [_, ours] = both.say("show stat");
    let ours = counts::columns(&ours, &wanted);
    assert!(ours.contains(&"pxname=b svname=s wrew=5".to_owned()), "{ours:?}");
}
