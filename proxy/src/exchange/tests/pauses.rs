//! What happens before the same server is tried again.

use super::*;

#[test]
fn where_there_is_no_other_server_the_same_is_tried_again_after_a_pause() {
    with_paused_time(async {
        let dead = Server::dead().await;
        let proxy = Proxy::before(&[&dead]).await;
        let start = tokio::time::Instant::now();
        let mut client = proxy.send(GET).await;
        assert!(client.head().await.starts_with("HTTP/1.1 503 "));
        assert_eq!(start.elapsed().as_secs(), 3);
        assert_eq!(proxy.logged(1).await, ["503 SC-- 3 GET / HTTP/1.1"]);
        // It was given to the server for the last time after the last pause.
        assert_eq!(proxy.phases(), [[Some(0), Some(3), None, None]]);
    });
}

#[test]
fn who_pauses_before_a_further_attempt_holds_no_slot() {
    for redispatch in [config::Redispatch::Never, fixture::retry().redispatch] {
        with_paused_time(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |_, backend| {
                backend.retry.redispatch = redispatch;
                backend.servers[0].maxconn = 1.try_into().ok();
            })
            .await;
            let mut first = proxy.send(GET).await;
            // It closes without an answer, and the request is to be sent again after a second.
            drop(server.request().await);
            let start = tokio::time::Instant::now();
            while proxy.backend.servers()[0].in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            let mut second = proxy.send("GET /second HTTP/1.1\r\n\r\n").await;
            let (mut wire, head) = server.request().await;
            assert!(head.starts_with("GET /second "), "{head}");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
            assert!(second.head().await.starts_with("HTTP/1.1 200 "));
            assert!(start.elapsed() < Duration::from_secs(1));
            let (mut wire, head) = server.request().await;
            assert_eq!((head.as_str(), start.elapsed().as_secs()), (GET, 1));
            wire.send(OK).await;
            first.expect(OK).await;
            assert_eq!(proxy.logged(2).await[1], "200 ---- 1 GET / HTTP/1.1");
        });
    }
}

#[test]
fn a_client_that_goes_during_the_pause_takes_its_request_along_where_that_is_wanted() {
    for abort_on_close in [true, false] {
        with_paused_time(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |_, backend| backend.abort_on_close = abort_on_close).await;
            let mut client = proxy.send(GET).await;
            drop(server.request().await);
            while proxy.backend.servers()[0].in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            client.half_close().await;
            if abort_on_close {
                assert_eq!(proxy.logged(1).await, ["-1 CC-- 1 GET / HTTP/1.1"]);
                assert!(server.is_left_alone().await);
            } else {
                let (mut wire, _) = server.request().await;
                wire.send(OK).await;
                assert_eq!(client.rest().await, OK);
            }
        });
    }
}
