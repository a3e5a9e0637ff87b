//! One check of one server: a connection of its own, a request, and as much of an answer as decides.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::answer::{Report, Status, judge};
use crate::clock;
use crate::config::Check;
use crate::proxy_protocol::{self, Passage};

/// The most of an answer that is looked at: HAProxy's buffer.
const MAX_BYTES: usize = 16 * 1024;

/// Asks once, and has begun at `start`. Without `check.timeout` all of it ends within `inter`; with it, that is the limit for the answer, after
/// the connection, which has the lesser of `connect_timeout` and `inter`.
pub(super) async fn ask(check: &Check, start: Instant, connect_timeout: Duration, request: &[u8]) -> Report {
    let connect_limit = check.timeout.map_or(check.inter, |_| check.inter.min(connect_timeout));
    let connecting = timeout_at(start + connect_limit, TcpStream::connect(check.address));
    let mut report = match connecting.await {
        Err(_) => Report::without_answer(Status::ConnectTimeout, String::new()),
        Ok(Err(error)) => Report::without_answer(connect_status(&error), plain(&error)),
        Ok(Ok(stream)) if check.request.is_none() => {
            // Nothing was said: reset, so that the server's program need not see it, as HAProxy does.
            drop(stream.set_zero_linger());
            Report::without_answer(Status::Connected, String::new())
        }
        Ok(Ok(stream)) => {
            let deadline = check.timeout.map_or(start + check.inter, |limit| clock::now() + limit);
            match timeout_at(deadline, exchange(stream, check, request)).await {
                Err(_) => Report::without_answer(Status::AnswerTimeout, String::new()),
                Ok(report) => report,
            }
        }
    };
    report.duration = clock::now().duration_since(start);
    report
}

async fn exchange(mut stream: TcpStream, check: &Check, request: &[u8]) -> Report {
    let no_answer = || Report::without_answer(Status::BadAnswer, String::new());
    if let Some(version) = check.send_proxy {
        let (Ok(source), Ok(destination)) = (stream.local_addr(), stream.peer_addr()) else {
            return no_answer();
        };
        let mut header = Vec::new();
        proxy_protocol::local(version, Passage { source, destination }, &mut header);
        if stream.write_all(&header).await.is_err() {
            return no_answer();
        }
    }
    if stream.write_all(request).await.is_err() {
        return no_answer();
    }
    let mut answer = Vec::with_capacity(1024);
    loop {
        let is_all = match stream.read_buf(&mut answer).await {
            Ok(count) => count == 0 || answer.len() >= MAX_BYTES,
            Err(_) => return no_answer(),
        };
        if let Some(report) = judge(&answer, is_all, check.soft_drain_on, &check.expect) {
            return report;
        }
        if is_all {
            return no_answer();
        }
    }
}

/// Not having a socket, or no port or memory for it, says nothing about the server.
fn connect_status(error: &io::Error) -> Status {
    const OURS: [Errno; 6] =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    let is_ours = OURS.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    if is_ours { Status::SocketError } else { Status::ConnectFailed }
}

/// The system's words without its number: `Connection refused`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::fixture;
    use crate::check::machine::Finding;
    use crate::proxy_protocol::Version;

    /// Runs a check against a server that reads a request and answers so; closes then, unless it is to hang.
    async fn asked(answer: &'static [u8], hangs: bool) -> (Report, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = Check {
            address: listener.local_addr().unwrap(),
            inter: Duration::from_millis(100),
            ..fixture::check()
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 1024];
            let length = stream.read(&mut seen).await.unwrap();
            seen.truncate(length);
            stream.write_all(answer).await.unwrap();
            let held = hangs.then_some(stream);
            (seen, held)
        };
        let probe = ask(&check, clock::now(), Duration::from_secs(1), b"OPTIONS / HTTP/1.0\r\n\r\n");
        let (report, (seen, _held)) = tokio::join!(probe, serve);
        (report, seen)
    }

    #[tokio::test]
    async fn a_server_that_answers_is_judged_by_its_answer() {
        let (report, seen) = asked(b"HTTP/1.0 200 OK\r\n\r\n", true).await;
        assert_eq!((report.status, report.code), (Status::Passed, Some(200)));
        assert_eq!(seen, b"OPTIONS / HTTP/1.0\r\n\r\n");
    }

    #[tokio::test]
    async fn a_check_can_begin_with_a_header_of_its_own() {
        for (version, begin) in [
            (Version::V1, &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
            (Version::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let check = Check {
                address: listener.local_addr().unwrap(),
                send_proxy: Some(version),
                ..fixture::check()
            };
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut seen = Vec::new();
                while !seen.ends_with(b"HTTP/1.0\r\n\r\n") {
                    stream.read_buf(&mut seen).await.unwrap();
                }
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
                seen
            };
            let probe = ask(&check, clock::now(), Duration::from_secs(1), b"OPTIONS / HTTP/1.0\r\n\r\n");
            let (report, seen) = tokio::join!(probe, serve);
            assert_eq!(report.status, Status::Passed);
            assert!(seen.starts_with(begin), "{}", seen.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_server_that_closes_without_an_answer_has_given_a_bad_one() {
        assert_eq!(asked(b"", false).await.0.status, Status::BadAnswer);
        assert_eq!(asked(b"HTTP/1.0 200 OK\r\nserver: x\r\n", false).await.0.status, Status::BadAnswer);
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_late_after_inter() {
        let (report, _) = asked(b"HTTP/1.0 200 OK\r\n", true).await;
        assert_eq!(report.status, Status::AnswerTimeout);
        assert!(report.duration >= Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_check_runs_from_the_start_it_is_given() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = Check { address: silent.local_addr().unwrap(), ..fixture::check() };
        let start = clock::now();
        tokio::time::advance(check.inter / 2).await;
        let report = ask(&check, start, Duration::from_secs(1), b"").await;
        assert_eq!(report.duration, check.inter);
        assert!(matches!(report.status, Status::ConnectTimeout | Status::AnswerTimeout), "{report}");
    }

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_server() {
        for (errno, status) in [
            (Errno::MFILE, Status::SocketError),
            (Errno::ADDRNOTAVAIL, Status::SocketError),
            (Errno::NOMEM, Status::SocketError),
            (Errno::CONNREFUSED, Status::ConnectFailed),
            (Errno::HOSTUNREACH, Status::ConnectFailed),
            (Errno::NETUNREACH, Status::ConnectFailed),
        ] {
            assert_eq!(connect_status(&errno.into()), status, "{errno:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_all_that_a_tcp_check_wants() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let check = Check { address, request: None, soft_drain_on: None, ..fixture::check() };
        let report = ask(&check, clock::now(), Duration::from_secs(1), b"").await;
        assert_eq!((report.status, report.finding()), (Status::Connected, Finding::Passed));
        assert_eq!(
            listener.accept().await.unwrap().0.read(&mut [0]).await.unwrap_or(0),
            0,
            "nothing is sent"
        );
    }

    #[tokio::test]
    async fn a_refused_connection_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let check = Check { address: listener.local_addr().unwrap(), ..fixture::check() };
        drop(listener);
        let report = ask(&check, clock::now(), Duration::from_secs(1), b"").await;
        assert_eq!((report.status, report.info.as_str()), (Status::ConnectFailed, "Connection refused"));
    }
}
