use std::{num::NonZeroU32, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::config::StatusSet;

/// Longer than anything here takes, unless it hangs for good.
const PATIENCE: Duration = Duration::from_secs(10);

fn prober(probe: config::Probe, timeout: Duration, own: &Own) -> Prober {
    let one = NonZeroU32::MIN;
    let ready = config::Ready { probe, rise: one, fall: one, interval: timeout, timeout, deadline: timeout };
    Prober::new(&ready, Namespace::default(), own.clone()).unwrap()
}

fn http(address: SocketAddr, body: Option<&str>) -> Prober {
    let url = format!("http://{address}/health").parse().unwrap();
    let status = StatusSet::from_iter([200..=299]);
    let probe = config::Probe::Http { url, status, body: body.map(Arc::from) };
    prober(probe, PATIENCE, &Own::default())
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server that gives the same answer to everybody and then closes; the heads of the requests come out.
async fn server(answer: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, received) = mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = heads.send(head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, received, server)
}

async fn answered_with(answer: &'static str, body: Option<&str>) -> Result<(), ProbeError> {
    let (address, _heads, _server) = server(answer).await;
    http(address, body).probe().await
}

#[tokio::test]
async fn a_right_status_is_ready() {
    answered_with("HTTP/1.1 204 No Content\r\n\r\n", None).await.unwrap();
}

#[tokio::test]
async fn a_probe_is_a_get_that_closes_its_connection() {
    let (address, mut heads, _server) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let prober = http(address, None);
    for _ in 0..2 {
        prober.probe().await.unwrap();
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("GET /health HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("connection: close\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_wrong_status_is_named() {
    let error = answered_with("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", None).await.unwrap_err();
    assert!(matches!(error, ProbeError::Status { found: 503, .. }), "{error}");
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let error = answered_with(answer, None).await.unwrap_err();
    assert!(matches!(error, ProbeError::Status { found: 302, .. }), "{error}");
}

#[tokio::test]
async fn a_body_must_hold_what_is_expected() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall is up";
    answered_with(answer, Some("is up")).await.unwrap();
    let error = answered_with(answer, Some("down")).await.unwrap_err();
    assert!(matches!(error, ProbeError::Body { searched: 9, .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_broken() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nall is up";
    let error = answered_with(answer, None).await.unwrap_err();
    assert!(matches!(error, ProbeError::Broken(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_broken() {
    let error = answered_with("220 mail.example ESMTP\r\n", None).await.unwrap_err();
    assert!(matches!(error, ProbeError::Broken(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_is_broken() {
    let error = answered_with("", None).await.unwrap_err();
    assert!(matches!(error, ProbeError::Broken(_)), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = http(address, None).probe().await.unwrap_err();
    assert!(matches!(error, ProbeError::Refused { .. }), "{error}");
    let error = prober(config::Probe::Tcp(address), PATIENCE, &Own::default()).probe().await.unwrap_err();
    assert!(matches!(error, ProbeError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_listener_is_ready_by_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = config::Probe::Tcp(listener.local_addr().unwrap());
    prober(probe, PATIENCE, &Own::default()).probe().await.unwrap();
}

#[tokio::test]
async fn a_listener_on_another_address_of_the_host_is_found_by_tcp() {
    for elsewhere in ["127.0.0.2:0", "[::1]:0"] {
        let listener = TcpListener::bind(elsewhere).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = config::Probe::Tcp(([127, 0, 0, 1], port).into());
        prober(probe, PATIENCE, &Own::default()).probe().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = http(listener.local_addr().unwrap(), None).probe().await.unwrap_err();
    assert!(matches!(error, ProbeError::TimedOut(PATIENCE)), "{error}");
}

#[tokio::test]
async fn a_connection_is_own_before_its_request_is_sent_and_until_the_probe_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = Own::default();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let probe = config::Probe::Http { url, status: StatusSet::from_iter([200..=299]), body: None };
    let prober = prober(probe, PATIENCE, &own);
    let server = async {
        let (mut stream, peer) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let here = stream.local_addr().unwrap();
        assert!(own.has(peer, here), "entered when the request has come");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        (peer, here)
    };
    let (probed, (peer, here)) = tokio::join!(prober.probe(), server);
    probed.unwrap();
    assert!(!own.has(peer, here), "given up when the probe has ended");
}

#[tokio::test]
async fn a_probe_that_is_dropped_leaves_no_entry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = Own::default();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let probe = config::Probe::Http { url, status: StatusSet::from_iter([200..=299]), body: None };
    let prober = prober(probe, PATIENCE, &own);
    let asked = async {
        let (mut stream, peer) = listener.accept().await.unwrap();
        head(&mut stream).await;
        (peer, stream.local_addr().unwrap())
    };
    let (peer, here) = tokio::select! {
        _ = prober.probe() => panic!("expected no answer"),
        ends = asked => ends,
    };
    assert!(!own.has(peer, here));
}

#[test]
fn what_forbids_or_exhausts_the_agent_is_no_failure_of_the_server() {
    let unconnected = |errno: Errno| ProbeError::unconnected("/run/app.sock".to_owned(), errno.into());
    for errno in [Errno::ACCESS, Errno::PERM, Errno::MFILE, Errno::NFILE] {
        let error = unconnected(errno);
        assert!(error.is_unknown() && error.to_string().contains("can't be asked"), "{error}");
    }
    for errno in [Errno::CONNREFUSED, Errno::NOENT, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
        assert!(!unconnected(errno).is_unknown(), "{errno}");
    }
}
