//! Responses: what passes, what becomes a 502, what comes in between.

use super::*;

/// Sends a request, has the server answer and close, and gives back all that the client got until it was closed or
/// answered in full, and the log.
async fn answered(method: &str, answer: &str) -> (String, Vec<String>) {
    let server = Server::start().await;
    let proxy = Proxy::before(&[&server]).await;
    let mut client = proxy.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    let (mut wire, _) = server.request().await;
    wire.send(answer).await;
    drop(wire);
    let log = proxy.logged(1).await;
    proxy.core.stop();
    (client.rest().await, log)
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    on_a_core(async {
        for (method, answer, expected) in [
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            ),
            (
                "GET",
                "HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n",
                "HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n",
            ),
            ("GET", "HTTP/1.1 204 N\r\nContent-Length: 9\r\n\r\nextra", "HTTP/1.1 204 N\r\n\r\n"),
        ] {
            let (found, log) = answered(method, answer).await;
            assert_eq!(found, expected);
            assert!(log[0][4..].starts_with("---- 0"), "{log:?}");
        }
    });
}

#[test]
fn no_rule_makes_of_a_body_the_next_answer() {
    for (method, answer, rule, expected) in [
        (
            "GET /",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            "set-status 204",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        ),
        ("CONNECT h:80", "HTTP/1.1 200 OK\r\n\r\n", "set-status 404", "HTTP/1.1 502 "),
        ("CONNECT h:80", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "set-status 200", "HTTP/1.1 502 "),
    ] {
        on_a_core(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |frontend, _| {
                frontend.rules = crate::rules::Rules::of_responses(&[rule]).into();
            })
            .await;
            let mut client = proxy.send(format!("{method} HTTP/1.1\r\nHost: h:80\r\n\r\n")).await;
            let (mut wire, _) = server.request().await;
            wire.send(answer).await;
            client.expect(expected).await;
        });
    }
}

