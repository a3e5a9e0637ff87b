//! Responses that break off, and are continued or not.

use std::num::NonZeroU32;

use super::*;
use crate::{
    backend::observed::Observed,
    config::{Layer, Observe, OnError},
};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\nContent-Length: 10\r\nX-From: one\r\n\r\n";
const RANGE_REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nrange: bytes=4-\r\nif-range: \"v1\"\r\n\r\n";
const REST: &str = "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\n\
    Content-Length: 6\r\nSet-Cookie: a=b\r\n\r\n456789";

/// A client with four bytes of ten, whose server has died.
async fn cut_off(proxy: &Proxy, server: &Server, request: &str) -> Wire {
    let mut client = proxy.send(request).await;
    let (mut wire, _) = server.request().await;
    wire.send(format!("{HEAD}0123")).await;
    client.head().await;
    client.expect("0123").await;
    client
}

#[test]
fn a_response_that_breaks_off_is_continued_by_another_server() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = one.request().await;
        wire.send(format!("{HEAD}01")).await;
        client.expect(&format!("{HEAD}01")).await;
        wire.send("23").await;
        client.expect("23").await;
        drop(wire);
        let (mut wire, head) = two.request().await;
        assert_eq!(head, RANGE_REQUEST);
        wire.send(format!("HTTP/1.1 103 Early\r\n\r\n{REST}")).await;
        client.expect("456789").await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 GET / HTTP/1.1"]);
        // Both connections go on.
        proxy.backend.set_operation(0, crate::backend::Operation::Down, false);
        client.send(GET).await;
        wire.head().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn it_may_break_off_more_than_once() {
    on_a_core(async {
        let servers = [Server::start().await, Server::start().await, Server::start().await];
        let proxy = Proxy::before(&servers.each_ref()).await;
        let mut client = cut_off(&proxy, &servers[0], GET).await;
        let (mut wire, _) = servers[1].request().await;
        wire.send(&REST[..REST.len() - 3]).await;
        client.expect("456").await;
        drop(wire);
        let (mut wire, head) = servers[2].request().await;
        assert!(head.contains("\r\nrange: bytes=7-\r\n"), "{head}");
        wire.send(
            "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\n789",
        )
        .await;
        client.expect("789").await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +2 GET / HTTP/1.1"]);
        let tally = proxy.backend.tally();
        assert_eq!((tally.resumes.total(), tally.replays.total(), tally.redispatches.total()), (2, 0, 2));
    });
}

#[test]
fn each_server_that_brings_a_response_further_gives_it_all_its_retries_again() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&one, &two], |_, backend| backend.retry.limit = 1).await;
        let mut client = cut_off(&proxy, &one, GET).await;
        for (server, first) in [&two, &one, &two, &one, &two, &one].into_iter().zip(4..) {
            let (mut wire, head) = server.request().await;
            assert!(head.contains(&format!("\r\nrange: bytes={first}-\r\n")), "{head}");
            let left = 10 - first;
            wire.send(format!(
                "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes {first}-9/10\r\nContent-Length: {left}\r\n\r\n{first}"
            ))
            .await;
            client.expect(&first.to_string()).await;
        }
        assert_eq!(proxy.logged(1).await, ["200 ---- +6 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_response_that_a_rule_has_changed_is_continued() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&one, &two], |frontend, _| {
            let rules =
                ["set-header ETag ours", "del-header Accept-Ranges", "set-header Content-Type text/x"];
            frontend.rules = crate::rules::Rules::of_responses(&rules).into();
        })
        .await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = one.request().await;
        wire.send(format!("{HEAD}0123")).await;
        assert!(client.head().await.contains("ETag: ours"));
        client.expect("0123").await;
        drop(wire);
        let (mut wire, head) = two.request().await;
        assert_eq!(head, RANGE_REQUEST);
        wire.send(REST).await;
        client.expect("456789").await;
    });
}

#[test]
fn an_answer_that_is_not_the_rest_goes_nowhere() {
    for other in [
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123456789",
        "HTTP/1.1 206 P\r\nETag: \"v2\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789",
        "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        "junk\r\n\r\n",
        "",
    ] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| backend.retry.limit = 1).await;
            let mut client = cut_off(&proxy, &one, GET).await;
            let (mut wire, head) = two.request().await;
            assert_eq!(head, RANGE_REQUEST);
            wire.send(other).await;
            drop(wire);
            assert_eq!(client.rest().await, "", "{other}");
            let log = proxy.logged(1).await;
            assert!(
                log == ["200 SD-- +1 GET / HTTP/1.1"] || log == ["200 PD-- +1 GET / HTTP/1.1"],
                "{log:?}"
            );
        });
    }
}

