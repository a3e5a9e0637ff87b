//! One connection: a request, an answer, and an end that does not destroy the answer.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    Way,
    accept::{Ticket, no_verdict},
    request::{self, HEAD_BYTES, Refusal, Request},
    response,
    sweep::Sweep,
};
use crate::{agent_check::Speaker, clock::Moment};

/// How long a request may take to come at least: a balancer sends it in one packet; this is for people with telnet.
const HEAD: Duration = Duration::from_secs(5);

/// How long the answer may take to be handed to the kernel: it fits into the send buffer of any connection.
const WRITE: Duration = Duration::from_secs(2);

/// How long to wait for the other side to close, having closed ours: a round trip to the other end of the world.
const LINGER: Duration = Duration::from_secs(1);

/// How much is read and thrown away in that time: whoever sends more is no balancer.
const LINGER_BYTES: usize = 64 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve(mut stream: TcpStream, source: SocketAddr, mut ticket: Ticket) {
    let sweep = Arc::clone(&ticket.shared.sweep);
    let Some(head) = head(&stream, &mut ticket, &sweep).await else { return };
    let answered = match head {
        Ok(request) => check(&mut stream, source, request, &ticket).await,
        Err(refusal) => {
            let answer = ticket.shared.verdict().await.unwrap_or_else(no_verdict);
            write(&mut stream, &response::to_refused(&answer, refusal), &sweep).await
        }
    };
    if answered.is_ok() {
        ticket.answered();
        linger(&mut stream, &sweep).await;
    }
}

/// Speaks HAProxy's agent protocol: what the other side sends (`agent-send`) is read at the end only, and thrown away.
pub(super) async fn speak(
    mut stream: TcpStream,
    source: SocketAddr,
    mut ticket: Ticket,
    speaker: Arc<Speaker>,
) {
    let sweep = Arc::clone(&ticket.shared.sweep);
    ticket.begun();
    // Where nothing is known yet, nothing is said: HAProxy keeps what it has.
    let Some(given) = ticket.shared.verdict().await else { return };
    let line = speaker.line(&given, source.ip(), Moment::now());
    if write(&mut stream, line.as_bytes(), &sweep).await.is_ok() {
        ticket.shared.report(source, Way::AgentCheck, None, &given);
        ticket.answered();
        linger(&mut stream, &sweep).await;
    }
}

async fn check(
    stream: &mut TcpStream,
    source: SocketAddr,
    request: Request,
    ticket: &Ticket,
) -> io::Result<()> {
    let verdict = ticket.shared.verdict().await;
    let bytes = response::to_check(verdict.as_ref().unwrap_or(&no_verdict()), request.method);
    write(stream, &bytes, &ticket.shared.sweep).await?;
    // Without a verdict there is no generation that could be acknowledged.
    if let Some(given) = verdict {
        ticket.shared.report(source, Way::Http, request.state, &given);
    }
    Ok(())
}

/// Reads the head. `None` if there is nobody to answer.
async fn head(stream: &TcpStream, ticket: &mut Ticket, sweep: &Sweep) -> Option<Result<Request, Refusal>> {
    let mut bytes = Vec::new();
    match sweep.within(HEAD, whole(stream, &mut bytes, ticket)).await {
        Some(head) => head,
        None => (!bytes.is_empty()).then_some(Err(Refusal::TooSlow)),
    }
}

/// Reads into `bytes` until the head is whole, or is seen never to be.
async fn whole(
    stream: &TcpStream,
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
async fn read(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match read_now(stream, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

fn read_now(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; HEAD_BYTES];
    let read = stream.try_read(&mut chunk[bytes.len()..])?;
    bytes.extend_from_slice(&chunk[bytes.len()..][..read]);
    Ok(read)
}

async fn write(stream: &mut TcpStream, bytes: &[u8], sweep: &Sweep) -> io::Result<()> {
    let written = sweep.within(WRITE, stream.write_all(bytes)).await;
    written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Ends the connection in good order. A close with unread bytes in the receive buffer sends a reset, and that can
/// overtake and destroy the answer: so our side is closed first, and what still comes is read and thrown away until the
/// other side closes, for a bounded time.
async fn linger(stream: &mut TcpStream, sweep: &Sweep) {
    let drain = async {
        stream.shutdown().await?;
        let mut left = LINGER_BYTES;
        while left > 0 {
            let read = discard(stream).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        io::Result::Ok(())
    };
    // Whichever way it ends, it is over: the answer was sent.
    let _over = sweep.within(LINGER, drain).await;
}

async fn discard(stream: &TcpStream) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match discard_now(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

fn discard_now(stream: &TcpStream) -> io::Result<usize> {
    stream.try_read(&mut [0; HEAD_BYTES])
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::TcpListener,
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
    use crate::lifecycle::Phase;

    /// The two ends of a connection that is served, and what is reported of it.
    async fn connection() -> (TcpStream, mpsc::Receiver<Check>, Arc<Shared>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let up =
            Answer { status: 200, phase: Phase::Up, reason: "up".to_owned(), since_unix: 0, generation: 1 };
        let (report, checks) = mpsc::channel(8);
        let shared = Arc::new(Shared::new(watch::channel(Some(up)).1, report, Arc::new(Counters::default())));
        let sweep = Arc::clone(&shared.sweep);
        tokio::spawn(async move { sweep.run().await });
        let (stream, source) = server.unwrap();
        shared.admit(stream, source, &Speaks::Http);
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
        // The task holds the other reference, and lets it go when it ends.
        let start = Instant::now();
        while Arc::strong_count(&shared) > 1 {
            time::sleep(Duration::from_millis(10)).await;
        }
        assert!(start.elapsed() <= LINGER + 2 * SWEEP);
    }
}
