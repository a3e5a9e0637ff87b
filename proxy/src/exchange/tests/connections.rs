//! Connections to servers: shared, limited, closed when they must be; and the stop.

use super::*;
use crate::backend::Operation;

#[test]
fn an_idle_connection_serves_the_next_client() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let (_first, mut wire) = proxy.idle(&server).await;
        let mut second = proxy.send("GET /2 HTTP/1.1\r\n\r\n").await;
        wire.expect("GET /2 HTTP/1.1\r\n\r\n").await;
        wire.send(OK).await;
        second.expect(OK).await;
        assert_eq!(proxy.backend.servers()[0].open(), 1);
    });
}

#[test]
fn a_drain_closes_idle_connections_at_once() {
    for operation in [Operation::Soft, Operation::Down] {
        on_a_core(async {
            let server = Server::start().await;
            let proxy = Proxy::before(&[&server]).await;
            let (_client, mut wire) = proxy.idle(&server).await;
            proxy.backend.set_operation(0, operation, true);
            assert!(wire.is_closed().await);
            assert_eq!(proxy.backend.servers()[0].open(), 0);
        });
    }
}

#[test]
fn a_response_that_ends_during_a_drain_closes_the_servers_connection_and_not_the_clients() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        proxy.backend.set_operation(0, Operation::Soft, true);
        wire.send(OK).await;
        client.expect(OK).await;
        assert!(wire.is_closed().await);
        client.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn bytes_beyond_a_response_end_the_servers_connection() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(format!("{OK}HTTP/1.1 200 Smuggled\r\nContent-Length: 0\r\n\r\n")).await;
        client.expect(OK).await;
        assert!(wire.is_closed().await);
        client.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn maxconn_holds_and_the_next_waits_its_turn() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.servers[0].maxconn = 1.try_into().ok()).await;
        let mut first = proxy.send("GET /1 HTTP/1.1\r\n\r\n").await;
        let (mut wire, _) = server.request().await;
        let mut second = proxy.send("GET /2 HTTP/1.1\r\n\r\n").await;
        while proxy.backend.queued() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(server.is_left_alone().await);
        wire.send(OK).await;
        first.expect(OK).await;
        wire.expect("GET /2 HTTP/1.1\r\n\r\n").await;
        wire.send(OK).await;
        second.expect(OK).await;
    });
}

#[test]
fn a_post_at_maxconn_takes_the_place_of_an_idle_connection() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.servers[0].maxconn = 1.try_into().ok()).await;
        let (mut client, mut old) = proxy.idle(&server).await;
        client.send("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await;
        assert!(old.is_closed().await);
        let (mut new, _) = server.request().await;
        new.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.backend.servers()[0].open(), 1);
    });
}

#[test]
fn at_maxconn_a_request_waits_for_the_connection_that_another_core_gives_up() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.servers[0].maxconn = 1.try_into().ok()).await;
        let guarded = &proxy.backend.servers()[0];
        let elsewhere = guarded.try_connection().unwrap();
        let mut orders = guarded.idle_orders();
        let mut client = proxy.send(GET).await;
        assert!(!orders.recv().await.unwrap().all);
        assert!(server.is_left_alone().await);
        drop(elsewhere);
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_stop_closes_idle_clients_and_lets_the_others_finish() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let (mut idle, mut wire) = proxy.idle(&server).await;
        let mut fresh = proxy.client().await;
        let mut busy = proxy.send("GET /busy HTTP/1.1\r\n\r\n").await;
        wire.expect("GET /busy HTTP/1.1\r\n\r\n").await;
        proxy.core.stop();
        assert!(idle.is_closed().await);
        assert_eq!(fresh.rest().await, "");
        wire.send(OK).await;
        assert_eq!(busy.rest().await, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok");
    });
}

#[test]
fn a_client_that_goes_takes_its_request_along() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf").await;
        let (mut wire, _) = server.request().await;
        wire.expect("half").await;
        drop(client);
        assert!(wire.is_closed().await);
        assert_eq!(proxy.logged(1).await, ["-1 CD-- 0 POST / HTTP/1.1"]);
        assert_eq!(proxy.backend.servers()[0].in_flight(), 0);
    });
}

#[test]
fn a_client_that_has_said_all_may_close_its_half() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        client.half_close().await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        assert_eq!(client.rest().await, OK);
    });
}

#[test]
fn a_body_that_no_server_took_is_no_request() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n").await;
        let (wire, _) = one.request().await;
        // Both reach the proxy at once, so that it reads the whole body before it finds nobody to write it to.
        wire.reset();
        let within = "GET /within HTTP/1.1\r\n\r\n";
        client.send(format!("{within}{}", "x".repeat(20_000 - within.len()))).await;
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        client.bytes(107).await;
        assert!(one.is_left_alone().await && two.is_left_alone().await);
        client.send("GET /next HTTP/1.1\r\n\r\n").await;
        let (mut wire, head) = two.request().await;
        assert_eq!(head, "GET /next HTTP/1.1\r\n\r\n");
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(2).await, ["502 SH-- 0 POST / HTTP/1.1", "200 ---- 0 GET /next HTTP/1.1"]);
    });
}

#[test]
fn a_body_that_a_server_may_overlook_ends_its_connection() {
    on_a_core(async {
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            let server = Server::start().await;
            let proxy = Proxy::before(&[&server]).await;
            let mut client = proxy.send(format!("{method} / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")).await;
            let (mut wire, head) = server.request().await;
            assert_eq!(
                head,
                format!("{method} / HTTP/1.1\r\nContent-Length: 3\r\nconnection: close\r\n\r\n")
            );
            wire.expect("abc").await;
            let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            wire.send(empty).await;
            client.expect(empty).await;
            assert!(wire.is_closed().await, "{method}");
            client.send(GET).await;
            server.request().await;
        }
    });
}

#[test]
fn idle_connections_do_not_pile_up_under_posts() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.client().await;
        let mut wires = Vec::new();
        for _ in 0..5 {
            client.send("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await;
            let (mut wire, _) = server.request().await;
            wire.send(OK).await;
            client.expect(OK).await;
            wires.push(wire);
            assert_eq!(proxy.backend.servers()[0].open(), 1);
        }
        // The last one still serves what may be sent twice.
        client.send(GET).await;
        let mut last = wires.pop().unwrap();
        last.head().await;
        last.send(OK).await;
        client.expect(OK).await;
    });
}