#[test]
fn a_server_that_does_not_go_on_with_anothers_response_is_noted_for_that() {
    for (answer, noted) in
        [("", Observed::Broken), ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Observed::BadStatus)]
    {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                let error_limit = NonZeroU32::MIN;
                let observe = Observe { layer: Layer::Seven, error_limit, on_error: OnError::MarkDown };
                backend.servers[1].passive.observe = Some(observe);
                backend.retry.limit = 1;
            })
            .await;
            let _client = cut_off(&proxy, &one, GET).await;
            let (mut wire, _) = two.request().await;
            wire.send(answer).await;
            drop(wire);
            assert_eq!(proxy.backend.servers()[1].errors().too_many().await, noted);
            proxy.logged(1).await;
            assert_eq!(proxy.backend.served().totals().statuses, [0, 1, 0, 0, 0, 0], "what the client got");
        });
    }
}

#[test]
fn after_another_answer_the_next_server_is_asked() {
    on_a_core(async {
        let servers = [Server::start().await, Server::start().await, Server::start().await];
        let proxy = Proxy::before(&servers.each_ref()).await;
        let mut client = cut_off(&proxy, &servers[0], GET).await;
        let (mut wire, _) = servers[1].request().await;
        wire.send("HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 3\r\n\r\nnew").await;
        let (mut wire, _) = servers[2].request().await;
        wire.send(REST).await;
        client.expect("456789").await;
    });
}

#[test]
fn what_can_not_be_continued_is_truncated_visibly() {
    for (request, from, to) in [
        (GET, "\"v1\"", "W/\"v1\""),
        (GET, "Accept-Ranges: bytes\r\n", ""),
        ("GET / HTTP/1.1\r\nRange: bytes=0-\r\n\r\n", "", ""),
        (POST, "", ""),
    ] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::before(&[&one, &two]).await;
            let mut client = proxy.send(request).await;
            let (mut wire, _) = one.request().await;
            wire.send(format!("{}0123", HEAD.replace(from, to))).await;
            drop(wire);
            assert!(client.rest().await.ends_with("\r\n\r\n0123"));
            assert!(two.is_left_alone().await);
            let method = request.split(' ').next().unwrap();
            assert_eq!(proxy.logged(1).await, [format!("200 SD-- 0 {method} / HTTP/1.1")]);
        });
    }
}

#[test]
fn nothing_is_continued_where_that_is_switched_off_or_nobody_is_left() {
    for (resume, limit, alive) in [(false, 3, true), (true, 0, true), (true, 3, false)] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                (backend.retry.resume, backend.retry.limit) = (resume, limit);
            })
            .await;
            let mut client = proxy.send(GET).await;
            let (mut wire, _) = one.request().await;
            wire.send(format!("{HEAD}0123")).await;
            client.head().await;
            client.expect("0123").await;
            if !alive {
                for server in 0..2 {
                    proxy.backend.set_operation(server, crate::backend::Operation::Down, false);
                }
            }
            drop(wire);
            assert_eq!(client.rest().await, "");
            assert!(two.is_left_alone().await);
        });
    }
}

#[test]
fn a_cookie_user_gets_the_rest_from_its_own_server_as_long_as_that_lives() {
    for lives in [true, false] {
        with_paused_time(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                backend.cookie = Some(config::Cookie::inserted("SID"));
            })
            .await;
            let mut client = proxy.send("GET / HTTP/1.1\r\nHost: h\r\nCookie: SID=a\r\n\r\n").await;
            let (mut wire, _) = one.request().await;
            wire.send(format!("{HEAD}0123")).await;
            client.head().await;
            client.expect("0123").await;
            if !lives {
                proxy.backend.set_operation(0, crate::backend::Operation::Down, false);
            }
            drop(wire);
            let start = tokio::time::Instant::now();
            let (mut wire, head) = if lives { &one } else { &two }.request().await;
            assert_eq!(head, RANGE_REQUEST);
            assert_eq!(start.elapsed().as_secs(), u64::from(lives));
            wire.send(REST).await;
            client.expect("456789").await;
        });
    }
}

#[test]
fn a_response_that_stalls_is_continued_elsewhere() {
    with_paused_time(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send(GET).await;
        let (mut stalled, _) = one.request().await;
        stalled.send(format!("{HEAD}0123")).await;
        let (mut wire, head) = two.request().await;
        assert_eq!(head, RANGE_REQUEST);
        wire.send(REST).await;
        client.expect(&format!("{HEAD}0123456789")).await;
    });
}
