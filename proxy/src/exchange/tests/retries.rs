//! What is sent again, where, and what never is.

use super::*;
use crate::backend::{Operation, Wish};

#[test]
fn a_refused_connection_goes_elsewhere_at_once() {
    on_a_core(async {
        let (dead, alive) = (Server::dead().await, Server::start().await);
        let proxy = Proxy::before(&[&dead, &alive]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
        let (mut wire, _) = alive.request().await;
        wire.expect("abc").await;
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 POST / HTTP/1.1"]);
    });
}

#[test]
fn a_pinned_user_of_a_refusing_server_moves_with_the_last_retry() {
    with_paused_time(async {
        let (dead, alive) = (Server::dead().await, Server::start().await);
        let proxy = Proxy::with(&[&dead, &alive], |_, backend| {
            backend.retry.limit = 2;
            backend.cookie = Some(config::Cookie::inserted("SID"));
        })
        .await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send("GET / HTTP/1.1\r\nCookie: SID=a\r\n\r\n").await;
        let (mut wire, _) = alive.request().await;
        assert_eq!(start.elapsed().as_secs(), 1);
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(client.head().await.contains("set-cookie: SID=b; path=/\r\n"));
        assert_eq!(proxy.logged(1).await, ["200 --DI +2 GET / HTTP/1.1"]);
        // The server that never saw the user need not wait for it when it drains.
        let users = |index: usize| proxy.backend.servers()[index].users().count(tokio::time::Instant::now());
        assert_eq!((users(0), users(1)), (0, 1));
    });
}

#[test]
fn a_retry_waits_for_no_server_that_has_left() {
    with_paused_time(async {
        let (dead, alive) = (Server::dead().await, Server::start().await);
        let proxy = Proxy::with(&[&dead, &alive], |_, backend| {
            backend.retry.redispatch = config::Redispatch::Never;
            backend.servers[0].maxconn = 1.try_into().ok();
            backend.timeout.queue = Duration::from_hours(1);
        })
        .await;
        let mut client = proxy.send(GET).await;
        // In the pause before it is tried again, another request takes its place there.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _held = fixture::granted(proxy.backend.admit(Wish::Pinned(0)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(proxy.backend.servers()[0].queued(), 1);
        proxy.backend.set_operation(0, Operation::Soft, true);
        let (mut wire, _) = alive.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_single_dead_server_is_503_after_its_retries() {
    with_paused_time(async {
        let dead = Server::dead().await;
        let proxy =
            Proxy::with(&[&dead], |_, backend| backend.retry.redispatch = config::Redispatch::Never).await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        let head = client.head().await;
        assert_eq!(
            head,
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n"
        );
        assert_eq!(start.elapsed().as_secs(), 3);
        assert_eq!(proxy.logged(1).await, ["503 SC-- 3 GET / HTTP/1.1"]);
    });
}

#[test]
fn nobody_to_serve_is_503_at_once() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        proxy.backend.set_operation(0, Operation::Down, false);
        let mut client = proxy.send(GET).await;
        assert!(client.head().await.starts_with("HTTP/1.1 503 "));
        assert_eq!(proxy.logged(1).await, ["503 SC-- 0 GET / HTTP/1.1"]);
    });
}

/// A proxy with one idle connection, and the server's end of it.
async fn with_an_idle_connection(server: &Server) -> (Proxy, Wire, Wire) {
    let proxy = Proxy::before(&[server]).await;
    let (client, wire) = proxy.idle(server).await;
    (proxy, client, wire)
}

#[test]
fn a_get_on_an_idle_connection_that_closes_is_sent_on_a_new_one() {
    on_a_core(async {
        let server = Server::start().await;
        let (proxy, mut client, mut old) = with_an_idle_connection(&server).await;
        client.send("GET /again HTTP/1.1\r\n\r\n").await;
        old.expect("GET /again HTTP/1.1\r\n\r\n").await;
        drop(old);
        let (mut new, head) = server.request().await;
        assert_eq!(head, "GET /again HTTP/1.1\r\n\r\n");
        new.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(2).await[1], "200 ---- 0 GET /again HTTP/1.1");
    });
}