#[test]
fn a_response_that_lasts_until_the_server_closes_closes_the_client() {
    on_a_core(async {
        let (found, log) = answered("GET", "HTTP/1.1 200 OK\r\n\r\nall of it").await;
        assert_eq!(found, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it");
        assert_eq!(log, ["200 ---- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_chunked_response_is_framed_anew() {
    on_a_core(async {
        let (found, _) = answered(
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n05;a\r\nhello\r\n0\r\nX-Sum: 1\r\nTransfer-Encoding: x\r\n\r\n",
        )
        .await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(found, format!("{head}5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
    });
}

#[test]
fn chunks_of_an_http_1_0_server_come_as_http_1_1_and_are_the_last_on_both_connections() {
    // Whether or not rules look at them.
    for rules in [&[][..], &["del-header Server"]] {
        on_a_core(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |frontend, _| {
                frontend.rules = crate::rules::Rules::of_responses(rules).into();
            })
            .await;
            let mut client = proxy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let (mut wire, _) = server.request().await;
            let head = "HTTP/1.0 200 OK\r\nServer: s\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
            wire.send(format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
            let kept = if rules.is_empty() { "Server: s\r\n" } else { "" };
            let head =
                format!("HTTP/1.1 200 OK\r\n{kept}Transfer-Encoding: chunked\r\nconnection: close\r\n\r\n");
            assert_eq!(client.rest().await, format!("{head}5\r\nhello\r\n0\r\n\r\n"));
            assert_eq!(proxy.backend.servers()[0].open(), 0);
        });
    }
}

#[test]
fn a_strange_status_passes_rules_as_it_is() {
    for status in ["000", "007", "099", "999"] {
        on_a_core(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |frontend, _| {
                frontend.rules = crate::rules::Rules::of_responses(&["del-header Server"]).into();
            })
            .await;
            let mut client = proxy.send(GET).await;
            let (mut wire, _) = server.request().await;
            wire.send(format!("HTTP/1.1 {status} X\r\nServer: s\r\nContent-Length: 2\r\n\r\nok")).await;
            client.expect(&format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok")).await;
        });
    }
}

#[test]
fn a_response_that_breaks_off_is_never_ended_as_if_it_were_whole() {
    on_a_core(async {
        for (answer, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "half"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "4\r\nhalf\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", "4\r\nhalf\r\n"),
        ] {
            let (found, log) = answered("GET", answer).await;
            assert_eq!(found.split_once("\r\n\r\n").unwrap().1, body);
            assert_eq!(log, ["200 SD-- 0 GET / HTTP/1.1"]);
        }
    });
}

#[test]
fn what_is_no_response_becomes_502() {
    on_a_core(async {
        for (answer, cause) in [
            ("", "SH"),
            ("HTTP/1.1 200 OK\r\nConte", "SH"),
            ("nonsense\r\n\r\n", "PH"),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "PH"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "PH"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "PH"),
            ("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "PH"),
        ] {
            let (found, log) = answered("PATCH", answer).await;
            assert!(
                found.starts_with("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 107\r\n"),
                "{answer:?}: {found:?}"
            );
            assert!(!found.contains("connection: close"), "{answer:?}: {found:?}");
            assert_eq!(log, [format!("502 {cause}-- 0 PATCH / HTTP/1.1")], "{answer:?}");
        }
    });
}

#[test]
fn an_error_leaves_the_clients_connection_open() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(POST).await;
        drop(server.request().await);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        client.bytes(107).await;
        client.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn interim_responses_and_expect_pass() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        let mut client = proxy.send(head).await;
        let (mut wire, found) = server.request().await;
        assert_eq!(found, head);
        wire.send("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
        client.expect("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
        client.send("abc").await;
        wire.expect("abc").await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_websocket_opens_only_where_its_server_has_understood_the_key() {
    const ASKS: &str = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (fields, opens) in [
        ("Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", true),
        ("Upgrade: WebSocket\r\nSec-WebSocket-Accept: xxpPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Upgrade: other\r\n", true),
    ] {
        on_a_core(async {
            let server = Server::start().await;
            let proxy = Proxy::before(&[&server]).await;
            let mut client = proxy.send(ASKS).await;
            let (mut wire, _) = server.request().await;
            wire.send(format!("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n{fields}\r\n")).await;
            let head = client.head().await;
            if opens {
                assert!(head.starts_with("HTTP/1.1 101 "), "{fields}: {head}");
                client.send("there").await;
                wire.expect("there").await;
                wire.send("back").await;
                client.expect("back").await;
            } else {
                assert!(head.starts_with("HTTP/1.1 502 "), "{fields}: {head}");
                assert_eq!(proxy.logged(1).await, ["502 PH-- 0 GET / HTTP/1.1"]);
            }
        });
    }
}

#[test]
fn a_client_of_http_1_0_gets_the_final_response_only() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("GET / HTTP/1.0\r\n\r\n").await;
        let (mut wire, _) = server.request().await;
        wire.send("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
        wire.send(OK).await;
        assert_eq!(
            client.rest().await,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"
        );
        assert_eq!(proxy.logged(1).await, ["200 ---- 0 GET / HTTP/1.0"]);
    });
}

#[test]
fn a_server_may_answer_before_it_has_read_the_request() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nbegin").await;
        let (mut wire, _) = server.request().await;
        wire.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        drop(wire);
        client.expect("HTTP/1.1 413 No\r\nContent-Length: 2\r\nconnection: close\r\n\r\nno").await;
        assert!(client.is_closed().await);
        assert_eq!(proxy.logged(1).await, ["413 ---- 0 POST / HTTP/1.1"]);
    });
}

#[test]
fn an_upgrade_opens_a_tunnel_both_ways() {
    let head = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    tunnel(head, switch, "101 ---- 0 GET / HTTP/1.1");
}

#[test]
fn connect_opens_a_tunnel_both_ways() {
    let head = "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n";
    tunnel(head, "HTTP/1.1 200 OK\r\n\r\n", "200 ---- 0 CONNECT h:80 HTTP/1.1");
}

/// After this request and this answer bytes go both ways as they are, and each direction ends by itself.
fn tunnel(head: &str, switch: &str, line: &str) {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(head).await;
        let (mut wire, found) = server.request().await;
        assert_eq!(found, head);
        wire.send(format!("{switch}first")).await;
        client.expect(&format!("{switch}first")).await;
        client.send("\0raw\n").await;
        wire.expect("\0raw\n").await;
        client.half_close().await;
        assert!(wire.is_closed().await);
        wire.send("last").await;
        drop(wire);
        assert_eq!(client.rest().await, "last");
        assert_eq!(proxy.logged(1).await, [line]);
    });
}

