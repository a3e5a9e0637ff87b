//! Large bodies, both ways, and readers that are slow.

use super::*;

/// Bytes that differ everywhere within any buffer.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(length)
        .collect()
}

const LARGE: usize = 5 * 1_024 * 1_024 + 3;

#[test]
fn a_large_request_arrives_as_it_was_sent() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let body = pattern(LARGE);
        let mut client = proxy.client().await;
        let sent = body.clone();
        let sending = spawn_local(async move {
            client.send(format!("PUT / HTTP/1.1\r\nContent-Length: {LARGE}\r\n\r\n")).await;
            client.send(sent).await;
            client
        });
        let (mut wire, _) = server.request().await;
        assert!(wire.bytes(LARGE).await == body, "the body has changed");
        wire.send(OK).await;
        sending.await.unwrap().expect(OK).await;
    });
}

#[test]
fn a_large_response_arrives_as_it_was_sent() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        for length in [1, 8_192, 16_384, 65_536, 70_000, LARGE] {
            let body = pattern(length);
            let mut client = proxy.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
            let (mut wire, _) = server.request().await;
            let sent = body.clone();
            spawn_local(async move {
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                ))
                .await;
                wire.send(sent).await;
            });
            client.head().await;
            assert!(client.bytes(length).await == body, "the body of {length} bytes has changed");
            assert!(client.is_closed().await);
        }
    });
}

#[test]
fn a_large_chunked_response_arrives_as_it_was_sent() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let body = pattern(LARGE);
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        let sent = body.clone();
        spawn_local(async move {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for chunk in sent.chunks(100_003) {
                wire.send(format!("{:X}\r\n", chunk.len())).await;
                wire.send(chunk).await;
                wire.send("\r\n").await;
            }
            wire.send("0\r\n\r\n").await;
        });
        client.head().await;
        let mut found = Vec::new();
        loop {
            let mut line = String::new();
            while !line.ends_with("\r\n") {
                line.push(char::from(client.bytes(1).await[0]));
            }
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            found.extend(client.bytes(size).await);
            client.expect("\r\n").await;
            if size == 0 {
                break;
            }
        }
        assert!(found == body, "the body has changed");
    });
}

#[test]
fn both_directions_flow_at_once() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let client = proxy.send(format!("POST / HTTP/1.1\r\nContent-Length: {LARGE}\r\n\r\n")).await;
        let (mut wire, _) = server.request().await;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
        // The server echoes while it reads; neither side would get on if one direction waited for the other.
        spawn_local(async move {
            let (mut from, mut to) = wire.0.split();
            tokio::io::copy(&mut from, &mut to).await
        });
        let body = pattern(LARGE);
        let (from, mut to) = client.0.into_split();
        let sent = body.clone();
        spawn_local(async move {
            to.write_all(&sent).await.unwrap();
            to
        });
        let mut found = Vec::new();
        from.take((LARGE + 44) as u64).read_to_end(&mut found).await.unwrap();
        assert!(found.ends_with(&body[body.len() - 100_000..]), "the body has changed");
    });
}

#[test]
fn a_client_that_does_not_read_holds_the_server_back() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let total = 200 * 1_024 * 1_024_usize;
        let _client = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")).await;
        let chunk = vec![0; 1_024 * 1_024];
        let mut taken = 0;
        // The kernel's buffers take some; then nothing moves any more.
        while let Ok(count) = tokio::time::timeout(Duration::from_millis(300), wire.0.write(&chunk)).await {
            taken += count.unwrap();
            assert!(taken < total / 4, "expected the server to be held back, found {taken} bytes taken");
        }
    });
}

#[test]
fn a_slow_client_does_not_hold_the_slot_of_a_server_that_is_done() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let length = 8 * 1_024 * 1_024;
        let mut client = proxy.send("GET / HTTP/1.1\r\n\r\n").await;
        let (mut wire, _) = server.request().await;
        let sending = spawn_local(async move {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
            wire.send(vec![b'x'; length]).await;
            wire
        });
        client.head().await;
        // All but what the last buffer holds.
        let mut left = length;
        while proxy.backend.servers()[0].in_flight() > 0 {
            left -= client.bytes(64 * 1_024).await.len();
            tokio::task::yield_now().await;
        }
        let _wire = sending.await.unwrap();
        assert!(left > 0, "expected the slot to be free before the client has everything");
        client.bytes(left).await;
        assert_eq!(proxy.logged(1).await, ["200 ---- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn an_early_response_does_not_cut_off_the_request() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let early = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
        let mut client = proxy.send(format!("POST / HTTP/1.1\r\nContent-Length: {LARGE}\r\n\r\n")).await;
        let (mut wire, _) = server.request().await;
        wire.send(early).await;
        client.expect(early).await;
        let body = pattern(LARGE);
        let sent = body.clone();
        let sending = spawn_local(async move {
            client.send(sent).await;
            client
        });
        assert!(wire.bytes(LARGE).await == body, "the body has changed");
        let mut client = sending.await.unwrap();
        client.send("GET /next HTTP/1.1\r\n\r\n").await;
        wire.expect("GET /next HTTP/1.1\r\n\r\n").await;
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.logged(2).await, ["202 ---- 0 POST / HTTP/1.1", "200 ---- 0 GET /next HTTP/1.1"]);
    });
}

#[test]
fn a_body_that_was_refused_before_it_was_sent_is_not_waited_for() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client =
            proxy.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
        let (mut wire, _) = server.request().await;
        wire.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await;
        client.expect("HTTP/1.1 417 No\r\nContent-Length: 0\r\nconnection: close\r\n\r\n").await;
        assert!(client.is_closed().await && wire.is_closed().await);
        assert_eq!(proxy.logged(1).await, ["417 ---- 0 POST / HTTP/1.1"]);
    });
}
