//! Requests with long bodies, which are kept while they are sent.

use super::*;

/// Much longer than what is kept in memory.
const LENGTH: usize = 4 << 20;

/// Bytes that are nowhere the same.
fn body() -> Vec<u8> {
    (0..LENGTH).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// The request's head, and its framed body.
fn request(method: &str, field: &str, chunked: bool) -> (String, Vec<u8>) {
    let body = body();
    if !chunked {
        return (format!("{method} / HTTP/1.1\r\n{field}Content-Length: {LENGTH}\r\n\r\n"), body);
    }
    let chunks = body
        .chunks(100_000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    let framed = chunks.chain(*b"0\r\n\r\n").collect();
    (format!("{method} / HTTP/1.1\r\n{field}Transfer-Encoding: chunked\r\n\r\n"), framed)
}

/// A client that sends the whole request while others are at work; gives its connection when it has.
async fn sending(proxy: &Proxy, head: &str, framed: Vec<u8>) -> tokio::sync::oneshot::Receiver<Wire> {
    let (sent, done) = tokio::sync::oneshot::channel();
    let mut client = proxy.send(head).await;
    spawn_local(async move {
        if client.0.write_all(&framed).await.is_ok() {
            drop(sent.send(client));
        }
    });
    done
}

/// Reads a body to its end.
async fn whole(wire: &mut Wire, chunked: bool) -> Vec<u8> {
    if !chunked {
        return wire.bytes(LENGTH).await;
    }
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(wire.0.read_u8().await.unwrap()));
        }
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        body.extend(wire.bytes(length).await);
        wire.expect("\r\n").await;
        if length == 0 {
            return body;
        }
    }
}

#[test]
fn a_long_request_whose_servers_die_is_sent_again_as_a_whole() {
    for (method, field, chunked) in
        [("PUT", "", false), ("PUT", "", true), ("POST", "Idempotency-Key: k\r\n", false)]
    {
        on_a_core(async {
            let servers = [Server::start().await, Server::start().await, Server::start().await];
            let proxy = Proxy::with(&servers.each_ref(), |_, backend| {
                backend.retry.with_idempotency_key = true;
            })
            .await;
            let (head, framed) = request(method, field, chunked);
            let sent = sending(&proxy, &head, framed).await;
            for (server, read) in servers.iter().zip([LENGTH * 9 / 10, LENGTH / 3]) {
                let (mut wire, _) = server.request().await;
                wire.bytes(read).await;
                wire.reset();
            }
            let (mut wire, found) = servers[2].request().await;
            assert_eq!(found, head);
            assert!(whole(&mut wire, chunked).await == body(), "{method} {chunked}");
            wire.send(OK).await;
            sent.await.unwrap().expect(OK).await;
            assert_eq!(proxy.logged(1).await, [format!("200 ---- +2 {method} / HTTP/1.1")]);
            let tally = proxy.backend.tally();
            assert_eq!((tally.resumes.total(), tally.replays.total(), tally.retries.total()), (0, 2, 2));
            assert_eq!(proxy.budget.lost(), 0);
        });
    }
}

#[test]
fn a_server_that_dies_while_the_client_is_slow_is_replaced_at_once() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send("PUT / HTTP/1.1\r\nContent-Length: 8\r\n\r\nhalf").await;
        let (mut wire, _) = one.request().await;
        wire.expect("half").await;
        drop(wire);
        let (mut wire, _) = two.request().await;
        wire.expect("half").await;
        client.send("rest").await;
        wire.expect("rest").await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}

#[test]
fn a_long_post_is_sent_once_and_nothing_of_it_is_kept() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send("POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nhalf").await;
        let (mut wire, _) = one.request().await;
        wire.expect("half").await;
        assert_eq!(proxy.budget.left(), KEPT);
        drop(wire);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        assert!(two.is_left_alone().await);
    });
}

#[test]
fn a_request_that_outgrows_its_limits_goes_on_and_is_not_sent_again() {
    for (memory, disk, lost) in [(1_000, 100_000, 1), (100_000, 0, 1), (0, 0, 1)] {
        on_a_core(async {
            let (one, two) = (Server::start().await, Server::start().await);
            let proxy = Proxy::with(&[&one, &two], |_, backend| {
                backend.retry.replay = config::Replay { memory, disk };
            })
            .await;
            let (head, framed) = request("PUT", "", true);
            let sent = sending(&proxy, &head, framed).await;
            let (mut wire, _) = one.request().await;
            assert!(whole(&mut wire, true).await == body());
            drop(wire);
            assert!(sent.await.unwrap().head().await.starts_with("HTTP/1.1 502 "));
            assert!(two.is_left_alone().await);
            assert_eq!(proxy.budget.lost(), lost);
        });
    }
}

#[test]
fn what_was_kept_is_given_back_when_the_answer_begins() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send("PUT / HTTP/1.1\r\nContent-Length: 8\r\n\r\nhalf").await;
        let (mut wire, _) = server.request().await;
        wire.expect("half").await;
        assert!(proxy.budget.left().memory < KEPT.memory);
        wire.send(OK).await;
        client.expect(OK).await;
        assert_eq!(proxy.budget.left(), KEPT);
    });
}

#[test]
fn an_answer_amid_a_repetition_does_not_cut_the_request_off() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let (head, framed) = request("PUT", "", false);
        let sent = sending(&proxy, &head, framed).await;
        let (mut wire, _) = one.request().await;
        wire.bytes(LENGTH / 2).await;
        wire.reset();
        let (mut wire, _) = two.request().await;
        wire.send(OK).await;
        assert!(whole(&mut wire, false).await == body());
        sent.await.unwrap().expect(OK).await;
    });
}

#[test]
fn what_was_kept_does_not_last_as_long_as_an_answer_that_began_amid_a_repetition() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let (head, framed) = request("PUT", "", false);
        let sent = sending(&proxy, &head, framed).await;
        let (mut wire, _) = one.request().await;
        wire.bytes(LENGTH / 2).await;
        wire.reset();
        let (mut wire, _) = two.request().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo").await;
        assert!(whole(&mut wire, false).await == body());
        let mut client = sent.await.unwrap();
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo").await;
        while proxy.budget.left() != KEPT {
            tokio::task::yield_now().await;
        }
        wire.send("ng").await;
        client.expect("ng").await;
    });
}
