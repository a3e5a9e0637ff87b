//! Who may take how long.

use std::num::NonZeroU32;

use super::*;
use crate::{
    backend::{JointLimit, Operation},
    config::{Layer, Observe, OnError},
    rules::Format,
};

/// Whole seconds that have passed since `start`.
fn seconds_since(start: tokio::time::Instant) -> u64 {
    start.elapsed().as_secs()
}

#[test]
fn a_head_that_does_not_end_in_time_is_408_however_it_trickles() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send("GET / HTTP/1.1\r\n").await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            client.send("A: b\r\n").await;
        }
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Time-out\r\n"), "{answer}");
        assert_eq!(seconds_since(start), 5);
        assert_eq!(proxy.logged(1).await, ["408 cR-- 0 <BADREQ>"]);
    });
}

#[test]
fn an_idle_client_is_closed_in_silence() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let (mut client, _wire) = proxy.idle(&server).await;
        let start = tokio::time::Instant::now();
        assert_eq!(client.rest().await, "");
        assert_eq!(seconds_since(start), 7);
        assert_eq!(proxy.log().len(), 1);
    });
}

#[test]
fn how_long_a_connection_was_idle_is_known_over_a_reload_that_changes_its_timeout() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let newer = Proxy::with(&[&server], |frontend, _| {
            frontend.timeout.http_keep_alive = Duration::from_mins(1);
            let format = config::LogFormat::Own(Format::of_shops_line("%Ti").unwrap().into());
            let (target, length) = (config::LogTarget::Stdout, 1024);
            frontend.logging.logs.push(config::Log { format, target, length, syslog: None });
        })
        .await;
        let (mut client, _wire) = proxy.idle(&server).await;
        proxy.core.succeed(newer.core.clone());
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
        newer.logged(1).await;
        assert_eq!(newer.log.2.borrow().iter().map(Duration::as_secs).collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn a_server_that_does_not_answer_is_504() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        let (_wire, _) = server.request().await;
        let start = tokio::time::Instant::now();
        assert!(client.head().await.starts_with("HTTP/1.1 504 Gateway Time-out\r\n"));
        assert_eq!(seconds_since(start), 11);
        assert_eq!(proxy.logged(1).await, ["504 sH-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_response_that_stalls_is_cut_off() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        assert!(client.rest().await.ends_with("half"));
        assert_eq!(proxy.logged(1).await, ["200 sD-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn who_waits_too_long_in_the_queue_gets_503() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.servers[0].maxconn = 1.try_into().ok()).await;
        let _first = proxy.send(GET).await;
        let _wire = server.request().await;
        let mut second = proxy.send(GET).await;
        assert!(second.head().await.starts_with("HTTP/1.1 503 "));
        assert_eq!(proxy.log(), ["503 sQ-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_silent_tunnel_ends() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.timeout.tunnel = Some(Duration::from_secs(90)))
                .await;
        let mut client = proxy.send("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        let (mut wire, _) = server.request().await;
        let start = tokio::time::Instant::now();
        wire.send("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
        client.head().await;
        assert!(client.is_closed().await);
        assert_eq!(seconds_since(start), 90);
        assert_eq!(proxy.logged(1).await, ["101 cD-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn an_idle_server_connection_is_closed_after_a_while() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let (_client, mut wire) = proxy.idle(&server).await;
        let start = tokio::time::Instant::now();
        assert!(wire.is_closed().await);
        assert!((5..=6).contains(&seconds_since(start)));
    });
}

#[test]
fn a_connection_that_does_not_come_in_time_is_503_without_pauses() {
    with_paused_time(async {
        let (server, _queued) = Server::full().await;
        let proxy = Proxy::with(&[&server], |_, backend| {
            backend.timeout.connect = Duration::from_millis(300);
        })
        .await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        assert!(client.head().await.starts_with("HTTP/1.1 503 "));
        assert!((1_200..1_300).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert_eq!(proxy.logged(1).await, ["503 sC-- 3 GET / HTTP/1.1"]);
    });
}

#[test]
fn who_waits_for_a_connection_that_others_have_waits_as_in_a_queue() {
    for released in [false, true] {
        with_paused_time(async {
            let (server, other) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&server, &other], |_, backend| {
                backend.servers[0].maxconn = 1.try_into().ok();
                let error_limit = NonZeroU32::MIN;
                let observe = Observe { layer: Layer::Four, error_limit, on_error: OnError::MarkDown };
                backend.servers[0].passive.observe = Some(observe);
                backend.cookie = Some(config::Cookie::inserted("SID"));
                backend.timeout.connect = Duration::from_millis(100);
                backend.timeout.queue = Duration::from_secs(4);
            })
            .await;
            let elsewhere = proxy.backend.servers()[0].try_connection().unwrap();
            let start = tokio::time::Instant::now();
            let mut client = proxy.send("GET / HTTP/1.1\r\nHost: h\r\nCookie: SID=a\r\n\r\n").await;
            if released {
                tokio::time::sleep(Duration::from_secs(3)).await;
                drop(elsewhere);
                let (mut wire, _) = server.request().await;
                wire.send(OK).await;
                client.expect(OK).await;
                assert_eq!(proxy.logged(1).await, ["200 --VN 0 GET / HTTP/1.1"]);
                assert_eq!(proxy.phases()[0][1..3], [Some(3), Some(0)]);
                return;
            }
            assert!(client.head().await.starts_with("HTTP/1.1 503 "));
            assert_eq!(seconds_since(start), 4);
            assert_eq!(proxy.logged(1).await, ["503 sQVN 0 GET / HTTP/1.1"]);
            assert_eq!(proxy.phases()[0], [Some(0), Some(4), None, None]);
            assert!(other.is_left_alone().await);
            let told = tokio::select! {
                biased;
                _ = proxy.backend.servers()[0].errors().too_many() => true,
                () = tokio::task::yield_now() => false,
            };
            assert!(!told, "it is no failure of the server's");
        });
    }
}

#[test]
fn nobody_waits_for_a_connection_to_a_server_that_has_left() {
    with_paused_time(async {
        let (server, other) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&server, &other], |_, backend| {
            backend.cookie = Some(config::Cookie::inserted("SID"));
            backend.timeout.queue = Duration::from_hours(1);
            backend.servers[0].maxconn = 1.try_into().ok();
        })
        .await;
        // Another process has the one that there may be.
        proxy.backend.servers()[0].keep_joint_limit(Some(JointLimit::new(0).unwrap()));
        let mut client = proxy.send("GET / HTTP/1.1\r\nCookie: SID=a\r\n\r\n").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.backend.set_operation(0, Operation::Down, false);
        let (mut wire, _) = other.request().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(client.head().await.contains("set-cookie: SID=b; path=/\r\n"));
        assert_eq!(proxy.phases()[0][1], Some(1));
    });
}

#[test]
fn who_belongs_to_nobody_waits_for_a_full_server_no_longer_than_the_queue_s_time() {
    with_paused_time(async {
        let (server, other) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&server, &other], |_, backend| {
            backend.balance = config::Balance::First;
            backend.timeout.queue = Duration::from_secs(10);
            backend.servers.iter_mut().for_each(|server| server.maxconn = 1.try_into().ok());
        })
        .await;
        // Another process has what there may be.
        for server in proxy.backend.servers() {
            server.keep_joint_limit(Some(JointLimit::new(0).unwrap()));
        }
        let mut client = proxy.send(GET).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.backend.servers()[1].keep_joint_limit(None);
        let (mut wire, _) = other.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- +1 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let _client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        spawn_local(async move {
            wire.send("HTTP/1.1 200 OK\r\n\r\n").await;
            // More than the kernel's buffers take.
            while wire.0.write_all(&[0; 8_192]).await.is_ok() {}
        });
        while proxy.log().is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(proxy.log(), ["200 cD-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn the_rest_of_a_request_that_was_answered_is_not_waited_for_forever() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf").await;
        let (mut wire, _) = server.request().await;
        wire.expect("half").await;
        let start = tokio::time::Instant::now();
        wire.send(OK).await;
        client.expect(OK).await;
        assert!(wire.is_closed().await && client.is_closed().await);
        assert_eq!(seconds_since(start), 9);
        assert_eq!(proxy.logged(1).await, ["200 ---- 0 POST / HTTP/1.1"]);
    });
}

#[test]
fn a_client_that_goes_on_sending_is_listened_to_after_the_answer() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nbegin").await;
        let (mut wire, _) = server.request().await;
        wire.send("HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        client.head().await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            client.send("more").await;
        }
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn an_empty_line_is_no_request_and_its_connection_stays_idle() {
    for stop in [false, true] {
        with_paused_time(async {
            let server = Server::start().await;
            let proxy = Proxy::before(&[&server]).await;
            let (mut client, _wire) = proxy.idle(&server).await;
            let start = tokio::time::Instant::now();
            client.send("\r\n").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stop {
                proxy.core.stop();
            }
            assert_eq!(client.rest().await, "");
            assert_eq!(seconds_since(start), if stop { 1 } else { 7 });
            assert_eq!(proxy.log().len(), 1);
        });
    }
}

#[test]
fn a_few_empty_lines_may_stand_before_a_request_and_no_more() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(format!("{}{GET}", "\r\n".repeat(4))).await;
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
        client.send("\r\n".repeat(5)).await;
        assert!(client.head().await.starts_with("HTTP/1.1 400 "));
    });
}
