use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};

use super::*;
use crate::{
    config::{Config, Traffic},
    scratch::Scratch,
};

/// Longer than anything here takes, unless it hangs for good.
const PATIENCE: &str = "20s";

fn gauge(lines: &str, own: &Own) -> Gauge {
    let text = format!(
        "listen = '127.0.0.1:1'\nserver.ports = [80]\nrestart.command = ['true']\n[traffic.gauge]\n{lines}"
    );
    match Config::parse("f", &text, Some("s")).unwrap().traffic.remove(0) {
        Traffic::Gauge(gauge) => Gauge::new(gauge, Namespace::default(), own).unwrap(),
        other @ Traffic::AccessLog(_) => panic!("{other:?}"),
    }
}

/// A server that gives the same answer to everybody.
async fn server(answer: String) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _head = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, server)
}

fn page(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn read(answer: String, keys: &str) -> Result<u32, GaugeError> {
    let (address, server) = server(answer).await;
    let lines = format!("url = 'http://{address}/status?auto'\ntimeout = '{PATIENCE}'\n{keys}");
    let read = gauge(&lines, &Own::default()).read().await;
    server.abort();
    read.map(|reading| reading.in_flight())
}

#[tokio::test]
async fn what_is_more_than_zero_at_is_in_flight() {
    let apache = |busy| page(200, &format!("BusyWorkers: {busy}\nIdleWorkers: 3\n"));
    for (busy, in_flight) in [(0, 0), (1, 0), (4, 3)] {
        let found = read(apache(busy), "field = 'BusyWorkers'\nzero_at = 1").await;
        assert_eq!(found.unwrap(), in_flight);
    }
}

#[tokio::test]
async fn what_is_no_number_is_unknown() {
    for (answer, field, says) in [
        (page(200, "<html>"), "field = 'BusyWorkers'", "?auto"),
        (page(200, "IdleWorkers: 3\n"), "field = 'BusyWorkers'", "found none"),
        (page(200, "fine"), "", "expected a number"),
        (page(403, "no"), "", "found 403"),
        (page(302, "1"), "", "found 302"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_owned(), "", "broken"),
        ("no HTTP\r\n\r\n".to_owned(), "", "broken"),
    ] {
        let error = read(answer, field).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "7".repeat(BODY_MAX + 1));
    let error = read(endless, "").await.unwrap_err();
    assert!(matches!(error, GaugeError::TooLong), "{error}");
}

#[tokio::test]
async fn nobody_who_answers_is_unknown() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let error = gauge(&format!("url = 'http://{address}/'"), &Own::default()).read().await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lines = format!("url = 'http://{}/'\ntimeout = '50ms'", listener.local_addr().unwrap());
    let error = gauge(&lines, &Own::default()).read().await.unwrap_err();
    assert!(matches!(error, GaugeError::TimedOut(limit) if limit == Duration::from_millis(50)), "{error}");
}

#[tokio::test]
async fn it_is_asked_over_a_unix_socket_as_well() {
    let scratch = Scratch::new("gauge_unix");
    let path = scratch.join("status.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        stream.write_all(page(200, "{\"active\": 2}").as_bytes()).await.unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    let lines = format!(
        "url = 'http://shop/status'\nunix = '{}'\nfield = '/active'\ntimeout = '{PATIENCE}'",
        path.display()
    );
    assert_eq!(gauge(&lines, &Own::default()).read().await.unwrap().in_flight(), 2);
    let head = server.await.unwrap();
    assert!(head.starts_with("GET /status HTTP/1.1\r\n") && head.contains("host: shop\r\n"), "{head}");
}

#[tokio::test]
async fn its_connection_is_the_agents_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let own = Own::default();
    let gauge = gauge(&format!("url = 'http://{address}/'\ntimeout = '{PATIENCE}'"), &own);
    let reading = tokio::spawn(async move { gauge.read().await });
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    assert!(own.has(peer, address));
    stream.write_all(page(200, "0").as_bytes()).await.unwrap();
    reading.await.unwrap().unwrap();
    assert!(!own.has(peer, address));
}
