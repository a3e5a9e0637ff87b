//! Sessions and the health of their servers: what ends them, and what is told of them.

use std::num::NonZeroU32;

use super::{GET, OK, Proxy, Server, on_a_core, with_paused_time};
use crate::{
    backend::{Operation, observed::Observed},
    config::{self, Failure, Layer, Observe, OnError, RetryOn},
    rules::Rules,
};

#[test]
fn sessions_of_a_server_that_goes_down_end_unless_it_says_that_it_drains() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |_, backend| {
            backend.servers[0].passive.shutdown_sessions = true;
            backend.retry.on = RetryOn::NONE;
        })
        .await;
        let mut waiting = proxy.send(GET).await;
        let (_silent, _) = server.request().await;
        let mut reading = proxy.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let (mut half, _) = server.request().await;
        half.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        reading.expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;

        proxy.backend.set_operation(0, Operation::Down, true);
        assert!(proxy.log().is_empty());
        proxy.backend.set_operation(0, Operation::Up, false);
        proxy.backend.set_operation(0, Operation::Down, false);
        assert!(waiting.head().await.starts_with("HTTP/1.1 502 "));
        assert_eq!(reading.rest().await, "");
        let mut log = proxy.logged(2).await;
        log.sort();
        assert_eq!(log, ["200 DD-- 0 GET /half HTTP/1.1", "502 DH-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn what_another_server_can_take_over_goes_on_when_sessions_end() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&one, &two], |_, backend| {
            backend.servers[0].passive.shutdown_sessions = true;
            backend.cookie = Some(config::Cookie::inserted("SID"));
        })
        .await;
        let user = |start: &str| format!("{start} / HTTP/1.1\r\nHost: h\r\nCookie: SID=a\r\n");
        let mut waiting = proxy.send(format!("{}\r\n", user("GET"))).await;
        let (_silent, _) = one.request().await;
        let mut posting = proxy.send(format!("{}Content-Length: 0\r\n\r\n", user("POST"))).await;
        let (_executing, _) = one.request().await;
        let mut reading = proxy.send(format!("{}\r\n", user("GET"))).await;
        let (mut half, _) = one.request().await;
        let head = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\nContent-Length: 8\r\n\r\n";
        half.send(format!("{head}half")).await;
        reading.expect(&format!("{head}half")).await;

        proxy.backend.set_operation(0, Operation::Down, false);
        assert!(posting.head().await.starts_with("HTTP/1.1 502 "));
        for _ in 0..2 {
            let (mut wire, head) = two.request().await;
            if head.contains("range: bytes=4-\r\n") {
                wire.send("HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 4-7/8\r\nContent-Length: 4\r\n\r\nrest")
                    .await;
                reading.expect("rest").await;
            } else {
                wire.send(OK).await;
                waiting.head().await;
            }
        }
        let mut log = proxy.logged(3).await;
        log.sort();
        assert_eq!(log[2], "502 DHVN 0 POST / HTTP/1.1");
        assert!(
            log[..2].iter().all(|line| line.starts_with("200 --") && line.contains(" +1 GET ")),
            "{log:?}"
        );
    });
}

#[test]
fn sessions_of_a_backup_end_when_a_server_comes_up() {
    on_a_core(async {
        let (main, spare) = (Server::start().await, Server::start().await);
        let proxy = Proxy::with(&[&main, &spare], |_, backend| {
            backend.servers[0].passive.shutdown_backup_sessions = true;
            backend.servers[1].backup = true;
        })
        .await;
        proxy.backend.set_operation(0, Operation::Down, false);
        let mut client = proxy.send(GET).await;
        let (_silent, _) = spare.request().await;
        proxy.backend.set_operation(0, Operation::Up, false);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        assert_eq!(proxy.logged(1).await, ["502 UH-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn a_client_that_keeps_its_server_waiting_is_no_fault_of_the_server() {
    for (rest, expects, at_fault) in [("half", "", false), ("", "Expect: 100-continue\r\n", true)] {
        with_paused_time(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                backend.retry.on = RetryOn::STANDARD.and(Failure::Timeout);
                let error_limit = NonZeroU32::MIN;
                let observe = Observe { layer: Layer::Seven, error_limit, on_error: OnError::MarkDown };
                backend.servers[0].passive.observe = Some(observe);
            })
            .await;
            let head = format!("PUT / HTTP/1.1\r\n{expects}Content-Length: 8\r\n\r\n");
            let mut client = proxy.send(format!("{head}{rest}")).await;
            let (mut wire, _) = one.request().await;
            wire.expect(rest).await;
            if at_fault {
                two.request().await;
            } else {
                assert!(client.head().await.starts_with("HTTP/1.1 504 "));
                assert!(two.is_left_alone().await);
                assert_eq!(proxy.logged(1).await, ["504 sH-- 0 PUT / HTTP/1.1"]);
            }
            let told = tokio::select! {
                biased;
                _ = proxy.backend.servers()[0].errors().too_many() => true,
                () = tokio::task::yield_now() => false,
            };
            assert_eq!(told, at_fault);
        });
    }
}

#[test]
fn errors_that_users_meet_in_a_row_are_told() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |_, backend| {
            let error_limit = NonZeroU32::new(2).unwrap();
            let observe = Observe { layer: Layer::Seven, error_limit, on_error: OnError::MarkDown };
            backend.servers[0].passive.observe = Some(observe);
        })
        .await;
        for answer in ["500 Bad", "200 Fine", "503 Bad", "502 Bad"] {
            let mut client = proxy.send(GET).await;
            let (mut wire, _) = server.request().await;
            wire.send(OK.replace("200 OK", answer).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
                .await;
            client.head().await;
        }
        assert_eq!(proxy.backend.servers()[0].errors().too_many().await, Observed::BadStatus);
    });
}

#[test]
fn what_rules_make_of_an_answer_is_no_error_of_the_server() {
    for (rule, expected) in [("deny", "HTTP/1.1 502 "), ("set-status 503", "HTTP/1.1 503 ")] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                backend.retry.on = RetryOn::STANDARD.and(Failure::Junk);
                backend.rules = Rules::of_responses(&[rule]).into();
                let error_limit = NonZeroU32::MIN;
                let observe = Observe { layer: Layer::Seven, error_limit, on_error: OnError::MarkDown };
                backend.servers[0].passive.observe = Some(observe);
            })
            .await;
            let mut client = proxy.send(GET).await;
            let (mut wire, _) = one.request().await;
            wire.send(OK).await;
            assert!(client.head().await.starts_with(expected));
            assert!(two.is_left_alone().await);
            let told = tokio::select! {
                biased;
                _ = proxy.backend.servers()[0].errors().too_many() => true,
                () = tokio::task::yield_now() => false,
            };
            assert!(!told, "{rule}");
        });
    }
}