#[test]
fn an_idle_connection_that_has_closed_is_not_used() {
    on_a_core(async {
        let server = Server::start().await;
        let (_proxy, mut client, old) = with_an_idle_connection(&server).await;
        drop(old);
        client.send(GET).await;
        let (mut new, _) = server.request().await;
        new.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_post_never_goes_out_on_a_connection_that_has_served() {
    on_a_core(async {
        let server = Server::start().await;
        let (_proxy, mut client, _old) = with_an_idle_connection(&server).await;
        client.send("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await;
        let (mut new, head) = server.request().await;
        assert!(head.starts_with("POST / "));
        new.expect("x").await;
        new.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_put_whose_body_is_not_there_yet_goes_out_on_a_new_connection() {
    on_a_core(async {
        let server = Server::start().await;
        let (_proxy, mut client, _old) = with_an_idle_connection(&server).await;
        client.send("PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n").await;
        let (_, head) = server.request().await;
        assert!(head.starts_with("PUT / "));
    });
}

#[test]
fn a_post_that_a_server_has_seen_is_never_sent_again() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").await;
        let (wire, _) = one.request().await;
        drop(wire);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        assert!(one.is_left_alone().await && two.is_left_alone().await);
        assert_eq!(proxy.logged(1).await, ["502 SH-- 0 POST / HTTP/1.1"]);
    });
}

#[test]
fn a_request_that_may_be_repeated_is_sent_again_as_long_as_the_client_has_nothing() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nConte";
    const KEY: &str = "Idempotency-Key: 7\r\n";
    for (method, field, answer, again) in [
        ("GET", "", "", true),
        ("HEAD", "", "", true),
        ("OPTIONS", "", HALF, true),
        ("TRACE", "", "", true),
        ("PUT", "", HALF, true),
        ("DELETE", "", "", true),
        ("GET", "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false),
        ("POST", "", "", false),
        ("PATCH", "", "", false),
        ("PURGE", "", "", false),
        ("POST", "", HALF, false),
        ("POST", KEY, "", true),
        ("PATCH", KEY, HALF, true),
        ("POST", "Idempotency-Key: \r\n", "", false),
    ] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy =
                Proxy::with(&[&one, &two], |_, backend| backend.retry.with_idempotency_key = true).await;
            let head = format!("{method} / HTTP/1.1\r\nHost: h\r\n{field}\r\n");
            let mut client = proxy.send(&head).await;
            let (mut wire, first) = one.request().await;
            wire.send(answer).await;
            drop(wire);
            if again {
                let (mut wire, second) = two.request().await;
                assert_eq!(first, second);
                wire.send("HTTP/1.1 204 N\r\n\r\n").await;
                client.expect("HTTP/1.1 204 N\r\n\r\n").await;
                assert_eq!(proxy.logged(1).await, [format!("204 ---- +1 {method} / HTTP/1.1")]);
            } else {
                proxy.logged(1).await;
                assert!(two.is_left_alone().await, "{head}");
            }
        });
    }
}

#[test]
fn a_key_makes_nothing_repeatable_unless_the_backend_says_so() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nIdempotency-Key: 7\r\n\r\n").await;
        drop(one.request().await);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        assert!(two.is_left_alone().await);
    });
}

