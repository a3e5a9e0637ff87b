//! The sockets that take HAProxy's runtime commands: one line each, or as many as wanted after `prompt`.
//!
//! A line that has no end is no line; one that is too long, or a client that is silent for too long, ends the connection.

mod file;
mod peer;
mod place;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::command::{self, Desk, Session};
use super::edits;
use crate::config::{AdminLevel, AdminSocket};

use self::peer::{Peer, Stream};
pub use self::place::{Bound, SocketError, at_name};

/// HAProxy's buffer: no line is longer.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// How long accepting rests after it has failed, for want of descriptors or memory.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// Serves whoever connects, to the answer that is under way when the sender of `closed` is dropped. Must be called within a
/// `LocalSet`.
pub(super) async fn serve(bound: Bound, desk: Rc<Desk>, closed: watch::Receiver<()>) {
    let settings = bound.settings.clone();
    let (listener, _file) = match bound.listening().await {
        Ok(listening) => listening,
        Err(error) => return tracing::error!("the admin socket {} can't be served: {error}", settings.at),
    };
    let room = Arc::new(Semaphore::new(settings.connections as usize));
    loop {
        let permit = room.clone().acquire_owned().await.expect("nobody closes it");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "admin socket");
                sleep(FAILED_PAUSE).await;
                continue;
            }
        };
        let (desk, settings, closed) = (desk.clone(), settings.clone(), closed.clone());
        spawn_local(async move {
            let _permit = permit;
            if let Err(error) = talk((stream, peer), &desk, &settings, closed).await {
                tracing::debug!(%error, "admin socket");
            }
        });
    }
}

/// Does what one client says, until it has enough, or the socket is closed.
async fn talk(
    (mut stream, peer): (Stream, Peer),
    desk: &Desk,
    settings: &AdminSocket,
    mut closed: watch::Receiver<()>,
) -> io::Result<()> {
    let mut session = Session::new(settings.level, settings.timeout);
    session.from = peer.address();
    let mut input = Vec::new();
    loop {
        let line = tokio::select! {
            biased;
            // Nothing is ever sent: it ends when the socket is closed.
            _ = closed.changed() => None,
            line = next_line(&mut stream, &mut input, session.timeout) => line?,
        };
        let Some(line) = line else { break };
        // Before it is obeyed: it may end with giving the level up.
        if session.level == AdminLevel::Admin {
            report(peer, &line);
        }
        // One after the other: a short line may ask for all statistics a thousand times.
        for words in command::commands(&line) {
            let mut said = command::obey(desk, &mut session, &words);
            if let Some(later) = session.later.take() {
                said = edits::said(later).await;
            }
            let Some(answer) = framed(&session, said) else { break };
            timeout(session.timeout, stream.write_all(answer.as_bytes())).await??;
        }
        if session.ended || !session.interactive {
            break;
        }
    }
    stream.shutdown().await
}

/// What is said to a command, with its end; `None`: nothing more.
pub(super) fn framed(session: &Session, said: String) -> Option<String> {
    let mut answer = said;
    if session.ended {
        return None;
    }
    answer.push_str(if session.interactive { "\n> " } else { "\n" });
    Some(answer)
}

/// Tells who has changed something.
fn report(peer: Peer, line: &str) {
    const LOOKS: [&str; 6] = ["show", "get", "help", "prompt", "quit", "set timeout"];
    let is_look = |command: &str| command.is_empty() || LOOKS.iter().any(|look| command.starts_with(look));
    let line = line.trim();
    if line.split(';').map(str::trim).all(is_look) {
        return;
    }
    tracing::info!("admin socket: {peer} says: {}", line.escape_debug());
}

/// The next line, without its end; `None`: there is none.
async fn next_line(
    stream: &mut Stream,
    input: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = input.iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(&input[..end]).into_owned();
            input.drain(..=end);
            return Ok(Some(line));
        }
        if input.len() >= MAX_LINE_BYTES || timeout(patience, stream.read_buf(input)).await?? == 0 {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests;
