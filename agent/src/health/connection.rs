//! One connection whose request has not come with it: a request, an answer, and an end that does not destroy the answer.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpStream as Waiting;

use super::{
    accept::{Speaks, no_verdict},
    at_once::{self, send},
    request::{self, HEAD_BYTES, Refusal, Request},
    response,
    ticket::Ticket,
};

/// How long a request may take to come at least: a balancer sends it in one packet; this is for people with telnet.
const HEAD: Duration = Duration::from_secs(5);

/// Serves one connection to its answer; `begun` is what was read of its request.
pub(super) async fn serve(
    stream: TcpStream,
    source: SocketAddr,
    speaks: Speaks,
    begun: Vec<u8>,
    mut ticket: Ticket,
) {
    match speaks {
        Speaks::Http => check(stream, source, begun, ticket).await,
        Speaks::Words(speaker) => {
            ticket.begun();
            // Where nothing is known yet, nothing is said: HAProxy keeps what it has.
            let Some(given) = ticket.shared.verdict().await else { return };
            if at_once::say(&stream, source, &speaker, &given, &ticket.shared).is_ok() {
                ticket.answered(source, stream);
            }
        }
    }
}

async fn check(stream: TcpStream, source: SocketAddr, begun: Vec<u8>, mut ticket: Ticket) {
    let Ok(stream) = Waiting::from_std(stream) else { return };
    let Some(head) = head(&stream, begun, &mut ticket).await else { return };
    let verdict = ticket.shared.verdict().await;
    let Ok(stream) = stream.into_std() else { return };
    let sent = match head {
        Ok(request) => at_once::answer(&stream, source, request, verdict.as_ref(), &ticket.shared),
        Err(refusal) => {
            send(&stream, &response::to_refused(verdict.as_ref().unwrap_or(&no_verdict()), refusal))
        }
    };
    if sent.is_ok() {
        ticket.answered(source, stream);
    }
}

/// Reads the head. `None` if there is nobody to answer.
async fn head(stream: &Waiting, begun: Vec<u8>, ticket: &mut Ticket) -> Option<Result<Request, Refusal>> {
    let mut bytes = begun;
    let sweep = Arc::clone(&ticket.shared.sweep);
    match sweep.within(HEAD, whole(stream, &mut bytes, ticket)).await {
        Some(head) => head,
        None => (!bytes.is_empty()).then_some(Err(Refusal::TooSlow)),
    }
}

/// Reads into `bytes` until the head is whole, or is seen never to be.
async fn whole(
    stream: &Waiting,
    bytes: &mut Vec<u8>,
    ticket: &mut Ticket,
) -> Option<Result<Request, Refusal>> {
    loop {
        let ended = read(stream, bytes).await.ok()? == 0;
        if ended && bytes.is_empty() {
            return None;
        }
        ticket.begun();
        match request::parse(bytes) {
            Some(head) => return Some(head),
            None if ended => return Some(Err(Refusal::Malformed)),
            None => {}
        }
    }
}

/// Waits for bytes and reads them, up to the longest head, onto the end of `bytes`. While nothing comes, nothing is
/// stored.
async fn read(stream: &Waiting, bytes: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match read_now(stream, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

fn read_now(stream: &Waiting, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; HEAD_BYTES];
    let read = stream.try_read(&mut chunk[bytes.len()..])?;
    bytes.extend_from_slice(&chunk[bytes.len()..][..read]);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        sync::{mpsc, watch},
        time::{self, Instant},
    };

    use super::{
        super::{
            Answer, Check, Counters,
            accept::{Shared, Speaks},
            sweep::SWEEP,
        },
        *,
    };
    use crate::{lifecycle::Phase, systemd::watchdog::Pulse};

    /// The two ends of a connection that is served, and what is reported of it.
    async fn connection() -> (TcpStream, mpsc::Receiver<Check>, Arc<Shared>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let up =
            Answer { status: 200, phase: Phase::Up, reason: "up".to_owned(), since_unix: 0, generation: 1 };
        let (report, checks) = mpsc::channel(8);
        let shared = Arc::new(Shared::new(watch::channel(Some(up)).1, report, Arc::new(Counters::default())));
        tokio::spawn(Arc::clone(&shared).tidy(Pulse::default()));
        let (stream, source) = server.unwrap();
        shared.admit(stream.into_std().unwrap(), source, &Speaks::Http);
        (client.unwrap(), checks, shared)
    }

    async fn rest(client: &mut TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_closed_after_its_time() {
        let (mut client, _checks, _shared) = connection().await;
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        assert!(start.elapsed() >= HEAD && start.elapsed() <= HEAD + SWEEP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_told_that_it_is_slow() {
        let (client, mut checks, _shared) = connection().await;
        let (mut read, mut write) = client.into_split();
        let start = Instant::now();
        let slow = async {
            // One byte a second, and the end would come after twice the time.
            while write.write_all(b"G").await.is_ok() && start.elapsed() < 2 * HEAD {
                time::sleep(Duration::from_secs(1)).await;
            }
        };
        let mut text = String::new();
        tokio::select! {
            () = slow => panic!("expected to be answered before the end"),
            read = read.read_to_string(&mut text) => { read.unwrap(); }
        }
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(start.elapsed() <= HEAD + SWEEP);
        assert!(checks.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_not_waited_for_long() {
        let (mut client, mut checks, shared) = connection().await;
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let text = rest(&mut client).await;
        assert!(text.ends_with("\r\n\r\nup\n"), "{text}");
        assert_eq!(checks.try_recv().unwrap().status, 200);
        let start = Instant::now();
        while shared.answered() > 0 {
            time::sleep(Duration::from_millis(10)).await;
        }
        assert!(start.elapsed() >= SWEEP && start.elapsed() <= 3 * SWEEP, "{:?}", start.elapsed());
    }
}