#[test]
fn what_retry_on_names_is_tried_again_and_nothing_else() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno";
    let on = |failure| config::RetryOn::NONE.and(failure);
    for (on, answer, again, status) in [
        (on(config::Failure::Status(503)), BUSY, true, 503),
        (on(config::Failure::Status(502)), BUSY, false, 503),
        (config::RetryOn::STANDARD, BUSY, false, 503),
        (on(config::Failure::Junk), "junk\r\n\r\n", true, 502),
        (config::RetryOn::STANDARD, "junk\r\n\r\n", false, 502),
        (on(config::Failure::Empty), "", true, 502),
        (on(config::Failure::Connection), "", false, 502),
        (config::RetryOn::NONE, "", false, 502),
    ] {
        for method in ["GET", "POST"] {
            on_a_core(async {
                let (one, two) = (Server::start().await, Server::start().await);
                let proxy = Proxy::with(&[&one, &two], |_, backend| backend.retry.on = on).await;
                let mut client = proxy.send(format!("{method} / HTTP/1.1\r\n\r\n")).await;
                let (mut wire, _) = one.request().await;
                wire.send(answer).await;
                drop(wire);
                if again && method == "GET" {
                    let (mut wire, _) = two.request().await;
                    wire.send(OK).await;
                    client.expect(OK).await;
                } else {
                    let head = client.head().await;
                    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method}, {answer}: {head}");
                    assert!(two.is_left_alone().await);
                }
            });
        }
    }
}

#[test]
fn a_status_that_stays_is_passed_on_when_the_attempts_are_used_up() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |_, backend| {
            backend.retry.limit = 2;
            backend.retry.interval = Duration::from_secs(4);
            backend.retry.on = config::RetryOn::NONE.and(config::Failure::Status(503));
        })
        .await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        for attempt in 0..3 {
            let (mut wire, _) = server.request().await;
            assert_eq!(start.elapsed().as_secs(), 4 * attempt);
            wire.send("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno").await;
        }
        client.expect("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno").await;
        assert_eq!(proxy.logged(1).await, ["503 ---- 2 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_server_that_does_not_answer_in_time_is_left_where_retry_on_says_so() {
    with_paused_time(async {
        let (slow, quick) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&slow, &quick], |_, backend| {
            backend.retry.on = config::RetryOn::NONE.and(config::Failure::Timeout);
        })
        .await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        let _held = slow.request().await;
        let (mut wire, _) = quick.request().await;
        assert_eq!(start.elapsed().as_secs(), 11);
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 GET / HTTP/1.1"]);
    });
}

#[test]
fn early_hints_do_not_keep_a_request_from_being_sent_again() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = one.request().await;
        wire.send("HTTP/1.1 103 Early\r\n\r\n").await;
        client.expect("HTTP/1.1 103 Early\r\n\r\n").await;
        drop(wire);
        let (mut wire, _) = two.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_server_that_leaves_during_a_pause_is_not_tried_again() {
    with_paused_time(async {
        let (leaving, alive) = (Server::dead().await, Server::start().await);
        let proxy = Proxy::with(&[&leaving, &alive], |_, backend| {
            backend.retry.redispatch = config::Redispatch::Never;
        })
        .await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.backend.set_operation(0, Operation::Soft, true);
        let (mut wire, _) = alive.request().await;
        assert_eq!(start.elapsed().as_secs(), 1);
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_server_that_leaves_while_a_request_waits_for_a_connection_is_left_alone() {
    for (cookie, operation, server_of_the_request) in [
        ("", Operation::Soft, 1),
        ("", Operation::Down, 1),
        ("Cookie: SID=a\r\n", Operation::Soft, 0),
        ("Cookie: SID=a\r\n", Operation::Down, 1),
    ] {
        on_a_core(async {
            let servers = [Server::start().await, Server::start().await];
            let proxy = Proxy::with(&[&servers[0], &servers[1]], |_, backend| {
                backend.servers[0].maxconn = 1.try_into().ok();
                backend.cookie = Some(config::Cookie::inserted("SID"));
            })
            .await;
            let guarded = &proxy.backend.servers()[0];
            let elsewhere = guarded.try_connection().unwrap();
            let mut orders = guarded.idle_orders();
            let _client = proxy.send(format!("GET / HTTP/1.1\r\n{cookie}\r\n")).await;
            orders.recv().await.unwrap();
            proxy.backend.set_operation(0, operation, true);
            drop(elsewhere);
            servers[server_of_the_request].request().await;
            assert!(servers[1 - server_of_the_request].is_left_alone().await, "{cookie:?} {operation:?}");
        });
    }
}