#[test]
fn the_cookie_pins_and_is_stripped() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&one, &two], |_, backend| {
            backend.cookie = Some(config::Cookie::inserted("SID"));
        })
        .await;
        let mut client = proxy.send("GET / HTTP/1.1\r\nCookie: x=1; SID=b\r\n\r\n").await;
        let (mut wire, head) = two.request().await;
        assert_eq!(head, "GET / HTTP/1.1\r\nCookie: x=1\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nSet-Cookie: SID=own\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.send("GET /new HTTP/1.1\r\nCookie: SID=zz\r\n\r\n").await;
        let (mut wire, head) = one.request().await;
        assert_eq!(head, "GET /new HTTP/1.1\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(
            client.head().await,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nset-cookie: SID=a; path=/\r\n\r\n"
        );
        assert_eq!(proxy.logged(2).await, ["200 --VD 0 GET / HTTP/1.1", "200 --II 0 GET /new HTTP/1.1"]);
    });
}

/// Has the server answer and close with a reset, and gives back what the client got and whether it was reset too.
async fn broken_off(request: &str, answer: &str) -> (String, bool, Vec<String>) {
    let server = Server::start().await;
    let proxy = Proxy::before(&[&server]).await;
    let mut client = proxy.send(request).await;
    let (mut wire, _) = server.request().await;
    wire.send(answer).await;
    let mut found = client.head().await;
    wire.reset();
    let mut rest = Vec::new();
    let end = client.0.read_to_end(&mut rest).await;
    found.push_str(&String::from_utf8(rest).unwrap());
    (found, end.is_err(), proxy.logged(1).await)
}

#[test]
fn what_only_a_close_would_end_is_reset_when_it_breaks_off() {
    on_a_core(async {
        let (found, reset, log) = broken_off("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhalf").await;
        assert_eq!(found.split_once("\r\n\r\n").unwrap().1, "half");
        assert!(reset, "expected a reset, found an end as if the response were whole");
        assert_eq!(log, ["200 SD-- 0 GET / HTTP/1.1"]);

        let (_, reset, log) = broken_off(
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhalf",
        )
        .await;
        assert!(reset, "expected a reset, found an end as if the tunnel had been closed");
        assert_eq!(log, ["101 SD-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_malformed_first_chunk_is_502_and_a_later_one_cuts_off_what_was_good() {
    on_a_core(async {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (found, log) = answered("GET", &format!("{head}zz\r\n")).await;
        assert_eq!(
            found,
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 107\r\ncache-control: no-cache\r\n\
             content-type: text/html\r\n\r\n<html><body><h1>502 Bad Gateway</h1>\n\
             The server returned an invalid or incomplete response.\n</body></html>\n"
        );
        assert_eq!(log, ["502 PH-- 0 GET / HTTP/1.1"]);

        let (found, log) = answered("GET", &format!("{head}4\r\ngood\r\nzz\r\n")).await;
        assert_eq!(found, format!("{head}4\r\ngood\r\n"));
        assert_eq!(log, ["200 PD-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_malformed_chunk_of_a_request_is_400() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client =
            proxy.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n").await;
        let (mut wire, _) = server.request().await;
        wire.expect("4\r\ngood\r\n").await;
        client.send("zz\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 400 "));
        assert!(wire.is_closed().await);
    });
}
