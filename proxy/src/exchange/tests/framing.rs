//! Requests: what passes, what is refused, what the server sees.

use super::*;

#[test]
fn a_request_passes_with_its_bytes_and_the_clients_address() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |frontend, _| {
            let header = "X-Forwarded-For".into();
            frontend.forward_for = Some(config::AddressField { header, except: Vec::new(), if_none: false });
        })
        .await;
        let mut client = proxy.send("GET /a?b HTTP/1.1\r\nHost: h\r\nX-Odd-CASE: 1\r\n\r\n").await;
        let (mut wire, head) = server.request().await;
        assert_eq!(
            head,
            "GET /a?b HTTP/1.1\r\nHost: h\r\nX-Odd-CASE: 1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
        );
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- 0 GET /a?b HTTP/1.1"]);
    });
}

#[test]
fn trailers_carry_nothing_that_the_proxy_says_or_takes_away_in_heads() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |frontend, _| {
            let header = "X-Client".into();
            frontend.forward_for = Some(config::AddressField { header, except: Vec::new(), if_none: false });
            let rules = ["set-header X-User nobody if FALSE", "del-header X-Auth- -m beg"];
            frontend.rules = crate::rules::Rules::of_requests(&rules).into();
        })
        .await;
        let trailers = "x-client: 1\r\nX-USER: me\r\nX-Auth-Role: admin\r\nX-Sum: 1\r\n\r\n";
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = proxy.send(format!("{head}2\r\nok\r\n0\r\n{trailers}")).await;
        let (mut wire, _) = server.request().await;
        wire.expect("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n").await;
        // What no rule touches on its way back passes.
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(format!("{head}0\r\nX-User: 1\r\n\r\n")).await;
        client.expect(&format!("{head}0\r\nX-User: 1\r\n\r\n")).await;
    });
}

#[test]
fn what_can_be_read_in_two_ways_reaches_no_server() {
    let long = "x".repeat(16_000);
    let many = "a: b\r\n".repeat(102);
    let table = [
        (400, "GET / HTTP/1.1\nHost: h\n\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n A: b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nA : b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n: b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/0.9\r\n\r\n".to_owned()),
        (400, "GET /\r\n\r\n".to_owned()),
        (400, "GET foo HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /a#b HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        (400, "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned()),
        (400, "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na".to_owned()),
        (400, "POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\na".to_owned()),
        (400, "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n".to_owned()),
        (
            400,
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ),
        (400, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n".to_owned()),
        (413, "GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\na".to_owned()),
        (414, format!("GET /{long} HTTP/1.1\r\n\r\n")),
        (422, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (431, format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\n{many}\r\n")),
    ];
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        for (index, (status, request)) in table.iter().enumerate() {
            let mut client = proxy.send(format!("{request}GET /second HTTP/1.1\r\n\r\n")).await;
            client.half_close().await;
            let answer = client.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?}: {answer:?}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{request:?}: {answer:?}");
            assert_eq!(proxy.logged(index + 1).await[index], format!("{status} PR-- 0 <BADREQ>"));
        }
        assert!(server.is_left_alone().await);
    });
}

#[test]
fn a_length_beside_chunked_is_dropped_and_nothing_follows_on_the_connection() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            smuggled.len()
        );
        let mut client = proxy.send(head + smuggled).await;
        let (mut wire, head) = server.request().await;
        assert_eq!(head, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n");
        wire.expect("0\r\n\r\n").await;
        wire.send(OK).await;
        assert_eq!(client.head().await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\n");
        client.half_close().await;
        assert_eq!(client.rest().await, "ok");
        assert!(wire.is_closed().await);
        assert!(server.is_left_alone().await);
    });
}

#[test]
fn a_chunked_request_is_framed_anew() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client =
            proxy.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0003;x=y\r\nabc\r\n").await;
        let (mut wire, _) = server.request().await;
        wire.expect("3\r\nabc\r\n").await;
        client.send("0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n").await;
        wire.expect("0\r\nX-Sum: 1\r\n\r\n").await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn pipelined_requests_are_answered_one_after_the_other() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client =
            proxy.send("GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\nGET /3 HTTP/1.1\r\n\r\n").await;
        let (mut wire, head) = server.request().await;
        assert_eq!(head, "GET /1 HTTP/1.1\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
        wire.expect("PUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
        wire.expect("GET /3 HTTP/1.1\r\n\r\n").await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3").await;
        for digit in ["1", "2", "3"] {
            client.head().await;
            client.expect(digit).await;
        }
    });
}

#[test]
fn a_head_may_come_in_single_bytes() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.client().await;
        for byte in b"\r\nGET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n" {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        let (_, head) = server.request().await;
        assert_eq!(head, "GET / HTTP/1.1\r\nA: b   c\r\n\r\n");
    });
}

#[test]
fn a_client_that_closes_within_its_head_gets_400() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("GET / HT").await;
        client.half_close().await;
        assert!(client.rest().await.starts_with("HTTP/1.1 400 Bad request\r\nContent-length: 90\r\n"));
        assert_eq!(proxy.logged(1).await, ["400 CR-- 0 <BADREQ>"]);
    });
}

#[test]
fn an_http_1_0_client_keeps_its_version_and_is_closed() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("GET / HTTP/1.0\r\n\r\n").await;
        let (mut wire, head) = server.request().await;
        assert_eq!(head, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok").await;
        assert_eq!(
            client.rest().await,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"
        );
    });
}

#[test]
fn an_http_1_0_client_that_asks_for_it_is_kept() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let mut client = proxy.send(request).await;
        let (mut wire, _) = server.request().await;
        for _ in 0..2 {
            wire.send(OK).await;
            client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: keep-alive\r\n\r\nok").await;
            client.send(request).await;
            wire.head().await;
        }
    });
}
