//! Answering a check whose request has come with its connection, as nearly every balancer's does: without a task and
//! without waking up once more. That halves what a check costs.

use std::{
    io,
    io::Read,
    net::{Shutdown, SocketAddr, TcpStream},
};

use rustix::{
    io::Errno,
    net::{self, SendFlags},
};

use super::{
    Answer, Way,
    accept::{Shared, Speaks, no_verdict},
    request::{self, HEAD_BYTES, Method, Request},
    response,
};
use crate::{agent_check::Speaker, clock::Moment};

/// How far a connection was served.
#[derive(Debug)]
pub(super) enum Served {
    /// It has its answer.
    Answered(TcpStream),
    /// It must be waited for; this much of its request has come.
    Begun(TcpStream, Vec<u8>),
    /// Nobody is there any more.
    Gone,
}

/// Serves a connection as far as is possible without waiting.
pub(super) fn serve(stream: TcpStream, source: SocketAddr, speaks: &Speaks, shared: &Shared) -> Served {
    let Some(given) = shared.known() else { return Served::Begun(stream, Vec::new()) };
    let sent = match speaks {
        Speaks::Words(speaker) => say(&stream, source, speaker, &given, shared),
        Speaks::Http => {
            let mut chunk = [0; HEAD_BYTES];
            let came = match (&stream).read(&mut chunk) {
                Ok(0) => return Served::Gone,
                Ok(read) => &chunk[..read],
                Err(error) if waits(&error) => return Served::Begun(stream, Vec::new()),
                Err(_) => return Served::Gone,
            };
            match request::parse(came) {
                None => return Served::Begun(stream, came.to_vec()),
                Some(Ok(request)) => answer(&stream, source, request, Some(&given), shared),
                Some(Err(refusal)) => send(&stream, &response::to_refused(&given, refusal)),
            }
        }
    };
    if sent.is_ok() { Served::Answered(stream) } else { Served::Gone }
}

/// Answers a check with the verdict, if there is one, and reports it.
pub(super) fn answer(
    stream: &TcpStream,
    source: SocketAddr,
    request: Request,
    verdict: Option<&Answer>,
    shared: &Shared,
) -> io::Result<()> {
    let bytes = match verdict {
        Some(given) => response::to_check(given, request.method),
        None => response::to_check(&no_verdict(), request.method),
    };
    send(stream, &bytes)?;
    // Without a verdict there is no generation that could be acknowledged.
    if let Some(given) = verdict {
        shared.report(source, Way::Http, request, given);
    }
    Ok(())
}

/// Says the words of HAProxy's agent protocol, and reports it. What the other side sends (`agent-send`) is read at the
/// end only, and thrown away.
pub(super) fn say(
    stream: &TcpStream,
    source: SocketAddr,
    speaker: &Speaker,
    given: &Answer,
    shared: &Shared,
) -> io::Result<()> {
    send(stream, speaker.line(given, source.ip(), Moment::now()).as_bytes())?;
    let says_nothing = Request { method: Method::Get, state: None, asks: None };
    shared.report(source, Way::AgentCheck, says_nothing, given);
    Ok(())
}

/// Hands an answer to the kernel and ends our side: it fits into the send buffer of any connection, or its other side is
/// none that waits for it. Both go in one packet, which spares a balancer on the same host, and so this thread, in whose
/// time the kernel delivers there, half of them.
pub(super) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match net::send(stream, left, SendFlags::MORE | SendFlags::NOSIGNAL) {
            Ok(sent) => left = &left[sent..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    stream.shutdown(Shutdown::Write)
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
